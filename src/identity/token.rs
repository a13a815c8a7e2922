//! Takes a JWT apart (RFC 7519, RFC 7515) and refuses what no token of ours can be.
//!
//! Nothing here is believed: it all comes before the signature. It must not know keys, times
//! or what claims mean.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::claims::Claims;

/// Longer tokens are refused unread; a head of ours has no room for much more.
pub(super) const LONGEST: usize = 8 * 1024;

/// Header parameters that would let a token choose its own key or meaning (RFC 7515 section 4.1,
/// RFC 7516, RFC 7797). Signed or not, nothing of ours has them.
const FORBIDDEN: [&str; 8] = ["crit", "jku", "jwk", "x5u", "x5c", "zip", "enc", "b64"];

/// A JWT in its parts, none of them believed, and its claims not read yet.
pub(super) struct Unread<'a> {
    /// What is signed: everything before the last dot.
    pub(super) message: &'a str,
    /// Still encoded.
    pub(super) signature: &'a str,
    /// What the header says; the key decides.
    pub(super) algorithm: Algorithm,
    /// Which key is said to have signed.
    pub(super) kid: Option<String>,
    payload: &'a str,
}

/// A JWT in its parts, none of them believed.
pub(super) struct Token<'a> {
    /// The parts.
    pub(super) parts: Unread<'a>,
    /// The claims.
    pub(super) claims: Claims,
}

impl<'a> Unread<'a> {
    /// Takes it apart. `None`: it is no token that we could ever accept.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let (message, signature) = token.rsplit_once('.')?;
        let (header, payload) = message.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let header = Claims::parse(&decode(header)?)?;
        if header.names().any(|name| FORBIDDEN.contains(&name)) {
            return None;
        }
        let algorithm = header.get("alg")?.as_str()?.parse().ok()?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return None,
        };
        Some(Self { message, signature, algorithm, kid, payload })
    }

    /// Reads the claims, too.
    pub(super) fn read(self) -> Option<Token<'a>> {
        Some(Token { claims: Claims::parse(&decode(self.payload)?)?, parts: self })
    }
}

impl<'a> Token<'a> {
    /// Takes it apart. `None`: it is no token that we could ever accept.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        Unread::parse(token)?.read()
    }
}

pub(super) fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn parses(header: &str, payload: &str) -> bool {
        Token::parse(&token(header, payload)).is_some()
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg":"ES256","kid":"k","typ":"at+jwt","x":1}"#, r#"{"iss":"me"}"#);
        let Token { parts, claims } = Token::parse(&text).unwrap();
        assert_eq!((parts.algorithm, parts.kid.as_deref()), (Algorithm::ES256, Some("k")));
        assert_eq!(claims.get("iss").unwrap(), "me");
        assert_eq!(format!("{}.{}", parts.message, parts.signature), text);
    }

    #[test]
    fn headers_that_choose_their_own_key_are_refused() {
        assert!(parses(r#"{"alg":"HS256"}"#, "{}"));
        for name in FORBIDDEN {
            assert!(!parses(&format!(r#"{{"alg":"HS256","{name}":null}}"#), "{}"), "{name}");
        }
    }

    #[test]
    fn unknown_algorithms_and_none_are_refused() {
        for algorithm in ["none", "None", "ES512", "ES256K", "hs256", ""] {
            assert!(!parses(&format!(r#"{{"alg":"{algorithm}"}}"#), "{}"), "{algorithm}");
        }
        assert!(!parses("{}", "{}"));
        assert!(!parses(r#"{"alg":5}"#, "{}"));
        assert!(!parses(r#"{"alg":"HS256","kid":5}"#, "{}"));
        assert!(!parses(r#"{"alg":"HS256","alg":"HS256"}"#, "{}"));
    }

    #[test]
    fn what_is_no_token_is_refused_and_never_panics() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        assert!(!parses(r#"{"alg":"HS256"}"#, &format!(r#"{{"a":{deep}}}"#)));
        assert!(!parses(r#"{"alg":"HS256"}"#, "[]"));
        assert!(!parses(r#"{"alg":"HS256"}"#, r#"{"a":1,"a":2}"#));
        assert!(!parses(r#"{"alg":"HS256"}"#, "{} "));
        for text in ["", ".", "..", "...", "a.b.c", "a.b.c.d", "e30.e30.", "ü.ü.ü", "e30=.e30.e30"]
        {
            assert!(Token::parse(text).is_none(), "{text}");
        }
        let padded = token(r#"{"alg":"HS256"}"#, "{}");
        assert!(Token::parse(&padded).is_some());
        assert!(Token::parse(&padded.replacen('.', "=.", 1)).is_none());
        assert!(Token::parse(&format!("{padded}.x")).is_none());
    }

    #[test]
    fn a_token_over_8_kib_is_refused() {
        let fill =
            |count| token(r#"{"alg":"HS256"}"#, &format!(r#"{{"a":"{}"}}"#, "x".repeat(count)));
        assert!(Token::parse(&fill(6000)).is_some());
        assert!(Token::parse(&fill(6200)).is_none());
    }
}
