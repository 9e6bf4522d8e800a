//! Checking a signed receipt: with the authority's public keys, and no authority. It runs anywhere: no network, no clock.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jeton_api::{
    key::{Jwk, JwkSet},
    receipt::{ReceiptPayload, TYP},
};
use jsonwebtoken::{
    Algorithm, DecodingKey, crypto,
    jwk::{
        AlgorithmParameters, EllipticCurve, Jwk as LibraryJwk, OctetKeyPairParameters, OctetKeyPairType, ThumbprintHash,
    },
};
use serde::{Deserialize, de::DeserializeOwned};

/// Bytes of a signature of Ed25519.
const SIGNATURE_BYTES: usize = 64;

/// Why a receipt does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// It is not three parts with dots between them.
    #[error("this is no signed receipt: it is not header.payload.signature")]
    Form,
    /// A part is not base64url as it is written, without padding and without stray bits.
    #[error("the {0} of the receipt is not canonical base64url")]
    Encoding(&'static str),
    /// The header is not that of a receipt.
    #[error("the receipt's header is not that of a receipt: {0}")]
    Header(String),
    /// It was signed with a key that is not among those given.
    #[error(
        "the receipt was signed with key {kid:?}, which is not among the keys given: get the authority's with `jeton keys`"
    )]
    UnknownKey {
        /// The key's id.
        kid: String,
    },
    /// A key is not what its id says.
    #[error("the key {kid:?} is no Ed25519 key of this id")]
    BadKey {
        /// The key's id.
        kid: String,
    },
    /// The signature is not that of the key over this header and payload.
    #[error("the signature does not fit: the receipt was changed, or another key signed it")]
    Signature,
    /// The payload is not that of a receipt.
    #[error("the receipt's payload is not that of a receipt: {0}")]
    Payload(String),
    /// The evidence does not make a complete receipt.
    #[error("the evidence does not hold: {0}")]
    Evidence(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

/// Whether `jws` is a receipt that one of `keys` signed, and whose evidence makes it complete.
///
/// Strict: one algorithm, one spelling. Whoever changes a character of a receipt, even one that a lenient decoder would
/// overlook, has no receipt any more.
///
/// # Errors
/// [`CheckError`], the first thing that does not hold.
pub fn check(jws: &str, keys: &JwkSet) -> Result<ReceiptPayload, CheckError> {
    let mut parts = jws.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(CheckError::Form);
    };
    let header_bytes = decode("header", header)?;
    let payload_bytes = decode("payload", payload)?;
    if decode("signature", signature)?.len() != SIGNATURE_BYTES {
        return Err(CheckError::Signature);
    }
    let header: Header = parse(&header_bytes).map_err(CheckError::Header)?;
    if header.typ != TYP {
        return Err(CheckError::Header(format!("its typ is not `{TYP}`")));
    }
    if header.alg != "EdDSA" {
        return Err(CheckError::Header("its alg is not `EdDSA`".to_owned()));
    }
    let key = keys.find(&header.kid).ok_or(CheckError::UnknownKey { kid: header.kid })?;
    let signed = &jws.as_bytes()[..jws.len() - signature.len() - 1];
    if !verified(signature, signed, key)? {
        return Err(CheckError::Signature);
    }
    let payload: ReceiptPayload = parse(&payload_bytes).map_err(CheckError::Payload)?;
    payload.check_evidence().map_err(CheckError::Evidence)?;
    Ok(payload)
}

fn verified(signature: &str, signed: &[u8], key: &Jwk) -> Result<bool, CheckError> {
    let bad = || CheckError::BadKey { kid: key.kid.clone() };
    if thumbprint(key).as_ref() != Some(&key.kid) {
        return Err(bad());
    }
    let decoding = DecodingKey::from_ed_components(&key.x).map_err(|_| bad())?;
    crypto::verify(signature, signed, &decoding, Algorithm::EdDSA).map_err(|_| CheckError::Signature)
}

/// The id of a public key: its thumbprint (RFC 7638), so that an id cannot stand for two keys.
fn thumbprint(key: &Jwk) -> Option<String> {
    let parameters = OctetKeyPairParameters {
        key_type: OctetKeyPairType::OctetKeyPair,
        curve: EllipticCurve::Ed25519,
        x: key.x.clone(),
    };
    let algorithm = AlgorithmParameters::OctetKeyPair(parameters);
    let key = key.is_ed25519().then(|| LibraryJwk { common: Default::default(), algorithm })?;
    key.thumbprint(ThumbprintHash::SHA256).ok()
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, CheckError> {
    // The engine refuses padding, foreign characters and bits that no encoder sets.
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CheckError::Encoding(part))
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}
