//! A verifier's machine: its session, a replica of a few bits, and its ends of the streams.

use std::cell::RefCell;

use jeton_feed::{
    lease::{Lease, Void},
    message::{Grant, SnapshotPart, ToAuthority, ToVerifier},
    record::{Change, Record},
    replica::{Replica, Unappliable, Visible},
    verifier::{Effect, Input, Note, Session, SessionConfig},
};
use jeton_types::{Hash32, NamespaceName, Revision, UnixTime, fault::Fault};

use super::{
    Down, Feed, Link, Scope, Sight, World, flawed,
    machine::Clock,
    shared::Shared,
    store::{FED, Ns, View, grace_of, name, ns_of, revision, session_id, token_number, verifier_name},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Verifier {
    pub(super) clock: Clock,
    pub(super) serves: &'static [Ns],
    /// What it connects with.
    pub(super) token: u8,
    session: Shared<Session>,
    /// How many sessions it has had.
    sessions: u8,
    pub(super) table: Table,
    /// It asked for a stream.
    pub(super) wants: bool,
    link: Option<u8>,
    /// This process was granted a lease.
    pub(super) granted: bool,
    /// The start of the authority that granted the last one.
    pub(super) leased_by: Option<u8>,
    /// The last answer was given in grace.
    pub(super) in_grace: bool,
    /// A grant that the network has kept, of this session's stream.
    pub(super) kept: Option<Grant>,
}

/// What a verification reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Table {
    pub(super) view: View,
    staged: Option<View>,
    pub(super) lease: Option<Lease>,
    generation: u64,
    /// For the flawed: what is said to be visible and is not.
    late: Vec<super::store::What>,
    /// An older grant took the place of a newer.
    older: bool,
}

impl Verifier {
    pub(super) fn new(index: usize, scope: &Scope) -> Self {
        let clock = Clock::new(5_000 * (index as u64 + 1));
        let serves = scope.serves[index];
        Self {
            clock,
            serves,
            token: index as u8,
            session: Shared::new(Session::new(config(index, 0, serves), clock.now())),
            sessions: 0,
            table: Table::default(),
            wants: false,
            link: None,
            granted: false,
            leased_by: None,
            in_grace: false,
            kept: None,
        }
    }

    /// Another process, on nothing or on what another left.
    pub(super) fn begin(&mut self, index: usize, _scope: &Scope, copy: Option<(View, jeton_feed::record::Head)>) {
        self.sessions += 1;
        let config = config(index, self.sessions, self.serves);
        let now = self.clock.now();
        let lease = self.table.lease.filter(|_| flawed(Fault::LeaseSurvivesRestart));
        self.table = Table { lease, ..Table::default() };
        let session = match copy {
            None => Session::new(config, now),
            Some((view, head)) => {
                let at = revision(view.at);
                self.table.view = view;
                Session::resuming(config, now, Visible::up_to(at), at, head)
            }
        };
        self.session = Shared::new(session);
        (self.wants, self.link, self.granted, self.in_grace, self.kept) = (false, None, false, false, None);
        self.leased_by = None;
    }
}

impl World {
    pub(super) fn open(&mut self, feed: &Feed, index: usize) {
        let host = &mut self.verifiers[index];
        host.wants = false;
        self.links_ever += 1;
        host.link = Some(self.links_ever);
        self.links.push(Link {
            id: self.links_ever,
            verifier: index,
            start: self.authority.start,
            token: host.token,
            session: None,
            up: Vec::new(),
            down: Vec::new(),
            open_at_verifier: true,
            open_at_authority: true,
            fed: false,
            hello: None,
            seen: 0,
        });
        self.verifier_step(feed, index, Input::Connected);
    }

