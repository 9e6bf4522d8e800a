//! Between the feed's messages and their wire form.
//!
//! Outwards cannot fail. Inwards checks every form and limit, and total over whatever a stranger may send: what is
//! broken is a [`BadMessage`], what is merely newer is kept as an unknown change.

use jeton_feed::{
    message::{self, Refusal},
    succession::CLAIMS_MAX,
};
use jeton_types::{Hash32, NamespaceName, Place, Revision, SessionId, UnixTime, limits::SESSION_NAMESPACES_MAX};

use crate::{
    record::{policy_of, record_of_wire},
    wire,
};

/// A message that breaks a rule of form. Whoever receives one gives the stream up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMessage {
    /// The field or message.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

impl BadMessage {
    pub(crate) const fn new(what: &'static str, why: &'static str) -> Self {
        Self { what, why }
    }
}

impl std::fmt::Display for BadMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bad message: {}: {}", self.what, self.why)
    }
}

impl std::error::Error for BadMessage {}

impl From<message::ToAuthority> for wire::ToAuthority {
    fn from(message: message::ToAuthority) -> Self {
        use wire::to_authority::Message;
        let message = match message {
            message::ToAuthority::Hello(hello) => Message::Hello(hello.into()),
            message::ToAuthority::Ack { revision } => Message::Ack(wire::Ack { revision: revision.get() }),
            message::ToAuthority::Renew { request } => Message::Renew(wire::Renew { request }),
            message::ToAuthority::Ask { request } => Message::Ask(wire::Ask { request }),
            message::ToAuthority::Usage(report) => Message::Usage(report.into()),
            message::ToAuthority::Goodbye => Message::Goodbye(wire::Goodbye {}),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::ToAuthority> for message::ToAuthority {
    type Error = BadMessage;

    fn try_from(message: wire::ToAuthority) -> Result<Self, BadMessage> {
        use wire::to_authority::Message;
        Ok(match message.message.ok_or(BadMessage::new("to authority", UNKNOWN_MESSAGE))? {
            Message::Hello(hello) => Self::Hello(hello.try_into()?),
            Message::Ack(ack) => Self::Ack { revision: revision("ack", ack.revision)? },
            Message::Renew(renew) => Self::Renew { request: renew.request },
            Message::Ask(ask) => Self::Ask { request: ask.request },
            Message::Usage(report) => Self::Usage(report.try_into()?),
            Message::Goodbye(wire::Goodbye {}) => Self::Goodbye,
        })
    }
}

impl From<message::Hello> for wire::Hello {
    fn from(hello: message::Hello) -> Self {
        Self {
            protocol_oldest: hello.protocol_oldest,
            protocol: hello.protocol,
            session: hello.session.as_bytes().to_vec(),
            verifier: hello.verifier.to_string(),
            epoch: hello.epoch,
            namespaces: hello.namespaces.iter().map(ToString::to_string).collect(),
            resume: hello.resume.map(Revision::get),
            set_hashes: hello.set_hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            head: hello.head.map(Into::into),
            boot_id: hello.place.map(|place| place.boot.to_vec()),
            device: hello.place.map_or(0, |place| place.device),
            inode: hello.place.map_or(0, |place| place.inode),
            claims: session_ids(&hello.claims),
        }
    }
}

impl TryFrom<wire::Hello> for message::Hello {
    type Error = BadMessage;

    fn try_from(hello: wire::Hello) -> Result<Self, BadMessage> {
        if hello.protocol_oldest > hello.protocol {
            return Err(BadMessage::new("hello protocol", "the oldest is newer than the newest"));
        }
        Ok(Self {
            protocol_oldest: hello.protocol_oldest,
            protocol: hello.protocol,
            session: SessionId::from_slice(&hello.session).ok_or(BadMessage::new("hello session", SIXTEEN))?,
            verifier: parse("hello verifier", &hello.verifier)?,
            epoch: hello.epoch,
            set_hashes: set_hashes(&hello)?,
            place: place(&hello)?,
            claims: claims(&hello)?,
            namespaces: namespaces(&hello.namespaces)?,
            resume: hello.resume.map(|resume| revision("hello resume", resume)).transpose()?,
            head: hello.head.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<message::ToVerifier> for wire::ToVerifier {
    fn from(message: message::ToVerifier) -> Self {
        use wire::to_verifier::Message;
        let message = match message {
            message::ToVerifier::Welcome(welcome) => Message::Welcome(wire::Welcome {
                protocol: welcome.protocol,
                resume: welcome.resume.map(Revision::get),
                mismatch: welcome.mismatch,
                head: Some(welcome.head.into()),
                authority_time_us: welcome.authority_time.as_micros(),
                foreign: welcome.foreign,
            }),
            message::ToVerifier::SnapshotBegin { at } => Message::SnapshotBegin(wire::SnapshotBegin { at: at.get() }),
            message::ToVerifier::SnapshotRows(part) => Message::SnapshotRows(wire::SnapshotRows {
                namespace: part.namespace.to_string(),
                policy: Some(part.policy.into()),
                rows: part.rows.into_iter().map(Into::into).collect(),
                set_hash: part.set_hash.map(|hash| hash.as_bytes().to_vec()),
            }),
            message::ToVerifier::SnapshotEnd { at } => Message::SnapshotEnd(wire::SnapshotEnd { at: at.get() }),
            message::ToVerifier::Record(record) => Message::Record(record.into()),
            message::ToVerifier::Frame(frame) => Message::Record(frame.into()),
            message::ToVerifier::Heartbeat { watermark, authority_time, head } => Message::Heartbeat(wire::Heartbeat {
                watermark: watermark.get(),
                authority_time_us: authority_time.as_micros(),
                head: Some(head.into()),
            }),
            message::ToVerifier::Grant(grant) => Message::Grant(wire::Grant {
                request: grant.request,
                authority_time_us: grant.authority_time.as_micros(),
            }),
            message::ToVerifier::Watermark { request, watermark } => {
                Message::Watermark(wire::Watermark { request, watermark: watermark.get() })
            }
            message::ToVerifier::End { reason } => Message::End(wire::End { reason }),
            message::ToVerifier::Ended => Message::Ended(wire::Ended {}),
            message::ToVerifier::Succeeded { sessions } => {
                Message::Succeeded(wire::Succeeded { sessions: session_ids(&sessions) })
            }
            message::ToVerifier::UsageTaken { number } => Message::UsageTaken(wire::UsageTaken { number }),
            message::ToVerifier::Refused(refused) => {
                Message::Refused(wire::Refused { why: refusal_to_wire(refused.why).into(), message: refused.message })
            }
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::ToVerifier> for message::ToVerifier {
    type Error = BadMessage;

    fn try_from(message: wire::ToVerifier) -> Result<Self, BadMessage> {
        use wire::to_verifier::Message;
        Ok(match message.message.ok_or(BadMessage::new("to verifier", UNKNOWN_MESSAGE))? {
            Message::Welcome(welcome) => Self::Welcome(message::Welcome {
                protocol: welcome.protocol,
                resume: welcome.resume.map(|resume| revision("welcome resume", resume)).transpose()?,
                mismatch: welcome.mismatch,
                head: welcome.head.ok_or(BadMessage::new("welcome head", MISSING))?.try_into()?,
                authority_time: UnixTime::from_micros(welcome.authority_time_us),
                foreign: welcome.foreign,
            }),
            Message::SnapshotBegin(begin) => Self::SnapshotBegin { at: revision("snapshot begin", begin.at)? },
            Message::SnapshotRows(part) => Self::SnapshotRows(message::SnapshotPart {
                namespace: parse("snapshot namespace", &part.namespace)?,
                policy: policy_of("snapshot policy", part.policy)?,
                rows: part.rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
                set_hash: part.set_hash.map(|bytes| hash("snapshot set hash", &bytes)).transpose()?,
            }),
            Message::SnapshotEnd(end) => Self::SnapshotEnd { at: revision("snapshot end", end.at)? },
            Message::Record(record) => record_of_wire(record)?,
            Message::Heartbeat(heartbeat) => Self::Heartbeat {
                watermark: revision("heartbeat watermark", heartbeat.watermark)?,
                authority_time: UnixTime::from_micros(heartbeat.authority_time_us),
                head: heartbeat.head.ok_or(BadMessage::new("heartbeat head", MISSING))?.try_into()?,
            },
            Message::Grant(grant) => Self::Grant(message::Grant {
                request: grant.request,
                authority_time: UnixTime::from_micros(grant.authority_time_us),
            }),
            Message::Watermark(answer) => {
                Self::Watermark { request: answer.request, watermark: revision("watermark", answer.watermark)? }
            }
            Message::End(end) => Self::End { reason: end.reason },
            Message::Ended(wire::Ended {}) => Self::Ended,
            Message::Succeeded(succeeded) => {
                Self::Succeeded { sessions: sessions_of("succeeded sessions", &succeeded.sessions)? }
            }
            Message::UsageTaken(wire::UsageTaken { number }) => Self::UsageTaken { number },
            Message::Refused(refused) => {
                Self::Refused(message::Refused { why: refusal_of_wire(refused.why()), message: refused.message })
            }
        })
    }
}

fn namespaces(texts: &[String]) -> Result<Vec<NamespaceName>, BadMessage> {
    const WHAT: &str = "hello namespaces";
    if texts.is_empty() || texts.len() > SESSION_NAMESPACES_MAX {
        return Err(BadMessage::new(WHAT, "a session serves 1 to 256 namespaces"));
    }
    let namespaces: Vec<NamespaceName> = texts.iter().map(|text| parse(WHAT, text)).collect::<Result<_, _>>()?;
    let mut sorted: Vec<&NamespaceName> = namespaces.iter().collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(BadMessage::new(WHAT, "one is named twice"));
    }
    Ok(namespaces)
}

fn set_hashes(hello: &wire::Hello) -> Result<Vec<Hash32>, BadMessage> {
    const WHAT: &str = "hello set hashes";
    if !hello.set_hashes.is_empty() && hello.set_hashes.len() != hello.namespaces.len() {
        return Err(BadMessage::new(WHAT, "there are neither none nor as many as namespaces"));
    }
    hello.set_hashes.iter().map(|bytes| hash(WHAT, bytes)).collect()
}

fn place(hello: &wire::Hello) -> Result<Option<Place>, BadMessage> {
    let Some(boot) = &hello.boot_id else { return Ok(None) };
    let boot = boot.as_slice().try_into().map_err(|_| BadMessage::new("hello boot id", SIXTEEN))?;
    Ok(Some(Place { boot, device: hello.device, inode: hello.inode }))
}

fn claims(hello: &wire::Hello) -> Result<Vec<SessionId>, BadMessage> {
    const WHAT: &str = "hello claims";
    if hello.boot_id.is_none() && !hello.claims.is_empty() {
        return Err(BadMessage::new(WHAT, "who holds no place claims nothing"));
    }
    sessions_of(WHAT, &hello.claims)
}

fn session_ids(sessions: &[SessionId]) -> Vec<Vec<u8>> {
    sessions.iter().map(|session| session.as_bytes().to_vec()).collect()
}

fn sessions_of(what: &'static str, ids: &[Vec<u8>]) -> Result<Vec<SessionId>, BadMessage> {
    if ids.len() > CLAIMS_MAX {
        return Err(BadMessage::new(what, "there are more than 64"));
    }
    ids.iter().map(|id| SessionId::from_slice(id).ok_or(BadMessage::new(what, SIXTEEN))).collect()
}

const fn refusal_to_wire(why: Refusal) -> wire::Refusal {
    match why {
        Refusal::Unauthenticated => wire::Refusal::Unauthenticated,
        Refusal::Forbidden => wire::Refusal::Forbidden,
        Refusal::UnknownNamespace => wire::Refusal::UnknownNamespace,
        Refusal::Protocol => wire::Refusal::Protocol,
        Refusal::Invalid => wire::Refusal::Invalid,
        Refusal::Unavailable => wire::Refusal::Unavailable,
        Refusal::Rollback => wire::Refusal::Rollback,
        Refusal::TooMany => wire::Refusal::TooMany,
    }
}

/// A kind from a newer authority ends the same way as any other, and its message is what a person needs.
const fn refusal_of_wire(why: wire::Refusal) -> Refusal {
    match why {
        wire::Refusal::Unauthenticated => Refusal::Unauthenticated,
        wire::Refusal::Forbidden => Refusal::Forbidden,
        wire::Refusal::UnknownNamespace => Refusal::UnknownNamespace,
        wire::Refusal::Protocol => Refusal::Protocol,
        wire::Refusal::Unavailable => Refusal::Unavailable,
        wire::Refusal::Rollback => Refusal::Rollback,
        wire::Refusal::TooMany => Refusal::TooMany,
        wire::Refusal::Invalid | wire::Refusal::Unspecified => Refusal::Invalid,
    }
}

pub(crate) fn revision(what: &'static str, value: u64) -> Result<Revision, BadMessage> {
    Revision::new(value).ok_or(BadMessage::new(what, "a revision is below 2^53"))
}

pub(crate) fn hash(what: &'static str, bytes: &[u8]) -> Result<Hash32, BadMessage> {
    Hash32::from_slice(bytes).ok_or(BadMessage::new(what, THIRTY_TWO))
}

pub(crate) fn parse<T>(what: &'static str, text: &str) -> Result<T, BadMessage>
where
    T: std::str::FromStr<Err = jeton_types::Invalid>,
{
    text.parse().map_err(|jeton_types::Invalid(why)| BadMessage::new(what, why))
}

pub(crate) const SIXTEEN: &str = "it has 16 bytes";
pub(crate) const THIRTY_TWO: &str = "it has 32 bytes";
pub(crate) const MISSING: &str = "it is missing";
const UNKNOWN_MESSAGE: &str = "its kind is not known to this version";

#[cfg(test)]
pub(crate) mod tests;
