//! The commented example, which is also the reference of all settings.

const EXAMPLE: &str = include_str!("../../config/portcullis.toml");

/// A configuration with every key, its default, and a sentence about it.
#[must_use]
pub fn example() -> &'static str {
    EXAMPLE
}

/// The example with every key written out: `#key` and `#[table]`, but not `# prose`.
#[cfg(test)]
pub(super) fn uncommented() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|char: char| char.is_ascii_lowercase() || char == '[') => {
            format!("{key}\n")
        }
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;
    use crate::config::fault::Report;
    use crate::config::shape::{Kind, Shape};
    use crate::config::sources::built_in;
    use crate::config::{Settings, load};

    fn loaded(text: &str) -> (Settings, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let file: PathBuf = folder.path().join("portcullis.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = load(&[file], Vec::new()).unwrap_or_else(|faults| panic!("{faults}"));
        let warnings = loaded.warnings.into_iter().map(|warning| warning.key).collect();
        (loaded.settings, warnings)
    }

    #[test]
    fn the_example_is_good_and_changes_no_default() {
        let (mut settings, warnings) = loaded(EXAMPLE);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((settings.upstreams.len(), settings.routes.len()), (1, 2));
        settings.upstreams.clear();
        settings.routes.clear();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn the_values_in_comments_are_the_defaults() {
        let (mut settings, warnings) = loaded(&uncommented());
        assert!(warnings.is_empty(), "{warnings:?}");
        assert!(settings.server.tls.take().is_some());
        assert_eq!(settings.server.listeners.drain(..).count(), 1);
        assert_eq!(settings.tokens.jwt.trusted.drain(..).count(), 1);
        settings.upstreams.clear();
        settings.routes.clear();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn every_key_of_the_schema_is_in_the_example() {
        fn keys(shape: Shape, around: &str, all: &mut BTreeSet<String>) {
            for (name, shape) in shape.keys().filter(|(name, _)| !is_twin(name)) {
                let key = format!("{around}{name}");
                match shape.kind() {
                    Kind::Table(shape) => keys(shape, &format!("{key}."), all),
                    Kind::List(inner) if matches!(inner.kind(), Kind::Table(_)) => {
                        keys(inner, &format!("{key}."), all);
                    }
                    _ => drop(all.insert(key)),
                }
            }
        }
        fn written(value: &serde_json::Value, around: &str, all: &mut BTreeSet<String>) {
            match value {
                serde_json::Value::Object(table) => table.iter().for_each(|(name, value)| {
                    let key =
                        if around.is_empty() { name.clone() } else { format!("{around}.{name}") };
                    written(value, &key, all);
                }),
                serde_json::Value::Array(list) if list.iter().any(serde_json::Value::is_object) => {
                    for value in list {
                        written(value, around, all);
                    }
                }
                _ => drop(all.insert(around.to_owned())),
            }
        }
        /// A twin is named in prose: both cannot be set.
        fn is_twin(name: &str) -> bool {
            name.ends_with("_file") && !["public_key_file", "jwks_file", "ca_file"].contains(&name)
        }

        let layer = built_in("example", &uncommented(), &mut Report::default());
        let tree = crate::config::tree::plain(&config::Value::new(None, layer.0));
        let (mut schema, mut example) = (BTreeSet::new(), BTreeSet::new());
        keys(Shape::root(), "", &mut schema);
        written(&tree, "", &mut example);
        assert_eq!(schema, example);

        for twin in ["secret_key", "url", "direct_url", "signing_key", "secret"] {
            assert!(EXAMPLE.contains(&format!("{twin}_file")), "{twin}");
        }
    }

    #[test]
    fn each_key_marked_with_a_star_is_one_that_djoser_has_otherwise() {
        let djoser = include_str!("../../config/djoser.toml");
        let djoser: BTreeSet<_> = djoser
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, _)| key)
            .collect();
        let mut marked = BTreeSet::new();
        let mut star = false;
        for line in EXAMPLE.lines() {
            star |= line.starts_with("# (*)");
            let setting = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
            if let Some((key, _)) = setting.and_then(|setting| setting.split_once(" = "))
                && std::mem::take(&mut star)
            {
                marked.insert(key);
            }
        }
        assert_eq!(marked, djoser);
    }
}
