//! What is stored, what is asked, and what is answered.

use std::net::IpAddr;

use jeton_feed::{
    message::SnapshotPart,
    record::{EndReason, Policy, TokenEntry},
    usage::Seen,
};
pub use jeton_lifecycle::{
    Effect,
    change::{CredentialChange, CredentialState},
};
use jeton_lifecycle::{namespace::NamespaceChange, token::TokenFacts};
use jeton_types::{
    AddressList, CredentialId, CredentialName, Digest, Freshness, Hash32, NamespaceName, Place, Prefix, Revision,
    RevocationId, ScopeSet, Secret, SessionId, Span, StartId, Subject, TokenId, UnixTime, VerifierName,
};
pub use jeton_types::{CredentialRef, Labels};

/// Who asks for a mutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The bearer of a token, which is checked again inside the mutation's own transaction.
    Bearer(Bearer),
    /// The authority itself. May do everything; no request from outside is ever given this.
    System,
}

/// The bearer of a token of the built-in namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bearer {
    /// The token as it was found when the request came in.
    pub token: TokenId,
    /// Its lookup key.
    pub digest: Digest,
    /// Where the request came from.
    pub address: Option<IpAddr>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRow {
    /// Its name.
    pub name: NamespaceName,
    /// What its tokens begin with.
    pub prefix: Prefix,
    /// What a verifier does past its lease.
    pub freshness: Freshness,
    /// The time to live of credentials that name none.
    pub default_ttl: Option<Span>,
    /// When it was created.
    pub created_at: UnixTime,
    /// The revision that last changed it.
    pub revision: Revision,
    /// Set while it is switched off.
    pub disabled: Option<SwitchedOff>,
}

impl NamespaceRow {
    /// What a verifier needs to know of it.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy { prefix: self.prefix.clone(), freshness: self.freshness, disabled: self.disabled.is_some() }
    }
}

/// Since when something is off, and by which revocation: that one has the receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwitchedOff {
    /// Since when.
    pub at: UnixTime,
    /// By which revocation.
    pub revocation: RevocationId,
}

/// A change of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePatch {
    /// What is to be changed.
    pub change: NamespaceChange,
    /// Refuses unless the namespace is at one of these revisions.
    pub if_match: Option<Vec<Revision>>,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

/// What a change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched<T> {
    /// How the thing is now.
    pub row: T,
    /// The revision of the change; the last one, if nothing was to be changed.
    pub revision: Revision,
    /// Where authority ended: what keeps the receipt. If it had ended already, what ended it.
    pub revocation: Option<RevocationRow>,
    /// Whether this call changed anything.
    pub fresh: bool,
}

/// A namespace to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceNew {
    /// Its name.
    pub name: NamespaceName,
    /// What its tokens will begin with.
    pub prefix: Prefix,
    /// What a verifier does past its lease.
    pub freshness: Freshness,
    /// The time to live of credentials that name none.
    pub default_ttl: Option<Span>,
}

/// A credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    /// Its id.
    pub id: CredentialId,
    /// Where it lives.
    pub namespace: NamespaceName,
    /// Its name there.
    pub name: CredentialName,
    /// Whom it speaks for.
    pub subject: Option<Subject>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// What its owner wrote on it.
    pub labels: Labels,
    /// The time to live of its tokens, where it has one of its own.
    pub ttl: Option<Span>,
    /// From where its tokens may be presented.
    pub addresses: AddressList,
    /// When it was issued.
    pub created_at: UnixTime,
    /// The revision that last changed it.
    pub revision: Revision,
    /// Set while it is switched off.
    pub disabled: Option<SwitchedOff>,
    /// Set once it was deleted. For good.
    pub deleted: Option<SwitchedOff>,
}

/// A change of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialPatch {
    /// What is to be changed.
    pub change: CredentialChange,
    /// Refuses unless the credential is at one of these revisions.
    pub if_match: Option<Vec<Revision>>,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

/// The end of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialDelete {
    /// Refuses unless the credential is at one of these revisions.
    pub if_match: Option<Vec<Revision>>,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

/// Which credentials are looked for. All that is given must be so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialFilter {
    /// They speak for this one.
    pub subject: Option<Subject>,
    /// They have all of these labels.
    pub labels: Labels,
    /// They are in this state.
    pub state: Option<CredentialState>,
}

/// A credential to be issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueNew {
    /// Where it will live.
    pub namespace: NamespaceName,
    /// Its name there.
    pub name: CredentialName,
    /// Whom it speaks for.
    pub subject: Option<Subject>,
    /// What it may do; roles, in the built-in namespace.
    pub scopes: ScopeSet,
    /// What its owner writes on it.
    pub labels: Labels,
    /// The time to live of its tokens; the namespace's unless given.
    pub ttl: Option<Span>,
    /// From where its tokens may be presented; anywhere, in the built-in namespace.
    pub addresses: AddressList,
}

