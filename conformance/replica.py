"""What a verifier knows: rows, policy and positions of its namespaces, as the feed makes them."""

import dataclasses
import hashlib
import struct
import zlib

from wire import pb

PROTOCOL = 4
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODY_CHARS, CHECKSUM_CHARS = 43, 6
REVISION_END = 1 << 53


class Fault(Exception):
    """The feed cannot be followed: the lease is void, and a snapshot is asked for."""


class Mismatch(Fault):
    """What is held does not add up: it bears witness to nothing until a snapshot comes."""


class NeedsProtocol(Fault):
    """A change of a kind that is not known here."""


def base62(number, characters):
    text = ""
    for _ in range(characters):
        number, digit = divmod(number, 62)
        text = ALPHABET[digit] + text
    return text


def token_parse(text):
    """Prefix, birth and lookup key of a token; None if it is none."""
    prefix, tail = text[: -BODY_CHARS - CHECKSUM_CHARS], text[-BODY_CHARS - CHECKSUM_CHARS :]
    body, checksum = tail[:BODY_CHARS], tail[BODY_CHARS:]
    if len(tail) != BODY_CHARS + CHECKSUM_CHARS or not prefix.endswith("_") or any(c not in ALPHABET for c in body):
        return None
    number = 0
    for character in body:
        number = number * 62 + ALPHABET.index(character)
    if number >> 256 or base62(zlib.crc32(body.encode()), CHECKSUM_CHARS) != checksum:
        return None
    birth = number >> 192
    if birth >= REVISION_END:
        return None
    return prefix[:-1], birth, hashlib.sha256(b"jeton.tok.1:" + body.encode()).digest()


def token_mint(prefix, birth, random):
    """A text that has a token's form."""
    body = base62((birth << 192) | int.from_bytes(random[:24], "big"), BODY_CHARS)
    return f"{prefix}_{body}{base62(zlib.crc32(body.encode()), CHECKSUM_CHARS)}"


def _number(value):
    return struct.pack(">Q", value)


def _text(text):
    data = text.encode() if isinstance(text, str) else text
    return _number(len(data)) + data


def _flag(flag):
    return b"\1" if flag else b"\0"


def hash_of_policy(namespace, policy):
    row = _text("jeton.set.policy.1") + _text(namespace) + _text(policy.prefix)
    return hashlib.sha256(row + _number(policy.grace_ms) + _flag(policy.disabled)).digest()


def hash_of_token(entry):
    row = _text("jeton.set.token.1") + entry.digest + entry.token + entry.credential
    row += _flag(entry.HasField("expires_at_us")) + _number(entry.expires_at_us) + bytes([entry.ended])
    if not entry.HasField("ended"):
        row += _flag(entry.disabled) + _flag(entry.HasField("subject")) + _text(entry.subject)
        row += _number(len(entry.scopes)) + b"".join(map(_text, entry.scopes))
        if entry.addresses:
            row += _number(len(entry.addresses)) + b"".join(map(_text, entry.addresses))
    return hashlib.sha256(row).digest()


def plus(sum_, one, sign=1):
    return [(a + sign * b) % (1 << 64) for a, b in zip(sum_, struct.unpack(">4Q", one))]


@dataclasses.dataclass
class Namespace:
    """The rows of one, by digest."""

    policy: object
    rows: dict = dataclasses.field(default_factory=dict)
    # Over the rows, kept up with each that comes and goes.
    sum: list = dataclasses.field(default_factory=lambda: [0] * 4)
    # The last record, or where the snapshot stood.
    position: int = 0
    from_snapshot: bool = True

    def put(self, entry):
        self.take(entry.digest)
        self.rows[entry.digest] = entry
        self.sum = plus(self.sum, hash_of_token(entry))

    def take(self, digest):
        """Takes a row out, to be put back otherwise or not at all."""
        entry = self.rows.pop(digest, None)
        if entry is not None:
            self.sum = plus(self.sum, hash_of_token(entry), -1)
        return entry

    def set_hash(self, name):
        return struct.pack(">4Q", *plus(self.sum, hash_of_policy(name, self.policy)))

    def set_hash_anew(self, name):
        """Over all rows as they are: a row that changed by itself is found."""
        self.sum = [0] * 4
        for entry in self.rows.values():
            self.sum = plus(self.sum, hash_of_token(entry))
        return self.set_hash(name)


