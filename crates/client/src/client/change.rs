use std::{future::Future, marker::PhantomData, pin::Pin, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method};
use jeton_types::Revision;
use serde::{Serialize, de::DeserializeOwned};

use super::{Client, json, line};
use crate::{error::Error, key::IdempotencyKey, retry::Manner, transport::Outgoing, url::Target};

/// A change that is about to be asked for: `.await` sends it. It goes under an [`IdempotencyKey`], so that it is made once
/// however often it is tried.
#[must_use = "nothing is sent before it is awaited"]
pub struct Change<'c, T> {
    client: &'c Client,
    outgoing: Result<Outgoing, Error>,
    wait: Duration,
    answer: PhantomData<fn() -> T>,
}

impl<'c, T> Change<'c, T> {
    pub(super) fn new(client: &'c Client, method: Method, target: Target) -> Self {
        let mut outgoing = Outgoing::new(method, target);
        outgoing.key = Some(client.random_key());
        Self { client, outgoing: Ok(outgoing), wait: Duration::ZERO, answer: PhantomData }
    }

    pub(super) fn body<B: Serialize + ?Sized>(self, body: &B) -> Self {
        let body: Result<Bytes, Error> = line(body);
        let outgoing = self.outgoing.and_then(|outgoing| Ok(Outgoing { body: Some(body?), ..outgoing }));
        Self { outgoing, ..self }
    }

    /// So long the authority is asked to wait before it answers.
    pub(super) fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    pub(super) fn unless(self, wrong: bool, why: &str) -> Self {
        if wrong { Self { outgoing: Err(Error::Usage(why.to_owned())), ..self } } else { self }
    }

    /// Under this key in place of a random one: asked again under it, also by another process and within 24 hours, the
    /// same change is answered as it was made, with the same secret.
    pub fn key(mut self, key: IdempotencyKey) -> Self {
        if let Ok(outgoing) = &mut self.outgoing {
            outgoing.key = Some(key);
        }
        self
    }

    /// Only if the thing is as it was at this revision: its view's `revision`. Otherwise `etag_mismatch`. It holds for
    /// credentials and namespaces.
    pub fn if_match(mut self, revision: Revision) -> Self {
        if let Ok(outgoing) = &mut self.outgoing {
            outgoing.if_match = HeaderValue::from_str(&format!("\"{revision}\"")).ok();
        }
        self
    }
}

impl<'c, T: DeserializeOwned + 'c> IntoFuture for Change<'c, T> {
    type Output = Result<T, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, outgoing, wait, .. } = self;
        Box::pin(async move { json(&client.call(&outgoing?, Manner::Change, wait).await?) })
    }
}
