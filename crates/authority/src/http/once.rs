//! `Idempotency-Key`: a mutation is done once, however often it is asked for.
//!
//! The store decides, in the transaction of the mutation. Here the key is read, the secret of a new token sealed so that
//! only the bearer token that asked opens it again, and what was done before is looked up and told as it stands now. Not
//! told again is a refusal: nothing was done then.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hkdf, rand,
};
use http::{HeaderName, request::Parts};
use jeton_api::problem::Code;
use jeton_store::{
    AnyStore, Store, StoreError,
    idempotency::{Claim, Kept, Replay},
    model::{Caller, CredentialRow, Issued, NamespaceRow, Patched, RevocationRow, Revoked, Rotated, TokenRow},
};
use jeton_types::{CredentialId, CredentialRef, Hash32, RevocationId, Secret, TokenId};

use super::failure::Failure;
use crate::core::Core;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key.
const KEY_BYTES_MAX: usize = 255;
const SALT: &[u8] = b"jeton.idempotency.1";

/// A key as it came with a request.
pub(crate) struct Key {
    hash: Hash32,
    sealing: Arc<LessSafeKey>,
    request: digest::Context,
}

/// What a request asks for, whether a key was claimed for it, and that it runs.
pub(crate) struct Once {
    /// Where it is done.
    pub(crate) store: AnyStore,
    /// Who asks.
    pub(crate) caller: Caller,
    sealing: Option<Arc<LessSafeKey>>,
    _running: Option<Run>,
}

impl Key {
    /// The key of a request of `principal`, if it has one.
    pub(crate) fn read(
        parts: &Parts,
        bearer: &Secret<String>,
        principal: CredentialId,
    ) -> Result<Option<Self>, Failure> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let fits = |bytes: &[u8]| {
            (1..=KEY_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(|byte| (b'!'..=b'~').contains(byte))
        };
        if values.next().is_some() || !fits(value.as_bytes()) {
            return Err(Failure::new(
                Code::InvalidRequest,
                format!("`idempotency-key` is given once, as 1 to {KEY_BYTES_MAX} visible ASCII characters"),
            ));
        }
        let mut request = digest::Context::new(&digest::SHA256);
        let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
        let if_match = parts.headers.get_all(http::header::IF_MATCH).iter().map(|value| value.as_bytes());
        for part in [parts.method.as_str().as_bytes(), target.as_bytes()].into_iter().chain(if_match) {
            request.update(&(part.len() as u64).to_be_bytes());
            request.update(part);
        }
        Ok(Some(Self {
            hash: hash(digest::digest(&digest::SHA256, value.as_bytes())),
            sealing: Arc::new(sealing_key(bearer, value.as_bytes(), principal)?),
            request,
        }))
    }

    /// What the body asks for belongs to what is asked for.
    pub(crate) fn body(&mut self, bytes: &[u8]) {
        self.request.update(bytes);
    }

    /// Claims it: nobody else runs under it until the answer is made.
    fn claim(self, core: &Core, principal: CredentialId) -> Result<(Claim, Arc<LessSafeKey>, Run), Failure> {
        let running = core.running.begin((principal, self.hash)).ok_or_else(|| {
            Failure::new(
                Code::KeyRunning,
                "a request with this idempotency key is being answered: try again in a moment",
            )
        })?;
        let sealing = Arc::clone(&self.sealing);
        let seal = Box::new(move |secret: &Secret<String>, of: &str| seal(&sealing, secret, of));
        let claim = Claim { key: self.hash, body: hash(self.request.finish()), seal };
        Ok((claim, self.sealing, running))
    }
}

impl Once {
    /// For a caller with or without a key.
    pub(crate) fn new(core: &Core, caller: Caller, principal: CredentialId, key: Option<Key>) -> Result<Self, Failure> {
        let store: &AnyStore = &core.store;
        Ok(match key {
            None => Self { store: store.clone(), caller, sealing: None, _running: None },
            Some(key) => {
                let (claim, sealing, running) = key.claim(core, principal)?;
                Self { store: store.claimed(claim), caller, sealing: Some(sealing), _running: Some(running) }
            }
        })
    }

