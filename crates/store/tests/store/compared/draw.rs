//! What is done next: drawn from what is there, so that most of it can succeed, and from what is not, so that much of it
//! is refused.

use std::time::Duration;

use jeton_feed::usage::{self, Report};
use jeton_lifecycle::{change::CredentialChange, namespace::NamespaceChange};
use jeton_store::model::{
    Bearer, Burn, Caller, CredentialDelete, CredentialPatch, CredentialRef, CredentialRow, IssueNew, Labels,
    NamespaceNew, NamespacePatch, Retention, RevokeNew, SecretKey, Selector, SessionEndKind, SessionRow, StoredReceipt,
    TokenRow, UsageFrom,
};
use jeton_types::{
    AddressList, CredentialId, Digest, Freshness, Label, NamespaceName, Place, Revision, RevocationId, ScopeSet,
    SessionId, Span, StartId, TokenId, UnixTime,
};

use super::call::{Answer, Call, Key};

/// Choices, as proptest makes and shrinks them: zeros are the plainest.
#[derive(Debug, Clone)]
pub(super) struct Roll(pub(super) [u8; 24]);

impl Roll {
    /// Whether it is of the same moment as the one before it.
    pub(super) const fn joins(&self) -> bool {
        self.0[self.0.len() - 1] % 3 == 1
    }
}

/// A step of a history.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Call(Box<Call>),
    Wait(Duration),
    SetBack(Duration),
    /// The process ends, and another one opens the store; until a start is recorded, whoever writes is refused.
    Reopen(u8),
}

/// What is known to be there.
#[derive(Debug, Default)]
pub(super) struct Seen {
    credentials: Vec<CredentialRow>,
    tokens: Vec<TokenRow>,
    revocations: Vec<RevocationId>,
    bearers: Vec<Bearer>,
    now: UnixTime,
}

const NAMESPACES: [&str; 4] = ["acme", "other", "jeton", "none"];
const PREFIXES: [&str; 4] = ["acme_live", "other", "jtn", "nobody"];
const ROLES: [&str; 6] = ["admin@*", "admin@acme", "issuer@acme", "revoker@acme", "verifier@other", "not-a-role"];
const SCOPES: [&str; 4] = ["a", "b", "c", "d"];

struct Draw<'a> {
    rolls: std::slice::Iter<'a, u8>,
    seen: &'a Seen,
}

impl Seen {
    /// Learns what was made.
    pub(super) fn learn(&mut self, answer: &Answer) {
        match answer {
            Answer::Root(Some(token), _) => self.token(token),
            Answer::RootReplaced(replaced, _) => {
                self.token(&replaced.token);
                self.revocations.extend(replaced.revocation.iter().map(|row| row.id));
            }
            Answer::NamespacePatched(patched) => self.revocations.extend(patched.revocation.iter().map(|row| row.id)),
            Answer::Issued(rows, ..) => {
                self.credential(&rows.0);
                self.token(&rows.1);
            }
            Answer::Rotated(rows, ..) => self.token(&rows.1),
            Answer::CredentialPatched(patched) => {
                self.credential(&patched.row);
                self.revocations.extend(patched.revocation.iter().map(|row| row.id));
            }
            Answer::Burned(Some(revoked)) | Answer::Revoked(revoked) => self.revocations.push(revoked.revocation.id),
            _ => {}
        }
    }

    pub(super) fn now(&mut self, now: UnixTime) {
        self.now = now;
    }

    fn credential(&mut self, row: &CredentialRow) {
        self.credentials.retain(|known| known.id != row.id);
        self.credentials.push(row.clone());
    }

    fn token(&mut self, row: &TokenRow) {
        self.tokens.push(row.clone());
        if row.namespace.is_built_in() {
            let address = (row.version == 1).then(|| [192, 0, 2, 7].into());
            self.bearers.push(Bearer { token: row.id, digest: row.digest, address });
        }
    }

    /// The next step.
    pub(super) fn step(&self, roll: &Roll) -> Step {
        let mut draw = Draw { rolls: roll.0.iter(), seen: self };
        draw.step()
    }
}