    pub(super) fn down(&mut self, feed: &Feed, id: u8, keep: bool) {
        let Some(link) = self.link(id) else { return };
        let (down, index, start) = (link.down.remove(0), link.verifier, link.start);
        match down {
            Down::Message(message) => {
                if let ToVerifier::Grant(grant) = &message {
                    let host = &mut self.verifiers[index];
                    host.granted = true;
                    host.leased_by = Some(start);
                    if keep {
                        host.kept = Some(*grant);
                    }
                }
                self.verifier_step(feed, index, Input::Message(message));
            }
            Down::Record(entry, seal) => {
                // Whoever has seen a record can show a head that covers it.
                let (watermark, head, record) = (revision(entry.predecessor), entry.head(seal), entry.record());
                let heartbeat = ToVerifier::Heartbeat { watermark, authority_time: UnixTime::ZERO, head };
                self.verifier_step(feed, index, Input::Message(heartbeat));
                self.verifier_step(feed, index, Input::Message(ToVerifier::Record(record)));
            }
            Down::Snapshot(view) => {
                let at = revision(view.at);
                self.verifier_step(feed, index, Input::Message(ToVerifier::SnapshotBegin { at }));
                for part in view.parts(self.verifiers[index].serves) {
                    self.verifier_step(feed, index, Input::Message(ToVerifier::SnapshotRows(part)));
                }
                self.verifier_step(feed, index, Input::Message(ToVerifier::SnapshotEnd { at }));
            }
            Down::Close => self.link_break(feed, id),
        }
    }

    /// A grant that came before comes again.
    pub(super) fn echo(&mut self, feed: &Feed, index: usize) {
        if let Some(grant) = self.verifiers[index].kept.take() {
            feed.saw(Sight::GrantRepeated);
            self.verifier_step(feed, index, Input::Message(ToVerifier::Grant(grant)));
        }
    }

    /// The stream is gone for its verifier.
    pub(super) fn link_break(&mut self, feed: &Feed, id: u8) {
        let Some(link) = self.link(id) else { return };
        link.open_at_verifier = false;
        link.down.clear();
        let index = link.verifier;
        if self.verifiers[index].link == Some(id) {
            self.verifiers[index].link = None;
            self.verifier_step(feed, index, Input::Disconnected);
        }
    }

    /// The process is killed and another begins.
    pub(super) fn verifier_crash(&mut self, feed: &Feed, index: usize, copy: Option<u8>) -> Option<()> {
        for link in self.links.iter_mut().filter(|link| link.verifier == index) {
            link.open_at_verifier = false;
            link.down.clear();
        }
        let host = &mut self.verifiers[index];
        let copy = match copy {
            None => None,
            Some(before) => {
                let (at, head) = host.session.resume_point()?;
                let at = at.get().checked_sub(u64::from(before))?;
                let mut view = self.authority.store.view(at);
                view.ended &= host.table.view.ended;
                Some((view, head.clone()))
            }
        };
        host.begin(index, &feed.scope, copy);
        self.verifier_step(feed, index, Input::Tick);
        Some(())
    }

    pub(super) fn verifier_step(&mut self, feed: &Feed, index: usize, input: Input) {
        let host = &mut self.verifiers[index];
        let held = RefCell::new(std::mem::take(&mut host.table));
        held.borrow_mut().late_apply();
        let effects = host.session.step(host.clock.now(), input, &Held(&held));
        host.table = held.into_inner();
        if host.table.older {
            self.breaks("S3");
        }
        for effect in effects {
            self.verifier_effect(feed, index, effect);
        }
    }

    fn verifier_effect(&mut self, feed: &Feed, index: usize, effect: Effect) {
        let host = &mut self.verifiers[index];
        match effect {
            Effect::Connect { .. } => host.wants = true,
            Effect::Disconnect => {
                host.wants = false;
                if let Some(id) = host.link.take()
                    && let Some(link) = self.link(id)
                {
                    link.open_at_verifier = false;
                    link.down.clear();
                }
            }
            Effect::Send(message) => {
                if let Some(id) = host.link
                    && let Some(link) = self.link(id).filter(|link| link.open_at_authority || is_final(&message))
                {
                    link.up.push(message);
                }
            }
            Effect::Lost(_) => {
                feed.saw(Sight::TokenEnded);
                host.sessions += 1;
                // Whoever gave it the token gives it another.
                host.token += 4;
                host.session = Shared::new(host.session.successor(session_id(index, host.sessions), host.clock.now()));
                self.verifier_step(feed, index, Input::Tick);
            }
            Effect::Note(Note::Jump) => feed.saw(Sight::DroppedByJump),
            Effect::Note(Note::GrantDiscarded) => feed.saw(Sight::GrantDiscarded),
            Effect::Note(_)
            | Effect::Asked { .. }
            | Effect::Watermark { .. }
            | Effect::AsksFailed
            | Effect::Mistrusted
            | Effect::Succeeded { .. } => {}
        }
    }
}

