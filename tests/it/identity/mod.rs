//! Credentials against a real store: who is proved, what ends them, and what happens while the
//! database is away. The clock stands still unless a test moves it.
mod replica;

mod background;
mod basic;
mod ending;
mod issuers;
mod keys;
mod model;
mod outage;
mod proving;
mod racing;
mod refresh;
mod rotation;
