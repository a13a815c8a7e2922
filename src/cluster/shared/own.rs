//! Connections of threads' own, beside the one that all share.
//!
//! A connection is worked on by the runtime that made it. Asked from another thread, every call wakes
//! that one and is woken by it, which takes longer than Redis does. So a thread with a runtime of its
//! own, as each worker is, gets a connection of its own once it has asked, for as long as the shared
//! one stands. It must not know what is asked.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{sleep, timeout};

use super::address::{Connection, Dialer};
use super::link::{DIAL, IDLE, Link, ping};

thread_local! {
    static OWN: RefCell<Vec<Own>> = const { RefCell::new(Vec::new()) };
}

struct Own {
    /// Beside which it stands.
    shared: Weak<Connection>,
    /// `None`: not yet.
    connection: Option<Connection>,
}

impl Own {
    fn is_beside(&self, shared: *const Connection) -> bool {
        std::ptr::eq(self.shared.as_ptr(), shared)
    }
}

/// The connection to ask with from this thread. `link`: what the shared one belongs to.
pub(super) fn connection(link: &Link, shared: &Arc<Connection>) -> Connection {
    let place = Arc::as_ptr(shared);
    let own = OWN.with_borrow(|all| {
        all.iter().find(|own| own.is_beside(place)).map(|own| own.connection.clone())
    });
    if own.is_none() && runs_alone() {
        begin(link, shared);
    }
    own.flatten().unwrap_or_else(|| (**shared).clone())
}

/// Whether what is spawned here stays on this thread.
fn runs_alone() -> bool {
    let runtime = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    matches!(runtime, Ok(RuntimeFlavor::CurrentThread))
}

fn begin(link: &Link, shared: &Arc<Connection>) {
    let Some(dialer) = link.own_dialer() else { return };
    let own = Own { shared: Arc::downgrade(shared), connection: None };
    OWN.with_borrow_mut(|all| {
        all.retain(|own| own.shared.strong_count() > 0);
        all.push(own);
    });
    tokio::spawn(keep(link.itself(), Arc::downgrade(shared), dialer, link.patience()));
}

/// Makes it, and asks it now and then whether it is alive, so that no request finds out.
async fn keep(link: Weak<Link>, shared: Weak<Connection>, mut dialer: Dialer, patience: Duration) {
    let connection = loop {
        if let Ok(Ok(connection)) = timeout(DIAL, dialer.dial()).await {
            break connection;
        }
        sleep(IDLE).await;
        if shared.strong_count() == 0 {
            return forget(&shared);
        }
    };
    OWN.with_borrow_mut(|all| {
        if let Some(own) = all.iter_mut().find(|own| own.is_beside(shared.as_ptr())) {
            own.connection = Some(connection.clone());
        }
    });
    loop {
        sleep(IDLE).await;
        let answer = timeout(patience, ping(connection.clone())).await;
        let (Some(link), Some(beside)) = (link.upgrade(), shared.upgrade()) else { break };
        if !matches!(answer, Ok(Ok(()))) {
            link.lose::<()>(&beside, "a worker's connection is too slow or broken");
            break;
        }
    }
    forget(&shared);
}

fn forget(shared: &Weak<Connection>) {
    OWN.with_borrow_mut(|all| all.retain(|own| !own.is_beside(shared.as_ptr())));
}
