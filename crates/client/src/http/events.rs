//! `GET /v1/events`, read as it comes.

use std::{collections::VecDeque, time::Duration};

use ::http::{HeaderName, Method};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use jeton_api::event::CONTENT_TYPE;
use jeton_types::Revision;

use super::{ANSWER_BYTES_MAX, ApiClient, CallError};

/// The authority says something every 10 s, if only that it is still there.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerEvent {
    /// What kind: `change`, `receipt`, `session`, `alarm`, or one of tomorrow.
    pub name: String,
    /// Of a change, its revision: what to come back with.
    pub id: Option<Revision>,
    /// JSON, in one line.
    pub data: String,
}

/// The events of an authority, from the moment it was opened on.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    parser: Parser,
    url: String,
}

impl ApiClient {
    /// Begins to read the events; after this change, if one is named.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn events(&self, after: Option<Revision>) -> Result<EventStream, CallError> {
        let mut request = self.request(Method::GET, "/v1/events", CONTENT_TYPE, None)?;
        if let Some(after) = after {
            request.headers_mut().insert(LAST_EVENT_ID, after.get().into());
        }
        let answer = tokio::time::timeout(self.call_timeout, self.client.request(request))
            .await
            .map_err(|_| CallError::Unreachable(format!("no answer from {}", self.base_url())))?
            .map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            let bytes = self.answer(answer).await?;
            return Err(CallError::Bad(format!("{} bytes in place of events", bytes.len())));
        }
        Ok(EventStream { body: answer.into_body(), parser: Parser::default(), url: self.base_url() })
    }
}

impl EventStream {
    /// The next event; nothing when the authority has ended the stream.
    ///
    /// # Errors
    /// [`CallError`] if the stream broke, fell silent, or is none of events.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, CallError> {
        loop {
            if let Some(event) = self.parser.ready.pop_front() {
                return Ok(Some(event));
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_| CallError::Unreachable(format!("{} has fallen silent", self.url)))?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(CallError::Unreachable(format!("{} broke off its events", self.url))),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.parser.take(bytes)?;
                    }
                }
            }
        }
    }
}

/// Lines to events, by the rules of the HTML standard as far as an authority uses them.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    name: String,
    id: Option<Revision>,
    data: String,
    ready: VecDeque<ServerEvent>,
}

impl Parser {
    fn take(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8(line).map_err(|_| CallError::Bad("the events are not text".to_owned()))?;
                self.line(line.trim_end_matches('\r'));
            } else if self.line.len() + self.data.len() >= ANSWER_BYTES_MAX {
                return Err(CallError::Bad(format!("an event is longer than {ANSWER_BYTES_MAX} bytes")));
            } else {
                self.line.push(*byte);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let (name, data, id) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data), self.id.take());
            if !data.is_empty() {
                self.ready.push_back(ServerEvent { name, id, data });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" => self.id = value.parse().ok().and_then(Revision::new),
            "data" => {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // A comment, or what an authority of tomorrow adds.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_of_the_stream_does_not_matter() {
        let stream =
            b": still here\n\nevent: change\nid: 7\ndata: {\"a\":1}\n\nevent:receipt\r\ndata:{}\r\n\r\nid: 8\n\n";
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            for piece in stream.chunks(size) {
                parser.take(piece).unwrap();
            }
            let event = |name: &str, id, data: &str| ServerEvent {
                name: name.to_owned(),
                id: Revision::new(id).filter(|_| id > 0),
                data: data.to_owned(),
            };
            assert_eq!(parser.ready, [event("change", 7, "{\"a\":1}"), event("receipt", 0, "{}")], "pieces of {size}");
        }
    }
}
