//! Is a password good enough? Django's four validators, with Django's outcomes.
//!
//! All weaknesses are told at once, in Django's order, since clients show them as a list.
//! It must not know messages, nor how passwords are kept.

use std::collections::HashMap;
use std::sync::LazyLock;

use fst::Set;
use regex::Regex;

use crate::model::User;

/// Characters that a password needs at least (`MinimumLengthValidator`).
pub const MIN_LENGTH: usize = 8;

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// Too much like what is known of its owner.
    TooSimilar(Attribute),
    /// Fewer than [`MIN_LENGTH`] characters.
    TooShort,
    /// Among the first that anybody tries.
    TooCommon,
    /// Digits only, of any script.
    Numeric,
}

/// What of its owner a password is compared with, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The username.
    Username,
    /// The given name.
    FirstName,
    /// The family name.
    LastName,
    /// The e-mail address.
    Email,
}

/// Whose password it is to be. Empty texts count for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Person<'a> {
    /// The username.
    pub username: &'a str,
    /// The given name.
    pub first_name: &'a str,
    /// The family name.
    pub last_name: &'a str,
    /// The e-mail address.
    pub email: &'a str,
}

impl<'a> From<&'a User> for Person<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            username: &user.username,
            first_name: &user.first_name,
            last_name: &user.last_name,
            email: &user.email,
        }
    }
}

