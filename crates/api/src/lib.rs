//! The JSON shapes of the HTTP API, one module per resource, and the one table of error codes.
//!
//! Plain data and serde; no web framework, no IO. What comes in is checked as it is parsed (unknown fields are refused),
//! what goes out is a `View`. In a view every key is always there; what does not apply is `null`. Start with
//! [`problem`] for how a request fails and with [`revocation`] for what the product is about.

pub mod audit;
pub mod credential;
pub mod event;
pub mod key;
pub mod namespace;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod page;
pub mod problem;
pub mod receipt;
pub mod revocation;
pub mod secret;
pub mod time;
pub mod token;
pub mod usage;
pub mod verifier;
pub mod verify;

use serde::{Deserialize, Deserializer};

/// A field that is `null` is given; one that is not there is not.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
