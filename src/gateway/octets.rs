//! Which bytes may stand where in a head.
//!
//! It must not know what stands there.

/// Whether any byte is so. Looks at all of them, without a branch for each: that is done for
/// sixteen at a time, and what is asked here is nearly always false.
pub(super) fn has(bytes: &[u8], is_so: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |found, byte| found | is_so(*byte))
}

/// RFC 9110, 5.6.2 (`token`).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// RFC 9110, 5.6.2 (`tchar`), by byte.
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let others = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] |= byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

pub(super) const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Names, addresses and ports. Narrower than RFC 3986: nothing that a log or link could misread.
pub(super) const fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':' | b'[' | b']')
}
