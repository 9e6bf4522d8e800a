//! Whom a credential speaks for.

use std::{borrow::Borrow, cmp::Ordering, fmt, hash, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Invalid, limits::SUBJECT_BYTES_MAX};

/// Who or what a credential speaks for. It travels in an HTTP header, so it is visible ASCII.
///
/// A replica holds one for each of its tokens and each verdict carries one. So a short one stands where it is held, and a
/// copy of a longer one shares its text: neither allocates when it is copied.
#[derive(Clone)]
pub struct Subject(Text);

#[derive(Clone)]
enum Text {
    Here { len: u8, bytes: [u8; HERE_BYTES_MAX] },
    Shared(Arc<str>),
}

/// With a length and a mark this makes 32 bytes; most e-mail addresses and all short names fit.
const HERE_BYTES_MAX: usize = 30;

impl Subject {
    /// What a subject looks like.
    pub const FORM: Invalid = Invalid("a subject is 1 to 256 printable ASCII characters without a space at either end");

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // ASCII since it was parsed: never the default.
            Text::Here { len, bytes } => std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default(),
            Text::Shared(text) => text,
        }
    }
}

impl FromStr for Subject {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !good(text) {
            return Err(Self::FORM);
        }
        let mut bytes = [0; HERE_BYTES_MAX];
        Ok(Self(match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Text::Here { len, bytes }
            }
            _ => Text::Shared(text.into()),
        }))
    }
}

fn good(text: &str) -> bool {
    (1..=SUBJECT_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Subject {}

impl Ord for Subject {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Subject {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As its text hashes, because it can be borrowed as that.
impl hash::Hash for Subject {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Subject {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Subject {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, mem::size_of};

    use super::*;

    #[test]
    fn forms() {
        for bad in ["", " a", "a ", "a\r\nX-Evil: 1", "é", &"a".repeat(257)] {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_length_reads_as_it_was_written() {
        let mut known = HashSet::new();
        for len in 1..=SUBJECT_BYTES_MAX {
            let text = "user:ab c"[..].repeat(40)[..len].trim_end().to_owned();
            let subject: Subject = text.parse().unwrap();
            assert_eq!(subject.as_str(), text);
            assert_eq!(subject.clone(), subject);
            known.insert(subject);
            assert!(known.contains(text.as_str()), "found by its text");
        }
        assert!("ab".parse::<Subject>().unwrap() < "b".parse::<Subject>().unwrap());
        assert!("a".repeat(31).parse::<Subject>().unwrap() < "ab".parse::<Subject>().unwrap());
    }

    #[test]
    fn none_costs_no_more_than_one() {
        assert_eq!((size_of::<Subject>(), size_of::<Option<Subject>>()), (32, 32));
    }
}
