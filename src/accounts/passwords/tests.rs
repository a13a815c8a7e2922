//! The formats of stored hashes, each right and wrong; what nobody should be able to store.

use super::formats::{Policy, Stored};
use super::slowest::slower;
use crate::config;

// Made by Python's hashlib and by argon2-cffi through Django.
const PBKDF2_SHA256: &str =
    "pbkdf2_sha256$1000$kXo3qPz0Rw1aBcDe2fGhIj$BZCNK8MCw+PKjA0n6lRvRZN3PdSXrJBVrd0t0YSEVZI=";
const PBKDF2_SHA1: &str = "pbkdf2_sha1$1000$kXo3qPz0Rw1a$2wKt7hGKuOuMC0OewE16WlDGmks=";
const DJANGO_ARGON2: &str = "argon2$argon2id$v=19$m=102400,t=2,p=8$dVRpUktwVjdXUkdrajVxWGR4TTlMUw$+IkzlUusyH/4zNVtBaVwi/dYpZrKi0rQNZM7GiuGtUs";

const POLICY: Policy = Policy::of(19_456, 2, 1);

fn fits(stored: &str, password: &str) -> bool {
    Stored::read(stored).fits(password.as_bytes())
}

#[test]
fn hashes_of_django_are_understood() {
    assert!(fits(PBKDF2_SHA256, "bob-Import-Pass-2"));
    assert!(!fits(PBKDF2_SHA256, "bob-Import-Pass-3"));
    assert!(fits(PBKDF2_SHA1, "пароль-1"));
    assert!(!fits(PBKDF2_SHA1, "пароль-2"));
    assert!(fits(DJANGO_ARGON2, "carol-Import-Pass-3"));
    assert!(!fits(DJANGO_ARGON2, "carol-Import-Pass-4"));
    let phc = DJANGO_ARGON2.strip_prefix("argon2").unwrap();
    assert!(fits(phc, "carol-Import-Pass-3"));
}

#[test]
fn hashes_of_django_do_not_follow_the_policy() {
    for stored in [PBKDF2_SHA256, PBKDF2_SHA1, DJANGO_ARGON2] {
        assert!(!Stored::read(stored).follows(POLICY), "{stored}");
    }
}

#[test]
fn a_new_hash_follows_its_policy_only() {
    let policy = Policy::of(64, 2, 1);
    let stored = policy.hash(b"x").unwrap();
    assert!(Stored::read(&stored).follows(policy));
    assert!(!Stored::read(&stored).follows(POLICY));
    assert!(Stored::read(&stored).cost() < Stored::read(&POLICY.stand_in()).cost());
    assert_eq!(Stored::read(&stored).cost(), Stored::read(&policy.stand_in()).cost());
}

#[test]
fn costs_beyond_the_caps_are_unusable() {
    let b64 = "A".repeat(43);
    for stored in [
        format!("$argon2id$v=19$m=19456,t=4294967295,p=1$YWJjZGVmZ2g${b64}"),
        format!("$argon2id$v=19$m=4294967295,t=1,p=1$YWJjZGVmZ2g${b64}"),
        format!("$argon2id$v=19$m=19456,t=2,p=17$YWJjZGVmZ2g${b64}"),
        format!("pbkdf2_sha256$10000001$salt${b64}="),
        format!("pbkdf2_sha256$0$salt${b64}="),
    ] {
        assert!(matches!(Stored::read(&stored), Stored::Unusable), "{stored}");
    }
    let good = format!("$argon2id$v=19$m=19456,t=2,p=16$YWJjZGVmZ2g${b64}");
    assert!(matches!(Stored::read(&good), Stored::Argon2(_)));
    let good = format!("pbkdf2_sha256$10000000$salt${b64}=");
    assert!(matches!(Stored::read(&good), Stored::Pbkdf2 { .. }));
}

