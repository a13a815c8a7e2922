//! What usernames and e-mail addresses may look like: Django's rules.
//!
//! The same texts pass as in Django, so that accounts can move over and front ends' own
//! checks stay right. It must not know messages, nor whether a name is taken.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

/// Characters that a username has at most.
pub const MAX_USERNAME: usize = 150;
/// Characters that an e-mail address has at most (the length of Django's column).
pub const MAX_EMAIL: usize = 254;
/// Django's validator looks at nothing longer (RFC 3696 section 3).
const MAX_VALID_EMAIL: usize = 320;

/// What is wrong with a username or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFault {
    /// Not of the right form.
    Invalid,
    /// More than [`MAX_USERNAME`] or [`MAX_EMAIL`] characters.
    TooLong,
}

/// A username in the form that is stored (Unicode form NFKC), or all that is wrong with it, in
/// the order in which Django tells it.
///
/// Django checks only what was typed. That stays the rule for single characters: the stored
/// form of good Thai and Bengali names has combining marks that one may not type. But NFKC makes
/// eighteen characters and some spaces of `ﷺ`, and neither must get into a stored name.
pub fn username(typed: &str) -> Result<String, Vec<NameFault>> {
    // Python's `\w` is exactly this; the regex crate's own `\w` is not.
    static USERNAME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}_.@+-]+$").expect("a constant pattern"));
    let stored = normalised(typed);
    let invalid = !USERNAME.is_match(typed) || stored.contains(char::is_whitespace);
    let too_long = [typed, &stored].iter().any(|name| name.chars().count() > MAX_USERNAME);
    match (invalid, too_long) {
        (false, false) => Ok(stored),
        (true, false) => Err(vec![NameFault::Invalid]),
        (false, true) => Err(vec![NameFault::TooLong]),
        (true, true) => Err(vec![NameFault::Invalid, NameFault::TooLong]),
    }
}

/// A username in the form that is stored, whether or not it follows the rules.
#[must_use]
pub fn normalised(typed: &str) -> String {
    typed.nfkc().collect()
}

/// All that is wrong with an e-mail address, in the order in which Django tells it; nothing
/// if it will do.
#[must_use]
pub fn email_faults(email: &str) -> Vec<NameFault> {
    let too_long = (email.chars().count() > MAX_EMAIL).then_some(NameFault::TooLong);
    let invalid = (!is_email(email)).then_some(NameFault::Invalid);
    [too_long, invalid].into_iter().flatten().collect()
}

/// An address as registration stores it: the domain in lower case (Django's
/// `normalize_email`; the local part belongs to the receiving host).
#[must_use]
pub fn registered_email(email: &str) -> String {
    match email.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
        None => email.to_owned(),
    }
}

/// Django's `EmailValidator`.
fn is_email(email: &str) -> bool {
    if email.chars().count() > MAX_VALID_EMAIL {
        return false;
    }
    let Some((local, domain)) = email.rsplit_once('@') else { return false };
    is_local_part(local) && (domain == "localhost" || is_domain(domain) || is_literal(domain))
}

