//! What replicas share: every end of a credential reaches every replica.
//!
//! The numbered log in the database is the truth. Whoever writes to it announces the entries
//! here, so that they hold on this replica before the writer answers; the others follow the
//! log. It must not know what an entry means to anyone, nor who wrote it.

mod announcer;
mod compaction;
mod follower;

pub use announcer::Announcer;
pub use compaction::Compaction;
pub use follower::Follower;
