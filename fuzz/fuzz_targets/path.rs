//! The canonical path: whatever is taken has one reading, and is its own canonical form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::gate::CanonicalPath;

/// Decodes every escape once.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fuzz_target!(|raw: &[u8]| {
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let text = path.as_str();
    assert!(text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    for part in ["//", "\\", ";", "?", "#"] {
        assert!(!text.contains(part), "{text}");
    }
    let lower = text.to_ascii_lowercase();
    for escape in ["%2f", "%5c", "%2e", "%00", "%0a", "%0d", "%3b"] {
        assert!(!lower.contains(escape), "{text}");
    }
    // A percent sign may stand there (`/100%25`), but nothing may come out from under it, however
    // often a back end decodes.
    for segment in text.split('/') {
        let (mut before, mut after) = (Vec::new(), segment.as_bytes().to_vec());
        while before != after {
            (before, after) = (after.clone(), decoded(&after));
            let is_dangerous =
                |byte: &u8| matches!(byte, b'/' | b'\\' | b';' | 0x7f) || *byte < b' ';
            assert!(!after.iter().any(is_dangerous), "{text}");
            assert!(!matches!(after.as_slice(), b"." | b".."), "{text}");
        }
    }
    assert!(!text.split('/').any(|segment| matches!(segment, "." | "..")), "{text}");
    let again = CanonicalPath::parse(text.as_bytes()).expect("a canonical path is one");
    assert_eq!(again.as_str(), text);
});
