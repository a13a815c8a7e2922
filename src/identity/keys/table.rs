//! Which key checks which token: one entry for each key, and no token with two keys.
//!
//! It must not know where keys come from.

use std::sync::Arc;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::Jwk;

use super::KeyError;
use super::life::KeyLife;
use super::verifier::Verifier;

/// Whose tokens a key checks, and what they must say.
#[derive(Debug)]
pub(in crate::identity) struct Issuer {
    /// The claim `iss` that is required; none: any, as simplejwt has it.
    pub(in crate::identity) name: Option<String>,
    /// One of these in the claim `aud` is required; empty: `aud` is ignored.
    pub(in crate::identity) audience: Vec<String>,
    /// Who the tokens speak of.
    pub(in crate::identity) users: Users,
    /// The claim that names the user.
    pub(in crate::identity) user_claim: String,
    /// The claim that tells access from refresh tokens.
    pub(in crate::identity) type_claim: String,
    /// The claim that names the token.
    pub(in crate::identity) id_claim: String,
    /// By how many seconds a clock may be off.
    pub(in crate::identity) leeway: i64,
    /// Which claims must be there.
    pub(in crate::identity) dialect: Dialect,
}

/// Who the tokens of an issuer speak of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::identity) enum Users {
    /// Our users, and the tokens are our own: `sid` and `gen` mean what we mean.
    Own,
    /// Our users by number.
    LocalById,
    /// Our users by name.
    LocalByName,
    /// Users of their own, written behind this name.
    Foreign(String),
}

/// Which claims a token must have besides `exp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::identity) enum Dialect {
    /// simplejwt's: `jti` and `token_type`.
    SimpleJwt,
    /// Anyone's: neither; but a `token_type` that is there must be right.
    Open,
}

/// Which tokens a key answers to, by their `kid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::identity) enum Kid {
    /// To its own name and, if it is the default, to tokens without one.
    Named {
        /// The name.
        name: String,
        /// Whether it also checks tokens that name no key.
        default: bool,
    },
    /// To tokens without a `kid` only.
    Nameless,
    /// To any: the issuer's only key, whatever he calls it.
    Any,
}

/// A key that checks signatures.
#[derive(Clone)]
pub(in crate::identity) struct VerifyingKey {
    /// The one algorithm it is used with.
    pub(in crate::identity) algorithm: Algorithm,
    /// Which tokens it answers to.
    pub(in crate::identity) kid: Kid,
    /// Whose it is.
    pub(in crate::identity) issuer: Arc<Issuer>,
    /// The key, ready to be used.
    pub(in crate::identity) verifier: Verifier,
    /// The public half that others may see; only of our own asymmetric keys.
    pub(in crate::identity) public: Option<Jwk>,
    /// A file or setting, for faults.
    pub(in crate::identity) origin: String,
    /// Whether it is still there.
    pub(in crate::identity) life: KeyLife,
}

impl VerifyingKey {
    /// Whether it is that key, made anew.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm
            && self.kid.name() == other.kid.name()
            && self.issuer.name == other.issuer.name
    }
}

impl Kid {
    pub(super) fn answers(&self, kid: Option<&str>) -> bool {
        match (self, kid) {
            (Self::Any, _) | (Self::Nameless, None) => true,
            (Self::Named { name, .. }, Some(kid)) => name == kid,
            (Self::Named { default, .. }, None) => *default,
            (Self::Nameless, Some(_)) => false,
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Named { name, .. } => Some(name),
            Self::Nameless | Self::Any => None,
        }
    }

    /// Whether some token would suit both.
    fn meets(&self, other: &Self) -> bool {
        matches!(self, Self::Any)
            || matches!(other, Self::Any)
            || (self.answers(None) && other.answers(None))
            || (self.name().is_some() && self.name() == other.name())
    }
}

/// Refuses tables in which two keys would check the same token.
pub(super) fn check_unambiguous(table: &[VerifyingKey]) -> Result<(), KeyError> {
    for (index, second) in table.iter().enumerate() {
        for first in &table[..index] {
            if first.algorithm == second.algorithm
                && first.issuer.name == second.issuer.name
                && first.kid.meets(&second.kid)
            {
                let (first, second) = (first.origin.clone(), second.origin.clone());
                return Err(KeyError::Ambiguous { first, second });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, default: bool) -> Kid {
        Kid::Named { name: name.to_owned(), default }
    }

    #[test]
    fn keys_meet_where_one_token_would_suit_both() {
        assert!(named("a", false).meets(&named("a", false)));
        assert!(named("a", true).meets(&named("b", true)));
        assert!(named("a", true).meets(&Kid::Nameless));
        assert!(Kid::Any.meets(&named("a", false)));
        assert!(Kid::Nameless.meets(&Kid::Nameless));
    }

    #[test]
    fn keys_that_no_token_suits_together_stay_apart() {
        assert!(!named("a", true).meets(&named("b", false)));
        assert!(!named("a", false).meets(&Kid::Nameless));
    }
}
