//! The formats that a stored hash can have, and the policy for new ones.
//!
//! Stored hashes come from the database or from an import, so each cost in them has a cap:
//! one row must not occupy a core for hours or ask for all memory. A format that is not
//! known is unusable. It must not know the pool that does the work.

use std::num::NonZeroU32;
use std::str::FromStr as _;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

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
/// 2^16 rounds, some seconds. Django writes 12.
const MAX_BCRYPT_COST: u32 = 16;
/// 256 MiB: what checking one scrypt hash may ask for at most. Django's take 16 MiB.
const MAX_SCRYPT_BYTES: u64 = 256 * 1024 * 1024;
/// `N * r * p`; some seconds. Django 5.1 and later write 655,360.
const MAX_SCRYPT_WORK: u64 = 16 * 1024 * 1024;

const SCRYPT_LENGTH: usize = 64;
/// Iterations of PBKDF2 in a microsecond, about.
const FILLERS_PER_MICRO: u64 = 10;
const NOBODYS_SALT: &str = "nobodys0account0000000";

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
    /// Django's `bcrypt$…` and, of the SHA-256 in hex, `bcrypt_sha256$…`; here from bcrypt's own `$`.
    Bcrypt { of_digest: bool, cost: u32, hash: &'a str },
    /// Django's `scrypt$N$salt$r$p$hash`. The salt is its text.
    Scrypt { params: scrypt::Params, work: u64, salt: &'a str, hash: Vec<u8> },
    /// Django's `md5$salt$hex`, of very old databases.
    Md5 { salt: &'a str, hash: [u8; 16] },
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

    #[cfg(test)]
    pub(super) const fn of(memory_kib: u32, iterations: u32, parallelism: u32) -> Self {
        Self { memory_kib, iterations, parallelism }
    }

    /// A PHC string. An error means that there was no memory for it.
    pub(super) fn hash(self, password: &[u8]) -> Result<String, Busy> {
        let hash = self.argon2().ok_or(Busy)?.hash_password(password).map_err(|_| Busy)?;
        Ok(hash.to_string())
    }

    /// A hash of nobody's password, that costs what this policy's hashes cost.
    pub(super) fn stand_in(self) -> String {
        let Self { memory_kib, iterations, parallelism } = self;
        argon2_stand_in("argon2id", memory_kib, iterations, parallelism)
    }

    fn argon2(self) -> Option<Argon2<'static>> {
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, None).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
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
            Some(("bcrypt_sha256", hash)) => bcrypt(true, hash),
            Some(("bcrypt", hash)) => bcrypt(false, hash),
            Some(("scrypt", rest)) => scrypt(rest),
            Some(("md5", rest)) => md5(rest),
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
            // Beyond 72 bytes bcrypt does not look, and neither did Django when it wrote these.
            Self::Bcrypt { of_digest: false, hash, .. } => {
                bcrypt::verify(password, hash).unwrap_or(false)
            }
            Self::Bcrypt { of_digest: true, hash, .. } => {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, password);
                bcrypt::verify(hex::encode(digest), hash).unwrap_or(false)
            }
            Self::Scrypt { params, salt, hash, .. } => {
                let mut out = [0; SCRYPT_LENGTH];
                scrypt::scrypt(password, salt.as_bytes(), params, &mut out).is_ok()
                    && bool::from(out.ct_eq(hash))
            }
            Self::Md5 { salt, hash } => {
                let found = Md5::new().chain_update(salt).chain_update(password).finalize();
                bool::from(found.as_slice().ct_eq(hash))
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

    /// About how long checking it takes, in microseconds of the machine that it was measured on:
    /// 1,500,000 iterations of PBKDF2 take 150 ms, 19 MiB of argon2 twice 13 ms, 100 MiB twice
    /// 150 ms (they leave the processor's cache), bcrypt with 12 rounds and Django's scrypt 200 ms.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Argon2(read) => {
                let work = u64::from(read.1.m_cost()) * u64::from(read.1.t_cost());
                if read.1.m_cost() <= 64 * 1024 { work / 3 } else { work * 3 / 4 }
            }
            Self::Pbkdf2 { iterations, .. } => u64::from(iterations.get()) / FILLERS_PER_MICRO,
            Self::Bcrypt { cost, .. } => 49 << cost,
            Self::Scrypt { work, .. } => work * 3 / 10,
            Self::Md5 { .. } | Self::Unusable => 0,
        }
    }

    /// A hash of the same format and costs, of nobody's password: what it costs can be kept
    /// without keeping anybody's hash. None for what costs nothing.
    pub(super) fn stand_in(&self) -> Option<String> {
        Some(match self {
            Self::Argon2(read) => {
                let (hash, params) = &**read;
                let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
                argon2_stand_in(hash.algorithm.as_str(), m, t, p)
            }
            Self::Pbkdf2 { iterations, hash, .. } => {
                let name = if hash.len() == 20 { "pbkdf2_sha1" } else { "pbkdf2_sha256" };
                format!(
                    "{name}${iterations}${NOBODYS_SALT}${}",
                    STANDARD.encode(vec![0; hash.len()])
                )
            }
            Self::Bcrypt { of_digest, cost, .. } => {
                let name = if *of_digest { "bcrypt_sha256" } else { "bcrypt" };
                format!("{name}$$2b${cost:02}${}", ".".repeat(53))
            }
            Self::Scrypt { params, .. } => {
                let (n, r, p) = (1_u64 << params.log_n(), params.r(), params.p());
                let hash = STANDARD.encode([0; SCRYPT_LENGTH]);
                format!("scrypt${n}${NOBODYS_SALT}${r}${p}${hash}")
            }
            Self::Md5 { .. } | Self::Unusable => return None,
        })
    }

    /// What the format is called in reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Argon2(_) => "argon2",
            Self::Pbkdf2 { hash, .. } if hash.len() == 20 => "pbkdf2_sha1",
            Self::Pbkdf2 { .. } => "pbkdf2_sha256",
            Self::Bcrypt { of_digest: true, .. } => "bcrypt_sha256",
            Self::Bcrypt { of_digest: false, .. } => "bcrypt",
            Self::Scrypt { .. } => "scrypt",
            Self::Md5 { .. } => "md5",
            Self::Unusable => "unusable",
        }
    }
}

