//! Two gateways on one PostgreSQL database and one Redis, and what one learns of the other.

mod ending;
mod shared;
mod trouble;
mod world;
