//! The end of a background task: it is told to stop, or whoever could tell it is gone.
//!
//! It must not know what is stopped.

use tokio::sync::watch;

/// Waits until `stop` says `true` or goes away.
pub(crate) async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // Nothing of the channel is held on to: tasks that wait here move between threads.
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_word_or_silence_for_good_ends_the_wait() {
        let (sender, mut receiver) = watch::channel(true);
        told_to_stop(&mut receiver).await;
        sender.send_replace(false);
        drop(sender);
        told_to_stop(&mut receiver).await;
    }
}
