//! The threads that serve connections, each with a runtime of its own.
//!
//! A connection stays on the thread that accepted it, with its own upstream connections: nothing
//! on its way is shared but what is read. And what one wake-up brought is dealt with in its
//! order, so that answers leave in batches; with tasks that are stolen or run out of turn, each
//! send wakes its reader anew, which costs the kernel more than checking a credential costs us
//! (docs/decisions/0011). It must not know what is served.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// Threads with a runtime each. They end when this is dropped; what they work on then is lost.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<Handle>,
    _running: watch::Sender<()>,
}

impl Workers {
    /// Starts so many; 0: one for each CPU that the process may use.
    ///
    /// # Errors
    /// If the system gives no more threads, or no event queue.
    pub fn start(count: usize) -> io::Result<Self> {
        let count = match count {
            0 => thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (running, over) = watch::channel(());
        let mut handles = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let mut over = over.clone();
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                // Nothing is ever sent: it ends when the sender goes.
                runtime.block_on(async { while over.changed().await.is_ok() {} });
                // A password that is being hashed is not waited for.
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { handles, _running: running })
    }

    /// Where to spawn what each of them does.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[tokio::test]
    async fn each_worker_is_a_thread_of_its_own() {
        let workers = Workers::start(3).unwrap();
        let mut threads = HashSet::new();
        for worker in workers.handles() {
            threads.insert(worker.spawn(async { thread::current().id() }).await.unwrap());
        }
        threads.insert(thread::current().id());
        assert_eq!(threads.len(), 4);
    }

    #[tokio::test]
    async fn what_a_worker_does_ends_with_it() {
        let workers = Workers::start(1).unwrap();
        let endless = workers.handles()[0].spawn(std::future::pending::<()>());
        drop(workers);
        assert!(endless.await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn none_means_as_many_as_there_are_cpus() {
        let cpus = thread::available_parallelism().unwrap().get();
        assert_eq!(Workers::start(0).unwrap().handles().len(), cpus);
    }
}
