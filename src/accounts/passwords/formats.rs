//! The formats that a stored hash can have, and the policy for new ones.
//!
//! Stored hashes come from the database or from an import, so each cost in them has a cap:
//! one row must not occupy a core for hours or ask for all memory. A format that is not
//! known is unusable. It must not know the pool that does the work.

use std::num::NonZeroU32;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config;

use super::Busy;

/// 1 GiB: what checking one argon2 hash may ask for at most.
const MAX_ARGON2_KIB: u32 = 1024 * 1024;
/// KiB times passes: 4 GiB written, some seconds. Django's default is 200 MiB.
const MAX_ARGON2_WORK: u64 = 4 * 1024 * 1024;
/// Lanes; each wants at least 8 KiB.
const MAX_ARGON2_LANES: u32 = 16;
/// About a second. Django 6.1 writes 1,500,000.
const MAX_PBKDF2_ITERATIONS: u32 = 10_000_000;
/// How many iterations of PBKDF2 take about as long as one pass of argon2 over a KiB. Measured:
/// 1,500,000 iterations in 150 ms, 38,912 KiB in 13 ms.
const PBKDF2_ITERATIONS_PER_KIB: u64 = 4;

/// How new hashes are made: argon2id with these costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

/// A stored hash, read.
pub(super) enum Stored<'a> {
    /// PHC, with or without Django's word `argon2` before it: argon2id, and argon2i in old rows.
    Argon2(Box<(PasswordHash, Params)>),
    /// Django's `pbkdf2_sha256$iterations$salt$hash` and `pbkdf2_sha1$…`. The salt is its text.
    Pbkdf2 { digest: pbkdf2::Algorithm, iterations: NonZeroU32, salt: &'a str, hash: Vec<u8> },
    /// No password fits: `!…`, an unknown format, or costs beyond the caps.
    Unusable,
}

// === impl Policy ===

impl Policy {
    pub(super) fn new(wanted: &config::Argon2) -> Self {
        let parallelism = wanted.parallelism.clamp(Params::MIN_P_COST, MAX_ARGON2_LANES);
        let memory_kib = wanted.memory_kib.clamp(8 * parallelism, MAX_ARGON2_KIB);
        // What we write, we must be able to read.
        let most = u32::try_from(MAX_ARGON2_WORK / u64::from(memory_kib)).unwrap_or(u32::MAX);
        let iterations = wanted.iterations.clamp(Params::MIN_T_COST, most);
        Self { memory_kib, iterations, parallelism }
    }

    /// A PHC string. An error means that there was no memory for it.
    pub(super) fn hash(self, password: &[u8]) -> Result<String, Busy> {
        let hash = self.argon2().ok_or(Busy)?.hash_password(password).map_err(|_| Busy)?;
        Ok(hash.to_string())
    }

    /// The work of one hash, for nothing.
    pub(super) fn spend(self, password: &[u8]) {
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        if let Some(argon2) = self.argon2() {
            // Its outcome is of no interest, and the compiler cannot see through it.
            let _ = argon2.hash_password_into(password, b"nobody's account", &mut out);
        }
        std::hint::black_box(out);
    }

    fn argon2(self) -> Option<Argon2<'static>> {
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, None).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }

    fn work(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }
}

// === impl Stored ===

impl<'a> Stored<'a> {
    /// Reads any text.
    pub(super) fn read(stored: &'a str) -> Self {
        let read = match stored.split_once('$') {
            Some(("", _)) => argon2(stored),
            Some(("argon2", _)) => argon2(&stored["argon2".len()..]),
            Some(("pbkdf2_sha256", rest)) => pbkdf2(pbkdf2::PBKDF2_HMAC_SHA256, 32, rest),
            Some(("pbkdf2_sha1", rest)) => pbkdf2(pbkdf2::PBKDF2_HMAC_SHA1, 20, rest),
            _ => None,
        };
        read.unwrap_or(Self::Unusable)
    }

