//! What an entry takes of a cache's room: one for the usual, more for one with much in it.
//!
//! The settings count entries, and a user in a thousand groups must not make a hundred thousand
//! of them take gigabytes. It must not know what is cached.

use std::hash::Hash;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Text that comes with each place; what is longer takes more places.
const USUAL: usize = 1024;

/// A cache that is bounded by the weight of what it holds.
pub(super) type Weighed<K, V> = Cache<K, V, ByText>;

/// Something that holds text of any length.
pub(super) trait Texts {
    /// All of it, in bytes.
    fn bytes(&self) -> usize;
}

impl<T: Texts> Texts for Arc<T> {
    fn bytes(&self) -> usize {
        self.as_ref().bytes()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ByText;

impl<K, V: Texts> Weighter<K, V> for ByText {
    fn weight(&self, _: &K, value: &V) -> u64 {
        1 + u64::try_from(value.bytes() / USUAL).unwrap_or(u64::MAX / 2)
    }
}

/// Room for so many usual entries.
pub(super) fn weighed<K: Eq + Hash, V: Clone + Texts>(entries: usize) -> Weighed<K, V> {
    let entries = entries.max(1);
    Cache::with_weighter(entries, u64::try_from(entries).unwrap_or(u64::MAX), ByText)
}

/// Names with what it takes to hold each.
pub(super) fn bytes_of(names: &[String]) -> usize {
    names.iter().map(|name| name.len() + size_of::<String>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Text(usize);

    impl Texts for Text {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn usual_entries_fill_the_room_and_large_ones_sooner() {
        for (bytes, most) in [(100, 1000), (10 * USUAL, 1000 / 11)] {
            let cache = weighed::<usize, Text>(1000);
            for key in 0..5000 {
                cache.insert(key, Text(bytes));
            }
            assert!(cache.len() <= most, "{} of {bytes} bytes", cache.len());
            assert!(cache.len() > most / 2, "{} of {bytes} bytes", cache.len());
        }
    }

    #[test]
    fn what_names_take_is_counted() {
        assert_eq!(bytes_of(&[]), 0);
        assert_eq!(bytes_of(&["ada".to_owned(), String::new()]), 3 + 2 * size_of::<String>());
    }
}