#[test]
fn odd_text_is_unusable() {
    let b64 = "A".repeat(43);
    for stored in [
        String::new(),
        "$".into(),
        "argon2$".into(),
        "argon2$argon2id".into(),
        "argon2id$v=19$m=64,t=1,p=1$YWJjZGVmZ2g$".into(),
        "$argon2id$v=19$m=64,t=1,p=1$YWJjZGVmZ2g".into(),
        format!("$argon2id$v=19$m=0,t=0,p=0$YWJjZGVmZ2g${b64}"),
        format!("$argon2x$v=19$m=64,t=1,p=1$YWJjZGVmZ2g${b64}"),
        format!("$pbkdf2-sha256$i=1$YWJjZGVmZ2g${b64}"),
        "pbkdf2_sha256".into(),
        "pbkdf2_sha256$1".into(),
        "pbkdf2_sha256$1$salt$".into(),
        "pbkdf2_sha256$1$salt$====".into(),
        format!("pbkdf2_sha256$1$salt${b64}=$more"),
        format!("pbkdf2_sha256$1$${b64}="),
        format!("pbkdf2_sha256$-1$salt${b64}="),
        format!("pbkdf2_sha1$1$salt${b64}="),
        "bcrypt$$2b$12$abc".into(),
        "ü$ü$ü".into(),
    ] {
        assert!(matches!(Stored::read(&stored), Stored::Unusable), "{stored}");
    }
}

#[test]
fn a_policy_stays_between_argon2_s_least_and_the_caps() {
    let most = config::Argon2 { memory_kib: 1 << 31, iterations: 1 << 31, parallelism: 1 << 31 };
    let caps = Policy::of(1024 * 1024, 4, 16);
    assert_eq!(Policy::new(&most), caps);
    let nothing = config::Argon2 { memory_kib: 0, iterations: 0, parallelism: 0 };
    let least = Policy::of(8, 1, 1);
    assert_eq!(Policy::new(&nothing), least);
    assert!(least.hash(b"x").is_ok());
}

/// Django's other formats, each with its right password. Made by Django.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "bcrypt_sha256",
        "bcrypt_sha256$$2b$12$/okLrFCiKwDMrOhlHUaanuHSjRL7DGdRLmblPgksDG7bX1yK9LKPm",
        "dave-Import-Pass-4",
    ),
    (
        "bcrypt",
        "bcrypt$$2b$12$WV7paRS/Di3JIEz2Rcq7w.eyq1ZDMIU9S//KSCamcp2CPr7ccCRVy",
        "erin-Import-Pass-5",
    ),
    (
        "scrypt",
        "scrypt$16384$Sr5lrL8SJnPVLddjgp1iRg$8$5$dUDiTHgFb6SIxPQfA+oA5AcFpCtGv/22F0bgJ2BbGBygYRg9JqitftsYwSIr+vciwE74nLvchBwU/7hQQGlKLw==",
        "frank-Import-Pass-6",
    ),
    ("md5", "md5$0CpiCx07aqUWRk2Pq68oe1$de23ef1f99854d8bc19843c28509a85c", "heidi-Import-Pass-8"),
];

#[test]
fn bcrypt_scrypt_and_md5_are_understood() {
    for (name, stored, password) in OTHERS {
        let read = Stored::read(stored);
        assert_eq!(read.name(), *name);
        assert!(read.fits(password.as_bytes()), "{name}");
        assert!(!read.fits(&password.as_bytes()[1..]), "{name}");
        assert!(!read.fits(b""), "{name}");
        assert!(!read.follows(POLICY), "{name}");
    }
}

#[test]
fn plain_bcrypt_ends_at_72_bytes_and_bcrypt_sha256_does_not() {
    let salt = [7; 16];
    let long = "x".repeat(72);
    let plain = bcrypt::hash_with_salt(&long, 4, salt).unwrap().to_string();
    assert!(fits(&format!("bcrypt${plain}"), &long));
    assert!(fits(&format!("bcrypt${plain}"), &format!("{long}tail")));
    assert!(!fits(&format!("bcrypt${plain}"), &long[1..]));
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, long.as_bytes());
    let mixed = bcrypt::hash_with_salt(hex::encode(digest), 4, salt).unwrap().to_string();
    assert!(fits(&format!("bcrypt_sha256${mixed}"), &long));
    assert!(!fits(&format!("bcrypt_sha256${mixed}"), &format!("{long}tail")));
}

