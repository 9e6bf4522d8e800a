//! What the authority does on its streams: hellos, records, heartbeats.

use jeton_feed::{
    authority::{Input, SessionFacts},
    frame::{Cursor, Cut, cut},
    message::{Hello, Refusal, Refused, ToAuthority, ToVerifier, Welcome},
    numbers::PROTOCOL,
    record::Head,
    rollback::Judgement,
};
use jeton_types::{
    Revision,
    fault::{Fault, injected},
};

use crate::{
    authority::AuthorityEvent,
    clock::{MILLI, SECOND},
    net::{Feeder, Link, LinkId},
    store::{SessionRow, token_entry},
    world::{Event, World},
};

/// How long the next frame of a record may wait for the one before it.
const FRAME_TAKES_MAX: u64 = 300 * MILLI;

impl World {
    pub(crate) fn message(&mut self, link: LinkId, message: ToAuthority) {
        let stream = Link::stream(link);
        match message {
            ToAuthority::Hello(hello) => self.hello(link, hello),
            ToAuthority::Ack { revision } => {
                if let Some(session) = self.links[link].session {
                    let acked = self.check.acked.entry(session).or_default();
                    *acked = revision.max(*acked);
                }
                self.hub_step(Input::Ack { stream, revision });
            }
            ToAuthority::Renew { request } => {
                let token_good = self.token_good(link);
                self.hub_step(Input::Renew { stream, request, token_good });
            }
            ToAuthority::Ask { request } => {
                let head = self.authority.store.revision();
                if let Some(feeder) = &mut self.links[link].feeder {
                    feeder.asks.push((request, head));
                }
                self.feeder_run(link);
            }
            // Use decides nothing here.
            ToAuthority::Usage(_) => {}
            ToAuthority::Goodbye => self.hub_step(Input::Goodbye { stream }),
        }
    }

    /// A hello is a verification of its token, on the view of this moment.
    fn hello(&mut self, link: LinkId, hello: Hello) {
        if !self.token_good(link) {
            self.refuse(link, Refusal::Unauthenticated);
            return;
        }
        let reading = self.rng.next_u64();
        self.authority.reading.insert(reading, self.authority.store.revision());
        let takes = if !self.calm && self.rng.chance(20) { 600 } else { 20 };
        let at = self.t + self.rng.below(takes * MILLI);
        let start = self.authority.start;
        let hello = Box::new(hello);
        self.schedule(at, Event::Authority(AuthorityEvent::HelloDone { start, link, hello, reading }));
    }

    fn refuse(&mut self, link: LinkId, why: Refusal) {
        self.check.seen.streams_refused += 1;
        self.send_down(link, ToVerifier::Refused(Refused { why, message: String::new() }));
        self.close_down(link);
    }

    /// S20: what was lost is noticed, and nothing else is taken for a loss.
    fn judge(&mut self, head: &Head, who: &str) -> Judgement {
        let judgement = self.authority.store.judge(head);
        let lost = self.lost.as_ref().is_some_and(|truth| truth.knows(head) && !self.authority.store.knows(head));
        let says_lost = matches!(judgement, Judgement::Rollback(_));
        let authentic = head.mac.is_some();
        if authentic && lost != says_lost && (lost || !self.check.put_back) {
            self.check.violated([who.to_owned()], || {
                format!(
                    "S20, rollback: {who} shows a head that {}, and it is judged {judgement:?}",
                    if lost { "was lost" } else { "is of this history" }
                )
            });
        }
        if !authentic && says_lost {
            self.check.violated([who.to_owned()], || {
                format!("S20, rollback: {who} stops the store with a head that nobody sealed")
            });
        }
        judgement
    }

    pub(crate) fn hello_done(&mut self, link: LinkId, hello: Hello) {
        let who = self.verifier_name(self.links[link].verifier);
        let judgement = hello.head.as_ref().map(|head| self.judge(head, &who));
        if let Some(Judgement::Rollback(lost)) = judgement {
            self.check.seen.rollbacks_noticed += 1;
            self.note("authority", || format!("stops: by what {who} has seen, {lost}"));
            self.hub_step(Input::RolledBack { message: lost.to_string() });
            self.refuse(link, Refusal::Rollback);
            return;
        }
        if self.authority.hub.as_ref().is_none_or(jeton_feed::authority::Hub::is_rolled_back) {
            self.refuse(link, Refusal::Rollback);
            return;
        }
        let (session, stream, token) = (hello.session, Link::stream(link), self.links[link].token);
        let head = self.authority.store.head();
        let foreign = judgement == Some(Judgement::Foreign);
        let too_old = judgement == Some(Judgement::TooOld)
            || hello.resume.is_some_and(|resume| self.authority.store.is_cut_above(resume));
        match self.authority.store.sessions.get(&session) {
            None if self.t < self.authority.disk_bad_until => {
                self.refuse(link, Refusal::Unavailable);
                return;
            }
            None => {
                let facts = SessionFacts {
                    session,
                    verifier: hello.verifier.clone(),
                    credential: token_entry(*session.as_bytes()).credential,
                    namespaces: hello.namespaces.clone(),
                    // With a copy it knows no more than that.
                    opened: hello.resume.unwrap_or(head.revision),
                    place: hello.place,
                };
                self.authority.store.sessions.insert(session, SessionRow { facts: facts.clone(), ended: None });
                self.hub_step(Input::SessionOpened(facts));
            }
            Some(row) if row.ended.is_none() => {}
            _ => {
                self.send_down(link, ToVerifier::Ended);
                self.close_down(link);
                return;
            }
        }
        self.links[link].session = Some(session);
        let epoch = hello.epoch;
        let looks = !injected(Fault::HelloNotSummedUp) && !injected(Fault::ResumeAfterFirstFrame);
        let contradicts = |resume| self.authority.store.contradicts(&hello, resume);
        let mismatch = looks && hello.resume.is_some_and(contradicts);
        let resume = hello.resume.filter(|_| !mismatch && !too_old && !foreign);
        self.check.seen.too_old += u64::from(too_old);
        self.hub_step(Input::StreamOpened { session, stream, epoch, token, resume });
        if !hello.claims.is_empty() {
            self.hub_step(Input::Claimed { stream, sessions: hello.claims.clone() });
        }
        if !self.is_open_at_authority(link) {
            return;
        }
        if self.check.put_back {
            self.verifiers[self.links[link].verifier].tainted = true;
        }
        let (_, authority_time) = self.authority.time(self.t);
        let welcome = Welcome { protocol: PROTOCOL, resume, mismatch, head, authority_time, foreign };
        self.send_urgent(link, ToVerifier::Welcome(welcome));
        self.links[link].feeder = Some(Feeder::new(hello.namespaces, resume.unwrap_or_default()));
        if resume.is_none() {
            self.snapshot_send(link);
        }
        self.dead_streams_check();
        self.feeder_run(link);
    }

