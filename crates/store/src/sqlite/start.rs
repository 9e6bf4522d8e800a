//! Starts of the authority, and what the first one ever finds missing.

use std::io;

use jeton_feed::{record::Change, rollback::HeadKnown};
use jeton_lifecycle::{Effect, Refusal, issue};
use jeton_types::{
    AddressList, CredentialId, CredentialName, Freshness, Hash32, Invalid, NamespaceName, Prefix, Revision, ScopeSet,
    Secret, StartId,
};
use rusqlite::{Connection, params};

use super::{
    credential,
    ending::{self, Ending},
    namespace, revocation,
    row::{self, sql},
    token,
    tx::{Entry, Stamp, Tx},
};
use crate::{
    StoreError,
    actor::Actor,
    model::{CredentialRef, CredentialRow, IssueNew, Labels, NamespaceNew, RootReplaced, StartRow, TokenRow},
};

/// The name of the first credential, and what it may do.
const ROOT: &str = "root";
const ROOT_SCOPE: &str = "admin@*";
/// Why root tokens are replaced, for the audit.
const ROOT_LOST: &str = "the root token was replaced offline";

pub(super) fn record(tx: &mut Tx<'_>, start: StartId) -> Result<StartRow, StoreError> {
    let before = tx.head().revision;
    tx.start_begin(start);
    let stamp = tx.stamp()?;
    let built_in = NamespaceName::built_in();
    let mut changes = Vec::new();
    if namespace::find(tx.conn, &built_in)?.is_none() {
        let new = NamespaceNew {
            name: built_in.clone(),
            prefix: Prefix::built_in(),
            freshness: Freshness::Strict,
            default_ttl: None,
        };
        changes.push(namespace::insert(tx, new, stamp)?.1);
    }
    changes.push(Change::Start(start));
    let revision = stamp.revision;
    row::run(
        tx.conn,
        sql!("start/insert"),
        params![row::int(revision.get()), start.as_bytes(), row::int(before.get())],
    )?;
    tx.publish(
        stamp,
        Entry {
            actor: &Actor::system(),
            action: "start.record",
            namespace: &built_in,
            object: start.to_string(),
            reason: None,
            changes,
            revocation: None,
        },
    )?;
    Ok(StartRow { start, revision, before })
}

/// What is known of a head that somebody shows.
pub(super) fn head_known(conn: &Connection, start: StartId, revision: Revision) -> Result<HeadKnown, StoreError> {
    let of = |number: i64| u64::try_from(number).ok().and_then(Revision::new).unwrap_or_default();
    let found =
        row::one(conn, sql!("start/head_known"), params![start.as_bytes(), row::int(revision.get())], |found| {
            Ok(HeadKnown {
                start_last: found.get::<_, Option<i64>>(0)?.map(of),
                chain_hash: found.get::<_, Option<[u8; 32]>>(1)?.map(Hash32),
                retained_from: row::revision(found, 2)?,
            })
        })?;
    found.ok_or_else(|| StoreError::Corrupt("the counter row is missing".to_owned()))
}

/// Whether a root token was ever issued.
pub(super) fn root_is_there(conn: &Connection) -> Result<bool, StoreError> {
    let name = root_name(0)?;
    Ok(credential::find(conn, &CredentialRef::Name(NamespaceName::built_in(), name))?.is_some())
}

pub(super) fn root_ensure(
    tx: &mut Tx<'_>,
    write: impl FnOnce(&Secret<String>) -> io::Result<()>,
) -> Result<Option<TokenRow>, StoreError> {
    let wrong = |invalid: jeton_types::Invalid| StoreError::Unavailable(invalid.to_string());
    let name: jeton_types::CredentialName = ROOT.parse().map_err(wrong)?;
    let built_in = NamespaceName::built_in();
    if credential::find(tx.conn, &CredentialRef::Name(built_in.clone(), name.clone()))?.is_some() {
        return Ok(None);
    }
    let new = IssueNew {
        namespace: built_in,
        name,
        subject: None,
        scopes: ScopeSet::parse([ROOT_SCOPE]).map_err(wrong)?,
        labels: Labels::default(),
        ttl: None,
        addresses: AddressList::default(),
    };
    let issued = credential::issue_as(tx, &Actor::system(), new)?;
    // Before the commit: a secret in the file that the store does not know is replaced at the next start, while one in
    // the store that no file has would be lost.
    write(&issued.secret).map_err(|error| root_file_error(&error))?;
    Ok(Some(issued.token))
}

