//! How a header that is written to every message stands in the settings: `Name: value`.
//!
//! It must not know which headers may be written.

use std::str::FromStr;

use http::{HeaderName, HeaderValue};

/// A header and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderLine {
    /// The name.
    pub name: HeaderName,
    /// The value, without blanks around it.
    pub value: HeaderValue,
}

/// What is wrong with the text of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderLineError {
    /// No colon.
    #[error("there is no colon between a name and a value")]
    Colon,
    /// What no header is called.
    #[error("before the colon there is no name of a header")]
    Name,
    /// Controls, or something outside ASCII.
    #[error("the value has a control or something outside ASCII")]
    Value,
}

impl FromStr for HeaderLine {
    type Err = HeaderLineError;

    fn from_str(text: &str) -> Result<Self, HeaderLineError> {
        let (name, value) = text.split_once(':').ok_or(HeaderLineError::Colon)?;
        let name = name.parse().map_err(|_| HeaderLineError::Name)?;
        let value = value.trim();
        let value = if value.is_ascii() { value.parse().ok() } else { None };
        Ok(Self { name, value: value.ok_or(HeaderLineError::Value)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_value() {
        let line: HeaderLine = "X-Env:  a: b ".parse().unwrap();
        assert_eq!((line.name.as_str(), line.value.as_bytes()), ("x-env", &b"a: b"[..]));
        assert_eq!("X-Env:".parse::<HeaderLine>().unwrap().value, "");
        for (text, error) in [
            ("X-Env", HeaderLineError::Colon),
            ("X Env: a", HeaderLineError::Name),
            (": a", HeaderLineError::Name),
            ("X-Env: ä", HeaderLineError::Value),
            ("X-Env: a\r\nX-Other: b", HeaderLineError::Value),
        ] {
            assert_eq!(text.parse::<HeaderLine>(), Err(error), "{text}");
        }
    }
}
