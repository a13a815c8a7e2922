//! Finds addresses and names that count as the same, among any number of users.
//!
//! Keeps 16 bytes for each, not the texts: a million addresses are 16 MB. It must not know
//! what is done about them.

use std::hash::{BuildHasher, RandomState};

use crate::fold::fold;

/// Texts by their folded form.
#[derive(Default)]
pub(super) struct Duplicates {
    hasher: RandomState,
    seen: Vec<(u64, i64)>,
}

impl Duplicates {
    pub(super) fn add(&mut self, text: &str, user: i64) {
        let key = fold(text);
        if !key.is_empty() {
            self.seen.push((self.hasher.hash_one(key), user));
        }
    }

    /// The ids of users whose texts fold together, in groups.
    pub(super) fn groups(mut self) -> Vec<Vec<i64>> {
        self.seen.sort_unstable();
        let same = self.seen.chunk_by(|one, other| one.0 == other.0);
        let groups = same.filter(|group| group.len() > 1);
        let mut groups: Vec<Vec<i64>> =
            groups.map(|group| group.iter().map(|(_, user)| *user).collect()).collect();
        groups.sort_unstable();
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_fold_together_are_one_group() {
        let mut found = Duplicates::default();
        for (id, text) in [(1, "Ada"), (2, "bob"), (3, "ADA"), (4, ""), (5, ""), (6, "Bob ")] {
            found.add(text, id);
        }
        assert_eq!(found.groups(), [vec![1, 3], vec![2, 6]]);
    }
}