fn is_local_part(local: &str) -> bool {
    // Python's IGNORECASE adds four letters to [A-Z]: ſ and K, as the regex crate does, but also
    // ı and İ, as it does not.
    static LOCAL: LazyLock<Regex> = LazyLock::new(|| {
        let atom = r"[-!#$%&'*+/=?^_`{}|~0-9A-Zıİ]+";
        let quoted = concat!(
            r"[\x01-\x08\x0b\x0c\x0e-\x1f!#-\[\]-\x7fıİ]",
            r"|\\[\x01-\x09\x0b\x0c\x0e-\x7fıİ]"
        );
        let pattern = format!(r#"(?i)^(?:{atom}(?:\.{atom})*|"(?:{quoted})*")$"#);
        Regex::new(&pattern).expect("a constant pattern")
    });
    LOCAL.is_match(local)
}

/// Labels of letters, digits, hyphens and anything from U+00A1 to U+FFFF. Django's expression
/// looks around for hyphens at the ends; here each label is looked at by itself.
fn is_domain(domain: &str) -> bool {
    static FIRST: LazyLock<Regex> = LazyLock::new(|| label("[LD](?:[LD-]{0,61}[LD])?"));
    static INNER: LazyLock<Regex> = LazyLock::new(|| label("[LD-]{1,63}"));
    static LAST: LazyLock<Regex> = LazyLock::new(|| label("(?:[L-]{2,63}|xn--[a-zıİD]{1,59})"));
    let labels: Vec<&str> = domain.split('.').collect();
    let [first, inner @ .., last] = &*labels else { return false };
    let hyphened = |label: &str| label.starts_with('-') || label.ends_with('-');
    FIRST.is_match(first)
        && inner.iter().all(|label| INNER.is_match(label) && !hyphened(label))
        && LAST.is_match(last)
        && !hyphened(last)
}

/// Reads `L` as a letter and `D` as a digit inside brackets.
fn label(pattern: &str) -> Regex {
    let pattern = pattern.replace('L', r"a-zıİ\u{a1}-\u{ffff}").replace('D', "0-9");
    Regex::new(&format!("(?i)^{pattern}$")).expect("a constant pattern")
}

/// An address in brackets (RFC 5321 section 4.1.3, without its `IPv6:`, as Django has it).
fn is_literal(domain: &str) -> bool {
    let inside = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.is_some_and(|ip| ip.parse::<Ipv4Addr>().is_ok() || ip.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usernames_of_any_script_are_good() {
        for name in ["ada", "a", "Ада", "艾达", "x.y@z+w-v_u", "²", "-", "@", "١٢٣"] {
            assert!(username(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn other_characters_are_not() {
        let bad = [
            "",
            " ",
            "two words",
            "shout!",
            "a/b",
            "smile😀",
            "<b>",
            "a\u{0}",
            "ada\n",
            "\nada",
            "e\u{301}",
            "a\u{200d}b",
            "a,b",
            "a:b",
            "ada\u{a0}",
        ];
        for name in bad {
            assert_eq!(username(name), Err(vec![NameFault::Invalid]), "{name:?}");
        }
    }

    #[test]
    fn usernames_are_counted_in_characters() {
        assert!(username(&"é".repeat(150)).is_ok());
        assert_eq!(username(&"é".repeat(151)), Err(vec![NameFault::TooLong]));
        assert_eq!(username(&"!".repeat(151)), Err(vec![NameFault::Invalid, NameFault::TooLong]));
    }

    #[test]
    fn usernames_are_stored_in_their_compatible_form() {
        assert_eq!(username("ﬁona"), Ok("fiona".to_owned()));
        assert_eq!(username("Ｋ²"), Ok("K2".to_owned()));
    }

    #[test]
    fn a_name_whose_stored_form_breaks_the_rules_is_refused() {
        assert_eq!(username("ﷺ"), Err(vec![NameFault::Invalid]));
        assert_eq!(username(&"ﬃ".repeat(51)), Err(vec![NameFault::TooLong]));
        assert_eq!(username("กำ"), Ok("กํา".to_owned()), "a mark that may not be typed");
    }

    #[test]
    fn good_addresses_pass() {
        for email in [
            "ada@example.org",
            "ada@localhost",
            "ada@[127.0.0.1]",
            "ada@[::1]",
            "ada@[::ffff:127.0.0.1]",
            "first.last+tag@example.test",
            "ada@exämple.test",
            "ada@例え.テスト",
            "ada@xn--exmple-cua.xn--p1ai",
            "\"much.more unusual\"@example.com".replace(' ', "").as_str(),
            "\"\\\u{7f}\"@example.com",
            "!#$%&'*+/=?^_`{}|~-@example.com",
            "a@b.co",
            "a@1.co",
            "ſ@example.org",
            "K@example.org",
            "ıİ@example.org",
        ] {
            assert_eq!(email_faults(email), [], "{email}");
        }
    }

    #[test]
    fn bad_addresses_do_not() {
        let label64 = format!("a@{}.com", "x".repeat(64));
        for email in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "someone@host",
            "ada@LOCALHOST",
            "üser@example.test",
            "ada@example.test.",
            "ada@.example.test",
            "ada@example..test",
            "a..b@example.org",
            ".a@example.org",
            "a.@example.org",
            "ada@example.c",
            "ada@example.123",
            "ada@-example.org",
            "ada@example-.org",
            "ada@sub.-x.org",
            "ada@sub.x-.org",
            "ada@example.-org",
            "ada@example.org-",
            "ada@exam_ple.org",
            "ada@[127.0.0.256]",
            "ada@[127.0.0.01]",
            "ada@[::1",
            "ada@[fe80::1%eth0]",
            "ada@[IPv6:::1]",
            "ada@example.org\n",
            "ada@example.org\r\nBcc: x@y.zz",
            "ada\n@example.org",
            "a b@example.org",
            "\"a\nb\"@example.org",
            "\"a\"b\"@example.org",
            "ada@exam ple.org",
            "ada@😀.org",
            "ada@example.xn--",
            label64.as_str(),
        ] {
            assert_eq!(email_faults(email), [NameFault::Invalid], "{email:?}");
        }
    }

    #[test]
    fn addresses_have_two_limits() {
        let of = |length: usize| format!("{}@example.test", "a".repeat(length - 13));
        assert_eq!(email_faults(&of(254)), []);
        assert_eq!(email_faults(&of(255)), [NameFault::TooLong]);
        assert_eq!(email_faults(&of(320)), [NameFault::TooLong]);
        assert_eq!(email_faults(&of(321)), [NameFault::TooLong, NameFault::Invalid]);
    }

    #[test]
    fn registration_puts_the_domain_in_lower_case() {
        assert_eq!(registered_email("Mixed.Ada@EXAMPLE.Test"), "Mixed.Ada@example.test");
        assert_eq!(registered_email("\"A@B\"@EXAMPLE.Test"), "\"A@B\"@example.test");
        assert_eq!(registered_email(""), "");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = (username(&text), email_faults(&text), registered_email(&text));
        }

        #[test]
        fn a_stored_username_is_stored_as_it_is(typed in r"[\p{L}\p{N}_.@+-]{1,20}") {
            if let Ok(stored) = username(&typed) {
                prop_assert_eq!(normalised(&stored), stored);
            }
        }

        #[test]
        fn near_addresses_do_not_make_it_panic(text in r#"[a-zſıİ"\\.@\[\]:0-9é-]{0,40}"#) {
            let _ = email_faults(&text);
        }
    }
}
