//! `GET /v1/events`, read as it comes.

use std::{collections::VecDeque, time::Duration};

use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use jeton_api::event::{AlarmEvent, CONTENT_TYPE, ChangeEvent, ReceiptEvent, SessionEvent};
use jeton_types::Revision;
use serde::de::DeserializeOwned;

use super::Client;
use crate::{
    error::{Error, Kind},
    retry::Failed,
    transport::{ANSWER_BYTES_MAX, Outgoing},
    url::Target,
};

/// The authority says something every 10 s, if only that it is still there.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long to wait before an authority that broke off is asked again.
const COME_BACK_AFTER: Duration = Duration::from_secs(1);

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

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// One revision.
    Change(ChangeEvent),
    /// A receipt is complete.
    Receipt(ReceiptEvent),
    /// A verifier's session was opened, or ended.
    Session(SessionEvent),
    /// Something that a person should look at.
    Alarm(AlarmEvent),
    /// Something that this version has no word for.
    Other,
}

impl ServerEvent {
    /// What it tells.
    ///
    /// # Errors
    /// [`Error::Bad`] if its data is not what its name says.
    pub fn read(&self) -> Result<Told, Error> {
        Ok(match self.name.as_str() {
            "change" => Told::Change(self.data()?),
            "receipt" => Told::Receipt(self.data()?),
            "session" => Told::Session(self.data()?),
            "alarm" => Told::Alarm(self.data()?),
            _ => Told::Other,
        })
    }

    fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.data)
            .map_err(|error| Error::Bad(format!("an event {} that makes no sense: {error}", self.name)))
    }
}

/// The events of an authority, from the moment it was opened on, until it breaks.
#[derive(Debug)]
pub struct EventStream {
    body: Incoming,
    parser: Parser,
    url: String,
}

/// Events.
impl Client {
    /// Begins to read the events; after this change, if one is named. Tried once: [`Client::follow`] comes back.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn events(&self, after: Option<Revision>) -> Result<EventStream, Error> {
        let mut outgoing = Outgoing::new(Method::GET, Target::new("/v1/events"));
        outgoing.accept = CONTENT_TYPE;
        outgoing.last_event = after.map(Revision::get);
        let opened = tokio::time::timeout(self.deadline, self.shared.transport.stream(&outgoing)).await;
        let opened = opened.unwrap_or_else(|_| Err(Failed::Broken(format!("no answer from {}", self.url()))));
        Ok(EventStream { body: opened?, parser: Parser::default(), url: self.url() })
    }

    /// Follows the events; after this change, if one is named. A stream that breaks is opened again after the last change
    /// that was told, so that no change is missed.
    pub fn follow(&self, after: Option<Revision>) -> Follow {
        Follow { client: self.clone(), stream: None, last: after, came: false, rest: false }
    }
}

/// Events over any number of streams.
#[derive(Debug)]
#[must_use = "nothing is read before it is asked for"]
pub struct Follow {
    client: Client,
    stream: Option<EventStream>,
    last: Option<Revision>,
    came: bool,
    rest: bool,
}

/// What came of following.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// An event.
    Event(ServerEvent),
    /// The stream broke, for this reason. Asked again, it is opened anew after a second.
    Broken(String),
}

impl Follow {
    /// The next event, or why there is none just now.
    ///
    /// # Errors
    /// [`Error`] for what does not pass by itself; that nobody was there the first time is such.
    pub async fn next(&mut self) -> Result<Followed, Error> {
        if std::mem::take(&mut self.rest) {
            self.client.shared.pace.pause(COME_BACK_AFTER).await;
        }
        let told = match &mut self.stream {
            Some(stream) => stream.next().await,
            None => match self.client.events(self.last).await {
                Ok(opened) => {
                    self.came = true;
                    self.stream.insert(opened).next().await
                }
                // The first time there is nothing to come back to.
                Err(error) if !self.came => return Err(error),
                Err(error) => Err(error),
            },
        };
        let why = match told {
            Ok(Some(event)) => {
                self.last = event.id.or(self.last);
                return Ok(Followed::Event(event));
            }
            Ok(None) => "the authority has ended the stream".to_owned(),
            Err(error) if error.kind() == Kind::Unreachable => error.to_string(),
            Err(error) => return Err(error),
        };
        (self.stream, self.rest) = (None, true);
        Ok(Followed::Broken(why))
    }
}

impl EventStream {
    /// The next event; nothing when the authority has ended the stream.
    ///
    /// # Errors
    /// [`Error`] if the stream broke, fell silent, or is none of events.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>, Error> {
        loop {
            if let Some(event) = self.parser.ready.pop_front() {
                return Ok(Some(event));
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_| Error::Unreachable(format!("{} has fallen silent", self.url)))?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(Error::Unreachable(format!("{} broke off its events", self.url))),
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
    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let line = String::from_utf8(line).map_err(|_| Error::Bad("the events are not text".to_owned()))?;
                self.line(line.trim_end_matches('\r'));
            } else if self.line.len() + self.data.len() >= ANSWER_BYTES_MAX {
                return Err(Error::Bad(format!("an event is longer than {ANSWER_BYTES_MAX} bytes")));
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
