//! One authority, its verifiers and what is between them, as a state of which every next one can be had.
//!
//! The machines are the product's own; here is what drives them: clocks, streams, a store that is always durable, and a replica of a
//! few bits. Time passes in a few steps only, and each message, loss, crash and change happens when the checker likes, as often as
//! the [`Scope`] allows. After every step the promises are looked at from outside.

mod authority;
mod machine;
mod promise;
mod shared;
mod store;
mod verifier;

use jeton_feed::message::ToAuthority;
use jeton_types::fault::{Fault, inject, injected};
use stateright::{Model, Property};

pub use self::promise::{PROMISES, SIGHTINGS, Sight};
use self::{
    authority::Authority,
    machine::Clock,
    store::{Entry, FED, Ns, View},
    verifier::Verifier,
};
use crate::check::{Order, Outcome, Sightings, explore};

/// What may happen in a model, and how often.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The model's name.
    pub name: &'static str,
    /// What each verifier serves.
    pub serves: &'static [&'static [usize]],
    /// The seconds of grace of each namespace at first.
    pub grace: [u8; 2],
    /// What the policies may become.
    pub policies: &'static [(usize, u8)],
    /// Where tokens may be revoked.
    pub revokes: &'static [usize],
    /// How time may pass.
    pub passes: &'static [Pass],
    /// How often it does.
    pub horizon: u8,
    /// Time may also pass up to the very moment at which the authority counts somebody out.
    pub to_the_moment: bool,
    /// How often each may happen.
    pub may: &'static [(May, u8)],
    /// What must be seen.
    pub sights: &'static [Sight],
    /// In which order the whole is explored.
    pub order: Order,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum May {
    /// A token is revoked.
    Revoke,
    /// A policy changes.
    Policy,
    /// A stream breaks.
    Break,
    /// A verifier opens a stream, after the first.
    Open,
    /// A verifier's process is killed, and another begins.
    Crash,
    /// That one begins with the copy of the table that the other left, at its last record but so many.
    Warm,
    /// The authority is killed and begins anew.
    Restart,
    /// A verifier leaves.
    Leave,
    /// A verifier's wall clock is set ahead.
    Jump,
    /// A grant comes a second time, later.
    Echo,
    /// The authority verifies something itself.
    Read,
    /// The token that a verifier connects with is revoked.
    OwnRevoke,
    /// A hello takes its time.
    SlowHello,
    /// A copy of the store is made.
    Backup,
    /// A copy of the store is put in its place, by somebody who says nothing.
    PutBack,
    /// A copy of the store is put in its place, by somebody who says so.
    Restore,
    /// The log is cut off.
    Trim,
    /// Somebody shows a head that nobody sealed.
    Forge,
}

const MAYS: usize = May::Forge as usize + 1;

/// How time passes: how long, and how fast each clock runs, in thousandths. A clock that stands still is that of a paused machine;
/// its wall clock is right afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// How long, in milliseconds.
    pub millis: u64,
    /// The authority's.
    pub authority: u64,
    /// Every verifier's.
    pub verifiers: u64,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Time passes in one of the scope's ways.
    Pass(usize),
    /// Time passes up to the authority's next moment.
    ToTheMoment(usize),
    /// The authority takes the next message of a stream.
    Up(u8),
    /// A verifier takes the next message of its stream.
    Down(u8),
    /// A verifier takes a grant that was sent between the parts of records.
    DownGrant(u8),
    /// As before, and the network keeps a copy.
    DownKept(u8),
    /// A stream breaks for its verifier; the authority may still take what is on its way.
    Break(u8),
    /// The authority learns that a stream is gone, and loses what was on its way.
    Gone(u8),
    /// A verifier opens a stream.
    Open(usize),
    /// The kept copy arrives.
    Echo(usize),
    /// A token of a namespace is revoked.
    Revoke(Ns),
    /// A policy becomes another.
    Policy(usize),
    /// A process is killed; another is started, on nothing or on a copy of what the table was so many records ago.
    Crash(usize, Option<u8>),
    /// A process says goodbye.
    Leave(usize),
    /// A wall clock is set ahead.
    Jump(usize),
    /// The authority's process is killed and started.
    Restart,
    /// The authority begins to verify a token of its own.
    Read,
    /// It is done with that.
    Released,
    /// A hello that took its time is done.
    HelloDone(u8),
    /// The token of a verifier is revoked.
    OwnRevoke(usize),
    /// The store is copied as it is.
    Backup,
    /// The store becomes that copy, or one of before anybody connected.
    PutBack,
    /// The same, with the word that it was done.
    Restore,
    /// All that was granted before has run out.
    LongPass,
    /// The log is cut off at its last record.
    Trim,
    /// A head that nobody sealed is shown.
    Forge,
    /// What a flawed grant read is written at last.
    Write,
}

