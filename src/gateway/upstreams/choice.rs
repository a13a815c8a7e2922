//! Which of several servers is next.
//!
//! All ways respect weights and pass over those that are not admitted. It must not know why a server is not admitted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::digest::{SHA256, digest};

use super::peer::Peer;
use crate::config::Balance;

/// All servers of an upstream, in the order of turns.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) peers: Vec<Arc<Peer>>,
    /// Places in `peers`; each stands there as often as its weight asks for, well spread.
    turns: Vec<usize>,
}

impl Pool {
    pub(super) fn new(peers: Vec<Arc<Peer>>) -> Self {
        let weights: Vec<u32> = peers.iter().map(|peer| peer.weight.max(1)).collect();
        Self { peers, turns: spread(&weights) }
    }

    /// The next one that is admitted. `turn`: goes up with each request. `who`: a fingerprint of who asks, if that counts.
    pub(super) fn next(
        &self,
        balance: Balance,
        turn: usize,
        who: Option<u64>,
        admits: impl Fn(&Peer) -> bool,
    ) -> Option<&Arc<Peer>> {
        match (balance, who) {
            (Balance::HashUser | Balance::HashAddress, Some(who)) => self
                .peers
                .iter()
                .filter(|peer| admits(peer))
                .max_by(|one, other| claim(one, who).total_cmp(&claim(other, who))),
            (Balance::LeastConnections, _) => {
                // From a place of its own each time, so that equals take turns.
                let start = turn % self.peers.len().max(1);
                let (late, early) = self.peers.split_at(start);
                let admitted = early.iter().chain(late).filter(|peer| admits(peer));
                admitted.min_by(|one, other| {
                    let load = |peer: &Peer| peer.under_way.load(Ordering::Relaxed) as u64 + 1;
                    let (one_load, other_load) = (load(one), load(other));
                    (one_load * u64::from(other.weight)).cmp(&(other_load * u64::from(one.weight)))
                })
            }
            _ => {
                let places = self.turns.len();
                (0..places)
                    .map(|step| &self.peers[self.turns[turn.wrapping_add(step) % places]])
                    .find(|peer| admits(peer))
            }
        }
    }
}

/// The same on every replica and after every restart.
pub(in crate::gateway) fn fingerprint(of: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest(&SHA256, of).as_ref()[..8]);
    u64::from_be_bytes(first)
}

/// How strong a server's claim to somebody is: rendezvous hashing. When a server goes, only
/// those move that were its own; a weight is its share of everybody.
fn claim(peer: &Peer, who: u64) -> f64 {
    // The finalizer of SplitMix64: every bit of either counts for every bit of the result.
    let mut mixed = peer.seed ^ who;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    // 32 bits are exact in an f64; between 0 and 1, but neither.
    let high = u32::try_from(mixed >> 32).unwrap_or_default();
    let share = (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0);
    -f64::from(peer.weight) / share.ln()
}

/// Turns by weight, as evenly as can be: whoever is furthest behind is next.
fn spread(weights: &[u32]) -> Vec<usize> {
    let common = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / common)).collect();
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0; weights.len()];
    (0..total)
        .filter_map(|_| {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit += weight;
            }
            // The first of equals.
            let next = (0..credit.len()).rev().max_by_key(|place| credit[*place])?;
            credit[next] -= total;
            Some(next)
        })
        .collect()
}

fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::super::peer::{Making, Times};
    use super::*;
    use crate::config::{Limits, Protocol};

    fn pool(weights: &[u32]) -> Pool {
        let peers = weights.iter().zip(1..).map(|(weight, port)| {
            let making = Making {
                tls: None,
                protocol: Protocol::Http1,
                host: None,
                weight: *weight,
                times: Times::from(&Limits::default()),
            };
            making.inet(([127, 0, 0, 1], port).into())
        });
        Pool::new(peers.collect())
    }

    /// How many of so many users each server has.
    fn shares(pool: &Pool, users: u64, admits: impl Fn(&Peer) -> bool) -> Vec<usize> {
        let mut counts = vec![0; pool.peers.len()];
        for user in 0..users {
            let who = Some(fingerprint(&user.to_be_bytes()));
            let peer = pool.next(Balance::HashUser, 0, who, &admits).unwrap();
            counts[usize::from(peer.label.ends_with(":2"))
                + 2 * usize::from(peer.label.ends_with(":3"))] += 1;
        }
        counts
    }

    #[test]
    fn turns_are_by_weight_and_well_spread() {
        assert_eq!(spread(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(spread(&[10, 10]), [0, 1]);
        assert_eq!(spread(&[4, 2]), [0, 1, 0]);
        assert_eq!(spread(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert!(spread(&[]).is_empty());
    }

    #[test]
    fn peers_take_turns_and_one_that_is_not_admitted_is_passed_over() {
        let pool = pool(&[1, 1, 1]);
        let next = |turn: usize, admits: fn(&Peer) -> bool| {
            let peer = pool.next(Balance::RoundRobin, turn, None, admits);
            peer.map(|peer| peer.label.clone())
        };
        let all: Vec<_> = (0..4).filter_map(|turn| next(turn, |_| true)).collect();
        assert_eq!(all, ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:1"]);
        for turn in [0, 1, 2, usize::MAX] {
            assert_ne!(next(turn, |peer| !peer.label.ends_with(":2")).unwrap(), "127.0.0.1:2");
        }
        assert_eq!(next(0, |_| false), None);
        assert!(Pool::default().next(Balance::RoundRobin, 0, None, |_| true).is_none());
    }

    #[test]
    fn the_least_busy_is_next_for_its_weight_and_equals_take_turns() {
        let pool = pool(&[1, 3]);
        let next = |turn: usize| {
            let peer = pool.next(Balance::LeastConnections, turn, None, |_| true).unwrap();
            peer.under_way.fetch_add(1, Ordering::Relaxed);
            peer.label.ends_with(":2")
        };
        assert_eq!((0..40).filter(|turn| next(*turn)).count(), 30);
        let equals = self::pool(&[1, 1]);
        let label = |turn: usize| {
            equals.next(Balance::LeastConnections, turn, None, |_| true).unwrap().label.clone()
        };
        assert_ne!(label(0), label(1));
        assert!(Pool::default().next(Balance::LeastConnections, 0, None, |_| true).is_none());
    }

    #[test]
    fn users_stay_where_they_are_and_only_those_of_a_server_that_goes_move() {
        let pool = pool(&[1, 1, 2]);
        let before = shares(&pool, 4_000, |_| true);
        // 1,000, 1,000 and 2,000 are expected; five standard deviations to either side.
        for (count, expected) in before.iter().zip([1_000_i64, 1_000, 2_000]) {
            let count = i64::try_from(*count).unwrap();
            assert!((count - expected).abs() < 160, "{before:?}");
        }
        assert_eq!(before, shares(&pool, 4_000, |_| true));
        let is_second = |peer: &Peer| peer.label.ends_with(":2");
        for user in 0..500_u64 {
            let who = Some(fingerprint(&user.to_be_bytes()));
            let first = pool.next(Balance::HashUser, 0, who, |_| true).unwrap();
            let second = pool.next(Balance::HashUser, 0, who, |peer| !is_second(peer)).unwrap();
            assert!(is_second(first) || first.label == second.label);
        }
    }

    #[test]
    fn who_is_not_known_takes_turns() {
        let pool = pool(&[1, 1]);
        let next = |turn| pool.next(Balance::HashUser, turn, None, |_| true).unwrap().label.clone();
        assert_ne!(next(0), next(1));
    }

    #[test]
    fn a_fingerprint_is_the_same_everywhere() {
        assert_eq!(fingerprint(b"7"), 0x7902_699b_e42c_8a8e);
    }
}
