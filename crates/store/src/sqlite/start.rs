//! Starts of the authority, and what the first one ever finds missing.

use std::io;

use jeton_feed::record::Change;
use jeton_types::{Freshness, NamespaceName, Prefix, ScopeSet, Secret, StartId};
use rusqlite::params;

use super::{
    access::Actor,
    credential, namespace,
    row::{self, sql},
    tx::{Entry, Tx},
};
use crate::{
    StoreError,
    model::{CredentialRef, IssueNew, Labels, NamespaceNew, StartRow, TokenRow},
};

/// The name of the first credential, and what it may do.
const ROOT: &str = "root";
const ROOT_SCOPE: &str = "admin@*";

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
    };
    let issued = credential::issue_as(tx, &Actor::system(), new)?;
    // Before the commit: a secret in the file that the store does not know is replaced at the next start, while one in
    // the store that no file has would be lost.
    write(&issued.secret).map_err(|error| StoreError::RootFile(error.to_string()))?;
    Ok(Some(issued.token))
}
