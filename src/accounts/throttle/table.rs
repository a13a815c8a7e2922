//! A bounded memory for what throttles remember.
//!
//! Whoever is throttled chooses the keys, so a flood of made-up names must neither fill the
//! memory nor wash out the one record that protects an account under attack. The table is
//! fixed in size: a key has one place among many sets, and a full set gives up the record
//! that matters least. To displace a record that counts ten failures an attacker has to fill
//! that set with records of ten failures, and does not learn which set it is, since keys are
//! hashed with a random key. In ordinary floods (each name tried once or twice) the records
//! of the flood displace one another only. It must not know what is recorded.

use std::hash::{BuildHasher, Hash, RandomState};

use parking_lot::Mutex;

use crate::model::Timestamp;

/// Records in one set.
const WAYS: usize = 16;

/// A record that can say how much it matters.
pub(super) trait Record {
    /// The smallest is given up first; 0 means that nothing would be lost.
    fn weight(&self, now: Timestamp) -> u64;
}

/// Records by key, at most about as many as asked for.
pub(super) struct Table<R> {
    sets: Box<[Set<R>]>,
    hashers: [RandomState; 2],
}

/// A lock of its own for each: it is held for some instructions only.
type Set<R> = Mutex<Vec<(u128, R)>>;

impl<R: Record> Table<R> {
    pub(super) fn new(records: usize) -> Self {
        let sets = (0..records.div_ceil(WAYS).max(1)).map(|_| Mutex::default()).collect();
        Self { sets, hashers: [RandomState::new(), RandomState::new()] }
    }

    /// Uses the record of `key`, a new one if there is none.
    pub(super) fn with<K: Hash + ?Sized, T>(
        &self,
        key: &K,
        now: Timestamp,
        fresh: impl FnOnce() -> R,
        usage: impl FnOnce(&mut R) -> T,
    ) -> T {
        let key = self.digest(key);
        let mut set = self.set(key).lock();
        let place = if let Some(found) = set.iter().position(|(held, _)| *held == key) {
            found
        } else if set.len() < WAYS {
            set.push((key, fresh()));
            set.len() - 1
        } else {
            let least = (0..set.len()).min_by_key(|i| set[*i].1.weight(now)).unwrap_or(0);
            set[least] = (key, fresh());
            least
        };
        usage(&mut set[place].1)
    }

    /// Uses the record of `key` if there is one.
    pub(super) fn with_known<K: Hash + ?Sized, T>(
        &self,
        key: &K,
        usage: impl FnOnce(&mut R) -> T,
    ) -> Option<T> {
        let key = self.digest(key);
        let mut set = self.set(key).lock();
        let found = set.iter_mut().find(|(held, _)| *held == key);
        found.map(|(_, record)| usage(record))
    }

    /// 128 bits of a keyed hash stand for the key: names are not kept.
    fn digest<K: Hash + ?Sized>(&self, key: &K) -> u128 {
        let [high, low] = &self.hashers;
        u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }

    fn set(&self, key: u128) -> &Set<R> {
        let sets = self.sets.len() as u128;
        let index = usize::try_from(key % sets).unwrap_or(0);
        &self.sets[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1);

    struct Count(u64);

    impl Record for Count {
        fn weight(&self, _: Timestamp) -> u64 {
            self.0
        }
    }

    fn add(table: &Table<Count>, key: &str) -> u64 {
        let add_one = |count: &mut Count| {
            count.0 += 1;
            count.0
        };
        table.with(key, NOW, || Count(0), add_one)
    }

    #[test]
    fn records_are_kept_by_key() {
        let table = Table::new(100);
        assert_eq!(add(&table, "ada"), 1);
        assert_eq!(add(&table, "ada"), 2);
        assert_eq!(add(&table, "bob"), 1);
        assert_eq!(table.with_known("ada", |count| count.0), Some(2));
        assert_eq!(table.with_known("eve", |count| count.0), None);
    }

    #[test]
    fn a_flood_of_keys_displaces_only_what_matters_less() {
        let table = Table::new(64);
        for _ in 0..3 {
            add(&table, "ada");
        }
        for i in 0..10_000 {
            add(&table, &format!("flood {i}"));
        }
        assert_eq!(table.with_known("ada", |count| count.0), Some(3));
        let held: usize = table.sets.iter().map(|set| set.lock().len()).sum();
        assert!(held <= 64, "{held}");
    }
}
