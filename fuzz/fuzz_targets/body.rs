//! Bodies of the API: the first line is the media type, the rest the body. No bytes are our
//! fault.
#![no_main]

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use portcullis::api::fuzz_body;

fuzz_target!(|raw: &[u8]| {
    let cut = raw.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let Ok(media_type) = HeaderValue::from_bytes(&raw[..cut]) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, media_type);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let status = runtime.block_on(fuzz_body(&headers, Bytes::copy_from_slice(&raw[cut..])));
    assert!(status < 500, "{status}");
});
