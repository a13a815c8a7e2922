//! What a request claims: reads `Authorization`, and nothing else.
//!
//! API.md, "Credentials": `Bearer` or `Token` in any case, runs of spaces allowed. It must not
//! know whether a token is any good, only what kind it claims to be.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::rejection::{JwtFault, Rejection};

/// What a request claims. Nothing about it has been checked.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// 40 hex digits or whatever came in their place.
    Opaque(&'a str),
    /// Three parts; after `Bearer`, or what `tokens.jwt.auth_header_types` has.
    Jwt(&'a str),
}

// Written by hand: a token must not reach a log by way of `{:?}`.
impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opaque(_) => "Opaque(…)",
            Self::Jwt(_) => "Jwt(…)",
        })
    }
}

/// The words after which a JWT may stand (simplejwt's `AUTH_HEADER_TYPES`). An opaque token
/// follows `Bearer` or `Token`, whatever they are.
#[derive(Debug, Clone)]
pub struct JwtWords(Vec<Box<str>>);

impl JwtWords {
    /// In any case of letters.
    #[must_use]
    pub fn new(words: &[String]) -> Self {
        Self(words.iter().map(|word| word.as_str().into()).collect())
    }

    fn have(&self, word: &[u8]) -> bool {
        self.0.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(word))
    }
}

impl Default for JwtWords {
    /// `Bearer`.
    fn default() -> Self {
        Self(vec!["Bearer".into()])
    }
}

/// Reads `Authorization`. `Ok(None)`: no credential (missing, empty, another scheme, a bare token).
///
/// # Errors
/// [`Rejection::Empty`], [`Rejection::Spaces`], [`Rejection::Repeated`]; a token that is no text
/// is answered as an unknown one.
pub fn claimed<'a>(
    headers: &'a HeaderMap,
    jwt_words: &JwtWords,
) -> Result<Option<Credential<'a>>, Rejection> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        // Which of them would the upstream believe? Nobody knows.
        return Err(Rejection::Repeated);
    }
    let mut words = Words(value.as_bytes());
    let Some(word) = words.next() else { return Ok(None) };
    let may_be_jwt = jwt_words.have(word);
    let may_be_opaque = word.eq_ignore_ascii_case(b"bearer") || word.eq_ignore_ascii_case(b"token");
    if !may_be_jwt && !may_be_opaque {
        return Ok(None);
    }
    let token = words.next().ok_or(Rejection::Empty)?;
    if words.next().is_some() {
        return Err(Rejection::Spaces);
    }
    let dotted = memchr::memchr_iter(b'.', token).count() == 2;
    let jwt = may_be_jwt && (dotted || !may_be_opaque);
    match std::str::from_utf8(token) {
        Ok(token) if jwt => Ok(Some(Credential::Jwt(token))),
        Ok(token) => Ok(Some(Credential::Opaque(token))),
        Err(_) if jwt => Err(Rejection::Jwt(JwtFault::Invalid)),
        Err(_) => Err(Rejection::UnknownToken),
    }
}

/// What stands between spaces and tabs. A token is long: its end is searched, not walked to.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
        let rest = &self.0[start..];
        let end = memchr::memchr2(b' ', b'\t', rest).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The outcome in words, so that whole outcomes can be compared.
    fn read(values: &[&[u8]]) -> String {
        read_after(&JwtWords::default(), values)
    }

    fn read_after(words: &JwtWords, values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        match claimed(&headers, words) {
            Ok(None) => "none".to_owned(),
            Ok(Some(Credential::Opaque(token))) => format!("opaque {token}"),
            Ok(Some(Credential::Jwt(token))) => format!("jwt {token}"),
            Err(rejection) => format!("{rejection:?}"),
        }
    }

    #[test]
    fn opaque_tokens_follow_either_scheme_in_any_case() {
        for value in ["Bearer abc", "bearer abc", "TOKEN abc", "Token    abc", "  Token abc  "] {
            assert_eq!(read(&[value.as_bytes()]), "opaque abc", "{value}");
        }
    }

    #[test]
    fn a_jwt_follows_the_words_of_the_settings_and_no_others() {
        let words = JwtWords::new(&["JWT".to_owned()]);
        let read = |value: &str| read_after(&words, &[value.as_bytes()]);
        assert_eq!(read("JWT a.b.c"), "jwt a.b.c");
        assert_eq!(read("jwt a.b.c"), "jwt a.b.c");
        assert_eq!(read("JWT abc"), "jwt abc", "and no opaque token");
        assert_eq!(read("Bearer a.b.c"), "opaque a.b.c");
        assert_eq!(read("Token abc"), "opaque abc");
        assert_eq!(read("Basic abc"), "none");
        let both = JwtWords::new(&["JWT".to_owned(), "Bearer".to_owned()]);
        for value in ["JWT a.b.c", "Bearer a.b.c"] {
            assert_eq!(read_after(&both, &[value.as_bytes()]), "jwt a.b.c");
        }
        assert_eq!(read_after(&both, &[b"Bearer abc"]), "opaque abc");
    }

    #[test]
    fn exactly_two_dots_after_bearer_make_a_jwt() {
        assert_eq!(read(&[b"Bearer a.b.c"]), "jwt a.b.c");
        assert_eq!(read(&[b"bEARER   a.b.c"]), "jwt a.b.c");
        assert_eq!(read(&[b"Bearer a.b"]), "opaque a.b");
        assert_eq!(read(&[b"Bearer a.b.c.d"]), "opaque a.b.c.d");
        assert_eq!(read(&[b"Token a.b.c"]), "opaque a.b.c");
    }

    #[test]
    fn nothing_that_counts_is_no_credential() {
        for value in ["", "   ", "Basic YTpi", "abc", "a.b.c", "Digest x y z", "Bearerabc"] {
            assert_eq!(read(&[value.as_bytes()]), "none", "{value:?}");
        }
        assert_eq!(read(&[]), "none");
    }

    #[test]
    fn malformed_headers_are_told_apart() {
        assert_eq!(read(&[b"Bearer"]), "Empty");
        assert_eq!(read(&[b"Token  "]), "Empty");
        assert_eq!(read(&[b"Bearer a b"]), "Spaces");
        assert_eq!(read(&[b"Bearer a, Bearer b"]), "Spaces");
        assert_eq!(read(&[b"Bearer a", b"Bearer a"]), "Repeated");
        assert_eq!(read(&[b"", b"Bearer a"]), "Repeated");
    }

    #[test]
    fn tokens_that_are_no_text_are_refused() {
        assert_eq!(read(&[b"Bearer \xff\xfe"]), "UnknownToken");
        assert_eq!(read(&[b"Bearer \xff.\xfe.x"]), "Jwt(Invalid)");
        assert_eq!(read(&["Bearer ü".as_bytes()]), "opaque ü");
        assert_eq!(read(&[b"\xff\xfe x"]), "none");
    }

    #[test]
    fn tokens_are_not_shown() {
        assert_eq!(format!("{:?}", Credential::Opaque("secret")), "Opaque(…)");
        assert_eq!(format!("{:?}", Credential::Jwt("secret")), "Jwt(…)");
    }
}
