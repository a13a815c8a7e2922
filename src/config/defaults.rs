//! Values that lie under everything written out: what `compatibility` and
//! `identity_headers.preset` stand for.
//!
//! Both are read off the layers first, the last one that sets them wins, and become layers of
//! their own at the bottom. So nobody else ever looks at either.

use config::{Value, ValueKind};
use serde::Deserialize;
use serde::de::IntoDeserializer;

use super::fault::Report;
use super::sections::{Compatibility, Preset};
use super::sources::built_in;
use super::tree::{Layer, Table, table_at};

const DJOSER: &str = include_str!("../../config/djoser.toml");

/// The layers that belong below `layers`.
pub(super) fn beneath(layers: &mut [Layer], report: &mut Report) -> Vec<Layer> {
    let mut below = Vec::new();
    if chosen(layers, "", "compatibility") == Some(Compatibility::Djoser) {
        below.push(built_in("compatibility = \"djoser\"", DJOSER, report));
    }
    if let Some(preset) = chosen::<Preset>(layers, "identity_headers", "preset") {
        below.push(names(preset));
    }
    below
}

fn chosen<T: for<'de> Deserialize<'de>>(
    layers: &mut [Layer],
    section: &str,
    key: &str,
) -> Option<T> {
    layers.iter_mut().rev().find_map(|layer| {
        let value = table_at(&mut layer.0, section)?.get(key)?;
        let ValueKind::String(word) = &value.kind else { return None };
        let word: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            word.as_str().into_deserializer();
        T::deserialize(word).ok()
    })
}

fn names(preset: Preset) -> Layer {
    let place = "the preset of identity_headers".to_owned();
    let keys = ["user", "user_id", "email", "groups"].into_iter().zip(preset.names());
    let names: Table =
        keys.map(|(key, name)| (key.to_owned(), Value::new(Some(&place), name))).collect();
    let section = Value::new(Some(&place), names);
    Layer(Table::from([("identity_headers".to_owned(), section)]))
}
