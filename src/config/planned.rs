//! Settings that are read but do nothing yet. One line each; whoever builds a feature deletes
//! its line.

use serde_json::Value;

use super::fault::Report;
use super::sections::Settings;

/// Key, and what happens instead.
const PLANNED: &[(&str, &str)] = &[
    (
        "tokens.jwt.user_id_field",
        "not used: the user claim holds the id, which stays when a user is renamed",
    ),
    (
        "tokens.jwt.verifying_key",
        "not used: own tokens are checked by the public halves of tokens.jwt.keys; for others' tokens write public_key_file under [[tokens.jwt.trusted]]",
    ),
    (
        "tokens.jwt.jwk_url",
        "not used: for others' tokens write jwks_url under [[tokens.jwt.trusted]]",
    ),
];

/// Warns of each such setting that was changed.
pub(super) fn warn(settings: &Settings, report: &mut Report) {
    let set = plain(settings);
    let default = plain(&Settings::default());
    for (key, text) in PLANNED {
        let pointer = pointer(key);
        if set.pointer(&pointer) != default.pointer(&pointer) {
            report.warn(key, *text);
        }
    }
}

fn plain(settings: &impl serde::Serialize) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::shape::Shape;

    #[test]
    fn every_planned_key_exists() {
        for (key, _) in PLANNED {
            assert!(Shape::root().at(key).is_some(), "{key}");
        }
    }

    #[test]
    fn only_a_changed_setting_is_warned_of() {
        let mut report = Report::default();
        warn(&Settings::default(), &mut report);
        assert_eq!(report.finish(), Ok(Vec::new()));

        let mut settings = Settings::default();
        settings.tokens.jwt.user_id_field = "username".into();
        settings.tokens.jwt.jwk_url = "https://sso.example".into();
        let mut report = Report::default();
        warn(&settings, &mut report);
        let warnings = report.finish().unwrap();
        let keys: Vec<_> = warnings.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, ["tokens.jwt.user_id_field", "tokens.jwt.jwk_url"]);
    }
}