/// One token: one secret of one version of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public id.
    pub id: TokenId,
    /// The credential that it is a version of.
    pub credential: CredentialId,
    /// The credential's namespace.
    pub namespace: NamespaceName,
    /// Which version, from 1.
    pub version: u32,
    /// Lookup key.
    pub digest: Digest,
    /// What may be shown of its secret.
    pub hint: String,
    /// The revision that it was born at; its secret says the same.
    pub birth: Revision,
    /// When it was issued.
    pub issued_at: UnixTime,
    /// From when it is expired.
    pub expires_at: Option<UnixTime>,
    /// Set once it has been ended.
    pub ended: Option<Ended>,
    /// The revision at which verifiers were told to forget it, long after it had expired (`feed-protocol.md` 25).
    pub collected: Option<Revision>,
}

impl TokenRow {
    /// Whether there is still something to end or to change of it: verifiers hold it, and it has not ended.
    #[must_use]
    pub const fn lives(&self) -> bool {
        self.ended.is_none() && self.collected.is_none()
    }

    /// What the decisions of the lifecycle look at.
    #[must_use]
    pub const fn facts(&self) -> TokenFacts {
        TokenFacts { id: self.id, version: self.version, ended: self.ended.is_some(), expires_at: self.expires_at }
    }

    /// What a verifier needs to know of it.
    #[must_use]
    pub fn entry(&self, credential: &CredentialRow) -> TokenEntry {
        TokenEntry {
            digest: self.digest,
            token: self.id,
            credential: credential.id,
            subject: credential.subject.clone(),
            scopes: credential.scopes.clone(),
            expires_at: self.expires_at,
            addresses: credential.addresses.clone(),
            disabled: credential.disabled.is_some(),
            ended: self.ended.map(|ended| ended.reason),
        }
    }
}

/// A root token that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootReplaced {
    /// The credential of the new one.
    pub credential: CredentialRow,
    /// The new one.
    pub token: TokenRow,
    /// What ended those before it; none, if there was nothing to end.
    pub revocation: Option<RevocationRow>,
}

/// How a token ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// When.
    pub at: UnixTime,
    /// By which revocation.
    pub revocation: RevocationId,
}

/// A credential that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The credential.
    pub credential: CredentialRow,
    /// Its first token.
    pub token: TokenRow,
    /// That token's secret, for the only time.
    pub secret: Secret<String>,
    /// The revision of all this.
    pub revision: Revision,
}

/// A credential that was rotated.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The credential.
    pub credential: CredentialRow,
    /// Its new token.
    pub token: TokenRow,
    /// That token's secret, for the only time.
    pub secret: Secret<String>,
    /// The token that was the newest, with the deadline that it has now.
    pub previous: TokenRow,
    /// The revision of all this.
    pub revision: Revision,
}

/// What a revocation ends: what all of these say. Nothing named is nothing selected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    /// Tokens of this credential.
    pub credential: Option<CredentialRef>,
    /// This token, by its public id.
    pub token: Option<TokenId>,
    /// This token, by its secret.
    pub secret: Option<SecretKey>,
    /// Tokens of credentials that speak for this one.
    pub subject: Option<Subject>,
    /// Tokens of credentials with all of these labels.
    pub labels: Labels,
    /// Tokens issued before this moment.
    pub issued_before: Option<UnixTime>,
}

/// What is known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretKey {
    /// Lookup key.
    pub digest: Digest,
    /// What the text began with; it must be the token's namespace's.
    pub prefix: Prefix,
}

impl Selector {
    /// All tokens of a credential.
    #[must_use]
    pub fn credential(credential: CredentialRef) -> Self {
        Self { credential: Some(credential), ..Self::default() }
    }

    /// One token, by its public id.
    #[must_use]
    pub fn token(token: TokenId) -> Self {
        Self { token: Some(token), ..Self::default() }
    }

    /// One token, by its secret.
    #[must_use]
    pub fn secret(digest: Digest, prefix: Prefix) -> Self {
        Self { secret: Some(SecretKey { digest, prefix }), ..Self::default() }
    }

    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a revocation would end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokePreview {
    /// How many tokens, also if they are more than may be ended at once.
    pub count: u64,
    /// The first hundred of them.
    pub tokens: Vec<TokenId>,
}

/// A token that whoever holds it wants ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burn {
    /// Lookup key.
    pub digest: Digest,
    /// What the text began with.
    pub prefix: Prefix,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

/// A revocation to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokeNew {
    /// If given, nothing outside of it is matched.
    pub namespace: Option<NamespaceName>,
    /// What to end.
    pub selector: Selector,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

/// A revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRow {
    /// Its id.
    pub id: RevocationId,
    /// The one namespace whose tokens it ended.
    pub namespace: NamespaceName,
    /// What it took away.
    pub effect: Effect,
    /// Its revision.
    pub revision: Revision,
    /// Authority time of its commit.
    pub committed_at: UnixTime,
    /// Who asked for it: a token's public id, or `system`.
    pub actor: String,
    /// Why, in a person's words.
    pub reason: Option<String>,
    /// How many tokens it ended.
    pub count: u64,
    /// What was selected, as JSON without any secret.
    pub selector: String,
    /// The receipt, once it is complete.
    pub receipt: Option<StoredReceipt>,
}

