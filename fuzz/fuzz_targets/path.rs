//! The canonical path: whatever is taken has one reading, and is its own canonical form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::gate::CanonicalPath;

fuzz_target!(|raw: &[u8]| {
    let Ok(path) = CanonicalPath::parse(raw) else { return };
    let text = path.as_str();
    assert!(text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    for part in ["//", "\\", ";", "?", "#"] {
        assert!(!text.contains(part), "{text}");
    }
    let lower = text.to_ascii_lowercase();
    for escape in ["%2f", "%5c", "%2e", "%25", "%00", "%0a", "%0d", "%3b"] {
        assert!(!lower.contains(escape), "{text}");
    }
    assert!(!text.split('/').any(|segment| matches!(segment, "." | "..")), "{text}");
    let again = CanonicalPath::parse(text.as_bytes()).expect("a canonical path is one");
    assert_eq!(again.as_str(), text);
});
