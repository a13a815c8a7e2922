//! Does a layer have the shape that settings have?
//!
//! One walk finds every unknown key and every value of a wrong kind, and takes them out. What
//! remains can only be wrong in its text (`read`) or in combination (`check`). It must not
//! quote values: here nobody knows which of them is a secret.

use config::{Value, ValueKind};

use super::fault::Report;
use super::shape::{Kind, Shape, range};
use super::sources::{is_variable, variable_name};
use super::tree::Table;
use super::words::{nearest, suggest};

impl Shape {
    /// Checks a layer against this shape, takes out what does not fit, and reports it.
    pub(super) fn fit(self, table: &mut Table, report: &mut Report) {
        self.fit_table(table, "", report);
    }

    fn fit_table(self, table: &mut Table, around: &str, report: &mut Report) {
        let mut names: Vec<String> = table.keys().cloned().collect();
        names.sort();
        for name in names {
            let key = if around.is_empty() { name.clone() } else { format!("{around}.{name}") };
            let Some(value) = table.get_mut(&name) else { continue };
            let fits = if let Some(shape) = self.key(&name) {
                shape.fit_value(value, &key, report)
            } else {
                let place = value.origin().unwrap_or_default();
                report.fault_at(place, &key, "unknown key", self.advice(&name, around, place));
                false
            };
            if !fits {
                table.remove(&name);
            }
        }
    }

    /// Whether the value may stay.
    fn fit_value(self, value: &mut Value, key: &str, report: &mut Report) -> bool {
        let kind = self.kind();
        let place = value.origin().unwrap_or_default().to_owned();
        let wrong = match (&kind, &mut value.kind) {
            (Kind::Table(shape), ValueKind::Table(table)) => {
                shape.fit_table(table, key, report);
                None
            }
            // In YAML, a section whose keys are all commented out.
            (Kind::Table(_), ValueKind::Nil) => return false,
            (Kind::List(_) | Kind::OneOrMany, ValueKind::Array(list)) => {
                self.items().fit_list(list, key, report);
                None
            }
            (Kind::Choice(words), ValueKind::String(word)) => {
                let known = words.contains(&word.as_str());
                let text = || format!("the value is none of {}", words.join(", "));
                (!known).then(|| (text(), suggest(word, words)))
            }
            (Kind::Text | Kind::OneOrMany, ValueKind::String(_))
            | (Kind::Flag, ValueKind::Boolean(_))
            | (Kind::Number, ValueKind::I64(_)) => None,
            (Kind::Number, ValueKind::Float(number)) => (!number.is_finite())
                .then(|| ("not a finite number".to_owned(), self.remedy(key, &place))),
            (Kind::Whole(low, high), ValueKind::I64(number)) => {
                let in_range = (*low..=*high).contains(&i128::from(*number));
                let remedy = || range(*low, *high);
                (!in_range).then(|| (format!("{number} is out of range"), remedy()))
            }
            (_, found) => {
                let text = format!("{} is expected here, not {}", kind.name(), name_of(found));
                Some((text, self.remedy(key, &place)))
            }
        };
        let fits = wrong.is_none();
        if let Some((text, remedy)) = wrong {
            report.fault_at(&place, key, text, remedy);
        }
        fits
    }

    fn fit_list(self, list: &mut Vec<Value>, key: &str, report: &mut Report) {
        let of_tables = matches!(self.kind(), Kind::Table(_));
        let mut index = 0;
        list.retain_mut(|value| {
            let inner = if of_tables { format!("{key}.{index}") } else { key.to_owned() };
            index += 1;
            let fits = self.fit_value(value, &inner, report);
            if !fits && of_tables {
                // Those after it keep their numbers.
                value.kind = ValueKind::Table(Table::new());
            }
            fits || of_tables
        });
    }

