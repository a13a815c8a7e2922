//! The uid and the token of mailed links, in the shape that djoser's front ends expect.
//!
//! Nothing about a link is stored. Its token is an HMAC over what the link may change: once
//! that has changed, the token is dead, so that each link is good once. It must not know mail,
//! nor what a link is used for beyond its purpose.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::model::{MailPurpose, Timestamp, User, UserId};

/// 2001-01-01 UTC in seconds since 1970: Django counts from there, which keeps tokens short.
const EPOCH: i64 = 978_307_200;
/// Bytes of the HMAC in a token: 128 bits, 32 hex digits.
const TAG_BYTES: usize = 16;

/// Makes and checks the tokens of mailed links. Cheap to clone.
#[derive(Clone)]
pub struct Links {
    key: hmac::Key,
    timeout: Duration,
}

impl Links {
    /// With the key for [`crate::secret::KeyUse::MailLinks`]; tokens are good for `timeout`.
    #[must_use]
    pub fn new(key: [u8; 32], timeout: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), timeout }
    }

    /// How a link names an account: the decimal id in base64url without padding.
    #[must_use]
    pub fn uid(id: UserId) -> String {
        URL_SAFE_NO_PAD.encode(id.to_string())
    }

    /// Reads what [`Self::uid`] wrote, and nothing else: no bare id, no second spelling.
    #[must_use]
    pub fn parse_uid(uid: &str) -> Option<UserId> {
        let decimal = String::from_utf8(URL_SAFE_NO_PAD.decode(uid).ok()?).ok()?;
        let id = UserId(decimal.parse().ok()?);
        (id.0 > 0 && Self::uid(id) == uid).then_some(id)
    }

    /// The token for a purpose: `<seconds since 2001 in base 36>-<32 hex digits>`.
    #[must_use]
    pub fn token(&self, purpose: MailPurpose, user: &User, at: Timestamp) -> SecretString {
        let seconds = u64::try_from(at.seconds().saturating_sub(EPOCH)).unwrap_or(0);
        self.token_of(purpose, user, seconds)
    }

    /// Whether `token` was made for this purpose and this account as it is now, not longer ago
    /// than the timeout.
    #[must_use]
    pub fn check(&self, purpose: MailPurpose, user: &User, token: &str, now: Timestamp) -> bool {
        let Some(seconds) = token.split_once('-').and_then(|(time, _)| parse_base36(time)) else {
            return false;
        };
        let expected = self.token_of(purpose, user, seconds);
        let equal = expected.expose_secret().as_bytes().ct_eq(token.as_bytes());
        let made = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_add(EPOCH);
        bool::from(equal) && now.since(Timestamp::from_seconds(made)) <= self.timeout
    }

    fn token_of(&self, purpose: MailPurpose, user: &User, seconds: u64) -> SecretString {
        let mut context = hmac::Context::with_key(&self.key);
        let last_login = user.last_login.map_or(String::new(), |at| at.micros().to_string());
        for part in [
            label(purpose),
            &user.id.to_string(),
            user.password.expose_secret(),
            &last_login,
            &seconds.to_string(),
            &user.email,
        ] {
            // With its length, so that no two lists of parts are the same bytes.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let tag = hex::encode(&context.sign().as_ref()[..TAG_BYTES]);
        SecretString::from(format!("{}-{tag}", base36(seconds)))
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Part of every token: changing one ends the links of its kind.
fn label(purpose: MailPurpose) -> &'static str {
    match purpose {
        MailPurpose::PasswordReset => "password reset",
        MailPurpose::UsernameReset => "username reset",
        MailPurpose::Activation => "activation",
        // These mails have no link; a token for them would open nothing.
        MailPurpose::Confirmation => "confirmation",
        MailPurpose::PasswordChanged => "password changed",
        MailPurpose::UsernameChanged => "username changed",
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or(0);
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

fn parse_base36(text: &str) -> Option<u64> {
    // The standard parser also takes a sign.
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u64::from_str_radix(text, 36).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_700_000_000 + seconds)
    }

    fn links() -> Links {
        Links::new([7; 32], 3 * DAY)
    }

    fn ada() -> User {
        User {
            id: UserId(7),
            username: "ada".into(),
            email: "ada@example.org".into(),
            email_verified: false,
            password: "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaA".into(),
            first_name: String::new(),
            last_name: String::new(),
            is_active: true,
            is_staff: false,
            is_superuser: false,
            groups: Vec::new(),
            generation: 0,
            cut_at: None,
            version: 0,
            last_login: None,
            date_joined: at(-1000),
        }
    }

    #[test]
    fn a_uid_is_the_decimal_id_in_base64url() {
        assert_eq!(Links::uid(UserId(7)), "Nw");
        assert_eq!(Links::uid(UserId(12)), "MTI");
        for id in [1, 9, 10, 123_456, i64::MAX] {
            assert_eq!(Links::parse_uid(&Links::uid(UserId(id))), Some(UserId(id)));
        }
    }

    #[test]
    fn nothing_but_a_uid_is_read_as_one() {
        let encoded = ["0", "-7", "+7", "07", " 7", "7 ", "7.0", "", "٧", "9223372036854775808"]
            .map(|text| URL_SAFE_NO_PAD.encode(text));
        assert!(encoded.iter().all(|uid| Links::parse_uid(uid).is_none()));
        for uid in ["7", "12", "Nw==", "Nx", "Nw\n", "", "N", "ü", "=", "MTI="] {
            assert_eq!(Links::parse_uid(uid), None, "{uid:?}");
        }
    }

    #[test]
    fn a_token_has_djoser_s_shape() {
        let token = links().token(MailPurpose::PasswordReset, &ada(), at(0));
        let (time, tag) = token.expose_secret().split_once('-').unwrap();
        assert_eq!(u64::from_str_radix(time, 36), Ok(1_700_000_000 - 978_307_200));
        assert_eq!(tag.len(), 32);
        assert!(tag.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    }

    #[test]
    fn a_token_is_good_for_its_purpose_until_the_timeout() {
        let purpose = MailPurpose::PasswordReset;
        let token = links().token(purpose, &ada(), at(0));
        let good = |purpose, now| links().check(purpose, &ada(), token.expose_secret(), now);
        assert!(good(purpose, at(0)));
        assert!(good(purpose, at(3 * 86_400)));
        assert!(!good(purpose, at(3 * 86_400 + 1)));
        assert!(!good(MailPurpose::UsernameReset, at(0)));
        assert!(!good(MailPurpose::Activation, at(0)));
    }

    #[test]
    fn a_token_ends_with_what_it_was_made_of() {
        let purpose = MailPurpose::PasswordReset;
        let token = links().token(purpose, &ada(), at(0));
        let good = |user: &User| links().check(purpose, user, token.expose_secret(), at(1));
        assert!(good(&User { username: "other".into(), is_staff: true, ..ada() }));
        assert!(!good(&User { id: UserId(8), ..ada() }));
        assert!(!good(&User { password: "!".into(), ..ada() }));
        assert!(!good(&User { email: "Ada@example.org".into(), ..ada() }));
        assert!(!good(&User { last_login: Some(at(0)), ..ada() }));
        let other_key = Links::new([8; 32], 3 * DAY);
        assert!(!other_key.check(purpose, &ada(), token.expose_secret(), at(1)));
    }

    #[test]
    fn a_token_that_was_touched_is_bad() {
        let purpose = MailPurpose::PasswordReset;
        let token = links().token(purpose, &ada(), at(0));
        let token = token.expose_secret();
        let (time, tag) = token.split_once('-').unwrap();
        let later = base36(parse_base36(time).unwrap() + 1);
        for bad in [
            String::new(),
            "-".into(),
            time.into(),
            format!("{time}-"),
            format!("-{tag}"),
            format!("{later}-{tag}"),
            format!("0{token}"),
            format!("+{token}"),
            format!("{token}0"),
            format!("{token}-"),
            token.to_uppercase(),
            format!("zzzzzzzzzzzzzzzzzzzz-{tag}"),
            format!("ü-{tag}"),
        ] {
            assert!(!links().check(purpose, &ada(), &bad, at(0)), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_id_that_can_be_comes_back_from_its_uid(id in 1..=i64::MAX) {
            prop_assert_eq!(Links::parse_uid(&Links::uid(UserId(id))), Some(UserId(id)));
        }

        /// One spelling for each id: what is read is what would be written.
        #[test]
        fn no_text_is_a_second_spelling_of_a_uid(text in "\\PC{0,24}|[A-Za-z0-9_=-]{0,28}") {
            if let Some(id) = Links::parse_uid(&text) {
                prop_assert_eq!(Links::uid(id), text);
            }
        }

        #[test]
        fn only_the_token_itself_is_good(
            text in "\\PC{0,60}|[0-9a-z]{1,14}-[0-9a-f]{32}",
            (place, to) in (0..39_usize, any::<char>()),
        ) {
            let purpose = MailPurpose::Activation;
            let token = links().token(purpose, &ada(), at(0));
            let token = token.expose_secret();
            prop_assert!(!links().check(purpose, &ada(), &text, at(0)) || text == token);
            let mut altered: Vec<char> = token.chars().collect();
            let place = place % altered.len();
            altered[place] = to;
            let altered: String = altered.into_iter().collect();
            prop_assert_eq!(links().check(purpose, &ada(), &altered, at(0)), altered == token);
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", links()), "Links { timeout: 259200s, .. }");
    }
}
