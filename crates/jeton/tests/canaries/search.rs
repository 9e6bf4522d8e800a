//! Finds parts of secrets in any bytes: as they are, in hex, and in base64 at any alignment.
//!
//! Of each secret the last 32 characters of its body count, every 12 of them that stand side by side: whoever finds so much
//! has it. In base64 four characters stand for three bytes, so each 12 are the same 16 characters wherever they begin at a
//! multiple of three; of 14 bytes or more in a row, some do.

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};

/// Characters of a body that count, and how many of them make a part.
const TAIL: usize = 32;
const PART: usize = 12;
/// Characters of the checksum, which is no secret.
const CHECKSUM: usize = 6;
/// Bits of the first look, which rules out nearly every place.
const SIEVE_BITS: u32 = 27;
/// Bytes that are looked through at once.
const CHUNK: usize = 4 << 20;

/// What stands for a part, and of which secret.
#[derive(Debug, Clone, Copy)]
struct Needle {
    secret: u32,
    form: Form,
}

/// How a part was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Raw,
    Base64,
    Hex,
    HexUpper,
}

impl Form {
    pub(crate) const ALL: [Self; 4] = [Self::Raw, Self::Base64, Self::Hex, Self::HexUpper];

    /// These bytes in this form.
    pub(crate) fn write(self, bytes: &[u8]) -> Vec<u8> {
        let hex = |upper: bool| {
            let byte = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            bytes.iter().map(byte).collect::<String>().into_bytes()
        };
        match self {
            Self::Raw => bytes.to_vec(),
            Self::Base64 => BASE64_STANDARD.encode(bytes).into_bytes(),
            Self::Hex => hex(false),
            Self::HexUpper => hex(true),
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Raw => PART,
            Self::Base64 => PART / 3 * 4,
            Self::Hex | Self::HexUpper => PART * 2,
        }
    }
}

/// Where a part was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) place: String,
    pub(crate) at: u64,
    pub(crate) secret: u32,
    pub(crate) form: Form,
    /// What stands around it.
    pub(crate) around: String,
}

impl Hit {
    /// Whether it is of this secret in this form. Hex that has digits alone is the same in both cases.
    pub(crate) fn is(&self, secret: usize, form: Form) -> bool {
        let hex = |form| matches!(form, Form::Hex | Form::HexUpper);
        self.secret as usize == secret && (self.form == form || hex(self.form) && hex(form))
    }
}

/// The parts of all secrets.
pub(crate) struct Search {
    sieve: Vec<u64>,
    needles: HashMap<Vec<u8>, Needle>,
    secrets: u32,
}

impl Search {
    pub(crate) fn new() -> Self {
        Self { sieve: vec![0; 1 << (SIEVE_BITS - 6)], needles: HashMap::new(), secrets: 0 }
    }

    /// From now on the parts of this token are looked for. Gives its number.
    pub(crate) fn add(&mut self, token: &str) -> u32 {
        let secret = self.secrets;
        self.secrets += 1;
        let body = &token.as_bytes()[..token.len() - CHECKSUM];
        for part in body[body.len() - TAIL..].windows(PART) {
            for form in Form::ALL {
                let needle = form.write(part);
                let (word, bit) = place(&needle);
                self.sieve[word] |= bit;
                self.needles.insert(needle, Needle { secret, form });
            }
        }
        secret
    }

    pub(crate) fn secrets(&self) -> u32 {
        self.secrets
    }

    /// What is found in these bytes. Of a place with many hits the first few are told.
    pub(crate) fn bytes(&self, place: &str, bytes: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.look(place, bytes, 0, &mut hits);
        hits
    }

