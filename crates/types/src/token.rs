//! The text form of a token: `<prefix>_<body><checksum>`.
//!
//! The body is 32 bytes in 43 characters of base62: the birth revision in 8 bytes, big-endian, then 24 random bytes. The
//! checksum is the CRC-32 (IEEE) of the body's characters, in 6; it catches typing errors and lets a scanner report
//! without false positives, and it is no secret.

use std::borrow::Cow;

use zeroize::Zeroize;

use crate::{
    Digest, Prefix, Revision, Secret,
    base62::{BODY_CHARS, CHECKSUM_CHARS, decode_body, encode_body, encode_checksum},
    prefix::BYTES_MAX,
};

/// Characters after the prefix and its underscore.
pub const TAIL_CHARS: usize = BODY_CHARS + CHECKSUM_CHARS;
/// The longest text that can be a token.
pub const TEXT_BYTES_MAX: usize = BYTES_MAX + 1 + TAIL_CHARS;
/// Random bytes that [`mint`] wants.
pub const RANDOM_BYTES: usize = 24;

/// What a well-formed text says of itself. Nothing is known yet about whether such a token exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The prefix, of a prefix's form.
    pub prefix: &'a str,
    /// The revision at which the token claims to have been issued, below 2^53.
    pub birth: Revision,
    /// The lookup key.
    pub digest: Digest,
}

/// The text is no token: wrong form, alphabet, checksum, or a birth at or above 2^53.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token: its form or checksum is wrong")]
pub struct Malformed;

/// Reads a text that claims to be a token. Total over bytes; allocates nothing.
///
/// # Errors
/// [`Malformed`] for everything that [`mint`] could not have made.
pub fn parse(text: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let split = text.len().checked_sub(TAIL_CHARS + 1).ok_or(Malformed)?;
    let (prefix, tail) = text.split_at(split);
    if prefix.len() > BYTES_MAX || tail[0] != b'_' {
        return Err(Malformed);
    }
    let body: &[u8; BODY_CHARS] = tail[1..].first_chunk().ok_or(Malformed)?;
    let checksum: &[u8; CHECKSUM_CHARS] = tail.last_chunk().ok_or(Malformed)?;
    if encode_checksum(crc32fast::hash(body)) != *checksum {
        return Err(Malformed);
    }
    if !Prefix::good(prefix) {
        return Err(Malformed);
    }
    let prefix = std::str::from_utf8(prefix).map_err(|_| Malformed)?;
    let mut bytes = decode_body(body).ok_or(Malformed)?;
    let birth = bytes.first_chunk().map(|first| u64::from_be_bytes(*first)).and_then(Revision::new);
    bytes.zeroize();
    Ok(Parsed { prefix, birth: birth.ok_or(Malformed)?, digest: Digest::of_body(body) })
}

/// A token as it was made: the one moment at which its text is known.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The text that is handed out once.
    pub text: Secret<String>,
    /// What is stored of it.
    pub digest: Digest,
    /// What is shown of it ever after.
    pub hint: String,
}

/// Makes a token of `prefix`, born at `birth`, from random bytes that nobody else has.
#[must_use]
pub fn mint(prefix: &Prefix, birth: Revision, mut random: [u8; RANDOM_BYTES]) -> Minted {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&birth.get().to_be_bytes());
    bytes[8..].copy_from_slice(&random);
    let mut body = encode_body(&bytes);
    let checksum = encode_checksum(crc32fast::hash(&body));
    let mut text = String::with_capacity(prefix.as_str().len() + 1 + TAIL_CHARS);
    text.push_str(prefix.as_str());
    text.push('_');
    text.extend(body.iter().chain(&checksum).map(|byte| char::from(*byte)));
    let minted = Minted { digest: Digest::of_body(&body), hint: hint(&text), text: Secret::new(text) };
    bytes.zeroize();
    body.zeroize();
    random.zeroize();
    minted
}

/// What may be shown of a token: its prefix and the last four characters, which come from the checksum alone.
#[must_use]
pub fn hint(text: &str) -> String {
    match (text.rfind('_'), text.len().checked_sub(4)) {
        (Some(underscore), Some(last)) if text.is_char_boundary(last) && last > underscore => {
            format!("{}…{}", &text[..=underscore], &text[last..])
        }
        _ => "…".to_owned(),
    }
}

/// Whether a token stands anywhere in this text, whatever stands around it.
#[must_use]
pub fn stands_in(text: &[u8]) -> bool {
    let underscores = text.iter().enumerate().filter(|(_, byte)| **byte == b'_');
    underscores.into_iter().any(|(at, _)| {
        let Some((body, rest)) = text[at + 1..].split_first_chunk::<BODY_CHARS>() else { return false };
        rest.first_chunk::<CHECKSUM_CHARS>()
            .is_some_and(|checksum| encode_checksum(crc32fast::hash(body)) == *checksum && decode_body(body).is_some())
    })
}

