//! What replicas share: every end of a credential reaches every replica.
//!
//! The numbered log in the database is the truth. Whoever writes to it announces the entries
//! here, so that they hold on this replica before the writer answers; the others follow the
//! log, sooner when a hint comes through Redis or the database. Redis is a second level of the
//! cache besides, and counts tries for all. It must not know what an entry means to anyone, nor who wrote it.

mod announcer;
mod compaction;
mod database_hints;
mod follower;
mod key_follower;
mod shared;

pub use announcer::Announcer;
pub use compaction::Compaction;
pub use database_hints::DatabaseHints;
pub use follower::{Follower, Heard};
pub use key_follower::KeyFollower;
pub use shared::{
    AddressError, Counted, Herald, LoginCount, LoginOutcome, LoginTry, RateOf, RedisExamination,
    RedisInfo, Seen, Shared, SharedCounts, SharedOptions, SharedTasks, examine_redis, try_redis,
};
