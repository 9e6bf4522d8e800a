//! Receipts in the making (`feed-protocol.md` 19).
//!
//! A receipt has one line for the authority and one for each session that could know less than the revocation. A line
//! is pending until there is evidence. `acked`, `goodbye` and `succeeded` are final; `fenced` is not before the receipt is complete:
//! a grant to that session makes its line pending again.

use std::{fmt, sync::Arc};

use jeton_types::{
    BootTime, NamespaceName, Revision, RevocationId, SessionId, UnixTime, VerifierName,
    fault::{Fault, injected},
};

use super::{fact::SessionFacts, moment::Moment};

/// How it is known that a session does not accept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EvidenceKind {
    /// It applied the revocation.
    Acked,
    /// It said goodbye.
    Goodbye,
    /// Another process took its place.
    Succeeded,
    /// It was silent for longer than its lease and grace could last.
    Fenced,
    /// It is not known.
    Pending,
}

impl EvidenceKind {
    /// The word in receipts and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acked => "acked",
            Self::Goodbye => "goodbye",
            Self::Succeeded => "succeeded",
            Self::Fenced => "fenced",
            Self::Pending => "pending",
        }
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// The verifier's name.
    pub verifier: VerifierName,
    /// Its session; nothing for the authority itself.
    pub session: Option<SessionId>,
    /// What is known.
    pub state: EvidenceKind,
    /// Since when.
    pub at: Option<UnixTime>,
    /// Its last lease, if it has been without word for long enough to be called silent.
    pub silent_since: Option<UnixTime>,
    /// Only while pending: when it will be counted out unless it is heard of before.
    pub stops_by: Option<UnixTime>,
}

/// A receipt as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReceiptFacts {
    /// The revocation.
    pub revocation: RevocationId,
    /// Its namespace.
    pub namespace: NamespaceName,
    /// Its record.
    pub revision: Revision,
    /// Authority time of its commit.
    pub committed_at: UnixTime,
    /// Whether no session can accept any more.
    pub complete: bool,
    /// Since when.
    pub completed_at: Option<UnixTime>,
    /// The authority's line first, then by name and session.
    pub evidence: Vec<Evidence>,
}

/// A receipt that is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Receipt {
    pub(super) revocation: RevocationId,
    pub(super) revision: Revision,
    pub(super) committed_at: UnixTime,
    /// On this start's boot clock; the start itself for one from before.
    pub(super) committed: BootTime,
    authority: Option<UnixTime>,
    ended_before: Vec<Evidence>,
    /// Sorted by session.
    lines: Vec<Line>,
    open: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Line {
    facts: Arc<SessionFacts>,
    state: LineState,
}

/// What is known of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LineState {
    Pending,
    Acked(UnixTime),
    Goodbye(UnixTime),
    Succeeded(UnixTime),
    Fenced { at: UnixTime, silent_since: UnixTime },
}

impl LineState {
    pub(super) const fn kind(self) -> EvidenceKind {
        match self {
            Self::Pending => EvidenceKind::Pending,
            Self::Acked(_) => EvidenceKind::Acked,
            Self::Goodbye(_) => EvidenceKind::Goodbye,
            Self::Succeeded(_) => EvidenceKind::Succeeded,
            Self::Fenced { .. } => EvidenceKind::Fenced,
        }
    }

    const fn is_final(self) -> bool {
        matches!(self, Self::Acked(_) | Self::Goodbye(_) | Self::Succeeded(_))
    }
}

impl Receipt {
    pub(super) const fn new(
        revocation: RevocationId,
        revision: Revision,
        committed_at: UnixTime,
        committed: BootTime,
        ended_before: Vec<Evidence>,
    ) -> Self {
        Self {
            revocation,
            revision,
            committed_at,
            committed,
            authority: None,
            ended_before,
            lines: Vec::new(),
            open: 0,
        }
    }

    /// The authority's own acknowledgement.
    pub(super) const fn authority_acked(&mut self, at: UnixTime) {
        if self.authority.is_none() {
            self.authority = Some(at);
        }
    }

    /// Whether nobody blocks it.
    pub(super) fn is_unblocked(&self) -> bool {
        (self.authority.is_some() || injected(Fault::AuthorityNotCounted)) && self.open == 0
    }

