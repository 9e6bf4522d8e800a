//! Reports of usage, and their wire form.

use std::net::IpAddr;

use jeton_feed::usage::{REPORT_MAX, Report, Seen};
use jeton_types::{TokenId, UnixTime};

use crate::{
    convert::{BadMessage, MISSING, SIXTEEN},
    wire,
};

impl From<Report> for wire::Usage {
    fn from(report: Report) -> Self {
        let Report { number, until, last, uses, presented } = report;
        let presentation = |(token, address, seen): (TokenId, Option<IpAddr>, Seen<UnixTime>)| wire::Presentation {
            r#use: Some(use_of(token, seen)),
            address: address.map(|address| match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            }),
        };
        Self {
            number,
            until_us: until.as_micros(),
            last,
            uses: uses.into_iter().map(|(token, seen)| use_of(token, seen)).collect(),
            presented: presented.into_iter().map(presentation).collect(),
        }
    }
}

impl TryFrom<wire::Usage> for Report {
    type Error = BadMessage;

    fn try_from(report: wire::Usage) -> Result<Self, BadMessage> {
        if report.uses.len() > REPORT_MAX || report.presented.len() > REPORT_MAX {
            return Err(BadMessage::new("usage", "there are more than 256 of a kind"));
        }
        let presentation = |presented: wire::Presentation| {
            let (token, seen) = seen_of(presented.r#use.ok_or(BadMessage::new("usage presented", MISSING))?)?;
            Ok((token, presented.address.as_deref().map(address_of).transpose()?, seen))
        };
        Ok(Self {
            number: report.number,
            until: UnixTime::from_micros(report.until_us),
            last: report.last,
            uses: report.uses.into_iter().map(seen_of).collect::<Result<_, _>>()?,
            presented: report.presented.into_iter().map(presentation).collect::<Result<_, _>>()?,
        })
    }
}

fn use_of(token: TokenId, seen: Seen<UnixTime>) -> wire::Use {
    wire::Use {
        token: token.as_bytes().to_vec(),
        first_us: seen.first.as_micros(),
        last_us: seen.last.as_micros(),
        count: seen.count,
    }
}

fn seen_of(seen: wire::Use) -> Result<(TokenId, Seen<UnixTime>), BadMessage> {
    let token = TokenId::from_slice(&seen.token).ok_or(BadMessage::new("usage token", SIXTEEN))?;
    let (first, last) = (UnixTime::from_micros(seen.first_us), UnixTime::from_micros(seen.last_us));
    if first > last || seen.count == 0 {
        return Err(BadMessage::new("usage", "a use has a first time, a last one not before it, and a count"));
    }
    Ok((token, Seen { first, last, count: seen.count }))
}

fn address_of(bytes: &[u8]) -> Result<IpAddr, BadMessage> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .map_err(|_| BadMessage::new("usage address", "it has 4 or 16 bytes"))
}