/// Made by argon2-cffi's low-level functions: argon2i, and the older version of the function.
#[test]
fn argon2i_and_version_16_are_understood() {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
    for (algorithm, version) in
        [(Algorithm::Argon2i, Version::V0x13), (Algorithm::Argon2id, Version::V0x10)]
    {
        let argon2 = Argon2::new(algorithm, version, Params::new(64, 1, 1, None).unwrap());
        let stored = format!("argon2{}", argon2.hash_password(b"right").unwrap());
        assert!(fits(&stored, "right"), "{stored}");
        assert!(!fits(&stored, "wrong"), "{stored}");
        assert!(!Stored::read(&stored).follows(Policy::of(64, 1, 1)), "{stored}");
    }
}

#[test]
fn bcrypt_and_scrypt_beyond_the_caps_are_unusable() {
    let (dots, hash) = (".".repeat(53), format!("{}==", "A".repeat(86)));
    for (good, bad) in [
        (format!("bcrypt$$2b$16${dots}"), format!("bcrypt$$2b$17${dots}")),
        (format!("bcrypt_sha256$$2y$04${dots}"), format!("bcrypt_sha256$$2b$31${dots}")),
        (format!("bcrypt$$2a$12${dots}"), format!("bcrypt$$2x$12${dots}")),
        (format!("scrypt$262144$salt$8$1${hash}"), format!("scrypt$524288$salt$8$1${hash}")),
        (format!("scrypt$16384$salt$8$128${hash}"), format!("scrypt$16384$salt$8$129${hash}")),
        (format!("scrypt$2$salt$1$1${hash}"), format!("scrypt$3$salt$1$1${hash}")),
        (format!("scrypt$2$salt$1$1${hash}"), format!("scrypt$0$salt$1$1${hash}")),
        (format!("scrypt$2$salt$1$1${hash}"), format!("scrypt$1$salt$0$0${hash}")),
        (format!("scrypt$2$salt$1$1${hash}"), format!("scrypt$2$salt$1$1$1${hash}")),
        (
            format!("scrypt$2$salt$1$1${hash}"),
            format!("scrypt$9223372036854775808$salt$4294967295$4294967295${hash}"),
        ),
        (format!("md5$salt${}", "0".repeat(32)), format!("md5$salt${}", "0".repeat(31))),
    ] {
        assert!(!matches!(Stored::read(&good), Stored::Unusable), "{good}");
        assert!(matches!(Stored::read(&bad), Stored::Unusable), "{bad}");
    }
}

#[test]
fn a_stand_in_costs_what_the_hash_costs_and_fits_no_password() {
    let all = OTHERS.iter().map(|(_, stored, _)| *stored);
    for stored in all.chain([PBKDF2_SHA256, PBKDF2_SHA1, DJANGO_ARGON2]) {
        let read = Stored::read(stored);
        let Some(stand_in) = read.stand_in() else {
            assert_eq!((read.name(), read.cost()), ("md5", 0));
            continue;
        };
        let other = Stored::read(&stand_in);
        assert_eq!((other.name(), other.cost()), (read.name(), read.cost()), "{stand_in}");
        assert!(!other.fits(b"") && !other.fits(b"nobody"), "{stand_in}");
    }
}

#[test]
fn the_slower_hash_wins() {
    let million = format!("pbkdf2_sha256$1500000$salt${}=", "A".repeat(43));
    let policy = POLICY.stand_in();
    assert!(slower(&million, &policy).unwrap().starts_with("pbkdf2_sha256$1500000$"));
    assert_eq!(slower(&policy, &million), None);
    assert_eq!(slower(PBKDF2_SHA256, &policy), None);
    assert_eq!(slower("!", "!"), None);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(
        name in "(pbkdf2_sha256|bcrypt|bcrypt_sha256|scrypt|md5|argon2|)",
        rest in "(\\$|[0-9]{1,10}|2b|[a-zA-Z./=é]{1,4}|argon2id|v=19|m=8,t=1,p=1){0,12}",
    ) {
        let _ = Stored::read(&format!("{name}${rest}")).cost();
    }
}
