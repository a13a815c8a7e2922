//! Our own log: one JSON object a line on standard error.
//!
//! Apart from the request log, which goes to standard output. It must not know what is
//! logged.

use tracing_subscriber::EnvFilter;

/// What is logged unless somebody asks for more: Pingora reports every client that goes
/// away early.
pub const DEFAULT_FILTER: &str = "info,pingora_core=warn,pingora_proxy=warn";

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not in `tracing`'s language.
    #[error("the log filter {0:?} cannot be read")]
    Filter(String, #[source] tracing_subscriber::filter::ParseError),
    /// Somebody else has set one up already.
    #[error("logging is set up already")]
    Again(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sets logging up for the whole process; an empty filter is [`DEFAULT_FILTER`].
pub fn init(filter: &str) -> Result<(), LogError> {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(parse(filter)?)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(LogError::Again)
}

fn parse(filter: &str) -> Result<EnvFilter, LogError> {
    let filter = if filter.trim().is_empty() { DEFAULT_FILTER } else { filter };
    EnvFilter::try_new(filter).map_err(|error| LogError::Filter(filter.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_nonsense_is_refused() {
        assert_eq!(parse("").unwrap().to_string(), parse(DEFAULT_FILTER).unwrap().to_string());
        assert!(parse("debug,portcullis::gate=trace").is_ok());
        assert!(parse("portcullis=loudly").is_err());
    }
}
