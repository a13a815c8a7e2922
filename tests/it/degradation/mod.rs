//! The table of `docs/degradation.md`, row by row: a test for each, named after it, under traffic.
//!
//! Bounds are those of the promise with a margin for a busy machine; figures are the business
//! of `benches/`.

mod database;
mod mail;
mod redis;
mod three;
mod traffic;
