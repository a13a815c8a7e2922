//! Gathers the keys: the operator's files, the stored and sealed ones, the trusted issuers'.
//!
//! Everything that could be wrong with a key is found here, before anything listens. It must
//! not know how tokens are checked.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Clock;
use crate::config::{JwtTokens, SecretText, Settings, TrustedIssuer, TrustedUsers};
use crate::model::Timestamp;
use crate::secret::RootKey;
use crate::store::{KeyState, SigningKey, Store};

use super::generation::generate;
use super::life::KeyLife;
use super::remote::Remote;
use super::rotation::retires_for;
use super::table::{Dialect, Issuer, Kid, Users, VerifyingKey, check_unambiguous};
use super::verifier::Verifier;
use super::{KeyError, Keys, Ring, Signer, Stored, jwks, key_set, pem, seal};

/// Shorter secrets can be guessed from a single token.
const SHORTEST_SECRET: usize = 32;

type Result<T> = std::result::Result<T, KeyError>;

impl Keys {
    /// Loads all keys. Where our own algorithm is asymmetric and the settings name no files, the
    /// key is generated once and kept sealed in the database; replicas that start at the same
    /// time agree on one.
    ///
    /// # Errors
    /// The first key that cannot be used, or the database's trouble.
    pub async fn load(
        settings: &Settings,
        store: &Store,
        root: &RootKey,
        clock: &Clock,
    ) -> Result<Self> {
        let jwt = &settings.tokens.jwt;
        let algorithm = parse(&jwt.algorithm)?;
        let mut stored = None;
        let own = if algorithm.family() == AlgorithmFamily::Hmac {
            vec![own_secret(jwt, algorithm)?]
        } else if jwt.keys.is_empty() {
            stored = Some(Stored { root: root.clone(), algorithm, retires_for: retires_for(jwt) });
            stored_keys(store, root, clock, algorithm).await?
        } else {
            own_files(jwt, algorithm).await?
        };
        let (mut trusted, mut remotes) = (Vec::new(), Vec::new());
        for issuer in &jwt.trusted {
            if issuer.jwks_url.is_empty() {
                trusted.extend(trusted_keys(jwt, issuer).await?);
            } else {
                let (name, url) = (issuer.name.clone(), issuer.jwks_url.clone());
                let algorithm = parse(&issuer.algorithm)?;
                remotes.push(Remote::new(name, url, algorithm, Arc::new(issuer_of(jwt, issuer)?)));
            }
        }
        Ok(Self { remotes, stored, ..Self::assemble(jwt, own, trusted)? })
    }

    /// Our own keys in order, the first of them signs; then everybody else's.
    pub(in crate::identity) fn assemble(
        jwt: &JwtTokens,
        own: Vec<OwnKey>,
        trusted: Vec<VerifyingKey>,
    ) -> Result<Self> {
        let ring = ArcSwap::from_pointee(Ring::of(jwt, own.clone(), &trusted)?);
        let (own, remotes, jwt) = (Mutex::new(own), Vec::new(), jwt.clone());
        Ok(Self { ring, own, trusted, remotes, jwt, stored: None })
    }

    /// Takes other keys of our own. Those that are there already live on, those that are not
    /// among them any more end.
    pub(super) fn renew(&self, own: Vec<OwnKey>) -> Result<()> {
        self.assemble_anew(Some(own))
    }

    /// `own`: instead of those that we have.
    pub(super) fn assemble_anew(&self, own: Option<Vec<OwnKey>>) -> Result<()> {
        let mut held = self.own.lock();
        let own = own.unwrap_or_else(|| held.clone());
        let mut others = self.trusted.clone();
        others.extend(self.remotes.iter().flat_map(Remote::keys));
        let mut new = Ring::of(&self.jwt, own.clone(), &others)?;
        *held = own;
        let old = self.ring.load_full();
        for key in &mut new.table {
            if let Some(known) = old.table.iter().find(|known| known.is_same(key)) {
                key.life = known.life.clone();
            }
        }
        let new = Arc::new(new);
        self.ring.store(Arc::clone(&new));
        for key in &old.table {
            if !new.table.iter().any(|kept| kept.is_same(key)) {
                key.life.end();
            }
        }
        Ok(())
    }
}