impl Draw<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.rolls.next().copied().unwrap_or(0)) % bound.max(1)
    }

    /// Once in so many times.
    fn rarely(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let place = self.below(all.len());
        all.get(place).cloned()
    }

    fn step(&mut self) -> Step {
        let seen = self.seen;
        Step::Call(Box::new(match self.below(42) {
            0..8 => {
                let (caller, key) = self.keyed();
                Call::CredentialIssue(caller, self.issue_new(), key)
            }
            8..13 => {
                let overlap = if self.rarely(8) { "1s" } else { "100s" };
                let (caller, key) = self.keyed();
                Call::CredentialRotate(caller, self.credential_ref(), overlap.parse().unwrap(), key)
            }
            13..18 => {
                let (caller, key) = self.keyed();
                let row = if self.rarely(16) { None } else { self.credential_row() };
                let id = row.as_ref().map_or(CredentialId::from_bytes([7; 16]), |row| row.id);
                Call::CredentialPatch(caller, id, self.credential_patch(row.as_ref()), key)
            }
            18..20 => {
                let (caller, key) = self.keyed();
                let delete = CredentialDelete { if_match: self.if_match(None), reason: self.reason() };
                Call::CredentialDelete(caller, self.credential_id(), delete, key)
            }
            20..25 => {
                let (caller, key) = self.keyed();
                Call::RevocationCreate(caller, self.revoke_new(), key)
            }
            25 => Call::RevocationPreview(self.caller(), self.revoke_new()),
            26 => Call::TokenBurn(Burn {
                digest: self.token().map_or(Digest::from_bytes([7; 32]), |token| token.digest),
                prefix: self.of(&PREFIXES).unwrap().parse().unwrap(),
                address: Some([192, 0, 2, 9].into()),
                reason: self.reason(),
            }),
            27 => {
                let (caller, key) = self.keyed();
                Call::NamespaceCreate(caller, self.namespace_new(), key)
            }
            28 => {
                let (caller, key) = self.keyed();
                let patch = NamespacePatch {
                    change: self.namespace_change(),
                    if_match: self.if_match(None),
                    reason: self.reason(),
                };
                Call::NamespacePatch(caller, self.namespace(), patch, key)
            }
            29 => Call::RootEnsure(!self.rarely(3)),
            30 => Call::RootReplace(!self.rarely(3)),
            31 | 32 => {
                let id = self.of(&seen.revocations).unwrap_or(RevocationId::from_bytes([7; 16]));
                let jws = self.below(3).to_string();
                let completed_at = seen.now;
                Call::ReceiptStore(id, StoredReceipt { completed_at, evidence: "[]".to_owned(), jws })
            }
            33 => Call::SessionOpen(SessionRow {
                session: self.session(),
                verifier: "edge-1".parse().unwrap(),
                credential: self.credential_id(),
                namespaces: vec![self.namespace(), "jeton".parse().unwrap()],
                opened: Revision::new(self.below(3) as u64).unwrap(),
                opened_at: seen.now,
                place: self.rarely(3).then_some(Place { boot: [1; 16], device: u64::MAX, inode: 1 << 63 }),
                ended: self.rarely(4).then_some((SessionEndKind::Succeeded, seen.now)),
            }),
            34 => {
                let kinds = [SessionEndKind::Goodbye, SessionEndKind::Succeeded, SessionEndKind::Forgotten];
                Call::SessionEnd(self.session(), self.of(&kinds).unwrap(), seen.now)
            }
            35 if self.rarely(2) => Call::SessionForget(self.session()),
            35 => Call::UsageReport(self.usage_from(), self.usage()),
            36 => Call::StartRecord(StartId::from_bytes([self.below(40) as u8; 16])),
            37 => return Step::Wait(Duration::from_millis(1 << self.below(20))),
            38 if self.rarely(3) => return Step::Reopen(self.below(256) as u8),
            38 => return Step::Wait(Duration::from_micros(self.below(3) as u64)),
            39 => Call::RecordsCut(self.retention()),
            40 => {
                let back = Duration::from_secs(1 << self.below(14));
                let expired = if self.rarely(8) { seen.now.plus(back) } else { seen.now.minus(back) };
                Call::TokensCollect(self.namespace(), expired)
            }
            _ if self.rarely(2) => return Step::SetBack(Duration::from_secs(self.below(100) as u64)),
            _ if self.rarely(3) => return Step::Wait(Duration::from_secs(24 * 3_600)),
            _ => return Step::Wait(Duration::from_secs(60)),
        }))
    }

    fn usage_from(&mut self) -> UsageFrom {
        if self.rarely(3) {
            UsageFrom::Authority("authority".parse().unwrap())
        } else {
            UsageFrom::Session(self.session())
        }
    }

    fn usage(&mut self) -> Report {
        let seen = self.seen;
        let times = |draw: &mut Self| {
            let first = seen.now.minus(Duration::from_secs(draw.below(100) as u64));
            usage::Seen {
                first,
                last: first.plus(Duration::from_secs(draw.below(200) as u64)),
                count: 1 + draw.below(9) as u64,
            }
        };
        let mut report = Report {
            number: self.below(4) as u64,
            until: seen.now.plus(Duration::from_secs(5)).minus(Duration::from_secs(self.below(20) as u64)),
            last: self.rarely(4),
            uses: Vec::new(),
            presented: Vec::new(),
        };
        for _ in 0..self.below(4) {
            let token = self.token().map_or(TokenId::from_bytes([7; 16]), |token| token.id);
            let seen = times(self);
            if self.rarely(2) {
                let address = (!self.rarely(3)).then(|| [192, 0, 2, self.below(2) as u8].into());
                report.presented.push((token, address, seen));
            } else {
                report.uses.push((token, seen));
            }
        }
        report
    }

    fn retention(&mut self) -> Retention {
        let after =
            if self.rarely(2) { UnixTime::ZERO } else { self.seen.now.minus(Duration::from_secs(1 << self.below(17))) };
        Retention { after, records_max: if self.rarely(2) { u64::MAX } else { self.below(30) as u64 } }
    }

    fn caller(&mut self) -> Caller {
        if self.below(5) < 3 {
            return Caller::System;
        }
        let Some(mut bearer) = self.of(&self.seen.bearers) else { return Caller::System };
        if self.rarely(12) {
            // The id of another.
            bearer.token = TokenId::from_bytes([7; 16]);
        }
        Caller::Bearer(bearer)
    }

    /// A caller, and the key that it claims. The authority itself has none to claim, and mostly does not try.
    fn keyed(&mut self) -> (Caller, Key) {
        let caller = self.caller();
        let times = if caller == Caller::System { 24 } else { 2 };
        let key = self.rarely(times).then(|| (self.below(2) as u8, u8::from(self.rarely(4))));
        (caller, key)
    }

    fn reason(&mut self) -> Option<String> {
        self.rarely(3).then(|| "found in a log".to_owned())
    }

    fn namespace(&mut self) -> NamespaceName {
        // The last one is missing, and is named less often.
        let known = NAMESPACES.len() - usize::from(!self.rarely(8));
        // Most of it happens in the first.
        let place = if self.rarely(2) { self.below(known) } else { 0 };
        NAMESPACES[place].parse().unwrap()
    }

    fn namespace_new(&mut self) -> NamespaceNew {
        let name = ["fourth", "fifth", "jeton", "acme"][self.below(4)].parse().unwrap();
        let prefix = ["fourth", "fifth", "jtn", "acme_live"][self.below(4)].parse().unwrap();
        let freshness = if self.rarely(2) { Freshness::DEFAULT } else { Freshness::Strict };
        NamespaceNew { name, prefix, freshness, default_ttl: self.ttl() }
    }

    fn namespace_change(&mut self) -> NamespaceChange {
        let mut change = NamespaceChange::default();
        let what = self.below(6);
        if matches!(what, 0 | 1 | 5) {
            change.disabled = Some(!self.rarely(2));
        }
        if matches!(what, 2 | 3 | 5) {
            let freshness = ["strict", "grace=2m", "grace=1h"][self.below(3)];
            change.freshness = Some(freshness.parse().unwrap());
        }
        if matches!(what, 4 | 5) {
            change.default_ttl = Some(self.ttl());
        }
        change
    }

    fn ttl(&mut self) -> Option<Span> {
        let ttl = [None, Some("1h"), Some("300s"), Some("9s")][self.below(4)];
        ttl.map(|text| text.parse().unwrap())
    }

    fn scopes(&mut self, namespace: &NamespaceName) -> ScopeSet {
        let of: &[&str] = if namespace.is_built_in() { &ROLES } else { &SCOPES };
        let count = self.below(3);
        ScopeSet::parse((0..=count).map(|_| of[self.below(of.len())]).collect::<Vec<_>>()).unwrap()
    }

    fn labels(&mut self) -> Labels {
        let pairs = [("team", "core"), ("env", "prod"), ("a/b.c", "d=\"e\"")];
        let held = pairs.iter().filter(|_| self.rarely(2)).map(|(key, value)| Label::new(key, value).unwrap());
        Labels::new(held.collect::<Vec<_>>()).unwrap()
    }

    fn subject(&mut self) -> Option<jeton_types::Subject> {
        [None, Some("svc:x"), Some("svc:y")][self.below(3)].map(|text| text.parse().unwrap())
    }

    fn issue_new(&mut self) -> IssueNew {
        let namespace = self.namespace();
        IssueNew {
            name: format!("c{}", self.below(6)).parse().unwrap(),
            scopes: self.scopes(&namespace),
            namespace,
            subject: self.subject(),
            labels: self.labels(),
            ttl: self.ttl(),
            addresses: self.addresses(),
        }
    }

    fn addresses(&mut self) -> AddressList {
        let lists: [&[&str]; 4] = [&[], &["10.0.0.0/8"], &["10.0.0.0/9", "10.128.0.0/9"], &["10.0.0.0/9", "::1"]];
        AddressList::parse(lists[self.below(4)].iter().copied()).unwrap()
    }

    fn credential_row(&mut self) -> Option<CredentialRow> {
        self.of(&self.seen.credentials)
    }

    fn credential_id(&mut self) -> CredentialId {
        let row = if self.rarely(16) { None } else { self.credential_row() };
        row.map_or(CredentialId::from_bytes([7; 16]), |row| row.id)
    }

    fn credential_ref(&mut self) -> CredentialRef {
        if self.rarely(4) {
            let name = format!("c{}", self.below(6)).parse().unwrap();
            return CredentialRef::Name(self.namespace(), name);
        }
        CredentialRef::Id(self.credential_id())
    }

    fn token(&mut self) -> Option<TokenRow> {
        if self.rarely(16) { None } else { self.of(&self.seen.tokens) }
    }

    fn session(&mut self) -> SessionId {
        SessionId::from_bytes([self.below(3) as u8; 16])
    }

    /// What is thought to be the revision; mostly nothing is thought.
    fn if_match(&mut self, of: Option<&CredentialRow>) -> Option<Vec<Revision>> {
        let revision = of.map_or(Revision::ZERO, |row| row.revision);
        self.rarely(4).then(|| vec![revision])
    }

    fn credential_patch(&mut self, row: Option<&CredentialRow>) -> CredentialPatch {
        let mut change = CredentialChange::default();
        match self.below(9) {
            0 => change.disabled = Some(true),
            1 => change.disabled = Some(false),
            2 | 3 => {
                let namespace = row.map_or_else(|| self.namespace(), |row| row.namespace.clone());
                change.scopes = Some(self.scopes(&namespace));
            }
            4 => change.subject = Some(self.subject()),
            5 => change.labels = Some(self.labels()),
            6 => change.ttl = Some(self.ttl()),
            7 => change.addresses = Some(self.addresses()),
            _ => change.expires_at = Some(self.seen.now.plus(Duration::from_secs(self.below(600) as u64))),
        }
        if self.rarely(6) {
            change.disabled = Some(true);
            change.labels = Some(self.labels());
        }
        CredentialPatch { change, if_match: self.if_match(row), reason: self.reason() }
    }

    fn revoke_new(&mut self) -> RevokeNew {
        let mut selector = Selector::default();
        let named = self.below(9) % 8;
        if matches!(named, 0 | 1 | 7) {
            selector.credential = Some(self.credential_ref());
        }
        if matches!(named, 2 | 7) {
            selector.token = Some(self.token().map_or(TokenId::from_bytes([7; 16]), |token| token.id));
        }
        if named == 3 {
            let digest = self.token().map_or(Digest::from_bytes([7; 32]), |token| token.digest);
            selector.secret = Some(SecretKey { digest, prefix: self.of(&PREFIXES).unwrap().parse().unwrap() });
        }
        if matches!(named, 4 | 6) {
            selector.subject = Some(["svc:x", "svc:y"][self.below(2)].parse().unwrap());
        }
        if matches!(named, 5 | 6) {
            selector.labels = self.labels();
        }
        if self.rarely(8) {
            selector.issued_before = Some(self.seen.now);
        }
        let namespace =
            if named < 4 || named == 7 { self.rarely(4).then(|| self.namespace()) } else { Some(self.namespace()) };
        RevokeNew { namespace, selector, reason: self.reason() }
    }
}
