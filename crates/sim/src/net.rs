//! Streams: each direction is ordered and loses nothing, until it breaks.

use jeton_feed::{
    authority::StreamId,
    frame::Cursor,
    message::{ToAuthority, ToVerifier},
};
use jeton_types::{NamespaceName, Revision, SessionId, TokenId};

use crate::{
    authority::AuthorityEvent,
    clock::MILLI,
    verifier::VerifierEvent,
    world::{Event, World},
};

/// Links are numbered in the order of their opening and never forgotten.
pub(crate) type LinkId = usize;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) verifier: usize,
    /// Which process of that verifier.
    pub(crate) life: u64,
    /// Which start of the authority.
    pub(crate) start: u64,
    /// The token that it was opened with.
    pub(crate) token: TokenId,
    pub(crate) broken: bool,
    /// Each side's own idea.
    pub(crate) open_at_verifier: bool,
    pub(crate) open_at_authority: bool,
    up_last: u64,
    down_last: u64,
    /// What the hub says passes content that waits.
    urgent_last: u64,
    pub(crate) session: Option<SessionId>,
    pub(crate) feeder: Option<Feeder>,
}

/// What the authority sends on its own on a stream.
#[derive(Debug, Clone)]
pub(crate) struct Feeder {
    pub(crate) namespaces: Vec<NamespaceName>,
    pub(crate) cursor: Revision,
    /// Where the record after that goes on, of which a part was sent.
    pub(crate) half: Cursor,
    /// Until when the link is busy with a frame.
    pub(crate) busy_until: u64,
    /// Watermark requests, each answered once all is sent that there was when it came.
    pub(crate) asks: Vec<(u64, Revision)>,
}

impl Feeder {
    pub(crate) const fn new(namespaces: Vec<NamespaceName>, cursor: Revision) -> Self {
        Self { namespaces, cursor, half: Cursor::FIRST, busy_until: 0, asks: Vec::new() }
    }
}

impl Link {
    pub(crate) const fn stream(id: LinkId) -> StreamId {
        StreamId(id as u64)
    }

    pub(crate) const fn of(stream: StreamId) -> LinkId {
        stream.0 as LinkId
    }
}

impl World {
    pub(crate) fn link_open(&mut self, verifier: usize, life: u64, token: TokenId) -> LinkId {
        self.links.push(Link {
            verifier,
            life,
            start: self.authority.start,
            token,
            broken: false,
            open_at_verifier: true,
            open_at_authority: true,
            up_last: 0,
            down_last: 0,
            urgent_last: 0,
            session: None,
            feeder: None,
        });
        let id = self.links.len() - 1;
        self.open.push(id);
        id
    }

    /// Links that one side at least holds for open, oldest first.
    pub(crate) fn links_open(&mut self) -> Vec<LinkId> {
        let links = &self.links;
        self.open.retain(|id| links[*id].open_at_authority || links[*id].open_at_verifier);
        self.open.clone()
    }

    pub(crate) fn send_up(&mut self, id: LinkId, message: ToAuthority) {
        let at = self.up_arrives(id);
        self.schedule(at, Event::Authority(AuthorityEvent::Message(id, message)));
    }

    pub(crate) fn send_down(&mut self, id: LinkId, message: ToVerifier) {
        if let Some(session) = self.links[id].session {
            self.check.sent(session, &message);
        }
        let at = self.down_arrives(id);
        let verifier = self.links[id].verifier;
        self.schedule(at, Event::Verifier(verifier, VerifierEvent::Message(id, message)));
    }

    /// Sends before whatever content waits.
    pub(crate) fn send_urgent(&mut self, id: LinkId, message: ToVerifier) {
        let at = self.urgent_arrives(id);
        let verifier = self.links[id].verifier;
        self.schedule(at, Event::Verifier(verifier, VerifierEvent::Message(id, message)));
    }

    /// The verifier's side closes; what it has sent arrives before.
    pub(crate) fn close_up(&mut self, id: LinkId) {
        let at = self.up_arrives(id);
        self.links[id].open_at_verifier = false;
        self.schedule(at, Event::Authority(AuthorityEvent::Closed(id)));
    }

    /// The authority's side closes; what it has sent arrives before.
    pub(crate) fn close_down(&mut self, id: LinkId) {
        let at = self.down_arrives(id);
        self.links[id].open_at_authority = false;
        let verifier = self.links[id].verifier;
        self.schedule(at, Event::Verifier(verifier, VerifierEvent::Closed(id)));
    }

    /// A reset: what is under way is lost, and each side learns of it in its time.
    pub(crate) fn link_break(&mut self, verifier: usize, late: bool) {
        for id in self.links_open() {
            if self.links[id].verifier != verifier || self.links[id].broken {
                continue;
            }
            self.links[id].broken = true;
            let noticed = [self.rng.below(50 * MILLI), self.rng.below(50 * MILLI)];
            // Now and then a side does not hear of it for long.
            let late = [(); 2].map(|()| if late && self.rng.chance(20) { 5_000 * MILLI } else { 0 });
            self.schedule(self.t + noticed[0] + late[0], Event::Authority(AuthorityEvent::Closed(id)));
            self.schedule(self.t + noticed[1] + late[1], Event::Verifier(verifier, VerifierEvent::Closed(id)));
        }
    }

    fn up_arrives(&mut self, id: LinkId) -> u64 {
        let roll = self.rng.next_u64();
        let delay = self.plan.delay(roll);
        let link = &mut self.links[id];
        let at = (self.t.max(self.verifiers[link.verifier].up_from) + delay).max(link.up_last).next_multiple_of(2);
        link.up_last = at;
        at
    }

    fn down_arrives(&mut self, id: LinkId) -> u64 {
        let roll = self.rng.next_u64();
        let delay = self.plan.delay(roll);
        let link = &mut self.links[id];
        // After what was urgent before it, too.
        let before = link.down_last.max(link.urgent_last);
        let at = (self.t.max(self.verifiers[link.verifier].down_from) + delay).max(before).next_multiple_of(2);
        link.down_last = at;
        at
    }

    fn urgent_arrives(&mut self, id: LinkId) -> u64 {
        let roll = self.rng.next_u64();
        let delay = self.plan.delay(roll);
        let link = &mut self.links[id];
        let at = (self.t.max(self.verifiers[link.verifier].down_from) + delay).max(link.urgent_last);
        link.urgent_last = at.next_multiple_of(2);
        link.urgent_last
    }
}