    /// What was done, now or before.
    pub(crate) async fn settle<T: Again>(&self, outcome: Result<T, StoreError>) -> Result<T, Failure> {
        match outcome {
            Err(StoreError::Replayed(replay)) => {
                let made = made(&replay.kept);
                let secret = self.sealing.as_deref().and_then(|key| open(key, &replay));
                if replay.sealed.is_some() && secret.is_none() {
                    return Err(Failure::new(
                        Code::SecretUnavailable,
                        format!(
                            "this was done before, and made {made}; the secret opens only to the token that asked for it then: rotate the credential for a new one"
                        ),
                    ));
                }
                let again = T::again(&self.store, replay.kept, secret).await?;
                again.ok_or_else(|| Failure::internal(&format!("what was made under a key is gone: {made}")))
            }
            other => Ok(other?),
        }
    }
}

/// What was made, for a person.
fn made(kept: &Kept) -> String {
    match kept {
        Kept::Namespace { namespace } => format!("namespace {namespace}"),
        Kept::NamespaceChange { namespace, revision, .. } => format!("a change of {namespace} at revision {revision}"),
        Kept::Issue { credential, token, revision } | Kept::Rotation { credential, token, revision, .. } => {
            format!("{token} of {credential} at revision {revision}")
        }
        Kept::CredentialChange { credential, revision, .. } => {
            format!("a change of {credential} at revision {revision}")
        }
        Kept::Revocation { revocation, .. } => revocation.to_string(),
    }
}

/// What can be told again, as it stands now.
pub(crate) trait Again: Sized {
    /// Nothing, if the key was for something of another kind.
    async fn again(store: &AnyStore, kept: Kept, secret: Option<Secret<String>>) -> Result<Option<Self>, StoreError>;
}

impl Again for NamespaceRow {
    async fn again(store: &AnyStore, kept: Kept, _: Option<Secret<String>>) -> Result<Option<Self>, StoreError> {
        let Kept::Namespace { namespace } = kept else { return Ok(None) };
        store.namespace(namespace).await
    }
}

impl Again for Issued {
    async fn again(store: &AnyStore, kept: Kept, secret: Option<Secret<String>>) -> Result<Option<Self>, StoreError> {
        let (Kept::Issue { credential, token, revision }, Some(secret)) = (kept, secret) else { return Ok(None) };
        let found = both(store, credential, token).await?;
        Ok(found.map(|(credential, token)| Self { credential, token, secret, revision }))
    }
}

impl Again for Rotated {
    async fn again(store: &AnyStore, kept: Kept, secret: Option<Secret<String>>) -> Result<Option<Self>, StoreError> {
        let (Kept::Rotation { credential, token, previous, revision }, Some(secret)) = (kept, secret) else {
            return Ok(None);
        };
        let (Some((credential, token)), Some(previous)) =
            (both(store, credential, token).await?, store.token(previous).await?)
        else {
            return Ok(None);
        };
        Ok(Some(Self { credential, token, secret, previous, revision }))
    }
}

impl Again for Patched<NamespaceRow> {
    async fn again(store: &AnyStore, kept: Kept, _: Option<Secret<String>>) -> Result<Option<Self>, StoreError> {
        let Kept::NamespaceChange { namespace, revision, revocation, fresh } = kept else { return Ok(None) };
        let revocation = ended(store, revocation).await?;
        let row = store.namespace(namespace).await?;
        Ok(row.map(|row| Self { row, revision, revocation, fresh }))
    }
}

impl Again for Patched<CredentialRow> {
    async fn again(store: &AnyStore, kept: Kept, _: Option<Secret<String>>) -> Result<Option<Self>, StoreError> {
        let Kept::CredentialChange { credential, revision, revocation, fresh } = kept else { return Ok(None) };
        let revocation = ended(store, revocation).await?;
        let row = store.credential(CredentialRef::Id(credential)).await?;
        Ok(row.map(|row| Self { row, revision, revocation, fresh }))
    }
}

impl Again for Revoked {
    async fn again(store: &AnyStore, kept: Kept, _: Option<Secret<String>>) -> Result<Option<Self>, StoreError> {
        let Kept::Revocation { revocation, fresh } = kept else { return Ok(None) };
        let row = store.revocation(revocation).await?;
        Ok(row.map(|revocation| Self { revocation, tokens: Vec::new(), fresh }))
    }
}