    /// What is found in a file. Gives its length too.
    pub(crate) fn file(&self, path: &Path) -> (Vec<Hit>, u64) {
        const OVERLAP: usize = PART * 2 - 1;
        let (mut hits, mut read, mut held) = (Vec::new(), 0, Vec::new());
        let mut file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        loop {
            let kept = held.len();
            let got = file.by_ref().take(CHUNK as u64).read_to_end(&mut held).unwrap();
            self.look(&path.display().to_string(), &held, read - kept as u64, &mut hits);
            read += got as u64;
            if got == 0 {
                return (hits, read);
            }
            held.drain(..held.len().saturating_sub(OVERLAP));
        }
    }

    fn look(&self, place_name: &str, bytes: &[u8], offset: u64, hits: &mut Vec<Hit>) {
        /// Enough to see what is wrong.
        const TOLD_MAX: usize = 8;
        for at in 0..bytes.len().saturating_sub(PART - 1) {
            let (word, bit) = place(&bytes[at..]);
            if self.sieve[word] & bit == 0 {
                continue;
            }
            for length in [Form::Raw.length(), Form::Base64.length(), Form::Hex.length()] {
                let Some(found) = bytes.get(at..at + length).and_then(|window| self.needles.get(window)) else {
                    continue;
                };
                if hits.len() < TOLD_MAX {
                    let around = &bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())];
                    hits.push(Hit {
                        place: place_name.to_owned(),
                        at: offset + at as u64,
                        secret: found.secret,
                        form: found.form,
                        around: String::from_utf8_lossy(around).into_owned(),
                    });
                }
            }
        }
    }
}

/// Word and bit of the sieve for what begins so.
fn place(bytes: &[u8]) -> (usize, u64) {
    let first: [u8; 8] = bytes[..8].try_into().unwrap();
    let mixed = u64::from_le_bytes(first).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SIEVE_BITS);
    (usize::try_from(mixed >> 6).unwrap(), 1 << (mixed & 63))
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// The search finds what is planted, in each form, at each alignment, and over the border of two chunks.
#[test]
fn what_is_planted_is_found() {
    use jeton_types::{Prefix, Revision, token};

    let made = |seed| token::mint(&"acme".parse::<Prefix>().unwrap(), Revision::ZERO, [seed; 24]).text.expose().clone();
    let mut search = Search::new();
    let tokens: Vec<String> = (1..=20).map(made).collect();
    for token in &tokens {
        search.add(token);
    }
    let mut planted = 0;
    for (number, token) in tokens.iter().enumerate() {
        let body = &token.as_bytes()[..token.len() - CHECKSUM];
        let tail = &body[body.len() - TAIL..];
        for form in Form::ALL {
            for before in 0..6 {
                // Whole, and the least that is to be found.
                let least = if form == Form::Base64 { 14 } else { PART };
                for text in [token.as_bytes(), tail, &tail[..least], &tail[TAIL - least..]] {
                    let mut plain = b"{\"x\":"[..].to_vec();
                    plain.resize(5 + before, b' ');
                    plain.extend_from_slice(text);
                    plain.extend_from_slice(b"\"}  ");
                    let hits = search.bytes("planted", &form.write(&plain));
                    assert!(hits.iter().any(|hit| hit.is(number, form)), "{form:?} after {before}: {hits:?}");
                    planted += 1;
                }
            }
        }
        assert!(search.bytes("none", made(100 + u8::try_from(number).unwrap()).as_bytes()).is_empty());
    }
    assert_eq!(planted, 20 * 4 * 6 * 4);
    // What may be shown is no hit.
    assert!(search.bytes("hint", token::hint(&tokens[0]).as_bytes()).is_empty());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for shift in 0..=2 * PART {
        let mut bytes = vec![b'x'; CHUNK - shift];
        bytes.extend(
            Form::Hex.write(&tokens[3].as_bytes()[tokens[3].len() - CHECKSUM - PART..tokens[3].len() - CHECKSUM]),
        );
        std::fs::write(&path, &bytes).unwrap();
        let (hits, length) = search.file(&path);
        assert_eq!((hits.len(), length), (1, bytes.len() as u64), "{shift}");
        assert_eq!(hits[0].at, (CHUNK - shift) as u64);
    }
}
