//! One spelling for names that count as the same.
//!
//! Throttles, unique addresses and look-ups by e-mail compare folded text, in every
//! database alike (SQLite folds ASCII only, PostgreSQL by locale). Never shown to anyone.

use unicode_normalization::UnicodeNormalization;

/// Unicode form NFKC in lower case, white space around it cut off.
#[must_use]
pub fn fold(text: &str) -> String {
    text.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn spellings_of_one_name_fold_together() {
        assert_eq!(fold(" Ada@Example.ORG "), "ada@example.org");
        assert_eq!(fold("ﬁona"), "fiona");
        assert_eq!(fold("ÉMILE"), fold("e\u{301}mile"));
    }

    #[test]
    fn other_names_stay_apart() {
        assert_ne!(fold("ada"), fold("adah"));
    }
}
