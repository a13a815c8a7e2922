//! JWTs, signed with the right key: a header and claims that a trusted issuer could have gone
//! mad over. And the same bytes as a token without a signature that fits.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use portcullis::clock::Clock;
use portcullis::config::Settings;
use portcullis::identity::{Keys, fuzz_jwt};
use portcullis::secret::RootKey;
use portcullis::store::{DatabaseOptions, Store};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

static KEYS: LazyLock<(Keys, Clock)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("p.db").display());
        let options = DatabaseOptions { url, direct_url: String::new(), pooler: false };
        let store = Store::open(&options).await.unwrap();
        store.migrate().await.unwrap();
        let mut settings = Settings::default();
        settings.tokens.jwt.algorithm = "HS256".to_owned();
        settings.tokens.jwt.signing_key = SECRET.into();
        let clock = Clock::system();
        let keys = Keys::load(&settings, &store, &RootKey::new(SECRET), &clock).await.unwrap();
        store.close().await;
        (keys, clock)
    })
});

fuzz_target!(|raw: &[u8]| {
    let (keys, clock) = &*KEYS;
    if let Ok(text) = std::str::from_utf8(raw) {
        assert!(!fuzz_jwt(keys, text, clock.now()), "nobody signed {text}");
    }
    let cut = raw.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (header, claims) = raw.split_at(cut);
    // Mostly claims are of interest: without a header of its own a token has a good one.
    let header = if header.is_empty() { br#"{"alg":"HS256","typ":"JWT"}"# } else { header };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag));
    let _ = fuzz_jwt(keys, &token, clock.now());
});
