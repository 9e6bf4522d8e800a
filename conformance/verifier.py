"""A verifier, written from docs/reference/feed-protocol.md alone. Small rather than fast: it shows what one has to do.

`bugs` switches off what a rule demands, to see what an authority makes of it:
  ack_unapplied       acknowledges records that it does not apply
  ack_first_only      acknowledges its first view and nothing after it
  ack_nothing         never acknowledges
  deaf_to_end         goes on after `end`
"""

import os
import queue
import threading
import time

from replica import PROTOCOL, Fault, Mismatch, NeedsProtocol, Replica, token_parse
from wire import Stream, pb

LEASE = 5.0
RENEW_EVERY = LEASE / 3
SILENCE_MAX = 4.0
FIRST_USE_WAIT = 0.25
JUMP_MAX = 0.25
AGAIN_FIRST, AGAIN_LAST, AGAIN_SLOW = 0.05, 2.0, 10.0


def boot():
    """Seconds on a clock that does not stop in suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Verifier:
    """One session. `start` runs it; `verify` answers; `goodbye` or `close` ends it."""

    def __init__(self, address, token, name, namespaces, bugs=(), session=None, place=None, claims=()):
        self.address, self.token, self.name = address, token, name
        self.session = session or os.urandom(16)
        self.bugs, self.place, self.claims = frozenset(bugs), place, list(claims)
        self.replica = Replica(namespaces)
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.epoch = 0
        self.head = None
        # What was granted: when its renewal was sent, by boot and real time, and the authority's time.
        self.lease = None
        self.grants, self.welcomes, self.faults, self.refused = [], [], [], []
        self.acked = 0
        self.state = "connecting"
        self.stream = None
        self._requests, self._renewals, self._renew_at = 0, {}, 0.0
        self._watermarks = {}
        self.usage_number, self.usage_taken = 0, set()
        self._stop = False

    # --- life

    def start(self):
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def _run(self):
        wait = AGAIN_FIRST
        while not self._stop and self.state != "ended":
            granted = len(self.grants)
            slow = self._stream()
            wait = AGAIN_SLOW if slow else (AGAIN_FIRST if len(self.grants) > granted else min(wait * 2, AGAIN_LAST))
            deadline = boot() + wait * (0.5 + os.urandom(1)[0] / 512)
            while boot() < deadline and not self._stop:
                time.sleep(0.02)

    def _stream(self):
        """Serves one stream to its end; whether it is no use to come again soon."""
        with self.lock:
            self.replica.stream_reset()
            self._renewals.clear()
            self.epoch += 1
            self.stream = Stream(self.address, self.token)
            self.stream.send(hello=self.hello())
            self.state = "hello"
        heard = boot()
        try:
            while not self._stop:
                try:
                    message = self.stream.received.get(timeout=0.05)
                    heard = boot()
                except queue.Empty:
                    message = False
                with self.changed:
                    if message is None:
                        return False
                    if message:
                        self._message(message)
                    if self.state in ("refused", "ended"):
                        return True
                    if boot() - heard >= SILENCE_MAX:
                        return False
                    if self.state == "live" and boot() >= self._renew_at:
                        self.renew()
                    self.changed.notify_all()
        except Fault as fault:
            with self.changed:
                self.faults.append(fault)
                self.lease = None
                if isinstance(fault, NeedsProtocol):
                    return True
                # A hello without a resume point: a snapshot comes.
                self.acked = 0
                self.replica.good = self.replica.good and not isinstance(fault, Mismatch)
                self._whole = False
        finally:
            with self.changed:
                self.state = self.state if self.state == "ended" else "connecting"
                self.stream.close()
                self.changed.notify_all()
        return False

    _whole = False

    def hello(self):
        hello = pb.Hello(
            protocol_oldest=3,
            protocol=PROTOCOL,
            session=self.session,
            verifier=self.name,
            epoch=self.epoch,
            namespaces=self.replica.names,
            claims=self.claims,
        )
        if self._whole:
            hello.resume = self.replica.watermark
            hello.set_hashes.extend(self.replica.set_hashes())
        if self.head is not None:
            hello.head.CopyFrom(self.head)
        if self.place is not None:
            hello.boot_id, hello.device, hello.inode = self.place
        return hello

    def goodbye(self):
        """No answer follows any more."""
        with self.lock:
            self._stop, self.lease = True, None
            self.stream.send(goodbye=pb.Goodbye())
            self.stream.half_close()
        self.stream.closed.wait(10)

    def close(self):
        """As if killed."""
        with self.lock:
            self._stop = True
            if self.stream is not None:
                self.stream.close()

    # --- messages

    def _message(self, message):
        kind = message.WhichOneof("message")
        if kind is None:
            raise Fault("a message that is not known")
        getattr(self, f"_on_{kind}")(getattr(message, kind))

    def _on_welcome(self, welcome):
        if self.state != "hello":
            raise Fault("a second welcome")
        self.welcomes.append(welcome)
        if welcome.foreign:
            # Of another history: nothing that was granted for it counts.
            self.lease, self.replica = None, Replica(self.replica.names)
            self._whole = False
        if welcome.mismatch:
            self.lease, self.replica.good, self._whole = None, False, False
        if self.head is not None and welcome.head.revision < self.head.revision and not welcome.foreign:
            raise Fault("the authority went back")
        self.head = welcome.head
        if not welcome.HasField("resume"):
            self.state = "snapshot"
        elif not self._whole or welcome.resume > self.replica.watermark:
            raise Fault("a resumption from what is not here")
        else:
            self._live(self.replica.watermark)

    def _live(self, at):
        self.state, self._renew_at, self._whole = "live", 0.0, True
        if "ack_nothing" not in self.bugs:
            self.ack(at)

    def _on_snapshot_begin(self, message):
        if self.state not in ("snapshot", "live"):
            raise Fault("a snapshot out of turn")
        self.replica.snapshot_begin(message)
        self.state = "snapshot"

    def _on_snapshot_rows(self, message):
        self.replica.snapshot_rows(message)

    def _on_snapshot_end(self, message):
        self.replica.snapshot_end(message)
        self._live(message.at)

    def _on_record(self, record):
        if self.state != "live":
            raise Fault("a record out of turn")
        if "ack_unapplied" in self.bugs:
            return self.ack(record.revision)
        revision = self.replica.record(record)
        if revision is not None and not self.bugs & {"ack_first_only", "ack_nothing"}:
            self.ack(revision)

    def _on_heartbeat(self, heartbeat):
        if self.head is not None and heartbeat.head.revision < self.head.revision:
            raise Fault("the authority went back")
        self.head = heartbeat.head
        self.replica.watermark_move(heartbeat.watermark)

    def _on_watermark(self, answer):
        self.replica.watermark_move(answer.watermark)
        self._watermarks[answer.request] = answer.watermark

    def _on_grant(self, grant):
        sent = self._renewals.get(grant.request)
        if sent is None:
            return
        # An older grant never replaces a newer.
        self._renewals = {request: at for request, at in self._renewals.items() if request > grant.request}
        self.lease = (*sent, grant.authority_time_us)
        self.grants.append(grant)

    def _on_end(self, _):
        if "deaf_to_end" in self.bugs:
            return
        self.lease, self.state = None, "ended"
        self.stream.send(goodbye=pb.Goodbye())
        self.stream.half_close()

    def _on_ended(self, _):
        self.lease, self.state = None, "ended"

    def _on_refused(self, refused):
        self.refused.append(refused)
        if refused.why == pb.REFUSAL_ROLLBACK:
            self.lease = None
        self.state = "ended" if refused.why == pb.REFUSAL_INVALID else "refused"

    def _on_succeeded(self, succeeded):
        self.claims = [claim for claim in self.claims if claim not in succeeded.sessions]

    def _on_usage_taken(self, taken):
        self.usage_taken.add(taken.number)

    # --- what is sent

    def ack(self, revision):
        self.acked = max(self.acked, revision)
        self.stream.send(ack=pb.Ack(revision=revision))

    def renew(self):
        self._requests += 1
        self._renewals[self._requests] = (boot(), time.time())
        self._renew_at = boot() + RENEW_EVERY
        self.stream.send(renew=pb.Renew(request=self._requests))

    def usage(self, uses, presented=(), last=False):
        """Reports; the number of the report."""
        with self.lock:
            self.usage_number += 1
            until = max([use.last_us for use in uses], default=self.lease[2] if self.lease else 0)
            report = pb.Usage(number=self.usage_number, until_us=until, last=last, uses=uses, presented=presented)
            self.stream.send(usage=report)
            return self.usage_number

    def ask(self, wait=FIRST_USE_WAIT):
        """The authority's watermark, applied; None if it does not come in time."""
        with self.changed:
            if self.state != "live":
                return None
            self._requests += 1
            request = self._requests
            self.stream.send(ask=pb.Ask(request=request))
            self.changed.wait_for(lambda: request in self._watermarks, wait)
            return self._watermarks.pop(request, None)

    # --- answers

    def lease_until(self):
        """When lease and grace of the strictest kind end, on the boot clock."""
        return self.lease[0] + LEASE if self.lease else None

    def verify(self, text, wait=FIRST_USE_WAIT):
        """`valid`, `malformed`, `unknown`, `revoked`, `expired`, `disabled` or `stale`."""
        parsed = token_parse(text)
        if parsed is None:
            return "malformed"
        prefix, birth, digest = parsed
        answer = self._look(prefix, digest, birth)
        if answer == "ask":
            if self.ask(wait) is None:
                return "stale"
            answer = self._look(prefix, digest, birth)
        # Still absent after the authority was asked: it does not exist.
        return "unknown" if answer == "ask" else answer

    def _look(self, prefix, digest, birth):
        with self.lock:
            watermark, lease = self.replica.watermark, self.lease
            if lease is None or not self.replica.good:
                return "stale"
            if time.time() - lease[1] - (boot() - lease[0]) > JUMP_MAX:
                self.lease = None
                return "stale"
            namespaces = self.replica.namespaces.values()
            namespace = next((one for one in namespaces if one.policy.prefix == prefix), None)
            if namespace is None:
                return "unknown"
            if boot() >= lease[0] + LEASE + namespace.policy.grace_ms / 1000:
                return "stale"
            row = namespace.rows.get(digest)
            if row is None:
                return "unknown" if birth <= watermark else "ask"
            if row.HasField("ended"):
                return "revoked"
            if row.HasField("expires_at_us") and lease[2] + 1.25e6 * (boot() - lease[0]) >= row.expires_at_us:
                return "expired"
            return "disabled" if row.disabled or namespace.policy.disabled else "valid"

    def until(self, true, wait=60.0):
        """Waits until `true(self)`, which must come."""
        with self.changed:
            if not self.changed.wait_for(lambda: true(self), wait):
                raise AssertionError(f"it does not come: state {self.state}, faults {self.faults}, refused {self.refused}")
        return self
