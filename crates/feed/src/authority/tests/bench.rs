//! A hub with a clock of its own and short words for what happens to it.

use std::time::Duration;

use jeton_types::{
    BootTime, CredentialId, Freshness, Hash32, NamespaceName, Now, Revision, RevocationId, SessionId, Span, StartId,
    TokenId, UnixTime,
};

use crate::{
    authority::{
        Committed, Effect, EvidenceKind, Hub, HubSetup, Input, Pending, PolicyFact, ReceiptFacts, SessionFacts,
        SessionState, StreamId,
    },
    message::ToVerifier,
    record::Head,
};

pub(super) const BOOT: u64 = 1_000_000;
pub(super) const HEAD: u64 = 100;

/// A namespace that demands a lease, and one that does with 30 s of grace.
pub(super) const STRICT: &str = "acme";
pub(super) const GRACE: &str = "blog";

pub(super) struct Bench {
    pub(super) hub: Hub,
    /// Milliseconds since the hub's start.
    pub(super) at: u64,
    /// Real time ahead of boot time, in milliseconds.
    pub(super) ahead: u64,
    next_stream: u64,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(&[], &[])
    }

    /// A start that finds `sessions` and pending `revocations` of the strict namespace.
    pub(super) fn with(sessions: &[u8], revocations: &[u64]) -> Self {
        let policies = [(STRICT, 10, Freshness::Strict), (GRACE, 20, Freshness::Grace(Span::from_secs(30)))];
        let setup = HubSetup {
            start: StartId::from_bytes([1; 16]),
            now: now_at(0, 0),
            authority_time: time_at(0),
            head: head(HEAD),
            sessions: sessions.iter().map(|number| facts(*number, &[STRICT], 50)).collect(),
            policies: policies
                .iter()
                .map(|(name, at, freshness)| PolicyFact {
                    namespace: namespace(name),
                    revision: revision(*at),
                    freshness: *freshness,
                })
                .collect(),
            last_records: vec![(namespace(STRICT), revision(90)), (namespace(GRACE), revision(20))],
            floors: vec![(namespace(STRICT), revision(70))],
            pending: revocations
                .iter()
                .map(|at| Pending {
                    revocation: revocation(*at),
                    namespace: namespace(STRICT),
                    revision: revision(*at),
                    committed_at: UnixTime::ZERO,
                    ended_before: Vec::new(),
                })
                .collect(),
        };
        Self { hub: Hub::new(setup), at: 0, ahead: 0, next_stream: 0 }
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<Effect> {
        self.hub.step(now_at(self.at, self.ahead), time_at(self.at), input)
    }

    pub(super) fn tick(&mut self) -> Vec<Effect> {
        self.step(Input::Tick)
    }

    /// Lets time pass, and the hub decide when it asked to.
    pub(super) fn pass(&mut self, millis: u64) -> Vec<Effect> {
        let until = self.at + millis;
        let mut effects = Vec::new();
        loop {
            let wakeup = self.hub.next_wakeup().since(now_at(0, 0).boot).as_nanos().div_ceil(1_000_000) as u64;
            if wakeup > until {
                break;
            }
            self.at = self.at.max(wakeup);
            effects.extend(self.tick());
        }
        self.at = until;
        effects
    }

    /// Registers a session at the present head.
    pub(super) fn open(&mut self, number: u8, namespaces: &[&str]) -> Vec<Effect> {
        let opened = self.hub.head().revision.get();
        self.step(Input::SessionOpened(facts(number, namespaces, opened)))
    }

    /// Opens a stream with a token of the session's number.
    pub(super) fn stream(&mut self, number: u8, epoch: u64) -> (StreamId, Vec<Effect>) {
        self.next_stream += 1;
        let stream = StreamId(self.next_stream);
        let (session, token) = (session(number), token(number));
        (stream, self.step(Input::StreamOpened { session, stream, epoch, token, resume: None }))
    }

    /// A session with a lease that has acknowledged the head.
    pub(super) fn live(&mut self, number: u8, namespaces: &[&str]) -> StreamId {
        self.open(number, namespaces);
        let (stream, _) = self.stream(number, 1);
        let head = self.hub.head().revision.get();
        self.ack(stream, head);
        assert!(granted(&self.renew(stream)), "session {number}");
        stream
    }

    pub(super) fn ack(&mut self, stream: StreamId, at: u64) -> Vec<Effect> {
        self.step(Input::Ack { stream, revision: revision(at) })
    }

    pub(super) fn renew(&mut self, stream: StreamId) -> Vec<Effect> {
        self.step(Input::Renew { stream, request: self.at + 1, token_good: true })
    }

    pub(super) fn commit(&mut self, name: &str, at: u64) -> Vec<Effect> {
        self.commit_with(name, at, |_| {})
    }

    /// A record that the hub hears of this many milliseconds after its commit.
    pub(super) fn commit_late(&mut self, name: &str, at: u64, late: u64) -> Vec<Effect> {
        let boot = now_at(self.at - late, 0).boot;
        self.commit_with(name, at, |committed| committed.boot = boot)
    }

    pub(super) fn policy(&mut self, name: &str, at: u64, freshness: &str) -> Vec<Effect> {
        let freshness = freshness.parse().unwrap();
        self.commit_with(name, at, |committed| committed.policy = Some(freshness))
    }

    /// A revocation that the authority itself has acknowledged.
    pub(super) fn revoke(&mut self, name: &str, at: u64) -> Vec<Effect> {
        let mut effects = self.revoke_only(name, at, &[]);
        effects.extend(self.step(Input::AuthorityAcked { revision: revision(at) }));
        effects
    }

    pub(super) fn revoke_only(&mut self, name: &str, at: u64, tokens: &[u8]) -> Vec<Effect> {
        self.commit_with(name, at, |committed| {
            committed.revocation = Some(revocation(at));
            committed.ended_tokens = tokens.iter().map(|number| token(*number)).collect();
        })
    }

    fn commit_with(&mut self, name: &str, at: u64, with: impl Fn(&mut Committed)) -> Vec<Effect> {
        let mut committed = Committed {
            revision: revision(at),
            namespace: namespace(name),
            committed_at: time_at(self.at),
            boot: now_at(self.at, 0).boot,
            policy: None,
            revocation: None,
            ended_tokens: Vec::new(),
            head: head(at),
        };
        with(&mut committed);
        self.step(Input::Committed(committed))
    }

    /// What the receipt says of a session; of the authority for nothing.
    pub(super) fn line(&self, at: u64, number: Option<u8>) -> Option<EvidenceKind> {
        line(&self.receipt(at), number)
    }

    pub(super) fn receipt(&self, at: u64) -> ReceiptFacts {
        self.hub.receipt(revocation(at), now_at(self.at, self.ahead), time_at(self.at)).unwrap()
    }

    pub(super) fn state(&self, number: u8) -> SessionState {
        let views = self.hub.sessions(now_at(self.at, self.ahead), time_at(self.at));
        views.iter().find(|view| view.facts.session == session(number)).unwrap().state
    }
}

