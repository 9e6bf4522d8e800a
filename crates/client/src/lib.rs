//! Jeton from a program: its HTTP API, and a verifier inside your own process.
//!
//! # An authority's API
//!
//! [`Client`] has a method for each thing that the API does. It takes and gives the shapes of `jeton_api`, and the command
//! line is made of nothing else.
//!
//! ```no_run
//! use jeton_api::credential::IssueRequest;
//! use jeton_client::Client;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:7400").token_file("issuer.token").build()?;
//! let request: IssueRequest = serde_json::from_str(r#"{"name": "billing", "scopes": ["orders:read"]}"#)?;
//! let issued = client.issue(&"acme".parse()?, &request).await?;
//! // No verifier of `acme` answers "unknown" from here on. The secret exists once: keep it, do not print it.
//! std::fs::write("/run/billing/token", issued.token.secret.0.expose())?;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/issue.rs` and `examples/revoke_and_wait.rs` are whole programs.
//!
//! **Changes** ([`Change`]) are sent when they are awaited, each under an [`IdempotencyKey`], so that they are made once
//! however often they are tried. Name the key yourself ([`Change::key`]) where your program may die between asking and
//! writing down what it got: asked again under the same key within 24 hours and with the same token, the authority answers
//! the same secret. With another token it cannot open it, which is [`Error::SecretUnavailable`].
//!
//! **Tries**: what [`retry`] says, in a table. A deadline bounds all tries of a call ([`Builder::deadline`]). If it passes and
//! nobody knows whether a change was made, that is [`Error::Unsettled`], with the key under which to ask.
//!
//! **Errors** ([`Error`]) hold the stable code of the authority's problem, and are of one of four [`Kind`]s: refused, usage,
//! unreachable, internal.
//!
//! **Lists** ([`Pages`]) are read a page at a time. **Waits**: [`Client::revoke_and_wait`] comes back when no verifier
//! accepts the tokens any more; a connection that breaks meanwhile costs nothing, since the receipt is looked at again.
//! **Events**: [`Client::follow`] misses no change over any number of broken streams.
//!
//! **Evidence** needs no authority: [`receipt::check`] checks a signed receipt with the public keys, [`audit::check`] an
//! exported audit trail.
//!
//! # A verifier in your own process
//!
//! [`feed::Verifier`] keeps a replica of the namespaces that it serves and answers from memory whether a token is good, with
//! the same promises as a sidecar, which is made of it.
//!
//! ```no_run
//! use jeton_client::feed::{Answer, TokenSource, Verifier, VerifierConfig};
//! use jeton_types::ScopeSet;
//! use jeton_verifier::Required;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let token = TokenSource::File("shop.token".into());
//! let config = VerifierConfig::new("http://127.0.0.1:7401", token, "shop-1".parse()?, vec!["acme".parse()?]);
//! let verifier = Verifier::start(config)?;
//! verifier.wait_ready().await?;
//! let required = Required { scopes: ScopeSet::parse(["orders:read"])?, ..Required::default() };
//! match verifier.verify(b"acme_live_...", &required, None).await {
//!     Answer::Verdict(verdict) if verdict.valid() => println!("let it in: {:?}", verdict.subject()),
//!     Answer::Verdict(verdict) => println!("401: {}", verdict.code()),
//!     // Nobody can tell now: a 503, never a 401.
//!     Answer::Stale(why) => println!("503: {why}"),
//! }
//! // After the last answer. Dropping the last clone does it too, without waiting for the authority to hear it.
//! verifier.leave().await;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/axum_service.rs` is a whole service.
//!
//! # What this crate never does
//!
//! It decides nothing: the rules are in `jeton-feed` and `jeton-verifier`, the shapes in `jeton-api`. It follows no redirect,
//! prints no secret, and sends no change without a key. It speaks plain HTTP only so far: keep it on loopback, or behind
//! something that encrypts.

pub mod audit;
mod client;
mod error;
pub mod feed;
mod key;
pub mod receipt;
pub mod retry;
mod token;
mod transport;
mod url;

pub use client::{
    Builder, Change, Client, DEFAULT_URL, EventStream, Follow, Followed, Pace, Pages, ServerEvent, TokioPace, Told,
};
pub use error::{Error, Kind, SetupError};
pub use key::IdempotencyKey;
pub use token::read_token;