    fn snapshot_send(&mut self, link: LinkId) {
        let Some(feeder) = &self.links[link].feeder else { return };
        let (at, messages) = self.authority.store.snapshot(&feeder.namespaces);
        messages.into_iter().for_each(|message| self.send_down(link, message));
        if let Some(feeder) = &mut self.links[link].feeder {
            (feeder.cursor, feeder.half) = (at, Cursor::FIRST);
        }
    }

    /// Sends what there is, one change in a frame, and a frame now and then.
    pub(crate) fn feeder_run(&mut self, id: LinkId) {
        loop {
            let Some(feeder) = self.links[id].feeder.as_mut().filter(|feeder| feeder.busy_until <= self.t) else {
                return;
            };
            let store = &self.authority.store;
            if store.revision() == feeder.cursor {
                break;
            }
            if store.is_cut_above(feeder.cursor) {
                self.check.seen.too_old += 1;
                self.snapshot_send(id);
                continue;
            }
            let from = store.log.partition_point(|entry| entry.record.revision <= feeder.cursor);
            let Some(entry) =
                store.log[from..].iter().find(|entry| feeder.namespaces.contains(&entry.record.namespace))
            else {
                feeder.cursor = store.revision();
                break;
            };
            let revision = entry.record.revision;
            let message = match cut(&entry.record, feeder.half, 1, |_| 1) {
                Cut::Whole(record) => {
                    feeder.cursor = revision;
                    ToVerifier::Record(record)
                }
                Cut::Part(frame, Some(next)) => {
                    feeder.half = next;
                    feeder.busy_until = self.t + self.rng.below(FRAME_TAKES_MAX);
                    let (start, at) = (self.authority.start, feeder.busy_until);
                    self.check.seen.parts += 1;
                    self.schedule(at, Event::Authority(AuthorityEvent::Feeder { start, link: id }));
                    ToVerifier::Frame(frame)
                }
                Cut::Part(frame, None) => {
                    (feeder.half, feeder.cursor) = (Cursor::FIRST, revision);
                    ToVerifier::Frame(frame)
                }
            };
            self.send_down(id, message);
        }
        let Some(feeder) = self.links[id].feeder.as_mut().filter(|feeder| !feeder.asks.is_empty()) else { return };
        let cursor = feeder.cursor;
        let answered: Vec<(u64, Revision)> = feeder.asks.extract_if(.., |(_, head)| *head <= cursor).collect();
        for (request, head) in answered {
            self.send_down(id, ToVerifier::Watermark { request, watermark: head });
        }
    }

    pub(crate) fn heartbeat(&mut self) {
        let (head, (_, authority_time)) = (self.authority.store.head(), self.authority.time(self.t));
        for link in self.links_open() {
            if self.links[link].feeder.is_none() {
                continue;
            }
            self.feeder_run(link);
            let Some(watermark) = self.links[link].feeder.as_ref().map(|feeder| feeder.cursor) else { continue };
            self.send_down(link, ToVerifier::Heartbeat { watermark, authority_time, head: head.clone() });
        }
    }

    /// What a stream said first comes once more, as if a transport had tried again (`feed-protocol.md` 7: of two streams the
    /// higher epoch stays).
    pub(crate) fn echo(&mut self, index: usize) {
        let host = &self.verifiers[index];
        let Some((hello, token, acked)) = host.process.as_ref().and_then(|process| process.first_said.clone()) else {
            return;
        };
        if !self.authority.is_up() || !host.reachable(self.t) {
            return;
        }
        let life = host.life;
        let link = self.link_open(index, life, token);
        self.links[link].open_at_verifier = false;
        self.check.seen.echoes += 1;
        let who = self.verifier_name(index);
        self.note("world", || format!("the hello of {who} in its epoch {} arrives once more", hello.epoch));
        self.send_up(link, ToAuthority::Hello(hello));
        if let Some(revision) = acked {
            self.send_up(link, ToAuthority::Ack { revision });
            self.send_up(link, ToAuthority::Renew { request: 1 });
        }
        self.schedule(self.t + 2 * SECOND, Event::Authority(AuthorityEvent::Closed(link)));
    }
}
