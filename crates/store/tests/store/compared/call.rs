//! One mutation with all that it is given, and what is answered.

use std::io;

use jeton_feed::usage::Report;
use jeton_store::{
    Store, StoreError,
    idempotency::Claim,
    model::{
        Burn, Caller, CredentialDelete, CredentialPatch, CredentialRef, CredentialRow, IssueNew, NamespaceNew,
        NamespacePatch, NamespaceRow, Patched, RecordsCut, Retention, RevokeNew, RevokePreview, Revoked, RootReplaced,
        SessionEndKind, SessionRow, StartRow, StoredReceipt, TokenRow, TokensCollected, UsageFrom, UsageTaken,
    },
};
use jeton_types::{
    CredentialId, Hash32, NamespaceName, Revision, RevocationId, Secret, SessionId, Span, StartId, UnixTime,
};

/// Hashes of a key and of what is asked for under it.
pub(super) type Key = Option<(u8, u8)>;

/// A mutation, or the preview of one.
#[derive(Debug, Clone)]
pub(super) enum Call {
    StartRecord(StartId),
    /// Whether the file can be written.
    RootEnsure(bool),
    RootReplace(bool),
    NamespaceCreate(Caller, NamespaceNew, Key),
    NamespacePatch(Caller, NamespaceName, NamespacePatch, Key),
    CredentialIssue(Caller, IssueNew, Key),
    CredentialRotate(Caller, CredentialRef, Span, Key),
    CredentialPatch(Caller, CredentialId, CredentialPatch, Key),
    CredentialDelete(Caller, CredentialId, CredentialDelete, Key),
    TokenBurn(Burn),
    RevocationPreview(Caller, RevokeNew),
    RevocationCreate(Caller, RevokeNew, Key),
    ReceiptStore(RevocationId, StoredReceipt),
    SessionOpen(SessionRow),
    SessionEnd(SessionId, SessionEndKind, UnixTime),
    SessionForget(SessionId),
    RecordsCut(Retention),
    TokensCollect(NamespaceName, UnixTime),
    UsageReport(UsageFrom, Report),
}

/// What was answered, secrets and all.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Started(StartRow),
    Root(Option<TokenRow>, Option<String>),
    RootReplaced(Box<RootReplaced>, String),
    Namespace(NamespaceRow),
    NamespacePatched(Box<Patched<NamespaceRow>>),
    Issued(Box<(CredentialRow, TokenRow)>, String, Revision),
    Rotated(Box<(CredentialRow, TokenRow, TokenRow)>, String, Revision),
    CredentialPatched(Box<Patched<CredentialRow>>),
    Burned(Option<Revoked>),
    Preview(RevokePreview),
    Revoked(Revoked),
    Receipt(StoredReceipt),
    Session(SessionRow),
    Cut(RecordsCut),
    Collected(Option<TokensCollected>),
    Usage(UsageTaken),
    Done,
}