impl Ring {
    fn of(jwt: &JwtTokens, own: Vec<OwnKey>, trusted: &[VerifyingKey]) -> Result<Self> {
        let issuer = Arc::new(Issuer {
            name: (!jwt.issuer.is_empty()).then(|| jwt.issuer.clone()),
            audience: jwt.audience.clone(),
            users: Users::Own,
            user_claim: jwt.user_id_claim.clone(),
            type_claim: jwt.token_type_claim.clone(),
            id_claim: jwt.jti_claim.clone(),
            leeway: leeway(jwt),
            dialect: Dialect::SimpleJwt,
        });
        let mut signing = None;
        let mut table: Vec<VerifyingKey> = Vec::new();
        for key in own {
            let default = !table.iter().any(|known| known.algorithm == key.algorithm);
            let kid = match key.kid {
                Some(name) => Kid::Named { name, default },
                None => Kid::Nameless,
            };
            if signing.is_none() {
                let key = key.signing.ok_or_else(|| KeyError::Unusable {
                    which: key.origin.clone(),
                    reason: "the first key signs, and this one is public".to_owned(),
                })?;
                signing = Some(Signer {
                    algorithm: parse(&jwt.algorithm)?,
                    header: header(&jwt.algorithm, &kid, "JWT"),
                    assertion_header: header(&jwt.algorithm, &kid, "assertion+jwt"),
                    key,
                });
            }
            table.push(VerifyingKey {
                algorithm: key.algorithm,
                kid,
                issuer: Arc::clone(&issuer),
                verifier: key.verifying,
                public: key.public,
                origin: key.origin,
                life: KeyLife::begin(),
            });
        }
        let signing = signing.ok_or(KeyError::Generation)?;
        let key_set = key_set(&table);
        table.extend_from_slice(trusted);
        check_unambiguous(&table)?;
        Ok(Self { table, signing, key_set })
    }
}

/// One of our own keys, before it has its place in the table.
#[derive(Clone)]
pub(in crate::identity) struct OwnKey {
    algorithm: Algorithm,
    kid: Option<String>,
    /// None: it only checks.
    signing: Option<EncodingKey>,
    verifying: Verifier,
    public: Option<jsonwebtoken::jwk::Jwk>,
    origin: String,
}

impl OwnKey {
    fn from_pair(pair: pem::KeyPair, origin: String) -> Self {
        Self {
            algorithm: pair.algorithm,
            kid: Some(pair.thumbprint),
            signing: Some(pair.signing),
            verifying: pair.verifying,
            public: Some(pair.public),
            origin,
        }
    }
}

pub(super) fn parse(algorithm: &str) -> Result<Algorithm> {
    algorithm.parse().map_err(|_| KeyError::UnknownAlgorithm(algorithm.to_owned()))
}

/// The header of our tokens. Of shared secrets exactly simplejwt's.
fn header(algorithm: &str, kid: &Kid, typ: &str) -> String {
    let header = match kid.name() {
        Some(kid) => serde_json::json!({"alg": algorithm, "kid": kid, "typ": typ}),
        None => serde_json::json!({"alg": algorithm, "typ": typ}),
    };
    URL_SAFE_NO_PAD.encode(header.to_string())
}

pub(in crate::identity) fn own_secret(jwt: &JwtTokens, algorithm: Algorithm) -> Result<OwnKey> {
    let origin = "tokens.jwt.signing_key".to_owned();
    let secret = long_enough(&jwt.signing_key, &origin)?;
    let verifying = Verifier::secret(secret, algorithm);
    Ok(OwnKey {
        algorithm,
        kid: None,
        signing: Some(EncodingKey::from_secret(secret)),
        verifying: verifying.ok_or_else(|| no_secret(algorithm))?,
        public: None,
        origin,
    })
}