/// A stream, both ways. What is on its way arrives in order, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Link {
    id: u8,
    verifier: usize,
    start: u8,
    token: u8,
    session: Option<jeton_types::SessionId>,
    up: Vec<ToAuthority>,
    down: Vec<Down>,
    open_at_verifier: bool,
    open_at_authority: bool,
    /// Records are sent on it.
    fed: bool,
    /// A hello that takes its time.
    hello: Option<Box<jeton_feed::message::Hello>>,
    /// The view that its token was looked up in.
    seen: u64,
}

impl Link {
    /// The place of a grant behind nothing but records: it goes between their frames.
    fn overtaking(&self) -> Option<usize> {
        let records = self.down.iter().take_while(|down| matches!(down, Down::Record(..))).count();
        (records > 0 && self.down.get(records).is_some_and(is_grant)).then_some(records)
    }
}

const fn is_grant(down: &Down) -> bool {
    matches!(down, Down::Message(jeton_feed::message::ToVerifier::Grant(_)))
}

/// What a verifier is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Down {
    Message(jeton_feed::message::ToVerifier),
    Snapshot(View),
    /// With the seal of the head that is sent before it.
    Record(Entry, u8),
    Close,
}

/// A state of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    passed: u8,
    left: [u8; MAYS],
    authority: Authority,
    verifiers: Vec<Verifier>,
    links: Vec<Link>,
    links_ever: u8,
    commits: u64,
    broken: Option<&'static str>,
}

/// A model of this scope, with a fault or none.
#[derive(Debug)]
pub struct Feed {
    scope: Scope,
    fault: Option<Fault>,
    seen: Sightings,
}

/// Explores a scope.
#[must_use]
pub fn explored(scope: Scope, fault: Option<Fault>) -> Outcome {
    let seen = Sightings::new(SIGHTINGS);
    let (name, sights) = (scope.name, scope.sights);
    let order = if fault.is_some() { Order::Breadth } else { scope.order };
    let mut outcome = explore(name, fault, Feed { scope, fault, seen: seen.clone() }, order, &seen);
    outcome.unseen.retain(|name| sights.iter().any(|sight| SIGHTINGS[*sight as usize] == *name));
    outcome
}

