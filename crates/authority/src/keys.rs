//! The key that receipts are signed with, and the public halves of all that ever were.
//!
//! The keys folder holds `signing.pem`, the private key of Ed25519 in PKCS#8, and `public.json`, every public key that
//! this folder has signed with, the one in use first: a receipt stays checkable after its key was replaced. To replace
//! it, take `signing.pem` away; the next start makes another. `head.key` seals heads and is never replaced. Private keys are never copied, printed or put in a backup.

use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use jeton_api::key::{Jwk, JwkSet};
use jeton_feed::record::Head;
use jeton_host::files;
use jeton_types::Entropy;
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{self, AlgorithmParameters, ThumbprintHash},
};
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

use self::head::HeadKey;

mod head;

const SIGNING: &str = "signing.pem";
const PUBLIC: &str = "public.json";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// A private key of Ed25519 in PKCS#8 is this and the 32 bytes of the seed (RFC 8410, 7).
const PKCS8_ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// Bytes of the file of public keys, at most: thousands of keys.
const PUBLIC_BYTES_MAX: u64 = 1024 * 1024;

/// The signing key of this authority.
pub struct Keyring {
    head: HeadKey,
    signing: EncodingKey,
    header: Header,
    public: JwkSet,
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others may look into the folder.
    #[error("others may look into the keys folder {path} (mode {mode:03o}): chmod 700 {path}")]
    FolderOpen {
        /// The folder.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// The folder cannot be used.
    #[error("the keys folder {path} cannot be used: {why}")]
    Folder {
        /// The folder.
        path: String,
        /// Why not.
        why: io::Error,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// What is in the file is no key.
    #[error("{path} holds no {what}: put back the file, or take it away and a new one is made at the next start")]
    Broken {
        /// The file.
        path: String,
        /// What it should hold.
        what: &'static str,
    },
    /// The signature could not be made.
    #[error("signing failed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl Keyring {
    /// Opens the keys of `folder`, or makes the folder and a key if there is none.
    ///
    /// # Errors
    /// [`KeyError`], above all if others may read the folder or the key.
    pub fn open(folder: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        folder_ensure(folder)?;
        let path = folder.join(SIGNING);
        let signing = if path.try_exists().map_err(|why| folder_error(folder, why))? {
            from_pem(files::read_private(&path)?.expose()).ok_or_else(|| broken(&path, "Ed25519 key in PKCS#8"))?
        } else {
            let pem = generate(entropy);
            files::write_private(&path, pem.as_bytes())?;
            from_pem(&pem).ok_or_else(|| broken(&path, "Ed25519 key in PKCS#8"))?
        };
        let current = public_of(&signing).ok_or_else(|| broken(&path, "Ed25519 key in PKCS#8"))?;
        let header = Header {
            typ: Some(jeton_api::receipt::TYP.to_owned()),
            kid: Some(current.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok(Self {
            head: HeadKey::open(folder, entropy)?,
            signing,
            header,
            public: public_ensure(&folder.join(PUBLIC), current)?,
        })
    }

    /// The head, sealed so that it is known again (`feed-protocol.md` 26).
    pub(crate) fn head_seal(&self, head: &Head) -> Head {
        self.head.seal(head)
    }

    /// Whether the head was sealed with the key of this folder.
    pub(crate) fn head_is_authentic(&self, head: &Head) -> bool {
        self.head.is_authentic(head)
    }

    /// Every public key that receipts were signed with, the one in use first.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        self.public.clone()
    }

    /// Signs `payload` as a compact JWS.
    ///
    /// # Errors
    /// [`KeyError::Sign`], if the payload is no JSON.
    pub fn sign<T: Serialize>(&self, payload: &T) -> Result<String, KeyError> {
        Ok(jsonwebtoken::encode(&self.header, payload, &self.signing)?)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("kid", &self.header.kid).finish_non_exhaustive()
    }
}

/// The id of a public key: its thumbprint (RFC 7638), so that an id cannot stand for two keys.
pub(crate) fn thumbprint(key: &Jwk) -> Option<String> {
    jwk_of(key)?.thumbprint(ThumbprintHash::SHA256).ok()
}

/// The same key as the library takes it.
pub(crate) fn jwk_of(key: &Jwk) -> Option<jwk::Jwk> {
    let parameters = jwk::OctetKeyPairParameters {
        key_type: jwk::OctetKeyPairType::OctetKeyPair,
        curve: jwk::EllipticCurve::Ed25519,
        x: key.x.clone(),
    };
    key.is_ed25519()
        .then(|| jwk::Jwk { common: Default::default(), algorithm: AlgorithmParameters::OctetKeyPair(parameters) })
}

fn folder_ensure(folder: &Path) -> Result<(), KeyError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|why| folder_error(folder, why))?;
    let mode = fs::metadata(folder).map_err(|why| folder_error(folder, why))?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyError::FolderOpen { path: folder.display().to_string(), mode }) }
}

fn generate(entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PKCS8_ED25519);
    entropy.fill(&mut der[16..]);
    let body = Zeroizing::new(BASE64_STANDARD.encode(der.as_slice()));
    Zeroizing::new(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", body.as_str()))
}

fn from_pem(pem: &str) -> Option<EncodingKey> {
    let body = pem.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let mut body: String = body.split_ascii_whitespace().collect();
    let der = BASE64_STANDARD.decode(&body).ok().map(Zeroizing::new);
    body.zeroize();
    Some(EncodingKey::from_ed_der(&der?))
}