/// Makes a root token in place of one that was lost. The credential is the one that is there, unless it may not do
/// everything any more or was switched off; then it is another. Whoever holds an earlier root token is out, by the one
/// mutator and in the same revision.
pub(super) fn root_replace(
    tx: &mut Tx<'_>,
    write: impl FnOnce(&Secret<String>) -> io::Result<()>,
) -> Result<RootReplaced, StoreError> {
    let built_in = NamespaceName::built_in();
    let home = namespace::find(tx.conn, &built_in)?.ok_or(StoreError::NotFound("namespace"))?;
    let mut roots = Vec::new();
    let free = loop {
        let name = root_name(roots.len())?;
        match credential::find(tx.conn, &CredentialRef::Name(built_in.clone(), name.clone()))? {
            Some(found) => roots.push(found),
            None => break name,
        }
    };
    let stamp = tx.stamp()?;
    let usable =
        |root: &&CredentialRow| root.disabled.is_none() && root.deleted.is_none() && root.scopes.contains(ROOT_SCOPE);
    let (root, version) = match roots.iter().rev().find(usable) {
        Some(found) => {
            let last = token::list(tx.conn, found.id)?.last().map_or(0, |token| token.version);
            (found.clone(), last.checked_add(1).ok_or(StoreError::Refused(Refusal::VersionsUsedUp))?)
        }
        None => {
            let root = root_credential(free, CredentialId::new(stamp.at, tx.random()), stamp)?;
            credential::insert(tx.conn, &root)?;
            (root, 1)
        }
    };
    let expires_at = issue::expiry(root.ttl, home.default_ttl, stamp.at)?;
    let mut ends = Vec::new();
    for root in &roots {
        let living = token::list(tx.conn, root.id)?.into_iter().filter(|token| token.ended.is_none());
        ends.extend(living.map(|token| revocation::ends(token.id, token.digest)));
    }
    let (token, secret) = credential::token_mint(tx, &home, &root, stamp, version, expires_at)?;
    let count = ends.len() as u64;
    let mut changes = vec![Change::Token(token.entry(&root))];
    changes.append(&mut ends);
    let actor = &Actor::system();
    let (action, object) = ("root.replace", root.id.to_string());
    let revocation = if count == 0 {
        let reason = Some(ROOT_LOST);
        let namespace = &built_in;
        tx.publish(stamp, Entry { actor, action, namespace, object, reason, changes, revocation: None })?;
        None
    } else {
        let ending = Ending {
            actor,
            effect: Effect::Revoke,
            action,
            namespace: &built_in,
            object: Some(object),
            reason: Some(ROOT_LOST.to_owned()),
            selector: serde_json::json!({ "credential": root.id }).to_string(),
            count,
            changes,
        };
        Some(ending::end(tx, stamp, ending)?)
    };
    write(&secret).map_err(|error| root_file_error(&error))?;
    Ok(RootReplaced { credential: root, token, revocation })
}

/// A disk that fails is no matter of paths and rights.
fn root_file_error(error: &io::Error) -> StoreError {
    let chain = std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source());
    let failed = chain.filter_map(|error| error.downcast_ref::<io::Error>()).any(|io| io.raw_os_error() == Some(EIO));
    let message = error.to_string();
    if failed { StoreError::Stopped(message) } else { StoreError::RootFile(message) }
}

/// `EIO`: an input or output error of the device.
const EIO: i32 = 5;

/// `root`, `root-2`, `root-3` and so on.
fn root_name(before: usize) -> Result<CredentialName, StoreError> {
    let text = if before == 0 { ROOT.to_owned() } else { format!("{ROOT}-{}", before + 1) };
    text.parse().map_err(|invalid: Invalid| StoreError::Unavailable(invalid.to_string()))
}

fn root_credential(name: CredentialName, id: CredentialId, stamp: Stamp) -> Result<CredentialRow, StoreError> {
    let scopes =
        ScopeSet::parse([ROOT_SCOPE]).map_err(|invalid: Invalid| StoreError::Unavailable(invalid.to_string()))?;
    Ok(CredentialRow {
        id,
        namespace: NamespaceName::built_in(),
        name,
        subject: None,
        scopes,
        labels: Labels::default(),
        ttl: None,
        addresses: AddressList::default(),
        created_at: stamp.at,
        revision: stamp.revision,
        disabled: None,
        deleted: None,
    })
}
