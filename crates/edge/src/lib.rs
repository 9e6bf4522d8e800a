//! The data plane: what stands beside a proxy or service and answers for it.
//!
//! [`sidecar`] is a process around one verifier of `jeton-client`: `/auth` for proxies, `/v1/verify` for services. It never
//! links the control plane; the feed is all that it knows of an authority. What it never does: ask anybody in order to
//! accept, redirect, or answer for an error with anything but 503.

pub mod sidecar;
