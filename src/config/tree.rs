//! Settings before they are typed: a tree of values that know where they were written.
//!
//! A dotted key such as `routes.2.path` leads to a value. It must not know which keys exist.

use std::collections::BTreeMap;

use config::{ConfigError, Map, Source, Value, ValueKind};

/// A table of values.
pub(super) type Table = Map<String, Value>;

/// The values of one file, of the environment, or of a set of defaults.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(pub(super) Table);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Table, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Where values were written, by dotted key.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<String, String>);

impl Places {
    /// Of everything in `tree`.
    pub(super) fn within(tree: &Value) -> Self {
        let mut places = BTreeMap::new();
        note(tree, String::new(), &mut places);
        Self(places)
    }

    /// Where `key` itself was written.
    pub(super) fn written(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Where `key` was written, or else the nearest thing around it; empty: nowhere.
    pub(super) fn of(&self, mut key: &str) -> &str {
        loop {
            match (self.0.get(key), key.rsplit_once('.')) {
                (Some(place), _) => return place,
                (None, Some((around, _))) => key = around,
                (None, None) => return "",
            }
        }
    }
}

fn note(value: &Value, key: String, places: &mut BTreeMap<String, String>) {
    let inner = |step: &str| if key.is_empty() { step.to_owned() } else { format!("{key}.{step}") };
    match &value.kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                note(value, inner(name), places);
            }
        }
        ValueKind::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                note(value, inner(&index.to_string()), places);
            }
        }
        _ => {}
    }
    if let Some(place) = place(value) {
        places.insert(key, place);
    }
}

/// Where a value was written. Merging forgets that of whole tables: the first of what is in it.
pub(super) fn place(value: &Value) -> Option<String> {
    value.origin().map(str::to_owned).or_else(|| match &value.kind {
        ValueKind::Table(table) => table.values().filter_map(place).min(),
        _ => None,
    })
}

/// The table at `key`, if there is one.
pub(super) fn table_at<'a>(root: &'a mut Table, key: &str) -> Option<&'a mut Table> {
    key.split('.').filter(|step| !step.is_empty()).try_fold(root, |table, step| {
        match &mut table.get_mut(step)?.kind {
            ValueKind::Table(table) => Some(table),
            _ => None,
        }
    })
}

/// Takes a value out, so that the rest can be read. An element that is a table leaves an empty
/// one behind: the elements after it keep their numbers. Returns where it was written.
pub(super) fn take_out(root: &mut Value, steps: &[String]) -> Option<String> {
    let (name, around) = steps.split_last()?;
    let home = around.iter().try_fold(root, |value, step| match &mut value.kind {
        ValueKind::Table(table) => table.get_mut(step),
        ValueKind::Array(list) => list.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    })?;
    let taken = match &mut home.kind {
        ValueKind::Table(table) => table.remove(name)?,
        ValueKind::Array(list) => {
            let index = name.parse::<usize>().ok().filter(|index| *index < list.len())?;
            if matches!(list[index].kind, ValueKind::Table(_)) {
                let origin = list[index].origin().map(str::to_owned);
                let empty = Value::new(origin.as_ref(), Table::new());
                std::mem::replace(&mut list[index], empty)
            } else {
                list.remove(index)
            }
        }
        _ => return None,
    };
    Some(place(&taken).unwrap_or_default())
}

/// The tree without its places.
pub(super) fn plain(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Nil => serde_json::Value::Null,
        ValueKind::Boolean(flag) => (*flag).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::U64(number) => (*number).into(),
        ValueKind::I128(number) => number.to_string().into(),
        ValueKind::U128(number) => number.to_string().into(),
        ValueKind::Float(number) => (*number).into(),
        ValueKind::String(text) => text.as_str().into(),
        ValueKind::Array(list) => list.iter().map(plain).collect(),
        ValueKind::Table(table) => {
            table.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: &str, kind: impl Into<ValueKind>) -> Value {
        Value::new(Some(&place.to_owned()), kind)
    }

    fn sample() -> Value {
        let first = Table::from([("path".to_owned(), at("f:2:1", "/"))]);
        let second = Table::from([("path".to_owned(), at("f:4:1", "/b"))]);
        let routes = vec![at("f:1:1", first), at("f:3:1", second)];
        Value::new(None, Table::from([("routes".to_owned(), at("f:1:1", routes))]))
    }

    #[test]
    fn a_key_that_is_not_written_is_placed_at_what_is_around_it() {
        let places = Places::within(&sample());
        assert_eq!(places.of("routes.1.path"), "f:4:1");
        assert_eq!(places.of("routes.1.upstream"), "f:3:1");
        assert_eq!(places.of("server.listen"), "");
    }

    #[test]
    fn taking_out_a_table_keeps_the_numbers_of_those_after_it() {
        let mut tree = sample();
        let steps = ["routes", "0"].map(str::to_owned);
        assert_eq!(take_out(&mut tree, &steps).as_deref(), Some("f:1:1"));
        assert_eq!(plain(&tree), serde_json::json!({ "routes": [{}, { "path": "/b" }] }));

        let steps = ["routes", "1", "path"].map(str::to_owned);
        assert_eq!(take_out(&mut tree, &steps).as_deref(), Some("f:4:1"));
        assert_eq!(take_out(&mut tree, &steps), None);
        assert_eq!(plain(&tree), serde_json::json!({ "routes": [{}, {}] }));
    }
}
