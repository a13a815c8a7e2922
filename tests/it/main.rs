//! One binary of integration tests, so that everything is linked once. Its tree mirrors what a
//! request meets, from the socket to the database.
//!
//! The modules are marked as tests one by one: only so do clippy's rules for tests reach their
//! helper functions.

#[cfg(test)]
mod tidy;

#[cfg(test)]
mod ledger;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod secure;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod subject;

#[cfg(test)]
mod access;
#[cfg(test)]
mod assertion;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod basic;
#[cfg(test)]
mod compatibility;
#[cfg(test)]
mod journey;

#[cfg(test)]
mod doctor;
#[cfg(test)]
mod faults;

#[cfg(test)]
mod gateway;

#[cfg(test)]
mod forward_auth;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod reload;

#[cfg(test)]
mod identity;

#[cfg(test)]
mod api;

#[cfg(test)]
mod mail;
#[cfg(test)]
mod observe;

#[cfg(test)]
mod request_log;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod traces;

#[cfg(test)]
mod replicas;

#[cfg(test)]
mod degradation;

#[cfg(test)]
mod store;

#[cfg(test)]
mod import;

#[cfg(test)]
mod explain;
#[cfg(test)]
mod user_command;