fn no_secret(algorithm: Algorithm) -> KeyError {
    KeyError::UnknownAlgorithm(format!("{algorithm:?}"))
}

fn long_enough<'a>(secret: &'a SecretText, which: &str) -> Result<&'a [u8]> {
    let secret = secret.0.expose_secret().as_bytes();
    if secret.len() < SHORTEST_SECRET {
        return Err(KeyError::Unusable {
            which: which.to_owned(),
            reason: format!("a shared secret has at least {SHORTEST_SECRET} bytes"),
        });
    }
    Ok(secret)
}

async fn own_files(jwt: &JwtTokens, wanted: Algorithm) -> Result<Vec<OwnKey>> {
    let mut keys = Vec::new();
    for path in &jwt.keys {
        let (text, which) = (read(path).await?, path.display().to_string());
        let unusable = |reason| KeyError::Unusable { which: which.clone(), reason };
        let text = text.expose_secret();
        let key = if pem::is_public(text) && !keys.is_empty() {
            let public = pem::any_public_key(text, wanted).map_err(unusable)?;
            OwnKey {
                algorithm: public.algorithm,
                kid: Some(public.thumbprint),
                signing: None,
                verifying: public.verifying,
                public: Some(public.public),
                origin: which,
            }
        } else {
            let pair = pem::private_key(text, wanted).map_err(unusable)?;
            if keys.is_empty() && pair.algorithm != wanted {
                let reason = format!("the first key signs, and this one is not for {wanted:?}");
                return Err(unusable(reason));
            }
            OwnKey::from_pair(pair, which)
        };
        keys.push(key);
    }
    Ok(keys)
}

async fn stored_keys(
    store: &Store,
    root: &RootKey,
    clock: &Clock,
    wanted: Algorithm,
) -> Result<Vec<OwnKey>> {
    let name = format!("{wanted:?}");
    let mut stored = store.signing_keys().await?;
    if !stored.iter().any(|key| key.state == KeyState::Active && key.algorithm == name) {
        let text = tokio::task::spawn_blocking(move || generate(wanted))
            .await
            .map_err(|_| KeyError::Generation)??;
        let new = sealed(root, clock.now(), wanted, &SecretString::from(text))?;
        stored = store.ensure_signing_key(new).await?;
    }
    opened(root, wanted, stored)
}

/// Seals a new key for the database.
pub(in crate::identity) fn sealed(
    root: &RootKey,
    now: Timestamp,
    algorithm: Algorithm,
    text: &SecretString,
) -> Result<SigningKey> {
    let text = text.expose_secret();
    let pair = pem::private_key(text, algorithm).map_err(|_| KeyError::Generation)?;
    let (kid, name) = (pair.thumbprint, format!("{algorithm:?}"));
    let sealed = seal::seal(root, &kid, &name, text.as_bytes())?;
    let (state, activated) = (KeyState::Active, Some(now));
    Ok(SigningKey { kid, algorithm: name, state, sealed, created: now, activated, retired: None })
}

/// Opens the stored keys. The newest active one of the wanted algorithm comes first and signs;
/// all that are not gone verify, those of other algorithms too.
pub(in crate::identity) fn opened(
    root: &RootKey,
    wanted: Algorithm,
    mut stored: Vec<SigningKey>,
) -> Result<Vec<OwnKey>> {
    stored.retain(|key| key.state != KeyState::Gone);
    let signs =
        |key: &SigningKey| key.state == KeyState::Active && key.algorithm == format!("{wanted:?}");
    // Every replica must come to the same order, whatever the database's.
    stored.sort_by(|a, b| (signs(b), b.created, &b.kid).cmp(&(signs(a), a.created, &a.kid)));
    if !stored.first().is_some_and(signs) {
        return Err(KeyError::Generation);
    }
    stored
        .into_iter()
        .map(|key| {
            let plain = seal::open(root, &key.kid, &key.algorithm, &key.sealed)?;
            let refused = || KeyError::Sealed { kid: key.kid.clone() };
            let text = SecretString::from(String::from_utf8(plain).map_err(|_| refused())?);
            let pair = pem::private_key(text.expose_secret(), parse(&key.algorithm)?)
                .map_err(|_| refused())?;
            Ok(OwnKey::from_pair(pair, format!("the stored signing key {}", key.kid)))
        })
        .collect()
}

