//! `Authorization`: no value is our fault, and what is read of it stood in it.
#![no_main]

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use portcullis::identity::{Credential, JwtWords, claimed, claimed_basic};

fuzz_target!(|raw: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in raw.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(line) else { return };
        headers.append(AUTHORIZATION, value);
    }
    let read = claimed(&headers, &JwtWords::new(&["Bearer".to_owned(), "JWT".to_owned()]));
    let _ = claimed_basic(&headers);
    if let Ok(Some(Credential::Opaque(token) | Credential::Jwt(token))) = read {
        assert_eq!(headers.len(), 1, "of several lines none may be believed");
        assert!(!token.is_empty() && !token.contains([' ', '\t']));
        let value = headers[AUTHORIZATION].as_bytes();
        assert!(value.windows(token.len()).any(|part| part == token.as_bytes()));
    }
});
