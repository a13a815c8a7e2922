//! Who may know whom, and which module knows which framework.
//!
//! The tables are the design; docs/ARCHITECTURE.md draws them. A new arrow is a decision:
//! it needs a reason there before it gets a place here.

use super::source::{Source, Word};

/// What may be used from anywhere but other leaves.
const LEAVES: &[&str] = &["clock", "secret", "fold", "dial"];

/// Module, and the modules that it may name. Rows in the order of `lib.rs`, from the rim inwards.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("gateway", &["gate", "api", "identity", "telemetry", "config", "model", "clock"]),
    ("gate", &["identity", "config", "model", "clock"]),
    ("identity", &["store", "config", "model", "clock", "secret", "fold"]),
    ("api", &["accounts", "identity", "config", "model", "clock"]),
    (
        "accounts",
        &[
            "identity",
            "store",
            "cluster",
            "mail",
            "telemetry",
            "config",
            "model",
            "clock",
            "secret",
            "fold",
        ],
    ),
    ("cluster", &["store", "identity", "config", "model", "clock"]),
    ("issuers", &["identity", "telemetry", "dial"]),
    ("mail", &["store", "identity", "config", "model", "clock"]),
    ("store", &["config", "model", "fold"]),
    ("telemetry", &["config", "model", "clock", "dial"]),
    ("config", &["model"]),
    ("dial", &[]),
    ("secret", &["model"]),
    ("fold", &["model"]),
    ("clock", &["model"]),
    ("model", &[]),
];

/// These join the parts and may name all of them.
const JOIN: &[&str] = &["main", "lib", "cli", "app"];

/// A framework and the modules that know it.
const FRAMEWORKS: &[(&str, &[&str])] = &[
    ("pingora", &["gateway"]),
    ("sqlx", &["store"]),
    ("redis", &["cluster"]),
    ("lettre", &["mail"]),
    ("clap", &["cli", "main"]),
    // The API is an axum Router; the gateway calls it as a service, the probes and the demo are small ones.
    ("axum", &["api", "gateway", "telemetry", "app", "cli"]),
    ("opentelemetry", &["telemetry"]),
];

/// Only these read the environment; `main` hands it in.
const ENVIRONMENT: &[&str] = &["config", "main"];

pub(super) fn is_placed(module: &str) -> bool {
    JOIN.contains(&module) || MAY_KNOW.iter().any(|(name, _)| *name == module)
}

/// Every path of the file that leads against the direction.
pub(super) fn faults(source: &Source) -> Vec<String> {
    let module = source.module();
    let Some((_, known)) = MAY_KNOW.iter().find(|(name, _)| *name == module) else {
        return Vec::new();
    };
    modules_named(source)
        .into_iter()
        .filter(|named| named.text != module && is_placed(&named.text))
        .filter(|named| !known.contains(&named.text.as_str()))
        .map(|named| {
            let allowed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            format!(
                "{}:{}: `{module}` must not know `{}` (it may know: {allowed})",
                source.path, named.line, named.text
            )
        })
        .collect()
}

/// Every mention of a framework, or of the environment, outside the module that owns it.
pub(super) fn framework_faults(source: &Source) -> Vec<String> {
    let module = source.module();
    let crates = crates_named(source).into_iter().filter_map(|named| {
        let is = |name: &str| named.text == name || named.text.starts_with(&format!("{name}_"));
        let (name, owners) = FRAMEWORKS.iter().find(|(name, _)| is(name))?;
        let place = format!("{}:{}", source.path, named.line);
        (!owners.contains(&module))
            .then(|| format!("{place}: only {} may know `{name}`", owners.join(", ")))
    });
    let environment = (0..source.words().len())
        .filter(|_| !ENVIRONMENT.contains(&module))
        .filter_map(|at| {
            ["var", "vars", "var_os", "vars_os"]
                .iter()
                .find_map(|name| source.matches(at, &["env", "::", name]))
        })
        .map(|line| format!("{}:{line}: only config and main read the environment", source.path));
    crates.chain(environment).collect()
}

/// Top-level modules of our own that the file names, by `crate::` or by `super::` up to the root.
fn modules_named(source: &Source) -> Vec<&Word> {
    let words = source.words();
    let mut found = Vec::new();
    for at in 0..words.len() {
        if source.matches(at, &["crate", "::"]).is_some() {
            heads(words, at + 2, &mut found);
        } else if words[at].text == "super" && !follows_super(source, at) {
            let steps = (at..words.len()).step_by(2);
            let supers = steps.take_while(|at| is_super(source, *at)).count();
            if supers == source.depth() {
                heads(words, at + 2 * supers, &mut found);
            }
        }
    }
    found
}

fn is_super(source: &Source, at: usize) -> bool {
    source.matches(at, &["super", "::"]).is_some()
}

fn follows_super(source: &Source, at: usize) -> bool {
    at >= 2 && is_super(source, at - 2)
}

/// The first names of a path or, of a group in braces, of each of its paths.
fn heads<'a>(words: &'a [Word], at: usize, found: &mut Vec<&'a Word>) {
    let Some(first) = words.get(at) else { return };
    if first.text != "{" {
        found.push(first);
        return;
    }
    let (mut depth, mut expects_head) = (0_usize, false);
    for word in &words[at..] {
        match word.text.as_str() {
            "{" => (depth, expects_head) = (depth + 1, depth == 0),
            "}" if depth == 1 => return,
            "}" => depth -= 1,
            "," => expects_head = depth == 1,
            _ => {
                if expects_head {
                    found.push(word);
                }
                expects_head = false;
            }
        }
    }
}