pub(in crate::identity) async fn trusted_keys(
    jwt: &JwtTokens,
    trusted: &TrustedIssuer,
) -> Result<Vec<VerifyingKey>> {
    let algorithm = parse(&trusted.algorithm)?;
    let symmetric = algorithm.family() == AlgorithmFamily::Hmac;
    let issuer = Arc::new(issuer_of(jwt, trusted)?);
    let origin = format!("the trusted issuer {:?}", trusted.name);
    let unusable = |reason| KeyError::Unusable { which: origin.clone(), reason };
    let keys = if symmetric {
        let secret = long_enough(&trusted.secret, &origin)?;
        let verifier = Verifier::secret(secret, algorithm);
        vec![(Kid::Any, verifier.ok_or_else(|| no_secret(algorithm))?)]
    } else if let Some(path) = &trusted.public_key_file {
        let text = read(path).await?;
        let key = pem::public_key(text.expose_secret(), algorithm).map_err(unusable)?;
        vec![(Kid::Any, key.verifying)]
    } else if let Some(path) = &trusted.jwks_file {
        let text = read(path).await?;
        let keys = jwks::read(text.expose_secret(), algorithm).map_err(unusable)?;
        keys.into_iter().map(|(kid, key)| (kid, key.verifying)).collect()
    } else {
        return Err(unusable(
            "it has no key: set public_key_file, jwks_file or jwks_url".to_owned(),
        ));
    };
    Ok(keys
        .into_iter()
        .map(|(kid, verifier)| VerifyingKey {
            algorithm,
            kid,
            issuer: Arc::clone(&issuer),
            verifier,
            public: None,
            origin: origin.clone(),
            life: KeyLife::begin(),
        })
        .collect())
}

/// Whose tokens a trusted issuer's keys check, and what they must say.
fn issuer_of(jwt: &JwtTokens, trusted: &TrustedIssuer) -> Result<Issuer> {
    let symmetric = parse(&trusted.algorithm)?.family() == AlgorithmFamily::Hmac;
    Ok(Issuer {
        name: (!trusted.issuer.is_empty()).then(|| trusted.issuer.clone()),
        audience: trusted.audience.clone(),
        users: match trusted.users {
            TrustedUsers::Claims => Users::Foreign(trusted.name.clone()),
            // Only simplejwt's claim holds numbers of ours. Anywhere else "42" is a name, and
            // must not lead to user 42.
            TrustedUsers::Local if trusted.user_claim == jwt.user_id_claim => Users::LocalById,
            TrustedUsers::Local => Users::LocalByName,
        },
        user_claim: match trusted.users {
            // The default names our users; foreign ones are known by their subject (RFC 7519).
            TrustedUsers::Claims if trusted.user_claim == jwt.user_id_claim => "sub".to_owned(),
            _ => trusted.user_claim.clone(),
        },
        // A Django has our names; others have those of RFC 7519.
        type_claim: if symmetric { &jwt.token_type_claim } else { "token_type" }.to_owned(),
        id_claim: if symmetric { &jwt.jti_claim } else { "jti" }.to_owned(),
        leeway: leeway(jwt),
        // Whoever shares a secret with us is a Django; others need not have simplejwt's claims.
        dialect: if symmetric { Dialect::SimpleJwt } else { Dialect::Open },
    })
}

fn leeway(jwt: &JwtTokens) -> i64 {
    i64::try_from(jwt.leeway.as_secs()).unwrap_or(i64::MAX)
}

async fn read(path: &Path) -> Result<SecretString> {
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|source| KeyError::Unreadable { path: path.display().to_string(), source })?;
    Ok(SecretString::from(text))
}
