//! Whether any opaque token without our check sum may exist.
//!
//! Without imports a guess dies by its check sum alone; with them it costs a look-up. The
//! database knows, and is asked at most once a minute. It must not know tokens.

use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

use super::flight::Flights;
use super::outage::Away;

/// How long "none" is believed: an import may run beside us.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// What the database last said about imported tokens.
pub(super) struct Imported {
    said: Mutex<Option<(bool, Timestamp)>>,
    asking: Flights<(), Result<bool, Away>>,
}

impl Imported {
    pub(super) fn new() -> Self {
        Self { said: Mutex::new(None), asking: Flights::new() }
    }

    /// What is known; asks where that is nothing or too old. With the database away the last
    /// word counts on.
    pub(super) async fn may_exist(
        &self,
        now: Timestamp,
        ask: impl Future<Output = Result<bool, Away>>,
    ) -> Result<bool, Away> {
        let said = *self.said.lock();
        match said {
            Some((true, _)) => return Ok(true),
            Some((false, at)) if now.since(at) < ASK_AGAIN => return Ok(false),
            _ => {}
        }
        match self.asking.join((), ask).await {
            Ok(exist) => {
                *self.said.lock() = Some((exist, now));
                Ok(exist)
            }
            Err(away) => said.map(|(exist, _)| exist).ok_or(away),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[tokio::test]
    async fn none_is_believed_for_a_minute_and_some_for_good() {
        let imported = Imported::new();
        assert_eq!(imported.may_exist(at(0), ready(Ok(false))).await, Ok(false));
        assert_eq!(imported.may_exist(at(59), ready(Ok(true))).await, Ok(false));
        assert_eq!(imported.may_exist(at(60), ready(Ok(true))).await, Ok(true));
        assert_eq!(imported.may_exist(at(200), ready(Ok(false))).await, Ok(true));
    }

    #[tokio::test]
    async fn with_the_database_away_the_last_word_counts() {
        let imported = Imported::new();
        assert_eq!(imported.may_exist(at(0), ready(Err(Away))).await, Err(Away));
        assert_eq!(imported.may_exist(at(0), ready(Ok(false))).await, Ok(false));
        assert_eq!(imported.may_exist(at(90), ready(Err(Away))).await, Ok(false));
    }
}
