//! How far a check had to go to know who asks.
//!
//! For those who watch what checks cost. It must not influence what is decided.

/// The farthest place that was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Memory alone: the credential was known, or could not be good.
    #[default]
    Memory,
    /// A signing key, for the signature of a JWT that was not seen before.
    Keys,
    /// Redis.
    Shared,
    /// The database.
    Database,
}

impl Reach {
    /// Takes note of another place that was asked.
    pub(super) fn extend(&mut self, to: Self) {
        *self = (*self).max(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_farthest_place_counts() {
        let mut reach = Reach::default();
        for (to, farthest) in [
            (Reach::Shared, Reach::Shared),
            (Reach::Keys, Reach::Shared),
            (Reach::Database, Reach::Database),
            (Reach::Memory, Reach::Database),
        ] {
            reach.extend(to);
            assert_eq!(reach, farthest);
        }
    }
}
