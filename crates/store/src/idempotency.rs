//! Mutations that are done once, however often they are asked for.
//!
//! A claim is written in the transaction of the mutation that it is for: after a crash there are both or neither. What
//! is kept names what was made; the secret of a new token is kept only as the asker sealed it.

use std::{fmt, time::Duration};

use jeton_types::{CredentialId, Hash32, NamespaceName, Revision, RevocationId, Secret, TokenId};
use serde::{Deserialize, Serialize};

use crate::{
    StoreError,
    model::{CredentialRow, Issued, NamespaceRow, Patched, Revoked, Rotated},
};

/// How long a mutation is told again.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Seals a secret together with the text that says what it is of.
pub type Seal = dyn Fn(&Secret<String>, &str) -> Result<Vec<u8>, StoreError> + Send + Sync;

/// A key that one caller claims for one mutation.
pub struct Claim {
    /// Hash of the key.
    pub key: Hash32,
    /// Hash of all that was asked for.
    pub body: Hash32,
    /// How the secret of a new token is kept.
    pub seal: Box<Seal>,
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("key", &self.key).field("body", &self.body).finish_non_exhaustive()
    }
}

/// What was done under a key before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// What was made.
    pub kept: Kept,
    /// The text of `kept` as it was sealed with the secret.
    pub text: String,
    /// The sealed secret, if there was one.
    pub sealed: Option<Vec<u8>>,
}

/// What a mutation made, by its ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each is the id of what the variant's name says")]
pub enum Kept {
    /// A namespace.
    Namespace { namespace: NamespaceName },
    /// A change of a namespace.
    NamespaceChange { namespace: NamespaceName, revision: Revision, revocation: Option<RevocationId>, fresh: bool },
    /// A credential with its first token.
    Issue { credential: CredentialId, token: TokenId, revision: Revision },
    /// A credential's next token.
    Rotation { credential: CredentialId, token: TokenId, previous: TokenId, revision: Revision },
    /// A change of a credential.
    CredentialChange { credential: CredentialId, revision: Revision, revocation: Option<RevocationId>, fresh: bool },
    /// A revocation.
    Revocation { revocation: RevocationId, fresh: bool },
}

/// What can be told again.
pub(crate) trait Keep {
    /// Its ids.
    fn kept(&self) -> Kept;
    /// Its secret.
    fn secret(&self) -> Option<&Secret<String>> {
        None
    }
}

impl Keep for NamespaceRow {
    fn kept(&self) -> Kept {
        Kept::Namespace { namespace: self.name.clone() }
    }
}

impl Keep for Issued {
    fn kept(&self) -> Kept {
        Kept::Issue { credential: self.credential.id, token: self.token.id, revision: self.revision }
    }

    fn secret(&self) -> Option<&Secret<String>> {
        Some(&self.secret)
    }
}

impl Keep for Rotated {
    fn kept(&self) -> Kept {
        Kept::Rotation {
            credential: self.credential.id,
            token: self.token.id,
            previous: self.previous.id,
            revision: self.revision,
        }
    }

    fn secret(&self) -> Option<&Secret<String>> {
        Some(&self.secret)
    }
}

impl Keep for Patched<NamespaceRow> {
    fn kept(&self) -> Kept {
        Kept::NamespaceChange {
            namespace: self.row.name.clone(),
            revision: self.revision,
            revocation: self.revocation.as_ref().map(|row| row.id),
            fresh: self.fresh,
        }
    }
}

impl Keep for Patched<CredentialRow> {
    fn kept(&self) -> Kept {
        Kept::CredentialChange {
            credential: self.row.id,
            revision: self.revision,
            revocation: self.revocation.as_ref().map(|row| row.id),
            fresh: self.fresh,
        }
    }
}

impl Keep for Revoked {
    fn kept(&self) -> Kept {
        Kept::Revocation { revocation: self.revocation.id, fresh: self.fresh }
    }
}