/// The text without what may be a secret, or nearly one: letters and digits, so many in a row as no word and no id of ours
/// has. For messages that repeat what somebody sent.
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    const RUN: usize = 32;
    let stranger = |ch: char| !ch.is_ascii_alphanumeric();
    if text.split(stranger).all(|run| run.len() < RUN) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    for piece in text.split_inclusive(stranger) {
        let run = piece.trim_end_matches(stranger);
        if run.len() < RUN {
            kept.push_str(piece);
        } else {
            kept.push('…');
            kept.push_str(&piece[run.len()..]);
        }
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix() -> impl Strategy<Value = Prefix> {
        "[a-z][a-z0-9]{1,5}(_[a-z0-9]{1,5}){0,2}".prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn every_minted_token_parses(prefix in prefix(), birth in 0..Revision::LIMIT, random: [u8; RANDOM_BYTES]) {
            let birth = Revision::new(birth).unwrap();
            let minted = mint(&prefix, birth, random);
            let parsed = parse(minted.text.expose().as_bytes()).unwrap();
            prop_assert_eq!(parsed, Parsed { prefix: prefix.as_str(), birth, digest: minted.digest });
            prop_assert_eq!(minted.text.expose().len(), prefix.as_str().len() + 1 + TAIL_CHARS);
        }

        #[test]
        fn the_parser_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_one_changed_byte_of_the_tail_is_noticed(random: [u8; RANDOM_BYTES], place in 0..TAIL_CHARS, to: u8) {
            let minted = mint(&Prefix::built_in(), Revision::new(7).unwrap(), random);
            let mut text = minted.text.expose().clone().into_bytes();
            let place = text.len() - 1 - place;
            prop_assume!(text[place] != to);
            text[place] = to;
            prop_assert_eq!(parse(&text), Err(Malformed));
        }
    }

    #[test]
    fn the_checksum_is_the_one_that_scanners_know() {
        // GitHub's published example: the prefix is excluded.
        assert_eq!(&encode_checksum(crc32fast::hash(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")), b"0mLq17");
    }

    #[test]
    fn a_birth_out_of_range_is_malformed() {
        let mut bytes = [0xab; 32];
        bytes[..8].copy_from_slice(&Revision::LIMIT.to_be_bytes());
        let body = encode_body(&bytes);
        let checksum = encode_checksum(crc32fast::hash(&body));
        let text = [b"acme_".as_slice(), &body, &checksum].concat();
        assert_eq!(parse(&text), Err(Malformed));
    }

    #[test]
    fn the_hint_shows_the_prefix_and_the_end() {
        let minted = mint(&"acme_live".parse().unwrap(), Revision::new(1).unwrap(), [9; RANDOM_BYTES]);
        assert!(minted.hint.starts_with("acme_live_…") && minted.hint.chars().count() == 15, "{}", minted.hint);
        assert_eq!(hint("short"), "…");
        assert_eq!(hint("ü"), "…");
        assert_eq!(hint("a_b"), "…");
    }

    #[test]
    fn debug_shows_no_secret() {
        let minted = mint(&Prefix::built_in(), Revision::new(1).unwrap(), [9; RANDOM_BYTES]);
        let shown = format!("{minted:?}");
        assert!(!shown.contains(minted.text.expose()), "{shown}");
    }

    #[test]
    fn a_token_is_noticed_wherever_it_stands_and_not_repeated() {
        let text = mint(&"acme_live".parse().unwrap(), Revision::new(7).unwrap(), [9; RANDOM_BYTES]).text;
        let text = text.expose();
        for around in [text.clone(), format!("leaked: {text}."), format!("a_{text}_b"), format!("{text}{text}")] {
            assert!(stands_in(around.as_bytes()), "{around}");
            assert!(!redact(&around).contains(&text[20..40]), "{around}");
        }
        let (short, typo) = (&text[..text.len() - 1], text.replace("live_", "live_x"));
        for other in ["", "_", short, &typo, "cred_01h455vb4pex5vsknk084sn02q"] {
            assert!(!stands_in(other.as_bytes()), "{other}");
        }
        assert_eq!(redact(&format!("`{typo}` is no \"{short}\"")), "`acme_live_…` is no \"acme_live_…\"");
        for kept in ["", "no credential cred_01h455vb4pex5vsknk084sn02q; ü", "the body does not fit: line 1 column 7"]
        {
            assert!(matches!(redact(kept), Cow::Borrowed(same) if same == kept));
        }
    }
}
