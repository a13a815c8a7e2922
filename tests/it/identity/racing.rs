//! Ends and proofs at the same time: what begins after an end was acknowledged must not pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis::config::{Period, Settings};
use portcullis::identity::IdentifyError;

use super::replica::{Replica, within_reason};

const ROUNDS: usize = 24;
const WORKERS: usize = 4;

/// Every other request finds the cache empty, or its entry due to be confirmed: so ends meet
/// proofs at every point of their way.
fn settings(round: usize) -> Settings {
    let mut settings = Settings::default();
    if round.is_multiple_of(2) {
        settings.cache.tokens = 1;
        settings.cache.users = 1;
    }
    if round.is_multiple_of(3) {
        settings.cache.token_ttl = Period(Duration::ZERO);
    }
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_passes_that_began_after_the_logout_was_acknowledged() {
    for round in 0..ROUNDS {
        let replica = Arc::new(Replica::alone(&settings(round)).await);
        let user = replica.user("ada").await;
        let (opaque, opaque_login) = replica.log_in_opaque(&user).await;
        let (pair, jwt_login) = replica.log_in_jwt(&user).await;
        let (acknowledged, passed) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (replica, acknowledged) = (Arc::clone(&replica), Arc::clone(&acknowledged));
                let (token, passed) = (
                    if worker.is_multiple_of(2) { opaque.clone() } else { pair.access.clone() },
                    Arc::clone(&passed),
                );
                tokio::spawn(async move {
                    let mut refused = 0;
                    while refused < 20 {
                        let began_after = acknowledged.load(Ordering::SeqCst);
                        let proved = if worker.is_multiple_of(2) {
                            replica.opaque(&token).await
                        } else {
                            replica.jwt(&token).await
                        };
                        match proved {
                            Ok(_) => assert!(!began_after, "round {round}: a dead token passed"),
                            Err(IdentifyError::Rejected(_)) if began_after => refused += 1,
                            // Written, but not acknowledged yet.
                            Err(IdentifyError::Rejected(_)) => {}
                            Err(error) => panic!("round {round}: {error}"),
                        }
                        passed.store(true, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        within_reason(async || passed.load(Ordering::SeqCst)).await;
        match round % 4 {
            0 => replica.change_password(&user).await,
            1 => replica.delete(&user).await,
            2 => replica.set_active(&user, false).await,
            _ => {
                replica.end_login(opaque_login).await;
                replica.end_login(jwt_login).await;
            }
        }
        acknowledged.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.await.unwrap();
        }
    }
}