pub(super) fn line(receipt: &ReceiptFacts, number: Option<u8>) -> Option<EvidenceKind> {
    let of = number.map(session);
    receipt.evidence.iter().find(|evidence| evidence.session == of).map(|evidence| evidence.state)
}

pub(super) fn granted(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Send { message: ToVerifier::Grant(_), .. }))
}

pub(super) fn completed(effects: &[Effect]) -> Vec<u64> {
    let complete = effects.iter().filter_map(|effect| match effect {
        Effect::ReceiptComplete(facts) => Some(facts.revision.get()),
        _ => None,
    });
    complete.collect()
}

pub(super) fn cut(effects: &[Effect]) -> Vec<StreamId> {
    let cut = effects.iter().filter_map(|effect| match effect {
        Effect::Cut { stream } => Some(*stream),
        _ => None,
    });
    cut.collect()
}

pub(super) fn revision(at: u64) -> Revision {
    Revision::new(at).unwrap()
}

pub(super) fn namespace(name: &str) -> NamespaceName {
    name.parse().unwrap()
}

pub(super) fn session(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

pub(super) fn token(number: u8) -> TokenId {
    TokenId::from_bytes([number; 16])
}

pub(super) fn revocation(at: u64) -> RevocationId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&at.to_be_bytes());
    RevocationId::from_bytes(bytes)
}

pub(super) fn facts(number: u8, namespaces: &[&str], opened: u64) -> SessionFacts {
    SessionFacts {
        session: session(number),
        verifier: format!("edge-{number}").parse().unwrap(),
        credential: CredentialId::from_bytes([number; 16]),
        namespaces: namespaces.iter().copied().map(namespace).collect(),
        opened: revision(opened),
        place: None,
    }
}

pub(super) fn time_at(millis: u64) -> UnixTime {
    UnixTime::from_micros(1_700_000_000_000_000).plus(Duration::from_millis(millis))
}

fn now_at(millis: u64, ahead: u64) -> Now {
    let boot = BootTime::ZERO.plus(Duration::from_millis(BOOT + millis));
    Now { boot, real: time_at(millis + ahead) }
}

fn head(at: u64) -> Head {
    Head { revision: revision(at), start: StartId::from_bytes([1; 16]), chain_hash: Hash32::ZERO, mac: None }
}