    /// Whether this is the hash of `password`. Compares in constant time.
    pub(super) fn fits(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2(read) => Argon2::default().verify_password(password, &read.0).is_ok(),
            Self::Pbkdf2 { digest, iterations, salt, hash } => {
                pbkdf2::verify(*digest, *iterations, salt.as_bytes(), password, hash).is_ok()
            }
            Self::Unusable => false,
        }
    }

    /// Whether it was made as the policy makes them now.
    pub(super) fn follows(&self, policy: Policy) -> bool {
        let Self::Argon2(read) = self else { return false };
        let (hash, params) = &**read;
        hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
            && hash.version == Some(Version::V0x13.into())
            && params.m_cost() == policy.memory_kib
            && params.t_cost() == policy.iterations
            && params.p_cost() == policy.parallelism
            && params.output_len() == Some(Params::DEFAULT_OUTPUT_LEN)
    }

    /// Whether checking it takes less time than the policy's own work.
    pub(super) fn is_cheaper_than(&self, policy: Policy) -> bool {
        match self {
            Self::Argon2(read) => {
                u64::from(read.1.m_cost()) * u64::from(read.1.t_cost()) < policy.work()
            }
            Self::Pbkdf2 { iterations, .. } => {
                u64::from(iterations.get()) < policy.work() * PBKDF2_ITERATIONS_PER_KIB
            }
            Self::Unusable => true,
        }
    }
}

fn argon2<'a>(phc: &str) -> Option<Stored<'a>> {
    let hash = PasswordHash::new(phc).ok()?;
    Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    hash.salt.as_ref()?;
    hash.hash.as_ref()?;
    let params = Params::try_from(&hash).ok()?;
    let affordable = params.m_cost() <= MAX_ARGON2_KIB
        && u64::from(params.m_cost()) * u64::from(params.t_cost()) <= MAX_ARGON2_WORK
        && params.p_cost() <= MAX_ARGON2_LANES;
    affordable.then(|| Stored::Argon2(Box::new((hash, params))))
}

fn pbkdf2(digest: pbkdf2::Algorithm, length: usize, rest: &str) -> Option<Stored<'_>> {
    let mut parts = rest.split('$');
    let (iterations, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
    let iterations: NonZeroU32 = iterations.parse().ok()?;
    let hash = STANDARD.decode(hash).ok()?;
    let good = parts.next().is_none()
        && iterations.get() <= MAX_PBKDF2_ITERATIONS
        && !salt.is_empty()
        && hash.len() == length;
    good.then_some(Stored::Pbkdf2 { digest, iterations, salt, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by Python's hashlib and by argon2-cffi through Django.
    const PBKDF2_SHA256: &str =
        "pbkdf2_sha256$1000$kXo3qPz0Rw1aBcDe2fGhIj$BZCNK8MCw+PKjA0n6lRvRZN3PdSXrJBVrd0t0YSEVZI=";
    const PBKDF2_SHA1: &str = "pbkdf2_sha1$1000$kXo3qPz0Rw1a$2wKt7hGKuOuMC0OewE16WlDGmks=";
    const DJANGO_ARGON2: &str = "argon2$argon2id$v=19$m=102400,t=2,p=8$dVRpUktwVjdXUkdrajVxWGR4TTlMUw$+IkzlUusyH/4zNVtBaVwi/dYpZrKi0rQNZM7GiuGtUs";

    const POLICY: Policy = Policy { memory_kib: 19_456, iterations: 2, parallelism: 1 };

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
        let policy = Policy { memory_kib: 64, ..POLICY };
        let stored = policy.hash(b"x").unwrap();
        assert!(Stored::read(&stored).follows(policy));
        assert!(!Stored::read(&stored).follows(POLICY));
        assert!(Stored::read(&stored).is_cheaper_than(POLICY));
        assert!(!Stored::read(&stored).is_cheaper_than(policy));
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
        let most =
            config::Argon2 { memory_kib: 1 << 31, iterations: 1 << 31, parallelism: 1 << 31 };
        let caps = Policy { memory_kib: MAX_ARGON2_KIB, iterations: 4, parallelism: 16 };
        assert_eq!(Policy::new(&most), caps);
        let nothing = config::Argon2 { memory_kib: 0, iterations: 0, parallelism: 0 };
        let least = Policy { memory_kib: 8, iterations: 1, parallelism: 1 };
        assert_eq!(Policy::new(&nothing), least);
        assert!(least.hash(b"x").is_ok());
    }
}