/// Nothing if what was read is no key of Ed25519.
fn public_of(signing: &EncodingKey) -> Option<Jwk> {
    let AlgorithmParameters::OctetKeyPair(pair) =
        jwk::Jwk::from_encoding_key(signing, Algorithm::EdDSA).ok()?.algorithm
    else {
        return None;
    };
    let unnamed = Jwk::ed25519("", pair.x);
    Some(Jwk { kid: thumbprint(&unnamed)?, ..unnamed })
}

/// The public keys of the folder, with the current one first; it is there before anything is signed with it.
fn public_ensure(path: &Path, current: Jwk) -> Result<JwkSet, KeyError> {
    let what = "set of public keys";
    let known = match fs::metadata(path) {
        Ok(meta) if meta.len() > PUBLIC_BYTES_MAX => return Err(broken(path, what)),
        Ok(_) => fs::read(path).map_err(|why| folder_error(path, why))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(why) => return Err(folder_error(path, why)),
    };
    let known: JwkSet = match known.as_slice() {
        [] => JwkSet::default(),
        json => serde_json::from_slice(json).map_err(|_| broken(path, what))?,
    };
    if known.keys.iter().any(|key| thumbprint(key).as_ref() != Some(&key.kid)) {
        return Err(broken(path, what));
    }
    let past = known.keys.iter().filter(|key| key.kid != current.kid).cloned();
    let keys = JwkSet { keys: [current.clone()].into_iter().chain(past).collect() };
    if keys != known {
        let mut json = serde_json::to_vec_pretty(&keys).map_err(|why| folder_error(path, why.into()))?;
        json.push(b'\n');
        files::write_private(path, &json)?;
    }
    Ok(keys)
}

fn broken(path: &Path, what: &'static str) -> KeyError {
    KeyError::Broken { path: path.display().to_string(), what }
}

fn folder_error(path: &Path, why: io::Error) -> KeyError {
    KeyError::Folder { path: path.display().to_string(), why }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Not random: the same key for the same number.
    pub(crate) struct Fixed(pub(crate) u8);

    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    fn mode(path: std::path::PathBuf) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_kept() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("keys");
        let first = Keyring::open(&folder, &Fixed(1)).unwrap();
        let again = Keyring::open(&folder, &Fixed(2)).unwrap();
        assert_eq!(first.jwks(), again.jwks());
        assert_eq!(first.sign(&1).unwrap(), again.sign(&1).unwrap());
        assert_eq!(
            (mode(folder.clone()), mode(folder.join(SIGNING)), mode(folder.join(PUBLIC))),
            (0o700, 0o600, 0o600)
        );
    }

    #[test]
    fn the_known_key_of_a_known_seed() {
        // The first key pair of RFC 8032, 7.1, whose public half and thumbprint are also in RFC 8037, A.2 and A.3.
        struct Seed;
        impl Entropy for Seed {
            fn fill(&self, out: &mut [u8]) {
                let seed = 0x9d61_b19d_effd_5a60_ba84_4af4_92ec_2cc4_u128.to_be_bytes();
                let rest = 0x4449_c569_7b32_6919_703b_ac03_1cae_7f60_u128.to_be_bytes();
                out.copy_from_slice(&[seed, rest].concat());
            }
        }
        let home = tempfile::tempdir().unwrap();
        let keys = Keyring::open(&home.path().join("keys"), &Seed).unwrap();
        let expect =
            Jwk::ed25519("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(keys.jwks().keys, std::slice::from_ref(&expect));
        assert_eq!(
            serde_json::to_value(&expect).unwrap(),
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": expect.x, "kid": expect.kid, "alg": "EdDSA", "use": "sig"})
        );
    }

    #[test]
    fn past_keys_stay() {
        let home = tempfile::tempdir().unwrap();
        let old = Keyring::open(home.path().join("keys").as_path(), &Fixed(1)).unwrap().jwks();
        fs::remove_file(home.path().join("keys").join(SIGNING)).unwrap();
        let new = Keyring::open(home.path().join("keys").as_path(), &Fixed(2)).unwrap().jwks();
        assert_eq!(new.keys.len(), 2);
        assert_ne!(new.keys[0], old.keys[0]);
        assert_eq!(new.keys[1], old.keys[0]);
    }

    #[test]
    fn what_others_may_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("keys");
        Keyring::open(&folder, &Fixed(1)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        let error = Keyring::open(&folder, &Fixed(1)).unwrap_err();
        assert!(matches!(error, KeyError::FolderOpen { mode: 0o750, .. }), "{error}");
        assert!(error.to_string().contains("chmod 700 "), "{error}");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(folder.join(SIGNING), fs::Permissions::from_mode(0o640)).unwrap();
        let error = Keyring::open(&folder, &Fixed(1)).unwrap_err();
        assert!(matches!(error, KeyError::File(_)) && error.to_string().contains("chmod 600 "), "{error}");
    }

    #[test]
    fn broken_files_are_refused_and_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("keys");
        Keyring::open(&folder, &Fixed(1)).unwrap();
        for (name, content) in [
            (PUBLIC, "{}"),
            (PUBLIC, r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"k","alg":"EdDSA","use":"sig"}]}"#),
            (SIGNING, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            (SIGNING, "hello"),
        ] {
            let path = folder.join(name);
            let before = fs::read(&path).unwrap();
            fs::write(&path, content).unwrap();
            let error = Keyring::open(&folder, &Fixed(1)).unwrap_err();
            assert!(matches!(error, KeyError::Broken { .. }), "{name}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            fs::write(&path, before).unwrap();
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let home = tempfile::tempdir().unwrap();
        let keys = Keyring::open(&home.path().join("keys"), &Fixed(1)).unwrap();
        assert_eq!(format!("{keys:?}").matches("kid").count(), 1);
        assert!(!format!("{keys:?}").contains("PRIVATE"));
    }
}
