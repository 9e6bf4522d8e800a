//! What heads are sealed with (`feed-protocol.md` 26): one secret of the keys folder, HMAC-SHA-256.
//!
//! A verifier shows a head and cannot make one, so that it can prove a rollback and never invent one. The key is made once
//! and never changed: with another, no head of before would prove anything.

use std::{fmt, path::Path};

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use jeton_feed::record::Head;
use jeton_host::files;
use jeton_types::{Entropy, Hash32};
use zeroize::Zeroizing;

use super::{KeyError, broken, folder_error};

const FILE: &str = "head.key";
const BYTES: usize = 32;

/// See the module.
pub(super) struct HeadKey(hmac::Key);

impl HeadKey {
    /// Reads the key of the folder, or makes one.
    pub(super) fn open(folder: &Path, entropy: &dyn Entropy) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        let bytes = if path.try_exists().map_err(|why| folder_error(folder, why))? {
            let text = files::read_private(&path)?;
            Zeroizing::new(BASE64_STANDARD.decode(text.expose().trim()).unwrap_or_default())
        } else {
            let mut bytes = Zeroizing::new(vec![0; BYTES]);
            entropy.fill(&mut bytes);
            let text = Zeroizing::new(format!("{}\n", BASE64_STANDARD.encode(&bytes)));
            files::write_private(&path, text.as_bytes())?;
            bytes
        };
        if bytes.len() != BYTES {
            return Err(broken(&path, "key of 32 bytes in base64"));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    pub(super) fn seal(&self, head: &Head) -> Head {
        let tag = hmac::sign(&self.0, &head.sealed_bytes());
        Head { mac: Hash32::from_slice(tag.as_ref()), ..head.clone() }
    }

    /// In a time that does not depend on where a forged seal differs.
    pub(super) fn is_authentic(&self, head: &Head) -> bool {
        head.mac.is_some_and(|mac| hmac::verify(&self.0, &head.sealed_bytes(), mac.as_bytes()).is_ok())
    }
}

impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadKey")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use jeton_types::{Revision, StartId};

    use super::*;
    use crate::keys::tests::Fixed;

    fn head(number: u64) -> Head {
        let revision = Revision::new(number).unwrap();
        Head { revision, start: StartId::from_bytes([1; 16]), chain_hash: Hash32([2; 32]), mac: None }
    }

    #[test]
    fn what_was_sealed_is_known_again_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let key = HeadKey::open(folder.path(), &Fixed(7)).unwrap();
        let sealed = key.seal(&head(50));
        assert!(key.is_authentic(&sealed));
        assert!(!key.is_authentic(&head(50)));
        assert!(!key.is_authentic(&Head { mac: sealed.mac, ..head(51) }));
        let again = HeadKey::open(folder.path(), &Fixed(8)).unwrap();
        assert!(again.is_authentic(&sealed), "the same key after a start");
        let elsewhere = tempfile::tempdir().unwrap();
        let other = HeadKey::open(elsewhere.path(), &Fixed(8)).unwrap();
        assert!(!other.is_authentic(&sealed));
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{key:?}"), "HeadKey");
    }

    #[test]
    fn a_key_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        files::write_private(&folder.path().join(FILE), b"AAAA\n").unwrap();
        let error = HeadKey::open(folder.path(), &Fixed(7)).unwrap_err().to_string();
        assert!(error.contains("head.key holds no key of 32 bytes"), "{error}");
    }
}