    pub(super) fn state(&self, session: SessionId) -> Option<LineState> {
        self.place(session).ok().map(|place| self.lines[place].state)
    }

    /// Sets a session's line, adding it if there is none. Says whether that changed anything; what is final stays.
    pub(super) fn set(&mut self, facts: &Arc<SessionFacts>, state: LineState) -> bool {
        match self.place(facts.session) {
            Ok(place) => {
                let line = &mut self.lines[place];
                if line.state.is_final() || line.state == state {
                    return false;
                }
                self.open -= usize::from(line.state == LineState::Pending);
                line.state = state;
            }
            Err(place) => self.lines.insert(place, Line { facts: Arc::clone(facts), state }),
        }
        self.open += usize::from(state == LineState::Pending);
        true
    }

    /// Takes the fences of the sessions that are there back: the clock that they were reckoned on has jumped. One that is
    /// forgotten cannot come back, and nothing could ever close its line again.
    pub(super) fn fences_drop(&mut self, is_there: impl Fn(SessionId) -> bool) {
        for line in &mut self.lines {
            if matches!(line.state, LineState::Fenced { .. }) && is_there(line.facts.session) {
                line.state = LineState::Pending;
                self.open += 1;
            }
        }
    }

    /// The receipt in words. `pending` says since when a session has been silent and when it will be counted out.
    pub(super) fn facts(
        &self,
        namespace: &NamespaceName,
        completed_at: Option<UnixTime>,
        pending: impl Fn(&SessionFacts) -> Option<Silence>,
    ) -> ReceiptFacts {
        let mut evidence = self.ended_before.clone();
        evidence.extend(self.lines.iter().map(|line| line.evidence(&pending)));
        evidence.sort_by(|a, b| (&a.verifier, a.session).cmp(&(&b.verifier, b.session)));
        let authority = if self.authority.is_some() { EvidenceKind::Acked } else { EvidenceKind::Pending };
        evidence.insert(0, line_of(VerifierName::authority(), None, authority, self.authority));
        ReceiptFacts {
            revocation: self.revocation,
            namespace: namespace.clone(),
            revision: self.revision,
            committed_at: self.committed_at,
            complete: completed_at.is_some(),
            completed_at,
            evidence,
        }
    }

    fn place(&self, session: SessionId) -> Result<usize, usize> {
        self.lines.binary_search_by_key(&session, |line| line.facts.session)
    }
}

impl Line {
    fn evidence(&self, pending: impl Fn(&SessionFacts) -> Option<Silence>) -> Evidence {
        let line = |state, at| line_of(self.facts.verifier.clone(), Some(self.facts.session), state, at);
        match self.state {
            LineState::Acked(at) => line(EvidenceKind::Acked, Some(at)),
            LineState::Goodbye(at) => line(EvidenceKind::Goodbye, Some(at)),
            LineState::Succeeded(at) => line(EvidenceKind::Succeeded, Some(at)),
            LineState::Fenced { at, silent_since } => {
                Evidence { silent_since: Some(silent_since), ..line(EvidenceKind::Fenced, Some(at)) }
            }
            LineState::Pending => {
                let silence = pending(&self.facts);
                Evidence {
                    silent_since: silence.and_then(|silence| silence.since),
                    stops_by: silence.map(|silence| silence.stops_by),
                    ..line(EvidenceKind::Pending, None)
                }
            }
        }
    }
}

/// What is known of a session that blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    pub(super) since: Option<UnixTime>,
    pub(super) stops_by: UnixTime,
}

/// A complete receipt, until it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Unstored {
    pub(super) facts: ReceiptFacts,
    pub(super) told: BootTime,
}

impl Unstored {
    pub(super) const fn new(facts: ReceiptFacts, moment: Moment) -> Self {
        Self { facts, told: moment.boot }
    }
}

const fn line_of(
    verifier: VerifierName,
    session: Option<SessionId>,
    state: EvidenceKind,
    at: Option<UnixTime>,
) -> Evidence {
    Evidence { verifier, session, state, at, silent_since: None, stops_by: None }
}
