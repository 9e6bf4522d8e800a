//! Named limits of what may come in. Each is checked where the type is parsed.

use std::time::Duration;

/// Scopes one credential may hold.
pub const SCOPES_MAX: usize = 64;
/// Bytes of one scope.
pub const SCOPE_BYTES_MAX: usize = 128;
/// Ranges of addresses that one credential may be presented from.
pub const ADDRESS_RANGES_MAX: usize = 32;
/// Bytes of a subject.
pub const SUBJECT_BYTES_MAX: usize = 256;
/// Labels one credential may hold.
pub const LABELS_MAX: usize = 32;
/// Bytes of a label's key.
pub const LABEL_KEY_BYTES_MAX: usize = 63;
/// Bytes of a label's value.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// Bytes of a credential's or verifier's name.
pub const NAME_BYTES_MAX: usize = 128;
/// Bytes of a namespace's name.
pub const NAMESPACE_BYTES_MAX: usize = 63;
/// Bytes of a reason given with a revocation.
pub const REASON_BYTES_MAX: usize = 512;
/// Namespaces one session may serve.
pub const SESSION_NAMESPACES_MAX: usize = 256;
/// The shortest time to live and the shortest overlap (`feed-protocol.md` 15).
pub const TTL_MIN: Duration = Duration::from_secs(10);
/// The longest time to live: ten years.
pub const TTL_MAX: Duration = Duration::from_secs(3_650 * 86_400);
/// The longest grace a namespace may choose (`feed-protocol.md` 9 builds on it).
pub const GRACE_MAX: Duration = Duration::from_secs(3_600);
/// Tokens one selector may end before it is refused with advice.
pub const REVOKE_TOKENS_MAX: usize = 100_000;
