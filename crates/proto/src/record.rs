//! Records, changes and entries, both ways.

use jeton_feed::{
    frame::Frame,
    message::ToVerifier,
    numbers::{PROTOCOL, PROTOCOL_OF_FRAMES},
    record::{Change, EndReason, Head, Policy, Record, TokenEntry},
};
use jeton_types::{AddressList, CredentialId, Digest, Freshness, ScopeSet, Span, StartId, TokenId, UnixTime};

use crate::{
    convert::{BadMessage, MISSING, SIXTEEN, THIRTY_TWO, hash, parse, revision},
    wire::{self, change::Body},
};

/// The field numbers of the bodies in `Change`: the kinds that this code knows.
mod kind {
    pub(super) const POLICY: u32 = 3;
    pub(super) const TOKEN: u32 = 4;
    pub(super) const DEADLINE: u32 = 5;
    pub(super) const TOKEN_END: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const COLLECTED: u32 = 8;
}
/// All kinds but one are of the first protocol.
const KNOWN_SINCE: u32 = 1;
/// That something is disabled is known since this one: whoever speaks an older one must not apply it.
const DISABLED_SINCE: u32 = 2;
/// That a token may be presented from some addresses alone is known since this one.
const ADDRESSES_SINCE: u32 = 4;
/// What has expired is collected since this one.
const COLLECTED_SINCE: u32 = 4;