/// A goodbye counts from any stream.
const fn is_final(message: &ToAuthority) -> bool {
    matches!(message, ToAuthority::Goodbye)
}

fn config(index: usize, session: u8, serves: &[Ns]) -> SessionConfig {
    SessionConfig {
        verifier: verifier_name(index),
        session: session_id(index, session),
        namespaces: serves.iter().map(|ns| name(*ns).clone()).collect(),
        jitter_seed: 1,
        place: None,
        claims: Vec::new(),
    }
}

impl Table {
    fn late_apply(&mut self) {
        for what in std::mem::take(&mut self.late) {
            if let super::store::What::End(token) = what {
                self.view.ended |= 1 << token;
            }
        }
    }
}

struct Held<'a>(&'a RefCell<Table>);

impl Replica for Held<'_> {
    fn watermark(&self) -> Revision {
        revision(self.0.borrow().view.at)
    }

    fn snapshot_begin(&self) {
        self.0.borrow_mut().staged = Some(View::default());
    }

    fn snapshot_rows(&self, part: SnapshotPart) {
        if let Some(staged) = &mut self.0.borrow_mut().staged {
            let ns = ns_of(&part.namespace).min(FED - 1);
            staged.grace[ns] = grace_of(&part.policy);
            part.rows.iter().for_each(|row| staged.ended |= 1 << token_number(row.token));
        }
    }

    fn snapshot_end(&self, at: Revision) -> Result<Visible, Unappliable> {
        let mut table = self.0.borrow_mut();
        let staged = table.staged.take().unwrap_or_default();
        if at.get() >= table.view.at {
            // What is known to have ended stays so.
            let ended = staged.ended | table.view.ended;
            table.view = View { at: at.get(), ended, ..staged };
        }
        Ok(Visible::up_to(revision(table.view.at)))
    }

    fn anew(&self) {
        let mut table = self.0.borrow_mut();
        (table.staged, table.view) = (None, View::default());
    }

    fn record_apply(&self, record: &Record) -> Result<Visible, Unappliable> {
        let mut table = self.0.borrow_mut();
        let named = record.predecessor;
        if named.get() > table.view.at || record.revision.get() <= table.view.at {
            let (namespace, applied) = (record.namespace.clone(), revision(table.view.at));
            return Err(Unappliable::Gap { namespace, named, applied });
        }
        let ns = ns_of(&record.namespace).min(FED - 1);
        for change in &record.changes {
            match change {
                Change::Policy(policy) => table.view.grace[ns] = grace_of(policy),
                Change::End { token, .. } if flawed(Fault::AckBeforeApply) => {
                    table.late.push(super::store::What::End(token_number(*token)));
                }
                Change::End { token, .. } => table.view.ended |= 1 << token_number(*token),
                _ => {}
            }
        }
        table.view.at = record.revision.get();
        Ok(Visible::up_to(record.revision))
    }

    fn ends_enforce(&self, _: &Record) -> Result<(), Unappliable> {
        Ok(())
    }

    fn set_hashes(&self, namespaces: &[NamespaceName]) -> Result<Vec<Hash32>, Unappliable> {
        Ok(vec![Hash32::ZERO; namespaces.len()])
    }

    fn mistrust(&self) {
        self.lease_void(Void::Mismatch);
    }

    fn watermark_advance(&self, to: Revision) {
        let mut table = self.0.borrow_mut();
        table.view.at = to.get().max(table.view.at);
    }

    fn lease_generation(&self) -> u64 {
        self.0.borrow().generation
    }

    fn lease_set(&self, lease: Lease, generation: u64) -> bool {
        let mut table = self.0.borrow_mut();
        if generation != table.generation {
            return false;
        }
        table.older |= table.lease.is_some_and(|held| held.request > lease.request);
        table.lease = Some(lease);
        true
    }

    fn lease_void(&self, _: Void) {
        let mut table = self.0.borrow_mut();
        table.generation += 1;
        table.lease = None;
    }
}
