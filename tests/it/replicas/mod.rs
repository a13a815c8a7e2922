//! Two gateways on one PostgreSQL database and one Redis, and what one learns of the other.

mod ending;
mod kinds;
mod lasting;
mod shared;
mod throttles;
mod trouble;
pub(crate) mod world;
