//! Whether a client takes JSON for an answer.
//!
//! Django REST framework's rule: any media range that matches will do, parameters (`q` too) are
//! not looked at, and no `Accept` at all means anything.

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether JSON is acceptable.
pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(ACCEPT)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .map(media_range)
        .filter(|range| !range.is_empty())
        .peekable();
    ranges.peek().is_none() || ranges.any(|range| matches_json(&range))
}

/// The range without its parameters.
fn media_range(element: &[u8]) -> String {
    let range = element.split(|&byte| byte == b';').next().unwrap_or_default();
    String::from_utf8_lossy(range).trim().to_ascii_lowercase()
}

fn matches_json(range: &str) -> bool {
    matches!(range, "*/*" | "application/*" | "application/json" | "*" | "*/json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn accepts(lines: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_bytes(line).unwrap());
        }
        accepts_json(&headers)
    }

    #[test]
    fn json_is_acceptable_where_any_range_matches() {
        for line in [
            "*/*",
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/html, application/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ] {
            assert!(accepts(&[line.as_bytes()]), "{line}");
        }
        assert!(accepts(&[b"text/html", b"*/*"]));
    }

    #[test]
    fn no_accept_and_an_empty_one_mean_anything() {
        assert!(accepts(&[]));
        assert!(accepts(&[b""]));
        assert!(accepts(&[b" , "]));
    }

    #[test]
    fn json_is_refused_where_no_range_matches() {
        for line in ["text/html", "application/xml", "application/jsonp", "json", "text/*;q=1"] {
            assert!(!accepts(&[line.as_bytes()]), "{line}");
        }
        assert!(!accepts(&[b"\xff\xfe"]));
    }
}
