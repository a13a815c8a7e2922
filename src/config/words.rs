//! The word that somebody probably meant.

/// A remedy that names the nearest of some words.
pub(super) fn suggest(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write one of \"{}\"", known.join("\", \"")),
    }
}

/// The known word that `word` was probably meant to be.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&known.to_lowercase(), &lower);
    let near = known.iter().map(|known| (distance(known), *known)).min()?;
    (near.0 <= 1 + near.1.len() / 4 && near.0 < near.1.len().max(1)).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near_or_there_is_none() {
        let known = ["threads", "listen", "tls"];
        assert_eq!(nearest("treads", &known), Some("threads"));
        assert_eq!(nearest("THREADS", &known), Some("threads"));
        assert_eq!(nearest("zzz", &known), None);
        assert_eq!(nearest("anything", &[]), None);
    }
}