async fn both(
    store: &AnyStore,
    credential: CredentialId,
    token: TokenId,
) -> Result<Option<(CredentialRow, TokenRow)>, StoreError> {
    let credential = store.credential(CredentialRef::Id(credential)).await?;
    Ok(credential.zip(store.token(token).await?))
}

async fn ended(store: &AnyStore, revocation: Option<RevocationId>) -> Result<Option<RevocationRow>, StoreError> {
    match revocation {
        Some(id) => store.revocation(id).await,
        None => Ok(None),
    }
}

fn sealing_key(bearer: &Secret<String>, key: &[u8], principal: CredentialId) -> Result<LessSafeKey, Failure> {
    let failed = |_| Failure::internal(&"no key could be derived");
    let length = (key.len() as u64).to_be_bytes();
    let info: [&[u8]; 3] = [&length, key, principal.as_bytes()];
    let material = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(bearer.expose().as_bytes());
    let material = material.expand(&info, &AES_256_GCM).map_err(failed)?;
    Ok(LessSafeKey::new(UnboundKey::from(material)))
}

/// Nonce, ciphertext and tag; what the secret is of is authenticated with it.
fn seal(key: &LessSafeKey, secret: &Secret<String>, of: &str) -> Result<Vec<u8>, StoreError> {
    let failed = |_| StoreError::Unavailable("a secret could not be sealed".to_owned());
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(failed)?;
    // Room for the tag, so that no copy of the secret is left behind by growing.
    let mut sealed = Vec::with_capacity(secret.expose().len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(secret.expose().as_bytes());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(of.as_bytes()), &mut sealed)
        .map_err(failed)?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(key: &LessSafeKey, replay: &Replay) -> Option<Secret<String>> {
    let (nonce, sealed) = replay.sealed.as_ref()?.split_first_chunk::<NONCE_LEN>()?;
    let mut text = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(replay.text.as_bytes()), &mut text).ok()?.len();
    text.truncate(length);
    String::from_utf8(text).ok().map(Secret::new)
}

fn hash(digest: digest::Digest) -> Hash32 {
    Hash32::from_slice(digest.as_ref()).unwrap_or_default()
}

type Place = (CredentialId, Hash32);

/// The keys under which something runs now.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashSet<Place>>>);

/// One of them, until it is dropped.
struct Run {
    running: Running,
    place: Place,
}

impl Running {
    fn begin(&self, place: Place) -> Option<Run> {
        let fresh = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        fresh.then(|| Run { running: self.clone(), place })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bearer: &str, key: &str, principal: u8) -> LessSafeKey {
        let principal = CredentialId::from_bytes([principal; 16]);
        sealing_key(&Secret::new(bearer.to_owned()), key.as_bytes(), principal).unwrap()
    }

    #[test]
    fn a_secret_opens_to_the_same_bearer_key_and_principal_alone() {
        let secret = Secret::new("acme_live_secret".to_owned());
        let sealed = seal(&key("bearer", "key", 1), &secret, "of").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let credential = CredentialId::from_bytes([1; 16]);
        let kept =
            Kept::CredentialChange { credential, revision: jeton_types::Revision::ZERO, revocation: None, fresh: true };
        let replay = Replay { kept, text: "of".to_owned(), sealed: Some(sealed) };
        let opens = |key: &LessSafeKey, replay: &Replay| open(key, replay).map(|secret| secret.expose().clone());
        assert_eq!(opens(&key("bearer", "key", 1), &replay).as_deref(), Some("acme_live_secret"));
        for other in [key("bearer2", "key", 1), key("bearer", "key2", 1), key("bearer", "key", 2)] {
            assert_eq!(opens(&other, &replay), None);
        }
        let other = Replay { text: "of another".to_owned(), ..replay.clone() };
        assert_eq!(opens(&key("bearer", "key", 1), &other), None);
        for place in 0..replay.sealed.as_ref().unwrap().len() {
            let mut altered = replay.clone();
            altered.sealed.as_mut().unwrap()[place] ^= 1;
            assert_eq!(opens(&key("bearer", "key", 1), &altered), None);
        }
    }
}