/// A complete receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceipt {
    /// When it became complete.
    pub completed_at: UnixTime,
    /// The evidence, as JSON.
    pub evidence: String,
    /// The signed statement.
    pub jws: String,
}

/// What a revocation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The revocation: this one, or the earlier one that had ended all of it already.
    pub revocation: RevocationRow,
    /// The tokens that it ended.
    pub tokens: Vec<TokenId>,
    /// Whether this call made it.
    pub fresh: bool,
}

/// A session in the registry (`feed-protocol.md` 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The session.
    pub session: SessionId,
    /// Its verifier.
    pub verifier: VerifierName,
    /// The credential that it came with.
    pub credential: CredentialId,
    /// What it serves, fixed for its life.
    pub namespaces: Vec<NamespaceName>,
    /// The head when it was registered.
    pub opened: Revision,
    /// When that was.
    pub opened_at: UnixTime,
    /// Where its process runs, if it keeps a state folder (`feed-protocol.md` 27).
    pub place: Option<Place>,
    /// Set once it is over.
    pub ended: Option<(SessionEndKind, UnixTime)>,
}

/// How a session got out of the registry of the living.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionEndKind {
    /// It said goodbye.
    Goodbye,
    /// A new process took its place.
    Succeeded,
    /// It was silent for longer than any lease and grace can last.
    Forgotten,
}

impl SessionEndKind {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Succeeded => "succeeded",
            Self::Forgotten => "forgotten",
        }
    }
}

/// Who has seen tokens in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageFrom {
    /// A verifier's session.
    Session(SessionId),
    /// The authority itself, under this name.
    Authority(VerifierName),
}

/// What became of a report of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageTaken {
    /// It is counted.
    Counted,
    /// It had been counted before.
    Again,
    /// It speaks of this token, whose namespace its session does not serve: nothing of it is counted.
    Foreign(TokenId),
}

/// What is known of the use of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The token.
    pub token: TokenId,
    /// When and how often it was found valid.
    pub used: Option<Seen<UnixTime>>,
    /// When and how often it was presented after its end.
    pub presented: Option<Seen<UnixTime>>,
    /// From where, the most frequent first.
    pub presenters: Vec<PresenterRow>,
    /// Until when all of this is known.
    pub known: UsageKnown,
}

/// From where a token was presented after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresenterRow {
    /// To which verifier.
    pub verifier: VerifierName,
    /// From which address, where that is known.
    pub address: Option<IpAddr>,
    /// When and how often.
    pub seen: Seen<UnixTime>,
}

/// Until when all uses of a token are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageKnown {
    /// No verifier serves it: all that there is.
    All,
    /// Until the oldest report among the verifiers that serve its namespace.
    Until(UnixTime),
    /// A verifier went away without its last report.
    Unknown,
}

/// One start of the authority (`feed-protocol.md` 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartRow {
    /// The start.
    pub start: StartId,
    /// The revision of its record.
    pub revision: Revision,
    /// The last revision before it.
    pub before: Revision,
}

/// What of the log is kept: what both of these keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Nothing that was committed before this moment.
    pub after: UnixTime,
    /// No more records than this, the newest.
    pub records_max: u64,
}

/// What was cut off the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsCut {
    /// How many records.
    pub cut: usize,
    /// How many are left.
    pub retained: u64,
}

/// Tokens of a namespace that were collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokensCollected {
    /// The record that says so.
    pub revision: Revision,
    /// How many.
    pub count: usize,
}

/// A policy as it was set at a revision; kept for ever (`feed-protocol.md` 12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// The namespace.
    pub namespace: NamespaceName,
    /// When it was set.
    pub revision: Revision,
    /// To what.
    pub freshness: Freshness,
}

/// What is enforced in a namespace, in one hash (`feed-protocol.md` 24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHashRow {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The last record of the namespace.
    pub last_record: Revision,
    /// What is enforced after it.
    pub set_hash: Hash32,
}

/// One piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotItem {
    /// First: the head of the one view that everything after is read from.
    Begin {
        /// The head.
        at: Revision,
    },
    /// At most 500 rows of a namespace, tombstones among them; at least one such item for each.
    Rows(SnapshotPart),
}