impl Call {
    /// The method.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::StartRecord(_) => "start_record",
            Self::RootEnsure(_) => "root_ensure",
            Self::RootReplace(_) => "root_replace",
            Self::NamespaceCreate(..) => "namespace_create",
            Self::NamespacePatch(..) => "namespace_patch",
            Self::CredentialIssue(..) => "credential_issue",
            Self::CredentialRotate(..) => "credential_rotate",
            Self::CredentialPatch(..) => "credential_patch",
            Self::CredentialDelete(..) => "credential_delete",
            Self::TokenBurn(_) => "token_burn",
            Self::RevocationPreview(..) => "revocation_preview",
            Self::RevocationCreate(..) => "revocation_create",
            Self::ReceiptStore(..) => "receipt_store",
            Self::SessionOpen(_) => "session_open",
            Self::SessionEnd(..) => "session_end",
            Self::SessionForget(_) => "session_forget",
            Self::RecordsCut(_) => "records_cut",
            Self::TokensCollect(..) => "tokens_collect",
            Self::UsageReport(..) => "usage_report",
        }
    }

    /// Every method that there is a call for.
    pub(super) const NAMES: [&str; 19] = [
        "start_record",
        "root_ensure",
        "root_replace",
        "namespace_create",
        "namespace_patch",
        "credential_issue",
        "credential_rotate",
        "credential_patch",
        "credential_delete",
        "token_burn",
        "revocation_preview",
        "revocation_create",
        "receipt_store",
        "session_open",
        "session_end",
        "session_forget",
        "records_cut",
        "tokens_collect",
        "usage_report",
    ];

    /// Asks a store for it.
    pub(super) async fn ask<S: Store + Clone>(self, store: &S) -> Result<Answer, StoreError> {
        Ok(match self {
            Self::StartRecord(start) => Answer::Started(store.start_record(start).await?),
            Self::RootEnsure(writable) => {
                let (write, written) = root_file(writable);
                let row = store.root_ensure(write).await?;
                Answer::Root(row, written.try_recv().ok())
            }
            Self::RootReplace(writable) => {
                let (write, written) = root_file(writable);
                let replaced = store.root_replace(write).await?;
                Answer::RootReplaced(Box::new(replaced), written.try_recv().unwrap())
            }
            Self::NamespaceCreate(caller, new, key) => {
                Answer::Namespace(under(store, key).namespace_create(caller, new).await?)
            }
            Self::NamespacePatch(caller, name, patch, key) => {
                Answer::NamespacePatched(Box::new(under(store, key).namespace_patch(caller, name, patch).await?))
            }
            Self::CredentialIssue(caller, new, key) => {
                let issued = under(store, key).credential_issue(caller, new).await?;
                let secret = issued.secret.expose().clone();
                Answer::Issued(Box::new((issued.credential, issued.token)), secret, issued.revision)
            }
            Self::CredentialRotate(caller, credential, overlap, key) => {
                let rotated = under(store, key).credential_rotate(caller, credential, overlap).await?;
                let secret = rotated.secret.expose().clone();
                let rows = (rotated.credential, rotated.token, rotated.previous);
                Answer::Rotated(Box::new(rows), secret, rotated.revision)
            }
            Self::CredentialPatch(caller, id, patch, key) => {
                Answer::CredentialPatched(Box::new(under(store, key).credential_patch(caller, id, patch).await?))
            }
            Self::CredentialDelete(caller, id, delete, key) => {
                Answer::CredentialPatched(Box::new(under(store, key).credential_delete(caller, id, delete).await?))
            }
            Self::TokenBurn(burn) => Answer::Burned(store.token_burn(burn).await?),
            Self::RevocationPreview(caller, new) => Answer::Preview(store.revocation_preview(caller, new).await?),
            Self::RevocationCreate(caller, new, key) => {
                Answer::Revoked(under(store, key).revocation_create(caller, new).await?)
            }
            Self::ReceiptStore(id, receipt) => Answer::Receipt(store.receipt_store(id, receipt).await?),
            Self::SessionOpen(row) => Answer::Session(store.session_open(row).await?),
            Self::SessionEnd(id, kind, at) => {
                store.session_end(id, kind, at).await?;
                Answer::Done
            }
            Self::SessionForget(id) => {
                store.session_forget(id).await?;
                Answer::Done
            }
            Self::RecordsCut(keep) => Answer::Cut(store.records_cut(keep).await?),
            Self::TokensCollect(name, expired) => Answer::Collected(store.tokens_collect(name, expired).await?),
            Self::UsageReport(from, report) => Answer::Usage(store.usage_report(from, report).await?),
        })
    }
}

/// The same store, under a key if there is one.
fn under<S: Store + Clone>(store: &S, key: Key) -> S {
    let Some((key, body)) = key else { return store.clone() };
    let seal = |secret: &Secret<String>, of: &str| Ok([secret.expose(), of].concat().into_bytes());
    store.claimed(Claim { key: Hash32([key; 32]), body: Hash32([body; 32]), seal: Box::new(seal) })
}

type Written = std::sync::mpsc::Receiver<String>;

/// A file for a root token, that can be written to or not, and what was written.
fn root_file(writable: bool) -> (impl FnOnce(&Secret<String>) -> io::Result<()> + Send + 'static, Written) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let write = move |secret: &Secret<String>| {
        if !writable {
            return Err(io::Error::other("no room"));
        }
        sender.send(secret.expose().clone()).map_err(io::Error::other)
    };
    (write, receiver)
}
