use std::time::Duration;

/// What a listener allows. Times run on tokio's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// From the connection to its first byte.
    pub first_byte: Duration,
    /// From the first byte of a request's head to its end; for HTTP/2, of any frame that is not data.
    pub head: Duration,
    /// Fields of a head; more are answered 431.
    pub head_fields_max: usize,
    /// Bytes of all fields of a head; more are answered 431.
    pub head_bytes_max: usize,
    /// Bytes of the request target; more are answered 414.
    pub uri_bytes_max: usize,
    /// From the end of the head to the end of the body. `None` for bodies that are streams.
    pub body: Option<Duration>,
    /// Bytes of a request's body. `None` for bodies that are streams.
    pub body_bytes_max: Option<u64>,
    /// How long a client may leave untaken what there is for it. A stream with nothing to say is not at fault.
    pub response_stall: Duration,
    /// How long a connection without a request stays open.
    pub idle: Duration,
    /// Open streams of one HTTP/2 connection.
    pub h2_streams_max: u32,
    /// How often an HTTP/2 connection is pinged.
    pub h2_ping: Duration,
    /// How long the answer to a ping may take.
    pub h2_ping_timeout: Duration,
    /// Connections of one address (a /64 with IPv6). Loopback is exempt: there sits the proxy that asks for everybody.
    pub connections_per_address_max: usize,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections above these limits that still get an answer that says so; more are just closed.
    pub connections_refused_max: usize,
    /// How long a connection that is being closed may take to do so once nothing is under way on it.
    pub linger: Duration,
    /// How long the requests under way may take after the listener was told to stop.
    pub drain: Duration,
}

impl Limits {
    /// For listeners that serve requests with small bodies.
    #[must_use]
    pub const fn http() -> Self {
        Self {
            first_byte: Duration::from_secs(5),
            head: Duration::from_secs(5),
            head_fields_max: 64,
            head_bytes_max: 16 * 1024,
            uri_bytes_max: 8 * 1024,
            body: Some(Duration::from_secs(10)),
            body_bytes_max: Some(64 * 1024),
            response_stall: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            h2_streams_max: 128,
            h2_ping: Duration::from_secs(10),
            h2_ping_timeout: Duration::from_secs(5),
            connections_per_address_max: 256,
            connections_max: 10_000,
            connections_refused_max: 64,
            linger: Duration::from_secs(5),
            drain: Duration::from_secs(10),
        }
    }

    /// For listeners whose requests and responses are streams that live for days. Whether the other end is still
    /// there is found out by pings; what it sends must be limited message by message, by whoever reads it.
    #[must_use]
    pub const fn feed() -> Self {
        Self { body: None, body_bytes_max: None, ..Self::http() }
    }

    /// The shortest wait that can begin at the end of a request, or of a piece of a response.
    pub(super) fn shortest_wait(&self) -> Duration {
        self.idle.min(self.linger).min(self.response_stall)
    }

    /// What the parser takes before it gives up by itself, with a bare 431: room enough for this crate to see a head
    /// that is too long, and to refuse it in the caller's words.
    pub(super) const fn parser_bytes(&self) -> usize {
        let soft = self.head_bytes_max + self.uri_bytes_max;
        // hyper's own floor.
        if soft < 8 * 1024 { 16 * 1024 } else { 2 * soft }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::http()
    }
}
