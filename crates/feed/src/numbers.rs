//! The numbers of the protocol (`feed-protocol.md` 10 to 22), in one place.

use std::time::Duration;

/// The protocol this code speaks. 2 knows what is disabled; 3 seals heads; 4 knows from where a token may be presented, collects
/// what has expired, and takes records in frames.
pub const PROTOCOL: u32 = 4;
/// From this one on the authority judges the head that a verifier shows, and says when it is of another history.
pub const PROTOCOL_OF_HEADS: u32 = 3;
/// From this one on records come in frames, and no message is much larger than [`FRAME_BYTES_MAX`].
pub const PROTOCOL_OF_FRAMES: u32 = 4;
/// The oldest protocol of an authority that a verifier of this code still understands.
pub const PROTOCOL_OLDEST: u32 = 1;
/// The oldest protocol of a verifier that an authority of this code still feeds. A verifier of protocol 1 would read a
/// snapshot without seeing what is disabled in it, so it is refused at its hello and goes stale (`feed-protocol.md` 8). One
/// of protocol 3 that does not see what is bound to addresses finds that its table does not add up, and goes stale too.
pub const PROTOCOL_FED_OLDEST: u32 = 3;

/// L: how long a lease lasts, from the verifier's sending of its renewal.
pub const LEASE: Duration = Duration::from_secs(5);
/// How often a verifier renews: L/3.
pub const RENEW_EVERY: Duration = Duration::from_nanos(LEASE.as_nanos() as u64 / 3);
/// How often the authority says how far it is.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// How far behind a session may be and still be granted a lease.
pub const LAG_MAX: Duration = Duration::from_secs(1);
/// Real time that runs ahead of boot time by more than this means a paused or cloned machine.
pub const JUMP_MAX: Duration = Duration::from_millis(250);
/// How often the authority looks at what time alone decides.
pub const POLL_EVERY: Duration = Duration::from_millis(250);
/// How long the authority waits for the goodbye of a session that it ended.
pub const END_WAIT: Duration = Duration::from_secs(1);
/// The longest grace that any namespace may have.
pub const GRACE_MAX: Duration = jeton_types::limits::GRACE_MAX;
/// The largest frame of a record, and the largest part of a snapshot, on the wire.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// How long one verification may wait for a watermark.
pub const FIRST_USE_WAIT: Duration = Duration::from_millis(250);
/// How many watermark requests a verifier sends in a second, at most.
pub const ASKS_PER_SECOND: u32 = 20;
/// Silence after which a verifier gives its stream up and opens another.
pub const STREAM_SILENCE_MAX: Duration = Duration::from_secs(4);

/// `L_a = 1.25·(L + D) + 250 ms`: after this long without a grant, a session with grace D cannot accept any more.
#[must_use]
pub const fn counted_out_after(grace: Duration) -> Duration {
    let wait = LEASE.saturating_add(grace);
    wait.saturating_add(Duration::from_nanos(wait.as_nanos() as u64 / 4)).saturating_add(Duration::from_millis(250))
}

/// Silence after which a session leaves the registry.
pub const FORGET_AFTER: Duration = counted_out_after(GRACE_MAX);
/// How long a token has been expired when it is collected, at least: as long as any lease and grace lasts that was granted before
/// it expired, to a session that may have been a second behind (`feed-protocol.md` 25).
pub const COLLECT_AFTER: Duration = FORGET_AFTER.saturating_add(LAG_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_that_are_promised() {
        assert_eq!(counted_out_after(Duration::ZERO), Duration::from_millis(6_500));
        assert_eq!(counted_out_after(Duration::from_secs(300)), Duration::from_millis(381_500));
    }
}
