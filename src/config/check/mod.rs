//! Values that are good by themselves and wrong together, or wrong for what they are for.
//!
//! Each rule names the key, says what is wrong and what to do. It must not change settings,
//! open files or connect.

mod accounts;
mod changes;
mod headers;
mod limits;
mod listeners;
mod paths;
mod routing;
mod server;
mod tokens;
mod traces;
mod upstreams;

use super::fault::Report;
use super::sections::Settings;

/// Applies every rule.
pub(super) fn all(settings: &Settings, report: &mut Report) {
    listeners::check(&settings.server, report);
    server::check(settings, report);
    paths::check_prefixes(&settings.server, report);
    tokens::check(&settings.tokens, report);
    accounts::check(settings, report);
    headers::check(&settings.identity_headers, report);
    headers::check_assertion(settings, report);
    upstreams::check(settings, report);
    routing::check(settings, report);
    limits::check(settings, report);
    traces::check(&settings.traces, report);
}

#[cfg(test)]
mod testing {
    //! For the tests of the rules: what they say about settings.

    use super::*;

    /// The keys with faults, sorted, after one rule.
    pub(super) fn faulty<T: ?Sized>(check: impl Fn(&T, &mut Report), subject: &T) -> Vec<String> {
        let mut report = Report::default();
        check(subject, &mut report);
        let mut keys: Vec<String> = match report.finish() {
            Ok(_) => Vec::new(),
            Err(faults) => faults.0.into_iter().map(|fault| fault.key).collect(),
        };
        keys.sort();
        keys
    }

    /// The keys with warnings, sorted, after one rule that finds no fault.
    pub(super) fn warned<T: ?Sized>(check: impl Fn(&T, &mut Report), subject: &T) -> Vec<String> {
        let mut report = Report::default();
        check(subject, &mut report);
        let warnings = report.finish().unwrap();
        let mut keys: Vec<String> = warnings.into_iter().map(|warning| warning.key).collect();
        keys.sort();
        keys
    }
}
