//! Percent escapes of paths, and what hides behind several layers of them.
//!
//! It must not know what a path is for.

use super::path::PathFault;

/// How often a path may be encoded: no upstream is known that decodes more often.
const MAX_LAYERS: usize = 4;

/// Looks at what a server sees that decodes once, twice or more often.
pub(super) fn judge_decoded(canonical: &[u8]) -> Result<(), PathFault> {
    let mut layer = canonical.to_vec();
    for _ in 0..MAX_LAYERS {
        let Some(next) = decode(&layer)? else { return Ok(()) };
        if next.split(|&b| b == b'/').any(|segment| matches!(segment, b"." | b"..")) {
            return Err(PathFault::DotSegment);
        }
        if has_overlong(&next) {
            return Err(PathFault::Overlong);
        }
        layer = next;
    }
    if decode(&layer)?.is_some() { Err(PathFault::Layers) } else { Ok(()) }
}

/// One decoding; `None` if there was nothing to decode. What is no escape stays as it is.
fn decode(text: &[u8]) -> Result<Option<Vec<u8>>, PathFault> {
    let mut out = Vec::with_capacity(text.len());
    let mut decoded = false;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match escape(rest) {
            Some((value, tail)) if *byte == b'%' => {
                refuse_decoded(value)?;
                out.push(value);
                rest = tail;
                decoded = true;
            }
            _ => out.push(*byte),
        }
    }
    Ok(decoded.then_some(out))
}

/// Bytes that change what a path means, once they are decoded.
pub(super) fn refuse_decoded(value: u8) -> Result<(), PathFault> {
    match value {
        0..=0x1f | 0x7f => Err(PathFault::Control),
        b'/' => Err(PathFault::EncodedSlash),
        b'\\' => Err(PathFault::Backslash),
        b';' => Err(PathFault::Semicolon),
        _ => Ok(()),
    }
}

/// Two hex digits and what follows them.
pub(super) fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = text else { return None };
    Some(((digit(*high)? << 4) | digit(*low)?, rest))
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Writes a byte as an escape, in upper case.
pub(super) fn push_escape(text: &mut String, value: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(HEX[usize::from(value >> 4)]));
    text.push(char::from(HEX[usize::from(value & 15)]));
}

/// ASCII written in two, three or four bytes: `C0 AF` for a slash.
fn has_overlong(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| matches!(pair, [0xc0 | 0xc1, 0x80..=0xbf] | [0xe0, 0x80 | 0x81] | [0xf0, 0x80]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_two_hex_digits() {
        assert_eq!(escape(b"2fx"), Some((b'/', &b"x"[..])));
        assert_eq!(escape(b"C3"), Some((0xc3, &b""[..])));
        for text in ["", "2", "2g", "+1", " 1"] {
            assert_eq!(escape(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn every_layer_is_looked_at() {
        assert_eq!(judge_decoded(b"/a%2520b"), Ok(()));
        assert_eq!(judge_decoded(b"/a%25"), Ok(()));
        assert_eq!(judge_decoded(b"/a%25252525"), Ok(()));
        assert_eq!(judge_decoded(b"/a%252525252525"), Err(PathFault::Layers));
        assert_eq!(judge_decoded(b"/a%25252f"), Err(PathFault::EncodedSlash));
        assert_eq!(judge_decoded(b"/%252e."), Err(PathFault::DotSegment));
        assert_eq!(judge_decoded(b"/a%250a"), Err(PathFault::Control));
        assert_eq!(judge_decoded(b"/%C1%9C"), Err(PathFault::Overlong));
    }
}
