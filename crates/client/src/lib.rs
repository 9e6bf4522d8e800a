//! What talks to an authority from outside: its HTTP API, and its feed.
//!
//! - [`http::ApiClient`] makes single calls of the HTTP API.
//! - [`feed::Verifier`] keeps a replica of the namespaces it serves and answers from memory whether a token is good. It
//!   is what a sidecar is made of, and what a service embeds; `examples/axum_service.rs` shows how.
//!
//! Neither decides anything: the rules are in `jeton-feed` and `jeton-verifier`, the shapes in `jeton-api`.

pub mod feed;
pub mod http;