impl Model for Feed {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let _injected = inject(self.fault);
        vec![self.begin()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let may = |may: May| world.left[may as usize] > 0;
        let up = world.authority.process.is_some();
        for link in &world.links {
            if link.open_at_authority && link.hello.is_none() && !link.up.is_empty() {
                actions.push(Action::Up(link.id));
            }
            if link.hello.is_some() {
                actions.push(Action::HelloDone(link.id));
            }
            if link.open_at_verifier {
                if let Some(down) = link.down.first() {
                    actions.push(Action::Down(link.id));
                    if is_grant(down) && may(May::Echo) {
                        actions.push(Action::DownKept(link.id));
                    }
                    if link.overtaking().is_some() {
                        actions.push(Action::DownGrant(link.id));
                    }
                }
                if may(May::Break) {
                    actions.push(Action::Break(link.id));
                }
            } else {
                actions.push(Action::Gone(link.id));
            }
        }
        for (index, verifier) in world.verifiers.iter().enumerate() {
            if verifier.wants && up && may(May::Open) {
                actions.push(Action::Open(index));
            }
            if verifier.kept.is_some() {
                actions.push(Action::Echo(index));
            }
            if may(May::Crash) {
                actions.push(Action::Crash(index, None));
                if may(May::Warm) {
                    actions.extend([Action::Crash(index, Some(0)), Action::Crash(index, Some(1))]);
                }
            }
            if may(May::Leave) {
                actions.push(Action::Leave(index));
            }
            if may(May::Jump) {
                actions.push(Action::Jump(index));
            }
            if may(May::OwnRevoke) && up {
                actions.push(Action::OwnRevoke(index));
            }
        }
        if up && !world.authority.is_stopped() {
            if may(May::Revoke) {
                actions.extend(self.scope.revokes.iter().map(|ns| Action::Revoke(*ns)));
            }
            if may(May::Policy) {
                actions.extend((0..self.scope.policies.len()).map(Action::Policy));
            }
        }
        if may(May::Restart) {
            actions.push(Action::Restart);
        }
        if may(May::Read) {
            actions.push(Action::Read);
        }
        if world.authority.is_reading() {
            actions.push(Action::Released);
        }
        if may(May::Backup) {
            actions.push(Action::Backup);
        }
        if may(May::PutBack) {
            actions.push(Action::PutBack);
        }
        if may(May::Restore) {
            actions.push(Action::Restore);
        }
        if world.authority.restored.is_some() {
            actions.push(Action::LongPass);
        }
        if may(May::Trim) {
            actions.push(Action::Trim);
        }
        if may(May::Forge) && !world.authority.is_stopped() {
            actions.push(Action::Forge);
        }
        if world.authority.is_writing() {
            actions.push(Action::Write);
        }
        if world.passed < self.scope.horizon {
            for way in 0..self.scope.passes.len() {
                actions.push(Action::Pass(way));
                if self.scope.to_the_moment {
                    actions.push(Action::ToTheMoment(way));
                }
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let _injected = inject(self.fault);
        let mut next = world.clone();
        next.act(self, action)?;
        next.look(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promise::properties()
    }
}

impl Feed {
    fn saw(&self, sight: Sight) {
        self.seen.saw(sight as usize);
    }

    /// Everybody is connected and has a lease.
    fn begin(&self) -> World {
        let mut left = [0; MAYS];
        self.scope.may.iter().for_each(|(may, times)| left[*may as usize] = *times);
        let store = store::Store::new(self.scope.grace);
        let mut world = World {
            passed: 0,
            left: [u8::MAX; MAYS],
            authority: Authority::new(store, Clock::new(1_000)),
            verifiers: (0..self.scope.serves.len()).map(|index| Verifier::new(index, &self.scope)).collect(),
            links: Vec::new(),
            links_ever: 0,
            commits: 0,
            broken: None,
        };
        world.start(self);
        world.authority.backup = Some(world.authority.store.clone());
        for index in 0..world.verifiers.len() {
            world.verifiers[index].begin(index, &self.scope, None);
            world.verifier_step(self, index, jeton_feed::verifier::Input::Tick);
            world.open(self, index);
        }
        world.left[May::SlowHello as usize] = 0;
        world.settle(self);
        world.left = left;
        world
    }
}

impl World {
    fn take(&mut self, may: May) {
        self.left[may as usize] -= 1;
    }

    /// Delivers all that is on its way.
    fn settle(&mut self, feed: &Feed) {
        while let Some((id, up)) = self.links.iter().find_map(|link| {
            let up = !link.up.is_empty();
            (up || !link.down.is_empty()).then_some((link.id, up))
        }) {
            if up { self.up(feed, id) } else { self.down(feed, id, false) }
        }
    }

    fn act(&mut self, feed: &Feed, action: Action) -> Option<()> {
        match action {
            Action::Pass(way) => self.pass(feed, feed.scope.passes[way]),
            Action::ToTheMoment(way) => {
                let way = feed.scope.passes[way];
                let wakeup = self.authority.process.as_ref()?.hub.next_wakeup();
                let until = self.authority.clock.until(wakeup, way.authority)?;
                if until == 0 || until >= way.millis * 1_000_000 {
                    return None;
                }
                self.pass_nanos(feed, way, until);
            }
            Action::Up(id) => self.up(feed, id),
            Action::Down(id) => self.down(feed, id, false),
            Action::DownGrant(id) => {
                let link = self.link(id)?;
                let grant = link.overtaking()?;
                link.down[..=grant].rotate_right(1);
                self.down(feed, id, false);
            }
            Action::DownKept(id) => {
                self.take(May::Echo);
                self.down(feed, id, true);
            }
            Action::Break(id) => {
                self.take(May::Break);
                self.link_break(feed, id);
            }
            Action::Gone(id) => self.gone(feed, id),
            Action::Open(index) => {
                self.take(May::Open);
                self.open(feed, index);
            }
            Action::Echo(index) => self.echo(feed, index),
            Action::Revoke(ns) => {
                self.take(May::Revoke);
                let number = self.authority.store.revocations.len() as u8;
                self.commit(feed, ns, store::What::End(number));
            }
            Action::Policy(which) => {
                let (ns, grace) = feed.scope.policies[which];
                if self.authority.store.view(u64::MAX).grace[ns] == grace {
                    return None;
                }
                self.take(May::Policy);
                self.commit(feed, ns, store::What::Policy(grace));
            }
            Action::Crash(index, copy) => {
                self.take(May::Crash);
                if copy.is_some() {
                    self.take(May::Warm);
                }
                self.verifier_crash(feed, index, copy)?;
            }
            Action::Leave(index) => {
                self.take(May::Leave);
                self.verifier_step(feed, index, jeton_feed::verifier::Input::Leave);
            }
            Action::Jump(index) => {
                self.take(May::Jump);
                self.verifiers[index].clock.ahead();
                feed.saw(Sight::WallSet);
            }
            Action::Restart => {
                self.take(May::Restart);
                self.authority_down();
                self.start(feed);
            }
            Action::Read => {
                self.take(May::Read);
                self.read_begin()?;
            }
            Action::Released => self.read_end(feed),
            Action::HelloDone(id) => self.hello_done(feed, id),
            Action::OwnRevoke(index) => {
                self.take(May::OwnRevoke);
                let revocation = self.authority.store.revocations.len() as u8;
                let token = self.verifiers[index].token;
                self.commit(feed, store::BUILT_IN, store::What::OwnEnd { revocation, token });
            }
            Action::Backup => {
                self.take(May::Backup);
                self.authority.backup = Some(self.authority.store.clone());
            }
            Action::PutBack => {
                self.take(May::PutBack);
                self.put_back(feed, false)?;
            }
            Action::Restore => {
                self.take(May::Restore);
                self.put_back(feed, true)?;
            }
            Action::LongPass => self.long_pass(feed)?,
            Action::Trim => {
                self.take(May::Trim);
                self.authority.store.retained_from = self.authority.store.last();
            }
            Action::Forge => {
                self.take(May::Forge);
                self.forge(feed);
            }
            Action::Write => self.write(feed),
        }
        Some(())
    }

    fn pass(&mut self, feed: &Feed, way: Pass) {
        self.pass_nanos(feed, way, way.millis * 1_000_000);
    }

    fn pass_nanos(&mut self, feed: &Feed, way: Pass, nanos: u64) {
        self.passed += 1;
        self.authority.clock.pass(nanos, way.authority);
        for verifier in &mut self.verifiers {
            verifier.clock.pass(nanos, way.verifiers);
        }
        self.hub_step(feed, jeton_feed::authority::Input::Tick);
        // Somebody may ask before the sessions have noticed that time has passed.
        self.look(feed);
        self.bound(feed);
        for index in 0..self.verifiers.len() {
            self.verifier_step(feed, index, jeton_feed::verifier::Input::Tick);
        }
    }

    fn link(&mut self, id: u8) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    fn breaks(&mut self, promise: &'static str) {
        self.broken.get_or_insert(promise);
    }
}

/// Whether this is one of the faults that only a driver can have.
fn flawed(fault: Fault) -> bool {
    injected(fault)
}

const _: () = assert!(FED == 2);
