//! Whether a key may still vouch for what it signed.
//!
//! Everything that was proved by a key holds on to its life, so that taking a key away ends it
//! all at once, whatever is cached or under way. It must not know which key it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by a key and everything that it proved.
#[derive(Debug, Clone)]
pub(in crate::identity) struct KeyLife(Arc<AtomicBool>);

impl KeyLife {
    pub(super) fn begin() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// What the key signed is good for nothing from now on.
    pub(super) fn end(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the key is still there.
    pub(in crate::identity) fn goes_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