    /// What to write instead of a value of the wrong kind.
    fn remedy(self, key: &str, place: &str) -> String {
        match (self.kind(), self.sample()) {
            (Kind::List(_), _) if is_variable(place) => {
                format!("write the list as a whole: {}='[…]'", variable_name(key))
            }
            (Kind::Text, Some(example)) => format!("write it in quotes, such as \"{example}\""),
            (Kind::Text | Kind::OneOrMany, _) => "write it in quotes".to_owned(),
            (Kind::Choice(words), _) => format!("write one of \"{}\"", words.join("\", \"")),
            (Kind::Whole(low, high), _) => format!("{}, without quotes", range(low, high)),
            (Kind::Number, _) => "write a number such as 0.75, without quotes".to_owned(),
            (Kind::Flag, _) => "write true or false, without quotes".to_owned(),
            (Kind::List(inner), _) if matches!(inner.kind(), Kind::Table(_)) => {
                "write each as a table of its own, under its header in double brackets".to_owned()
            }
            (Kind::List(_), _) => "write it in brackets: [\"…\", \"…\"]".to_owned(),
            (Kind::Table(_), _) => "write its keys under a header in brackets".to_owned(),
        }
    }

    /// What an unknown key may have been meant to be.
    fn advice(self, name: &str, around: &str, place: &str) -> String {
        let keys: Vec<&str> = self.keys().map(|(key, _)| key).collect();
        let here = nearest(name, &keys).map(|near| match around {
            "" => near.to_owned(),
            around => format!("{around}.{near}"),
        });
        let elsewhere = || {
            let mut found = Vec::new();
            Self::root().find(&name.to_lowercase(), "", &mut found);
            (found.len() == 1).then(|| found.remove(0))
        };
        match here.or_else(elsewhere) {
            Some(key) if is_variable(place) => {
                format!("did you mean {}?", variable_name(&key))
            }
            Some(key) => format!("did you mean `{key}`?"),
            None => "`portcullis config example` shows every key there is".to_owned(),
        }
    }

    fn find(self, name: &str, around: &str, found: &mut Vec<String>) {
        for (key, shape) in self.keys() {
            let path = if around.is_empty() { key.to_owned() } else { format!("{around}.{key}") };
            if let Kind::Table(inner) = shape.kind() {
                inner.find(name, &path, found);
            }
            if key == name {
                found.push(path);
            }
        }
    }
}

fn name_of(kind: &ValueKind) -> &'static str {
    match kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "true or false",
        ValueKind::I64(_) => "a whole number",
        ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_) => "a number that long",
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::String(_) => "a text",
        ValueKind::Array(_) => "a list",
        ValueKind::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sources::built_in;
    use crate::config::tree::plain;

    fn fitted(text: &str) -> (serde_json::Value, Vec<String>) {
        let mut report = Report::default();
        let mut layer = built_in("here", text, &mut report);
        Shape::root().fit(&mut layer.0, &mut report);
        let faults = report.finish().err().map(|faults| faults.0).unwrap_or_default();
        let faults = faults.into_iter().map(|fault| format!("{}: {}", fault.key, fault.text));
        (plain(&Value::new(None, layer.0)), faults.collect())
    }

    #[test]
    fn what_does_not_fit_is_told_and_taken_out_and_the_rest_stays() {
        let (tree, faults) = fitted(
            "routes = [{ path = '/', groups = ['a', 1, 'b'] }, 'x', { path = 5, host = ['h', 2] }]\n\
             compatibility = 'django'\nredis = 'x'\ncache.tokens = 1\n",
        );
        assert_eq!(
            tree,
            serde_json::json!({
                "routes": [{ "path": "/", "groups": ["a", "b"] }, {}, { "host": ["h"] }],
                "cache": { "tokens": 1 }
            })
        );
        assert_eq!(
            faults,
            [
                "compatibility: the value is none of portcullis, djoser",
                "redis: a table is expected here, not a text",
                "routes[0].groups: a text is expected here, not a whole number",
                "routes[1]: a table is expected here, not a text",
                "routes[2].host: a text is expected here, not a whole number",
                "routes[2].path: a text is expected here, not a whole number",
            ]
        );
    }

    #[test]
    fn a_number_is_taken_as_it_is_or_not_at_all() {
        for (text, fits) in [
            ("server.threads = 2", true),
            ("server.threads = -1", false),
            ("server.threads = 2.9", false),
            ("server.threads = true", false),
            ("server.threads = '2'", false),
            ("server.threads = 99999999999999999999", false),
            ("accounts.password_similarity = 1", true),
            ("accounts.password_similarity = nan", false),
            ("tokens.opaque.max_per_user = 4294967295", true),
            ("tokens.opaque.max_per_user = 4294967296", false),
            ("database.migrate = 'yes'", false),
            ("database.migrate = 1", false),
        ] {
            assert_eq!(fitted(text).1.is_empty(), fits, "{text}");
        }
    }
}
