//! Random histories against a simple model of what must be valid.
//!
//! Two replicas on one database; one is dropped and started anew, hears of the other late or not
//! at all, and the clock goes forward and back. After every step each credential is shown to
//! both, and the model says which answers are right.

mod machine;
mod tier;
mod truth;