class Replica:
    """Follows the messages of content. Everything raises `Fault` that cannot be followed."""

    def __init__(self, namespaces):
        self.names = list(namespaces)
        self.namespaces = None
        self.watermark = 0
        self.good = False
        # The newest of which any part was seen.
        self.seen = 0
        self._snapshot = None
        self._frames = None

    # --- snapshots

    def snapshot_begin(self, message):
        if message.at < max(self.watermark, self.seen):
            raise Fault("a snapshot that is older than what was sent")
        self._snapshot, self._frames = (message.at, {}, {}), None

    def snapshot_rows(self, message):
        if self._snapshot is None or message.namespace not in self.names:
            raise Fault("rows out of turn")
        at, namespaces, hashes = self._snapshot
        namespace = namespaces.setdefault(message.namespace, Namespace(message.policy, position=at))
        for row in message.rows:
            known = self._known(message.namespace, row.digest) if self.good else None
            namespace.put(settled(row, known))
        if message.HasField("set_hash"):
            hashes[message.namespace] = message.set_hash

    def snapshot_end(self, message):
        if self._snapshot is None or self._snapshot[0] != message.at:
            raise Fault("a snapshot's end out of turn")
        at, namespaces, hashes = self._snapshot
        self._snapshot = None
        if set(namespaces) != set(self.names):
            raise Fault("a snapshot without one of the namespaces")
        for name, said in hashes.items():
            if namespaces[name].set_hash(name) != said:
                raise Fault("a snapshot that does not add up")
        self.namespaces, self.watermark, self.good = namespaces, at, True

    # --- records

    def record(self, record):
        """The revision that may be acknowledged now; None while more frames are to come, or for what was there before."""
        if self._snapshot is not None or not self.good:
            raise Fault("a record out of turn")
        if record.namespace not in self.names:
            raise Fault("a record of another namespace")
        self._known_kinds(record)
        whole = self._joined(record)
        if whole is None:
            return None
        namespace = self.namespaces[record.namespace]
        if record.revision <= namespace.position:
            return None
        follows = record.predecessor <= namespace.position if namespace.from_snapshot else record.predecessor == namespace.position
        if not follows or record.revision <= self.watermark:
            raise Fault(f"a gap: {record.revision} after {record.predecessor}, but {namespace.position} was applied")
        for change in whole:
            self._apply(namespace, change)
        if record.HasField("set_hash") and namespace.set_hash(record.namespace) != record.set_hash:
            self.good = False
            raise Mismatch("what is held does not add up")
        namespace.position, namespace.from_snapshot = record.revision, False
        self.watermark = record.revision
        return record.revision

    def _known_kinds(self, record):
        for change in record.changes:
            body = change.WhichOneof("body")
            known = body is not None and pb.Change.DESCRIPTOR.fields_by_name[body].number == change.kind
            if not known or change.needs_protocol > PROTOCOL:
                raise NeedsProtocol(f"kind {change.kind} needs protocol {change.needs_protocol}")

    def _joined(self, record):
        """All changes, once they are there. Ends and deadlines of the others are enforced as they come."""
        if record.frame == 0:
            if self._frames is not None:
                raise Fault("a record within another")
            return list(record.changes)
        expected, revision, changes = self._frames or (1, record.revision, [])
        if (record.frame, record.revision) != (expected, revision) or not record.changes:
            raise Fault("a frame out of turn")
        self.seen = max(self.seen, revision)
        changes.extend(record.changes)
        if record.last:
            self._frames = None
            return changes
        self._frames = (expected + 1, revision, changes)
        # From the first change on that gives, all waits for the last frame.
        takes = ("deadline", "token_end")
        if all(change.WhichOneof("body") in takes for change in changes):
            for change in record.changes:
                self._apply(self.namespaces[record.namespace], change)
        return None

    def _apply(self, namespace, change):
        body = change.WhichOneof("body")
        if body == "policy":
            namespace.policy = change.policy
            return
        if body == "start":
            raise Fault("a start in a namespace that is fed")
        value = getattr(change, body)
        if body == "token":
            return namespace.put(settled(value, namespace.rows.get(value.digest)))
        row = namespace.take(value.digest)
        if row is None:
            raise Fault("a change of a token that is not here")
        if body == "collected":
            return
        if body == "deadline":
            if not row.HasField("expires_at_us") or value.expires_at_us < row.expires_at_us:
                row.expires_at_us = value.expires_at_us
        elif body == "token_end":
            if not row.HasField("ended"):
                row.ended = value.reason
        namespace.put(row)

    def _known(self, name, digest):
        namespace = self.namespaces.get(name) if self.namespaces else None
        return namespace.rows.get(digest) if namespace else None

    # --- watermarks and hashes

    def watermark_move(self, to):
        if not self.good or self._snapshot is not None:
            return
        if self._frames is not None and to >= self._frames[1]:
            raise Fault("a watermark over a record that is half sent")
        self.watermark = max(self.watermark, to)

    def stream_reset(self):
        """Another stream: what was half sent begins anew."""
        self._snapshot = self._frames = None

    def set_hashes(self):
        return [self.namespaces[name].set_hash_anew(name) for name in self.names] if self.good else []


def settled(row, known):
    """A row in the light of what is known: ended stays ended, the nearest expiry stays."""
    entry = pb.TokenEntry()
    entry.CopyFrom(row)
    if known is not None:
        if known.HasField("ended"):
            entry.ended = known.ended
        if known.HasField("expires_at_us"):
            entry.expires_at_us = min(known.expires_at_us, entry.expires_at_us) if entry.HasField("expires_at_us") else known.expires_at_us
    return entry