/// Work for nothing, of about so many microseconds: PBKDF2, since it can be had in any amount.
pub(super) fn fill(micros: u64, password: &[u8]) {
    let iterations = u32::try_from(micros.saturating_mul(FILLERS_PER_MICRO)).unwrap_or(u32::MAX);
    let Some(iterations) = NonZeroU32::new(iterations.min(MAX_PBKDF2_ITERATIONS)) else { return };
    let mut out = [0; 32];
    let salt = NOBODYS_SALT.as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, &mut out);
    std::hint::black_box(out);
}

fn argon2_stand_in(algorithm: &str, memory_kib: u32, iterations: u32, lanes: u32) -> String {
    let zeros = "A".repeat(43);
    format!(
        "${algorithm}$v=19$m={memory_kib},t={iterations},p={lanes}$bm9ib2R5cyBhY2NvdW50${zeros}"
    )
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

fn bcrypt(of_digest: bool, hash: &str) -> Option<Stored<'_>> {
    let cost = bcrypt::HashParts::from_str(hash).ok()?.get_cost();
    // `2x` marks hashes of a faulty implementation, which nobody has computed for long.
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| hash.starts_with(version));
    (known && cost <= MAX_BCRYPT_COST).then_some(Stored::Bcrypt { of_digest, cost, hash })
}

fn scrypt(rest: &str) -> Option<Stored<'_>> {
    let mut parts = rest.split('$');
    let n: u64 = parts.next()?.parse().ok()?;
    let salt = parts.next()?;
    let (r, p): (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let hash = STANDARD.decode(parts.next()?).ok()?;
    if !n.is_power_of_two() {
        return None;
    }
    let block = n.checked_mul(u64::from(r))?;
    let work = block.checked_mul(u64::from(p))?;
    let good = parts.next().is_none()
        && block.checked_mul(128)? <= MAX_SCRYPT_BYTES
        && work <= MAX_SCRYPT_WORK
        && hash.len() == SCRYPT_LENGTH;
    let params = scrypt::Params::new(u8::try_from(n.ilog2()).ok()?, r, p).ok()?;
    good.then_some(Stored::Scrypt { params, work, salt, hash })
}

fn md5(rest: &str) -> Option<Stored<'_>> {
    let (salt, digits) = rest.split_once('$')?;
    let mut hash = [0; 16];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    Some(Stored::Md5 { salt, hash })
}
