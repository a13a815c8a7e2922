//! The kinds of values that settings are written in: periods, rates, secrets.
//!
//! Each reads one text form and says what is wrong with any other, as "what is wrong; what
//! to write". It must not know which setting a value belongs to.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;

/// A length of time: `50ms`, `5m`, `1h30m`, `3d`. At most a hundred years, so that adding
/// one to a clock cannot overflow.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, extend("examples" = ["50ms", "30s", "5m", "1h30m", "7d"]))]
pub struct Period(pub Duration);

/// A length of time, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, extend("examples" = ["never", "30d"]))]
pub enum Lifetime {
    /// Without end.
    Never,
    /// Ends after this time.
    For(Duration),
}

/// So many in a time: `10/m`, `5/h`, `3/s`, `100/d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, extend("examples" = ["3/s", "10/m", "5/h", "100/d"]))]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In which time.
    pub per: Duration,
}

/// A secret text. Neither `Debug` nor a fault about it nor a printed setting shows what it is.
#[derive(Debug, Clone, Default)]
pub struct SecretText(pub SecretString);

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const LONGEST: Duration = Duration::from_secs(36_500 * DAY);

impl Period {
    /// From milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// From seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// From minutes.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes.saturating_mul(MINUTE)))
    }

    /// From days.
    #[must_use]
    pub const fn days(days: u64) -> Self {
        Self(Duration::from_secs(days.saturating_mul(DAY)))
    }
}

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        duration(text).map(Self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.as_secs(), self.subsec_nanos());
        match () {
            () if nanos == 0 && seconds == 0 => f.write_str("0s"),
            () if nanos == 0 && seconds % DAY == 0 => write!(f, "{}d", seconds / DAY),
            () if nanos == 0 && seconds % HOUR == 0 => write!(f, "{}h", seconds / HOUR),
            () if nanos == 0 && seconds % MINUTE == 0 => write!(f, "{}m", seconds / MINUTE),
            () => humantime::format_duration(self.0).fmt(f),
        }
    }
}

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "never" => Ok(Self::Never),
            _ => duration(text).map(Self::For).map_err(|error| format!("{error}, or never")),
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::For(span) => Period(*span).fmt(f),
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    // `M` means months to humantime; who writes `5M` means minutes.
    let read = if text.contains('M') { None } else { humantime::parse_duration(text).ok() };
    match read {
        Some(span) if span <= LONGEST => Ok(span),
        Some(_) => Err(format!("`{text}` is too long; write at most 36500d")),
        None => Err(format!(
            "`{text}` is not a length of time; write a number with a unit, such as 50ms, 30s, 5m, 2h or 7d"
        )),
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read_rate(text).ok_or_else(|| {
            format!("`{text}` is not a rate; write a number above 0 and a unit of time, such as 3/s, 10/m, 5/h or 100/d")
        })
    }
}

fn read_rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|count| *count > 0)?;
    let per = match unit.trim() {
        "s" | "sec" | "second" => SECOND,
        "m" | "min" | "minute" => MINUTE,
        "h" | "hour" => HOUR,
        "d" | "day" => DAY,
        _ => return None,
    };
    Some(Rate { count, per: Duration::from_secs(per) })
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            SECOND => 's',
            MINUTE => 'm',
            HOUR => 'h',
            _ => 'd',
        };
        write!(f, "{}/{unit}", self.count)
    }
}

macro_rules! written_as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}

written_as_text!(Period, Lifetime, Rate);

impl SecretText {
    /// The text itself. Each call is a place where it could leak: keep it short.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(SecretString::from(text))
    }
}

impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl Eq for SecretText {}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { "[secret]" })
    }
}

/// The mark of a secret in the schema, from which its twin `…_file` follows.
pub(super) const SECRET_MARK: &str = "writeOnly";

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password", (SECRET_MARK): true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_needs_a_unit_and_an_end() {
        assert_eq!("1h30m".parse(), Ok(Period::minutes(90)));
        assert_eq!("0".parse(), Ok(Period::seconds(0)));
        for wrong in ["5", "", "5M", "-5m", "five", "5 parsecs"] {
            let error = wrong.parse::<Period>().unwrap_err();
            assert!(error.starts_with(&format!("`{wrong}` is not a length of time; write")));
        }
        assert_eq!(
            "200y".parse::<Period>(),
            Err("`200y` is too long; write at most 36500d".to_owned())
        );
    }

    #[test]
    fn periods_lifetimes_and_rates_are_written_as_they_are_read() {
        for text in ["50ms", "1s", "90s", "5m", "2h", "3d", "0s"] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.to_string().parse(), Ok(period), "{text}");
        }
        assert_eq!(Period::days(3).to_string(), "3d");
        assert_eq!("never".parse(), Ok(Lifetime::Never));
        assert_eq!(Lifetime::For(Duration::from_secs(2 * HOUR)).to_string(), "2h");
        for text in ["3/s", "10/m", "5/h", "100/d"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_rate_of_nothing_or_without_a_unit_is_refused() {
        assert_eq!("10/min".parse(), Ok(Rate { count: 10, per: *Period::minutes(1) }));
        for wrong in ["0/m", "10", "10/", "/m", "-1/m", "10/fortnight", "99999999999/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_neither_debugged_nor_serialized() {
        let secret = SecretText::from("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[secret]\"");
        assert_eq!(serde_json::to_string(&SecretText::default()).unwrap(), "\"\"");
        assert_eq!(secret, SecretText::from("hunter2"));
        assert_ne!(secret, SecretText::from("hunter3"));
    }
}
