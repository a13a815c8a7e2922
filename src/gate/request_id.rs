//! Names for requests, to find them again in logs on both sides of the gateway.
//!
//! It must not know where a request came from; whether a caller's name counts is decided
//! elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;

/// Whether somebody else's id can be taken over into headers and logs.
pub(super) fn is_sane(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:=+/@".contains(b))
}

/// Makes request ids: 128 bits in hex, never twice. They name requests and protect nothing,
/// so a random start and a counter will do: a random number for each would cost more than
/// the rest of the judging.
#[derive(Debug)]
pub(super) struct RequestIds {
    /// Tells processes apart.
    process: u64,
    /// Where this process' counter starts.
    start: u64,
    counter: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self { process: random(), start: random(), counter: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> HeaderValue {
        let number = self.start.wrapping_add(self.counter.fetch_add(1, Ordering::Relaxed));
        let halves = [(self.process ^ mix(!number)).to_be_bytes(), mix(number).to_be_bytes()];
        let mut id = [0; 32];
        // The buffer has two digits for each of the 16 bytes.
        let _ = hex::encode_to_slice(halves.as_flattened(), &mut id);
        HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the ids of two processes could meet; nothing worse.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// The finaliser of `SplitMix64`: one to one, so that two numbers never make one id.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_32_hex_digits_and_differ() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let made: HashSet<_> = (0..10_000)
            .flat_map(|_| [one.next(), other.next()])
            .map(|id| id.to_str().unwrap().to_owned())
            .collect();
        assert_eq!(made.len(), 20_000);
        assert!(made.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn only_short_plain_ids_are_sane() {
        for id in ["a", "req-1:a/b", "0af7651916cd43dd8448eb211c80319c"] {
            assert!(is_sane(id.as_bytes()), "{id}");
        }
        for id in ["", "a b", "a\"b", "<a>", "é", &"a".repeat(129)] {
            assert!(!is_sane(id.as_bytes()), "{id}");
        }
    }
}