/// First names of paths that begin outside: `sqlx` of `sqlx::query`, not of `settings.sqlx` or `crate::sqlx`.
fn crates_named(source: &Source) -> Vec<&Word> {
    let words = source.words();
    let text = |at: usize| words.get(at).map_or("", |word| word.text.as_str());
    let back = |at: usize, by: usize| at.checked_sub(by).map_or("", text);
    (0..words.len())
        .filter(|at| {
            let begins = match (back(*at, 3), back(*at, 2), back(*at, 1)) {
                (_, _, ".") => false,
                // `::sqlx` at the start of a path names the crate; `crate::sqlx` and `<A>::sqlx` do not.
                ("-", ">", "::") => true,
                (_, owner, "::") => {
                    !owner.ends_with(|c: char| c.is_alphanumeric() || "_>".contains(c))
                }
                _ => true,
            };
            begins && (text(at + 1) == "::" || back(*at, 1) == "use")
        })
        .map(|at| &words[at])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::File;
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::product(File { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn the_table_itself_has_no_circle() {
        // Every module may only know modules that know fewer: repeatedly taking out those that know
        // nobody left must take out all.
        let mut left: Vec<_> = MAY_KNOW.to_vec();
        loop {
            let names: Vec<_> = left.iter().map(|(name, _)| *name).collect();
            let before = left.len();
            left.retain(|(_, known)| known.iter().any(|other| names.contains(other)));
            if left.len() == before {
                break;
            }
        }
        assert_eq!(left, []);
    }

    #[test]
    fn leaves_are_known_to_no_other_leaf() {
        for (module, known) in MAY_KNOW.iter().filter(|(module, _)| LEAVES.contains(module)) {
            assert!(known.iter().all(|other| !LEAVES.contains(other)), "{module}: {known:?}");
        }
    }

    #[test]
    fn a_path_along_the_direction_is_allowed() {
        let text = "use crate::identity::{Identity, Rejection}; fn a(b: crate::config::Access) {}";
        assert_eq!(faults(&source("src/gate/mod.rs", text)), [""; 0]);
    }

    #[test]
    fn a_path_against_the_direction_is_refused() {
        let text = "\nuse crate::gate::Passage;";
        assert_eq!(
            faults(&source("src/identity/jwt.rs", text)),
            ["src/identity/jwt.rs:2: `identity` must not know `gate` \
              (it may know: store, config, model, clock, secret, fold)"]
        );
    }

    #[test]
    fn paths_in_groups_are_seen_and_their_inner_names_are_not() {
        let allowed = "use crate::{clock::Clock, model::{User, gateway}};";
        assert_eq!(faults(&source("src/gate/mod.rs", allowed)), [""; 0]);
        let refused = "use crate::{clock::Clock, model::{User, UserId}, api::reply};";
        assert_eq!(faults(&source("src/gate/mod.rs", refused)).len(), 1);
    }

    #[test]
    fn super_up_to_the_root_counts_and_super_within_the_module_does_not() {
        let within = "use super::path::Canonical; use super::super::gate::path;";
        assert_eq!(faults(&source("src/gate/rules/mod.rs", within)), [""; 0]);
        let out = "use super::super::gateway::Proxy;";
        assert_eq!(faults(&source("src/gate/path.rs", out)).len(), 1);
        assert_eq!(faults(&source("src/gate/mod.rs", "use super::gateway::Proxy;")).len(), 1);
    }

    #[test]
    fn documentation_may_point_anywhere() {
        let text = "//! Not [`crate::gateway`].\n/// See `crate::api`.\nfn a() {}";
        assert_eq!(faults(&source("src/model.rs", text)), [""; 0]);
    }

    #[test]
    fn those_that_join_the_parts_may_know_all() {
        let text = "use crate::gateway::Front; use crate::store::Store;";
        assert_eq!(faults(&source("src/app.rs", text)), [""; 0]);
    }

    #[test]
    fn a_framework_is_allowed_at_home_and_refused_elsewhere() {
        let text = "use sqlx::query;";
        assert_eq!(framework_faults(&source("src/store/mod.rs", text)), [""; 0]);
        assert_eq!(
            framework_faults(&source("src/accounts/mod.rs", text)),
            ["src/accounts/mod.rs:1: only store may know `sqlx`"]
        );
        assert_eq!(framework_faults(&source("src/gate/mod.rs", "pingora_core::X::y();")).len(), 1);
        assert_eq!(framework_faults(&source("src/gate/mod.rs", "fn a() -> ::axum::X {}")).len(), 1);
        assert_eq!(framework_faults(&source("src/gate/mod.rs", "use redis as r;")).len(), 1);
    }

    #[test]
    fn a_setting_named_like_a_framework_is_no_mention_of_it() {
        let text = "let a = settings.redis.url; let b: crate::config::redis::X = config.redis;";
        assert_eq!(framework_faults(&source("src/accounts/mod.rs", text)), [""; 0]);
    }

    #[test]
    fn the_environment_is_read_by_config_only() {
        let text = "let a = std::env::var(\"A\");";
        assert_eq!(framework_faults(&source("src/config/sources.rs", text)), [""; 0]);
        assert_eq!(framework_faults(&source("src/mail/mod.rs", text)).len(), 1);
        assert_eq!(framework_faults(&source("src/mail/mod.rs", "std::env::args();")), [""; 0]);
    }
}
