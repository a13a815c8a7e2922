//! What `Authorization: Basic` claims (RFC 7617): a name, a colon, and a password or a token.
//!
//! It must not know whether any of it is good.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::identity::rejection::{BasicFault, Rejection};

/// Room for a JWT of 8 KiB and a name, encoded.
const LONGEST: usize = 12 * 1024;

/// Names are shorter by far, usernames and addresses alike.
const LONGEST_NAME: usize = 1024;

/// What stood after `Basic`, still encoded. Nothing about it has been checked.
#[derive(Clone, Copy)]
pub struct BasicCredential<'a>(&'a str);

/// A credential in its parts.
pub(super) struct Spoken {
    text: SecretString,
    colon: usize,
}

// Written by hand: a password must not reach a log by way of `{:?}`.
impl std::fmt::Debug for BasicCredential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Basic(…)")
    }
}

/// Reads `Authorization`, for routes that take Basic. `Ok(None)`: nothing, or another scheme.
///
/// # Errors
/// [`Rejection::Basic`] or [`Rejection::Repeated`].
pub fn claimed_basic(headers: &HeaderMap) -> Result<Option<BasicCredential<'_>>, Rejection> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let mut words = value.as_bytes().split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty());
    if !words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"basic")) {
        return Ok(None);
    }
    if values.next().is_some() {
        return Err(Rejection::Repeated);
    }
    let text = words.next().ok_or(Rejection::Basic(BasicFault::Empty))?;
    if words.next().is_some() {
        return Err(Rejection::Basic(BasicFault::Spaces));
    }
    let text = std::str::from_utf8(text).map_err(|_| Rejection::Basic(BasicFault::Encoding))?;
    Ok(Some(BasicCredential(text)))
}

impl<'a> BasicCredential<'a> {
    pub(super) fn text(self) -> &'a str {
        self.0
    }

    pub(super) fn is_too_long(self) -> bool {
        self.0.len() > LONGEST
    }
}

impl Spoken {
    /// Takes it apart at the first colon: names have none.
    pub(super) fn parse(credential: BasicCredential<'_>) -> Result<Self, BasicFault> {
        let bytes = STANDARD.decode(credential.0).map_err(|_| BasicFault::Encoding)?;
        // Wiped when it is dropped, also where it is not good.
        let bytes = SecretSlice::from(bytes);
        let text = std::str::from_utf8(bytes.expose_secret()).map_err(|_| BasicFault::Encoding)?;
        // RFC 7617 section 2: neither part has controls.
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(BasicFault::Encoding);
        }
        let colon = text.find(':').ok_or(BasicFault::Encoding)?;
        if colon > LONGEST_NAME {
            return Err(BasicFault::Refused);
        }
        Ok(Self { text: SecretString::from(text), colon })
    }

    pub(super) fn name(&self) -> &str {
        &self.text.expose_secret()[..self.colon]
    }

    pub(super) fn password(&self) -> &str {
        &self.text.expose_secret()[self.colon + 1..]
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The outcome in words, so that whole outcomes can be compared.
    fn read(values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        match claimed_basic(&headers) {
            Ok(None) => "none".to_owned(),
            Ok(Some(credential)) => credential.text().to_owned(),
            Err(rejection) => format!("{rejection:?}"),
        }
    }

    fn spoken(text: &[u8]) -> Result<(String, String), BasicFault> {
        let encoded = STANDARD.encode(text);
        let spoken = Spoken::parse(BasicCredential(&encoded))?;
        Ok((spoken.name().to_owned(), spoken.password().to_owned()))
    }

    #[test]
    fn one_word_follows_the_scheme_in_any_case() {
        for value in ["Basic YTpi", "basic YTpi", "BASIC   YTpi", " Basic\tYTpi "] {
            assert_eq!(read(&[value.as_bytes()]), "YTpi", "{value}");
        }
    }

    #[test]
    fn other_schemes_and_nothing_are_no_basic_credential() {
        for value in ["", "Bearer a", "Token a", "YTpi", "BasicYTpi", "Digest x"] {
            assert_eq!(read(&[value.as_bytes()]), "none", "{value}");
        }
        assert_eq!(read(&[]), "none");
    }

    #[test]
    fn malformed_headers_are_told_apart() {
        assert_eq!(read(&[b"Basic"]), "Basic(Empty)");
        assert_eq!(read(&[b"Basic YTpi YTpi"]), "Basic(Spaces)");
        assert_eq!(read(&[b"Basic \xff"]), "Basic(Encoding)");
        assert_eq!(read(&[b"Basic YTpi", b"Bearer a"]), "Repeated");
    }

    #[test]
    fn the_first_colon_parts_name_and_password() {
        let parts = |name: &str, password: &str| Ok((name.to_owned(), password.to_owned()));
        assert_eq!(spoken(b"ada:pass:word"), parts("ada", "pass:word"));
        assert_eq!(spoken(b":token"), parts("", "token"));
        assert_eq!(spoken(b"ada:"), parts("ada", ""));
        assert_eq!(spoken("zoë:pässword ".as_bytes()), parts("zoë", "pässword "));
    }

    #[test]
    fn what_is_no_name_and_password_is_refused() {
        for text in [&b"ada"[..], b"", b"a\0:b", b"a:b\0", b"a:b\n", b"a:\x7f", b"z\xeb:b"] {
            assert_eq!(spoken(text), Err(BasicFault::Encoding), "{text:?}");
        }
        for encoded in ["YTpi=", "YTp", "YTpi!", "YT-i", "=", "YTpj\u{fc}"] {
            let parsed = Spoken::parse(BasicCredential(encoded)).map(|_| ());
            assert_eq!(parsed, Err(BasicFault::Encoding), "{encoded}");
        }
        let long = format!("{}:b", "a".repeat(LONGEST_NAME + 1));
        assert_eq!(spoken(long.as_bytes()), Err(BasicFault::Refused));
        assert!(spoken(&long.as_bytes()[1..]).is_ok());
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(format!("{:?}", BasicCredential("YTpi")), "Basic(…)");
    }
}
