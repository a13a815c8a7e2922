//! Portcullis, an authentication gateway: djoser's API, token checks and forwarding in one binary.
//!
//! The map, in reading order. Data goes one way: a *credential* (claimed) is proved to be
//! an *identity*, the gate turns it into a *passage* (a permit), and only a passage leads
//! to an upstream. No arrow points back; `tests/it/tidy.rs` holds it.

pub mod app;
pub mod cli;

pub mod gateway;

pub mod gate;

pub mod identity;

pub mod api;

pub mod accounts;

pub mod cluster;

pub mod issuers;

pub mod mail;

pub mod store;

pub mod telemetry;

pub mod config;

pub mod dial;

pub mod secret;

pub mod fold;

pub mod clock;

pub mod model;