/// All that is wrong with a password; nothing if it will do. Without `about`, its similarity
/// to the account is not looked at. `similarity` is `accounts.password_similarity`.
#[must_use]
pub fn weaknesses(password: &str, about: Option<&Person<'_>>, similarity: f64) -> Vec<Weakness> {
    let similar = about.and_then(|person| similar_to(password, person, similarity));
    let short = password.chars().count() < MIN_LENGTH;
    [
        similar.map(Weakness::TooSimilar),
        short.then_some(Weakness::TooShort),
        is_common(password).then_some(Weakness::TooCommon),
        is_numeric(password).then_some(Weakness::Numeric),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The first attribute that is too similar (`UserAttributeSimilarityValidator`).
fn similar_to(password: &str, person: &Person<'_>, limit: f64) -> Option<Attribute> {
    // What Python's `\W` splits at; the regex crate's own `\W` departs from it in some
    // 3,400 characters.
    static BREAKS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[^\p{L}\p{N}_]+").expect("a constant pattern"));
    let password: Vec<char> = password.to_lowercase().chars().collect();
    let too_similar = |value: &&(Attribute, &str)| {
        let value = value.1.to_lowercase();
        let mut parts = BREAKS.split(&value).chain([&*value]);
        !value.is_empty() && parts.any(|part| is_similar(&password, part, limit))
    };
    [
        (Attribute::Username, person.username),
        (Attribute::FirstName, person.first_name),
        (Attribute::LastName, person.last_name),
        (Attribute::Email, person.email),
    ]
    .iter()
    .find(too_similar)
    .map(|(attribute, _)| *attribute)
}

#[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^52; Python does the same")]
fn is_similar(password: &[char], part: &str, limit: f64) -> bool {
    let length = part.chars().count();
    // A part far shorter than the password cannot reach the limit.
    let bound = limit / 2.0 * password.len() as f64;
    if password.len() >= 10 * length && (length as f64) < bound {
        return false;
    }
    if password.len() + length == 0 {
        return true;
    }
    let common = in_common(password, part);
    2.0 * common as f64 / (password.len() + length) as f64 >= limit
}

/// How many characters two texts share, counted as multisets: the numerator of
/// `difflib.SequenceMatcher.quick_ratio`.
fn in_common(password: &[char], part: &str) -> usize {
    let mut left: HashMap<char, usize> = HashMap::new();
    for c in part.chars() {
        *left.entry(c).or_default() += 1;
    }
    let mut common = 0;
    for c in password {
        if let Some(n) = left.get_mut(c).filter(|n| **n > 0) {
            *n -= 1;
            common += 1;
        }
    }
    common
}

/// Django's list of 19,640 (BSD licence, `tests/data/common-passwords.LICENSE.txt`), as a
/// finite-state set: half the size of the text and nothing to build at start.
static COMMON: &[u8] = include_bytes!("common_passwords.fst");

fn is_common(password: &str) -> bool {
    // A broken file would be found by the test below, not by a user.
    Set::new(COMMON).is_ok_and(|common| common.contains(trim(&password.to_lowercase())))
}

/// Without white space around it, as Python's `str.strip` sees white space: Unicode's and the
/// four information separators. What `accounts.trim_passwords` does, too.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}'))
}

/// Python's `str.isdigit`: decimal digits of any script and those that only look like digits
/// (superscripts, circled ones), but no fractions.
fn is_numeric(password: &str) -> bool {
    static DIGITS: LazyLock<Regex> = LazyLock::new(|| {
        let digits = concat!(
            r"^[\p{Nd}\u{b2}-\u{b3}\u{b9}\u{1369}-\u{1371}\u{19da}\u{2070}\u{2074}-\u{2079}",
            r"\u{2080}-\u{2089}\u{2460}-\u{2468}\u{2474}-\u{247c}\u{2488}-\u{2490}\u{24ea}",
            r"\u{24f5}-\u{24fd}\u{24ff}\u{2776}-\u{277e}\u{2780}-\u{2788}\u{278a}-\u{2792}",
            r"\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}]+$",
        );
        Regex::new(digits).expect("a constant pattern")
    });
    DIGITS.is_match(password)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    const ADA: Person<'_> = Person {
        username: "ada.lovelace",
        first_name: "Augusta",
        last_name: "King",
        email: "countess@analytical.example",
    };

    fn of(password: &str) -> Vec<Weakness> {
        weaknesses(password, Some(&ADA), 0.7)
    }

    #[test]
    fn a_good_password_has_no_weakness() {
        assert_eq!(of("Wmxt-Koru!Zyl9"), []);
        assert_eq!(of("correct horse battery"), []);
    }

    #[test]
    fn all_weaknesses_are_told_in_django_s_order() {
        let person = Person { username: "1234567", ..Person::default() };
        assert_eq!(
            weaknesses("1234567", Some(&person), 0.7),
            [
                Weakness::TooSimilar(Attribute::Username),
                Weakness::TooShort,
                Weakness::TooCommon,
                Weakness::Numeric
            ]
        );
        assert_eq!(of("12345678"), [Weakness::TooCommon, Weakness::Numeric]);
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert_eq!(of("Zq7!xWé"), [Weakness::TooShort]);
        assert_eq!(of("Zq7!xWéß"), []);
    }

    #[test]
    fn similarity_looks_at_attributes_and_their_parts_in_any_case() {
        let similar = |attribute| vec![Weakness::TooSimilar(attribute)];
        assert_eq!(of("LOVELACE1"), similar(Attribute::Username));
        assert_eq!(of("augusta99"), similar(Attribute::FirstName));
        assert_eq!(of("analytical"), similar(Attribute::Email));
        assert_eq!(of("ecalevol.ada"), similar(Attribute::Username), "counted as multisets");
        assert_eq!(weaknesses("LOVELACE1", None, 0.7), []);
    }

    #[test]
    fn the_limit_of_similarity_counts() {
        let person = Person { username: "abcdefg", ..Person::default() };
        // 2 * 7 / (7 + 13) = 0.7 exactly.
        let password = "abcdefg-#QZ!%";
        let expected = [Weakness::TooSimilar(Attribute::Username)];
        assert_eq!(weaknesses(password, Some(&person), 0.7), expected);
        assert_eq!(weaknesses(password, Some(&person), 0.75), []);
    }

    #[test]
    fn parts_far_shorter_than_the_password_are_skipped() {
        let person = Person { username: "-", email: "a@b.cd", ..Person::default() };
        assert_eq!(weaknesses("a-very-long-password-b", Some(&person), 0.7), []);
    }

    #[test]
    fn common_passwords_are_found_in_any_case_and_with_spaces_around() {
        for password in ["basketball", "BasketBall", " basketball\t", "\u{1f}basketball"] {
            assert!(is_common(password), "{password:?}");
        }
        assert!(!is_common("basket ball"));
        assert!(!is_common(""));
    }

    #[test]
    fn digits_of_all_scripts_are_numeric() {
        for password in ["8304617295538", "٣٤٥٦٧٨٩٠", "²³¹²³¹²³", "①②③④⑤⑥⑦⑧"]
        {
            assert!(is_numeric(password), "{password}");
        }
        for password in ["", "½½½½½½½½", "12345678x", "-12345678", "1234 5678"] {
            assert!(!is_numeric(password), "{password}");
        }
    }

    fn listed() -> BTreeSet<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/common-passwords.txt.gz");
        let mut text = String::new();
        GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text.lines().map(|line| trim(line).to_owned()).collect()
    }

    /// After a change of the list this fails, and says where the set that fits it lies.
    #[test]
    fn the_set_equals_django_s_list() {
        let listed = listed();
        assert_eq!(listed.len(), 19_640);
        let fitting = Set::from_iter(listed).unwrap();
        if fitting.as_fst().as_bytes() != COMMON {
            let draft = std::env::temp_dir().join("common_passwords.fst");
            fs::write(&draft, fitting.as_fst().as_bytes()).unwrap();
            panic!("the set does not hold the list; {} does", draft.display());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(password in any::<String>(), name in any::<String>()) {
            let person = Person { username: &name, email: &name, ..Person::default() };
            let _ = weaknesses(&password, Some(&person), 0.7);
        }
    }
}
