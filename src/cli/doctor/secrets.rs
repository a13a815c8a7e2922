//! Secrets that can be guessed, and files that others can read.
//!
//! Looks at modes and never shows what a file holds. It must not know what a secret is for.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use regex::Regex;

use super::finding::Findings;
use crate::app;
use crate::config::{Settings, Tls};

const KEY: &str = "secret-key";
const FILES: &str = "secret-files";

/// Stands in examples and tutorials, also in ours.
const FROM_EXAMPLES: [&str; 8] = [
    "change",
    "example",
    "secret-of-at-least",
    "insecure",
    "password",
    "0123456789",
    "abcdefgh",
    "secret_key",
];

/// Fewer different characters than this are a pattern: 32 random hexadecimal digits have 12 or
/// more but once in some thousands.
const FEWEST_CHARACTERS: usize = 10;

/// Where secrets come from: files that are named to the program, and its environment.
pub(super) struct Sources<'a> {
    pub(super) files: &'a [PathBuf],
    pub(super) environment: &'a [(String, String)],
}

pub(super) fn check(settings: &Settings, sources: &Sources<'_>, findings: &mut Findings) {
    secret_key(settings, findings);
    files(settings, sources, findings);
}

fn secret_key(settings: &Settings, findings: &mut Findings) {
    let secret = settings.secret_key.expose();
    let remedy = "write what `openssl rand -hex 32` prints (docs/security-model.md says what \
                  changes with it)";
    if secret.is_empty() {
        return findings.ok(KEY, "is made at random and kept beside the database");
    }
    let small = secret.to_ascii_lowercase();
    if FROM_EXAMPLES.iter().any(|known| small.contains(known)) {
        findings.problem(KEY, "looks like one from an example: others know it", remedy);
    } else if secret.chars().collect::<BTreeSet<_>>().len() < FEWEST_CHARACTERS {
        findings.problem(KEY, "has few different characters: it can be guessed", remedy);
    } else {
        findings.ok(KEY, format!("has {} bytes and looks random", secret.len()));
    }
}

/// A file, and what is in it.
struct Held {
    path: PathBuf,
    what: &'static str,
}

fn files(settings: &Settings, sources: &Sources<'_>, findings: &mut Findings) {
    let mut held = named_files(sources);
    let keys = settings.server.tls.iter().flat_map(Tls::pairs).map(|(_, key)| key);
    let clients = settings.upstreams.iter().map(|upstream| &upstream.tls.private_key);
    let signing = settings.tokens.jwt.keys.iter();
    for path in keys.chain(clients).chain(signing).filter(|path| !path.as_os_str().is_empty()) {
        held.push(Held { path: path.clone(), what: "a private key" });
    }
    let database = settings.database.file().into_iter();
    held.extend(database.map(|path| Held { path, what: "users and their password hashes" }));
    let secret = app::file_beside(&settings.database).into_iter();
    held.extend(secret.map(|path| Held { path, what: "the secret key" }));
    for Held { path, what } in &held {
        let Ok(about) = fs::metadata(path) else { continue };
        let mode = about.permissions().mode();
        let path = path.display();
        let remedy = format!("chmod o-rwx {path} (in Kubernetes: defaultMode: 0440)");
        if mode & 0o002 != 0 {
            let text = format!("{path} holds {what}, and every user of this machine can change it");
            findings.problem(FILES, text, remedy);
        } else if mode & 0o004 != 0 {
            let text = format!("{path} holds {what}, and every user of this machine can read it");
            findings.warning(FILES, text, remedy);
        }
    }
    if findings.is_well(FILES) {
        findings.ok(FILES, "other users of this machine can read none");
    }
}

/// Configuration files with secrets in them, and files that they or the environment name.
fn named_files(sources: &Sources<'_>) -> Vec<Held> {
    let mut held = Vec::new();
    for file in sources.files {
        // It was loaded: whoever took it away since does not want it looked at.
        let text = fs::read_to_string(file).unwrap_or_default();
        if holds_secret(&text) {
            held.push(Held { path: file.clone(), what: "a secret" });
        }
        held.extend(files_in(&text).map(secret_file));
    }
    let named = sources.environment.iter().filter(|(name, _)| {
        name.starts_with("PORTCULLIS__")
            && SECRET_FILES.iter().any(|key| name.ends_with(&format!("__{}", key.to_uppercase())))
    });
    held.extend(named.map(|(_, path)| secret_file(Path::new(path).to_owned())));
    held
}