impl From<Record> for wire::Record {
    fn from(record: Record) -> Self {
        Self {
            frame: 0,
            last: false,
            revision: record.revision.get(),
            predecessor: record.predecessor.get(),
            namespace: record.namespace.to_string(),
            start: record.start.as_bytes().to_vec(),
            chain_hash: record.chain_hash.as_bytes().to_vec(),
            set_hash: record.set_hash.map(|hash| hash.as_bytes().to_vec()),
            committed_at_us: record.committed_at.as_micros(),
            changes: record.changes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Frame> for wire::Record {
    fn from(Frame { number, last, record }: Frame) -> Self {
        let mut part = Self { frame: number, last, ..record.into() };
        for change in &mut part.changes {
            change.needs_protocol = change.needs_protocol.max(PROTOCOL_OF_FRAMES);
        }
        part
    }
}

/// A record, or a part of one.
pub(crate) fn record_of_wire(mut record: wire::Record) -> Result<ToVerifier, BadMessage> {
    let (number, last) = (std::mem::take(&mut record.frame), std::mem::take(&mut record.last));
    match (number, last) {
        (0, true) => Err(BadMessage::new("record last", "it is of no frame")),
        (0, false) => Ok(ToVerifier::Record(record.try_into()?)),
        (number, last) => Ok(ToVerifier::Frame(Frame { number, last, record: record.try_into()? })),
    }
}

impl TryFrom<wire::Record> for Record {
    type Error = BadMessage;

    fn try_from(record: wire::Record) -> Result<Self, BadMessage> {
        if record.predecessor >= record.revision {
            return Err(BadMessage::new("record predecessor", "it is not below the revision"));
        }
        Ok(Self {
            revision: revision("record revision", record.revision)?,
            predecessor: revision("record predecessor", record.predecessor)?,
            namespace: parse("record namespace", &record.namespace)?,
            start: start("record start", &record.start)?,
            chain_hash: hash("record chain hash", &record.chain_hash)?,
            set_hash: record.set_hash.map(|bytes| hash("record set hash", &bytes)).transpose()?,
            committed_at: UnixTime::from_micros(record.committed_at_us),
            changes: record.changes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<Change> for wire::Change {
    fn from(change: Change) -> Self {
        let needs_protocol = match &change {
            Change::Token(TokenEntry { addresses, .. }) if !addresses.is_anywhere() => ADDRESSES_SINCE,
            Change::Policy(Policy { disabled: true, .. }) | Change::Token(TokenEntry { disabled: true, .. }) => {
                DISABLED_SINCE
            }
            Change::Collected { .. } => COLLECTED_SINCE,
            _ => KNOWN_SINCE,
        };
        let (kind, body) = match change {
            Change::Policy(policy) => (kind::POLICY, Body::Policy(policy.into())),
            Change::Token(entry) => (kind::TOKEN, Body::Token(entry.into())),
            Change::Deadline { digest, token, expires_at } => (
                kind::DEADLINE,
                Body::Deadline(wire::Deadline {
                    digest: digest.as_bytes().to_vec(),
                    token: token.as_bytes().to_vec(),
                    expires_at_us: expires_at.as_micros(),
                }),
            ),
            Change::End { digest, token, reason } => (
                kind::TOKEN_END,
                Body::TokenEnd(wire::TokenEnd {
                    digest: digest.as_bytes().to_vec(),
                    token: token.as_bytes().to_vec(),
                    reason: reason_to_wire(reason).into(),
                }),
            ),
            Change::Collected { digest, token } => (
                kind::COLLECTED,
                Body::Collected(wire::Collected {
                    digest: digest.as_bytes().to_vec(),
                    token: token.as_bytes().to_vec(),
                }),
            ),
            Change::Start(start) => (kind::START, Body::Start(wire::Start { start: start.as_bytes().to_vec() })),
            Change::Unknown { kind, needs_protocol } => return Self { kind, needs_protocol, body: None },
        };
        Self { kind, needs_protocol, body: Some(body) }
    }
}

impl TryFrom<wire::Change> for Change {
    type Error = BadMessage;

    /// Whatever is newer than this code is kept as [`Change::Unknown`]: a body that could not be read, a kind that does
    /// not name the body read, a reason without a name, and a known body that an older protocol does not know whole.
    fn try_from(change: wire::Change) -> Result<Self, BadMessage> {
        let unknown = Self::Unknown { kind: change.kind, needs_protocol: change.needs_protocol };
        let Some(body) = change.body else { return Ok(unknown) };
        if change.needs_protocol > PROTOCOL || change.kind != kind_of(&body) {
            return Ok(unknown);
        }
        Ok(match body {
            Body::Policy(policy) => Self::Policy(policy.try_into()?),
            Body::Token(entry) => Self::Token(entry.try_into()?),
            Body::Deadline(deadline) => Self::Deadline {
                digest: digest("deadline digest", &deadline.digest)?,
                token: token("deadline token", &deadline.token)?,
                expires_at: UnixTime::from_micros(deadline.expires_at_us),
            },
            Body::TokenEnd(end) => match reason_of_wire(end.reason) {
                Some(reason) => Self::End {
                    digest: digest("end digest", &end.digest)?,
                    token: token("end token", &end.token)?,
                    reason,
                },
                None => unknown,
            },
            Body::Collected(gone) => Self::Collected {
                digest: digest("collected digest", &gone.digest)?,
                token: token("collected token", &gone.token)?,
            },
            Body::Start(body) => Self::Start(start("start", &body.start)?),
        })
    }
}

const fn kind_of(body: &Body) -> u32 {
    match body {
        Body::Policy(_) => kind::POLICY,
        Body::Token(_) => kind::TOKEN,
        Body::Deadline(_) => kind::DEADLINE,
        Body::TokenEnd(_) => kind::TOKEN_END,
        Body::Start(_) => kind::START,
        Body::Collected(_) => kind::COLLECTED,
    }
}

impl From<Policy> for wire::Policy {
    fn from(policy: Policy) -> Self {
        let grace_ms = policy.freshness.grace().as_millis();
        Self {
            prefix: policy.prefix.to_string(),
            grace_ms: u64::try_from(grace_ms).unwrap_or(u64::MAX),
            disabled: policy.disabled,
        }
    }
}

impl TryFrom<wire::Policy> for Policy {
    type Error = BadMessage;

    fn try_from(policy: wire::Policy) -> Result<Self, BadMessage> {
        let freshness = match policy.grace_ms {
            0 => Freshness::Strict,
            1_000..=3_600_000 => Freshness::Grace(Span::from_millis(policy.grace_ms)),
            _ => return Err(BadMessage::new("policy grace", "it is 0, or from 1 s to 1 h")),
        };
        Ok(Self { prefix: parse("policy prefix", &policy.prefix)?, freshness, disabled: policy.disabled })
    }
}

pub(crate) fn policy_of(what: &'static str, policy: Option<wire::Policy>) -> Result<Policy, BadMessage> {
    policy.ok_or(BadMessage::new(what, MISSING))?.try_into()
}

impl From<TokenEntry> for wire::TokenEntry {
    fn from(entry: TokenEntry) -> Self {
        Self {
            digest: entry.digest.as_bytes().to_vec(),
            token: entry.token.as_bytes().to_vec(),
            credential: entry.credential.as_bytes().to_vec(),
            subject: entry.subject.map(|subject| subject.to_string()),
            scopes: entry.scopes.iter().map(ToString::to_string).collect(),
            expires_at_us: entry.expires_at.map(UnixTime::as_micros),
            ended: entry.ended.map(|reason| reason_to_wire(reason).into()),
            disabled: entry.disabled,
            addresses: entry.addresses.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<wire::TokenEntry> for TokenEntry {
    type Error = BadMessage;

    fn try_from(entry: wire::TokenEntry) -> Result<Self, BadMessage> {
        let ended = match entry.ended {
            None => None,
            Some(reason) => Some(reason_of_wire(reason).ok_or(BadMessage::new("entry ended", "not a known reason"))?),
        };
        Ok(Self {
            digest: digest("entry digest", &entry.digest)?,
            token: token("entry token", &entry.token)?,
            credential: CredentialId::from_slice(&entry.credential)
                .ok_or(BadMessage::new("entry credential", SIXTEEN))?,
            subject: entry.subject.map(|subject| parse("entry subject", &subject)).transpose()?,
            scopes: ScopeSet::parse(entry.scopes.iter().map(String::as_str))
                .map_err(|jeton_types::Invalid(why)| BadMessage::new("entry scopes", why))?,
            expires_at: entry.expires_at_us.map(UnixTime::from_micros),
            addresses: AddressList::parse(entry.addresses.iter().map(String::as_str))
                .map_err(|jeton_types::Invalid(why)| BadMessage::new("entry addresses", why))?,
            disabled: entry.disabled,
            ended,
        })
    }
}

impl From<Head> for wire::Head {
    fn from(head: Head) -> Self {
        Self {
            revision: head.revision.get(),
            start: head.start.as_bytes().to_vec(),
            chain_hash: head.chain_hash.as_bytes().to_vec(),
            mac: head.mac.map(|mac| mac.as_bytes().to_vec()),
        }
    }
}

impl TryFrom<wire::Head> for Head {
    type Error = BadMessage;

    fn try_from(head: wire::Head) -> Result<Self, BadMessage> {
        Ok(Self {
            revision: revision("head revision", head.revision)?,
            start: start("head start", &head.start)?,
            chain_hash: hash("head chain hash", &head.chain_hash)?,
            mac: head.mac.map(|bytes| hash("head mac", &bytes)).transpose()?,
        })
    }
}

const fn reason_to_wire(reason: EndReason) -> wire::EndReason {
    match reason {
        EndReason::Revoked => wire::EndReason::Revoked,
    }
}

fn reason_of_wire(reason: i32) -> Option<EndReason> {
    match wire::EndReason::try_from(reason) {
        Ok(wire::EndReason::Revoked) => Some(EndReason::Revoked),
        Ok(wire::EndReason::Unspecified) | Err(_) => None,
    }
}

fn digest(what: &'static str, bytes: &[u8]) -> Result<Digest, BadMessage> {
    Digest::from_slice(bytes).ok_or(BadMessage::new(what, THIRTY_TWO))
}

fn token(what: &'static str, bytes: &[u8]) -> Result<TokenId, BadMessage> {
    TokenId::from_slice(bytes).ok_or(BadMessage::new(what, SIXTEEN))
}

fn start(what: &'static str, bytes: &[u8]) -> Result<StartId, BadMessage> {
    StartId::from_slice(bytes).ok_or(BadMessage::new(what, SIXTEEN))
}
