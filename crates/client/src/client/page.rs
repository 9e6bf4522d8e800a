use std::{collections::VecDeque, marker::PhantomData};

use jeton_api::page::Page;
use serde::de::DeserializeOwned;

use super::Client;
use crate::{error::Error, url::Target};

/// A list, read a page at a time as it is asked for.
#[must_use = "nothing is read before it is asked for"]
pub struct Pages<T> {
    client: Client,
    /// Without `after`.
    target: Target,
    /// What the next page comes after; nothing before the first.
    after: Option<String>,
    last: bool,
    ready: VecDeque<T>,
    items: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(super) fn new(client: &Client, target: Target, after: Option<String>) -> Self {
        Self { client: client.clone(), target, after, last: false, ready: VecDeque::new(), items: PhantomData }
    }

    /// The next item; nothing at the end.
    ///
    /// # Errors
    /// [`Error`]; asked again, it goes on where it was.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            match self.next_page().await? {
                Some(page) => self.ready = page.into(),
                None => return Ok(None),
            }
        }
    }

    /// What is left of the present page, or the next one; nothing at the end. A page may be empty and not the last.
    ///
    /// # Errors
    /// [`Error`]; asked again, it goes on where it was.
    pub async fn next_page(&mut self) -> Result<Option<Vec<T>>, Error> {
        if !self.ready.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ready).into()));
        }
        if self.last {
            return Ok(None);
        }
        let target = self.target.clone().query_some("after", self.after.as_ref());
        let page: Page<T> = self.client.get(target).await?;
        self.last = page.next.is_none();
        self.after = page.next;
        Ok(Some(page.items))
    }

    /// All that is left, in memory.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn all(mut self) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        while let Some(page) = self.next_page().await? {
            items.extend(page);
        }
        Ok(items)
    }
}