fn secret_file(path: PathBuf) -> Held {
    Held { path, what: "a secret" }
}

/// The keys whose values are files with a secret in them, in TOML and YAML.
const SECRET_FILES: [&str; 5] =
    ["secret_key_file", "url_file", "direct_url_file", "signing_key_file", "secret_file"];

fn holds_secret(text: &str) -> bool {
    let patterns = [
        r#"(?m)^\s*(secret_key|signing_key|secret)\s*[=:]\s*["']?[^\s"']"#,
        r#"(?m)^\s*(url|direct_url)\s*[=:]\s*["']?\w[\w+]*://[^/\s:@]*:[^/\s@]+@"#,
    ];
    patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).any(|it| it.is_match(text))
}

fn files_in(text: &str) -> impl Iterator<Item = PathBuf> {
    let pattern = format!(r#"(?m)^\s*(?:{})\s*[=:]\s*["']?([^"'\n]+)"#, SECRET_FILES.join("|"));
    let found: Vec<PathBuf> = Regex::new(&pattern)
        .into_iter()
        .flat_map(|pattern| {
            let names = pattern.captures_iter(text).map(|found| found[1].trim_end().into());
            names.collect::<Vec<PathBuf>>()
        })
        .collect();
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(settings: &Settings, files: &[PathBuf], environment: &[(String, String)]) -> String {
        let mut findings = Findings::default();
        check(settings, &Sources { files, environment }, &mut findings);
        let mut text = Vec::new();
        findings.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn with_key(secret: &str) -> Settings {
        let database = crate::config::Database {
            url: "postgres://nobody@h/d".into(),
            ..crate::config::Database::default()
        };
        Settings { secret_key: secret.into(), database, ..Settings::default() }
    }

    const GOOD: &str = "9c5d2f0a7e41b863c90d5ae2174f6b88e3a1d7049b2c6f5e80a93d1b47c2e65f";

    #[test]
    fn a_random_secret_is_good_and_one_from_an_example_is_not() {
        assert!(told(&with_key(GOOD), &[], &[]).starts_with("ok           secret-key"));
        for bad in [
            "a-secret-of-at-least-32-characters",
            "change-me-change-me-change-me-change-me",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "0123456789abcdef0123456789abcdef",
        ] {
            let told = told(&with_key(bad), &[], &[]);
            assert!(told.starts_with("problem      secret-key"), "{told}");
            assert!(!told.contains(bad), "{told}");
        }
    }

    #[test]
    fn a_file_with_a_secret_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        fs::write(&file, format!("secret_key = \"{GOOD}\"\n")).unwrap();
        let told_of = |mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            told(&with_key(GOOD), std::slice::from_ref(&file), &[])
        };
        assert!(told_of(0o640).contains("ok           secret-files"));
        assert!(told_of(0o644).contains("warning      secret-files"));
        assert!(told_of(0o646).contains("problem      secret-files"));
        assert!(!told_of(0o644).contains(GOOD));
    }

    #[test]
    fn a_file_that_is_named_is_looked_at_wherever_it_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (config, secret) = (folder.path().join("c.toml"), folder.path().join("secret"));
        fs::write(&secret, GOOD).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&config, format!("secret_key_file = \"{}\"\n", secret.display())).unwrap();
        let name = secret.display().to_string();
        let told_by_file = told(&with_key(GOOD), &[config], &[]);
        assert!(told_by_file.contains(&format!("{name} holds a secret")), "{told_by_file}");
        let environment = [("PORTCULLIS__SECRET_KEY_FILE".to_owned(), name.clone())];
        let told = told(&with_key(GOOD), &[], &environment);
        assert!(told.contains(&format!("{name} holds a secret")), "{told}");
    }

    #[test]
    fn a_password_in_an_address_is_a_secret_and_an_address_is_none() {
        assert!(holds_secret("[database]\nurl = \"postgres://ada:pass@h/d\""));
        assert!(holds_secret("redis:\n  url: redis://:pass@h"));
        for text in [
            "url = \"postgres://ada@h/d\"",
            "url = \"sqlite://p.db\"",
            "secret_key = \"\"",
            "# secret_key = \"x\"",
            "secret_key_file = \"f\"",
        ] {
            assert!(!holds_secret(text), "{text}");
        }
    }
}
