//! How lax servers may read a path: letters folded, escapes decoded, spaces dropped.
//!
//! Only for finding out whether such a reading belongs to another route. What the upstream
//! gets is always the canonical path; it must not be built from these.

use unicode_normalization::UnicodeNormalization;

use super::escapes::escape;

/// The laxest reading of a canonical path, segments joined by `/`, without the first slash.
///
/// Everything is decoded as often as it is encoded, cut at a `?` or `#` that appears, put
/// into Unicode form NFKC and small letters; white space and dots at the ends of segments
/// (Windows) are dropped, then empty and dot segments, of which NFKC makes new ones.
pub(super) fn laxest(path: &str) -> String {
    let decoded = decode_all(path.as_bytes());
    let end = decoded.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(decoded.len());
    let text = String::from_utf8_lossy(&decoded[..end]);
    let text = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.nfkc().collect::<String>().to_lowercase()
    };
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut segments: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        if segment == ".." {
            segments.pop();
        }
        let segment = segment.trim_end_matches('.');
        if !segment.is_empty() {
            segments.push(segment);
        }
    }
    segments.join("/")
}

/// Decodes until nothing is left to decode. Ends: each round shortens the text.
fn decode_all(text: &[u8]) -> Vec<u8> {
    let mut layer = text.to_vec();
    loop {
        let mut next = Vec::with_capacity(layer.len());
        let mut rest = layer.as_slice();
        while let [byte, tail @ ..] = rest {
            match escape(tail) {
                Some((value, tail)) if *byte == b'%' => {
                    next.push(value);
                    rest = tail;
                }
                _ => {
                    next.push(*byte);
                    rest = tail;
                }
            }
        }
        if next.len() == layer.len() {
            return next;
        }
        layer = next;
    }
}

#[cfg(test)]
mod tests {
    use super::laxest;

    #[test]
    fn spellings_of_one_path_read_alike() {
        for path in [
            "/admin/x",
            "/Admin/X",
            "/admin%20/x",
            "/%20admin/x",
            "/ad%20min/x",
            "/admin./x",
            "/adm%2569n/x",
            "/admin/x%3Fy",
            "/admin/x%23",
            "/admin/%20/x/",
            "/%EF%BD%81dmin/x",
            "/public/%E2%80%A5/admin/x",
            "/admin%EF%BC%8Fx",
        ] {
            assert_eq!(laxest(path), "admin/x", "{path}");
        }
    }

    #[test]
    fn other_paths_read_otherwise() {
        assert_eq!(laxest("/"), "");
        assert_eq!(laxest("/adminx"), "adminx");
        assert_eq!(laxest("/.well-known/jwks.json"), ".well-known/jwks.json");
        assert_eq!(laxest("/a%FF"), "a\u{fffd}");
    }
}
