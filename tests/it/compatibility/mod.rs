//! What `compatibility = "djoser"` changes, key by key and as a whole.
//!
//! Every key of `config/djoser.toml` has the product's default and djoser's value shown side by
//! side, through HTTP. [`djosers`] is the product with one key as that file has it, so that the
//! value tested is the value shipped; `every_key` holds that none is left out.

use portcullis::config;
use toml::{Table, Value};

use crate::subject::Subject;

mod every_key;
mod modes;

mod addresses;
mod jwt;
mod opaque;
mod passwords;
mod usernames;

const DJOSER: &str = include_str!("../../../config/djoser.toml");

/// HS256 needs a secret; with other algorithms it is not used.
const SIGNING_KEY: &str = "a-secret-that-is-long-enough-for-hs256";

/// The product with this one key (`tokens.opaque.scope`) as djoser has it.
pub(crate) async fn djosers(key: &str) -> Subject {
    let all: Table = DJOSER.parse().unwrap();
    let (sections, name) = key.rsplit_once('.').unwrap();
    let section = sections.split('.').fold(&all, |table, section| {
        table.get(section).and_then(Value::as_table).unwrap_or_else(|| panic!("no {section}"))
    });
    let value = &section[name];
    configured(&format!("[{sections}]\n{name} = {value}\n")).await
}

/// A gateway with these settings, on the ground that all subjects stand on.
pub(crate) async fn configured(text: &str) -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    // What a configuration must have; the subject puts its own in place of it.
    let ground = "[[upstreams]]\nname = \"app\"\nservers = [\"127.0.0.1:1\"]\n\
                  [[routes]]\npath = \"/\"\nupstream = \"app\"\n";
    let files = [file("ground.toml", ground), file("text.toml", text)];
    let secret = [("PORTCULLIS__TOKENS__JWT__SIGNING_KEY".to_owned(), SIGNING_KEY.to_owned())];
    let loaded = config::load(&files, secret.into()).unwrap_or_else(|e| panic!("{e}"));
    Subject::with(|settings| {
        let ground = std::mem::replace(settings, loaded.settings);
        settings.server = ground.server;
        settings.database = ground.database;
        settings.upstreams = ground.upstreams;
        settings.routes = ground.routes;
        settings.accounts.argon2 = ground.accounts.argon2;
    })
    .await
}
