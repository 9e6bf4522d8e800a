//! The key of which a change is made once.

use std::{fmt, str::FromStr};

use http::HeaderValue;
use jeton_types::{Entropy, Invalid};

/// The longest key that an authority takes.
const BYTES_MAX: usize = 255;

/// An `Idempotency-Key`: under one key an authority makes a change once, however often it is asked, for 24 hours. The
/// client makes one for each change; give your own when the same change may be asked for again after your program has
/// been restarted, such as the id of the job that asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// 128 random bits, so that nobody else comes upon it.
    #[must_use]
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(format!("jeton-{:032x}", u128::from_be_bytes(bytes)).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl FromStr for IdempotencyKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if (1..=BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
            Ok(Self(text.into()))
        } else {
            Err(Invalid("an idempotency key is 1 to 255 visible ASCII characters"))
        }
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in ["k", "job-7/step:2", &"x".repeat(255)] {
            assert_eq!(good.parse::<IdempotencyKey>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "ü", "a\n", &"x".repeat(256)] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad:?}");
        }
        let (one, other) = (IdempotencyKey::random(&jeton_host::clock::OsEntropy), "jeton-");
        assert!(one.as_str().starts_with(other) && one.as_str().len() == 38 && one.header().is_some());
    }
}
