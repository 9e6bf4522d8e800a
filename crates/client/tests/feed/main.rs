//! A verifier against a feed server that follows a script.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails so")]

mod fake;
mod frames;
mod session;
mod usage;
mod verify;

use jeton_client::feed::{Answer, Verifier};
use jeton_verifier::{Code, Required, StaleWhy};

use crate::fake::Token;

async fn verify(verifier: &Verifier, token: &Token) -> Answer {
    verifier.verify(token.text(), &Required::default(), None).await
}

async fn code(verifier: &Verifier, token: &Token) -> Code {
    verify(verifier, token).await.code()
}

async fn why_stale(verifier: &Verifier, token: &Token) -> StaleWhy {
    match verify(verifier, token).await {
        Answer::Stale(why) => why,
        answer @ Answer::Verdict(_) => panic!("{answer:?}"),
    }
}
