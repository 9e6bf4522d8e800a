"""Leases, acknowledgements, receipts and sessions."""

import datetime
import os
import time

import grpc
from replica import token_mint, token_parse
from wire import pb
from world import prefix_of

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def timestamp_us(text):
    """An API timestamp in microseconds."""
    return int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000_000)


@case
def well_behaved(case):
    """No bug at all: first use, revocation, disabling, rotation, usage, goodbye."""
    verifier = case.live()
    text, view = case.issue()
    case.must(verifier.verify(text, 10) == "valid", "a token is valid at its first use")
    case.must(verifier.verify(text[:-1] + ("a" if text[-1] != "a" else "b")) == "malformed", "a typing error is malformed")
    for birth in (1, (1 << 53) - 1):
        made_up = token_mint(prefix_of(case.ns), birth, os.urandom(24))
        case.must(verifier.verify(made_up, 10) == "unknown", f"a token that never was, born at {birth}, is unknown")
    path = f"/v1/credentials/{view['credential']['id']}"
    case.api.call("PATCH", path, {"disabled": True})
    verifier.until(lambda it: it.verify(text) == "disabled")
    case.api.call("PATCH", path, {"disabled": False})
    verifier.until(lambda it: it.verify(text) == "valid")
    rotated = case.api.call("POST", f"{path}/rotate", {"overlap": "1h"})
    case.must(verifier.verify(rotated["token"]["secret"], 10) == "valid", "the next version is valid at its first use")
    case.must(verifier.verify(text, 10) == "valid", "the version before it goes on for the overlap")
    at = verifier.grants[-1].authority_time_us
    use = pb.Use(token=verifier_row(verifier, text).token, first_us=at, last_us=at, count=3)
    number = verifier.usage([use])
    verifier.until(lambda it: number in it.usage_taken)
    receipt = case.revoke(view, "complete")["receipt"]
    case.must(case.line(receipt) == ["acked"], "the receipt completes by this verifier's acknowledgement")
    case.must(verifier.verify(text) == "revoked", "what was acknowledged is enforced")
    case.must(not verifier.faults, f"every record and snapshot could be followed, and added up ({verifier.faults})")
    _, view = case.issue()
    verifier.goodbye()
    receipt = case.revoke(view, "complete")["receipt"]
    case.must("python" not in [line["id"] for line in receipt["verifiers"]], "after goodbye no receipt waits for it")


def verifier_row(verifier, text):
    with verifier.lock:
        return next(iter(verifier.replica.namespaces.values())).rows[token_parse(text)[2]]


@case
def resumes(case):
    """Breaks its stream off, and goes on from where it was."""
    verifier = case.live()
    verifier.stream.close()
    text, view = case.issue()
    verifier.until(lambda it: len(it.welcomes) >= 2 and it.lease is not None and it.state == "live")
    welcome = verifier.welcomes[-1]
    case.must(welcome.HasField("resume") and not welcome.mismatch, "the authority lets it go on, and its sums agree")
    case.must(verifier.verify(text, 10) == "valid", "what was committed meanwhile is there")
    receipt = case.revoke(view, "complete")["receipt"]
    case.must(case.line(receipt) == ["acked"] and not verifier.faults, "and acknowledged")
    verifier.goodbye()


@case
def acks_more_than_was_sent(case):
    """Acknowledges a revision that was not sent on its stream."""
    stream = case.said()
    at = case.wait_for(stream, "snapshot_end").at
    stream.send(ack=pb.Ack(revision=at))
    stream.send(ack=pb.Ack(revision=at + 1_000_000))
    case.invalid(stream)
    _, view = case.issue()
    revoked = case.revoke(view)
    case.must(case.receipt(revoked)["state"] == "pending", "the receipt after it waits for the session all the same")
    receipt = case.complete(revoked)
    case.must(case.line(receipt) == ["fenced"], "and completes by silence, not by what was claimed")


@case
def acks_without_applying(case):
    """Acknowledges records that it does not apply. That it is taken at its word is assumption A4; its next hello betrays it."""
    verifier = case.live(bugs={"ack_unapplied"})
    text, view = case.issue()
    verifier.until(lambda it: it.acked >= view["revision"])
    receipt = case.revoke(view, "complete")["receipt"]
    case.must(case.line(receipt) == ["acked"], "the receipt says acked: it proves what was told, not honesty")
    with verifier.lock:
        # It believes that it holds all that it was told of.
        verifier.replica.watermark = verifier.acked
        verifier.stream.close()
    verifier.until(lambda it: len(it.welcomes) >= 2)
    case.must(verifier.welcomes[1].mismatch and not verifier.welcomes[1].HasField("resume"), "its set hashes give it away at the next hello")
    verifier.goodbye()


@case
def acks_its_first_view_only(case):
    """Renews and renews, and acknowledges nothing after its first view."""
    verifier = case.live(bugs={"ack_first_only"})
    text, view = case.issue()
    case.must(verifier.verify(text, 10) == "valid", "it holds the token, and a lease")
    revoked = case.revoke(view)
    case.fenced(verifier, revoked)
    committed = timestamp_us(revoked["committed_at"])
    late = [grant for grant in verifier.grants if grant.authority_time_us > committed + 1_100_000]
    case.must(not late, "no lease is granted to whoever is more than a second behind")
    verifier.acked = 0
    verifier.bugs = frozenset()
    granted = len(verifier.grants)
    with verifier.lock:
        verifier.ack(verifier.replica.watermark)
    verifier.until(lambda it: len(it.grants) > granted)
    case.must(verifier.verify(text) == "revoked", "the acknowledgement cures it, and a lease comes")
    verifier.goodbye()


@case
def acks_nothing(case):
    """Renews without ever having acknowledged."""
    verifier = case.verifier(bugs={"ack_nothing"}).until(lambda it: it.state == "live")
    _, view = case.issue()
    revoked = case.revoke(view)
    case.fenced(verifier, revoked)
    case.must(not verifier.grants, "no lease is granted before the first acknowledgement")


@case
def goes_silent(case):
    """Holds a lease and is gone without a goodbye."""
    verifier = case.live()
    _, view = case.issue()
    verifier.until(lambda it: it.acked >= view["revision"])
    verifier.close()
    revoked = case.revoke(view)
    receipt = case.fenced(verifier, revoked)
    line = next(line for line in receipt["verifiers"] if line["id"] == "python")
    # L_a = 6.5 s, on the boot clock; authority time may lag that by 2 %.
    waited = timestamp_us(line["at"]) - verifier.grants[-1].authority_time_us
    case.must(waited >= 6_500_000 * 0.98, f"it is counted out no sooner than L_a after its last grant ({waited / 1e6:.2f} s)")


@case
def acks_backwards(case):
    """Acknowledges less than it did before."""
    verifier = case.live()
    _, view = case.issue()
    verifier.until(lambda it: it.acked >= view["revision"])
    receipt = case.revoke(view, "complete")["receipt"]
    first = verifier.welcomes[0].head.revision
    for revision in (first, 1, 0):
        verifier.stream.send(ack=pb.Ack(revision=revision))
    granted = len(verifier.grants)
    verifier.until(lambda it: len(it.grants) > granted + 1)
    case.must(receipt["state"] == "complete" and case.line(receipt) == ["acked"], "what was complete stays so, and leases go on")
    verifier.goodbye()


@case
def floods_renewals(case):
    """Sends 20,000 renewals at once."""
    verifier = case.live()
    with verifier.lock:
        for request in range(1_000_000, 1_020_000):
            verifier.stream.send(renew=pb.Renew(request=request))
    # On this stream or the next: of a flood of tiny frames the transport may end the connection.
    text, view = case.issue()
    case.until(lambda: verifier.verify(text, 10) == "valid", "it is served again")
    granted = len(verifier.grants)
    verifier.until(lambda it: len(it.grants) > granted)
    case.must(not verifier.faults, "it is served on, with leases")
    verifier.goodbye()


@case
def floods_asks(case):
    """Asks for the watermark 20,000 times at once."""
    verifier = case.live()
    with verifier.lock:
        for request in range(1_000_000, 1_020_000):
            verifier.stream.send(ask=pb.Ask(request=request))
    verifier.until(lambda it: 1_019_999 in it._watermarks or len(it.welcomes) > 1)
    answered = sum(request >= 1_000_000 for request in verifier._watermarks)
    text, view = case.issue()
    case.until(lambda: verifier.verify(text, 10) == "valid", "the next first use is answered")
    case.must(not verifier.faults, f"the next first use is answered ({answered} of 20,000 were before)")
    verifier.goodbye()


@case
def stale_epoch(case):
    """Opens a second stream with the epoch of the first, and one below it."""
    verifier = case.live()
    granted = len(verifier.grants)
    for epoch in (verifier.epoch, 0):
        stream = case.said(verifier.token, session=verifier.session, epoch=epoch)
        case.ends(stream, grpc.StatusCode.ABORTED)
    verifier.until(lambda it: len(it.grants) > granted + 1)
    case.must(len(verifier.welcomes) == 1, "the stream that was there goes on, with leases")
    verifier.goodbye()


@case
def two_streams(case):
    """Opens a newer stream of its session beside the first, and goes on upon both."""
    token, session = case.verifier_token(), os.urandom(16)
    older = case.said(token, session=session, epoch=1)
    older.send(ack=pb.Ack(revision=case.wait_for(older, "snapshot_end").at))
    newer = case.said(token, session=session, epoch=7)
    case.ends(older, grpc.StatusCode.ABORTED)
    at = case.wait_for(newer, "snapshot_end").at
    _, view = case.issue()
    revoked = case.revoke(view)
    case.wait_for(newer, "record")
    older.send(ack=pb.Ack(revision=revoked["revision"]))
    case.must(case.receipt(revoked)["state"] == "pending", "what the older stream acknowledges counts for nothing")
    while case.wait_for(newer, "record").revision != revoked["revision"]:
        pass
    newer.send(ack=pb.Ack(revision=revoked["revision"]))
    case.must(case.line(case.complete(revoked)) == ["acked"] and at < revoked["revision"], "the newer one's counts")
    newer.send(goodbye=pb.Goodbye())
    case.ends(newer, grpc.StatusCode.OK)


@case
def goodbye_and_goes_on(case):
    """Says goodbye, then acknowledges, renews, and comes again."""
    token, session = case.verifier_token(), os.urandom(16)
    stream = case.said(token, session=session)
    at = case.wait_for(stream, "snapshot_end").at
    stream.send(ack=pb.Ack(revision=at))
    stream.send(goodbye=pb.Goodbye())
    stream.send(renew=pb.Renew(request=1))
    stream.send(ack=pb.Ack(revision=at))
    case.ends(stream, grpc.StatusCode.OK)
    kinds = []
    while (message := case.message(stream)) is not None:
        kinds.append(message.WhichOneof("message"))
    case.must("grant" not in kinds, "no lease is granted after goodbye")
    again = case.said(token, session=session, epoch=2)
    message = case.message(again)
    case.must(message is not None and message.WhichOneof("message") == "ended", "its next hello is answered ended")
    case.ends(again, grpc.StatusCode.OK)


@case
def deaf_to_end(case):
    """Goes on when its own token is revoked and it is told to end."""
    verifier = case.live(bugs={"deaf_to_end"}, token=case.verifier_token(name="deaf"))
    _, view = case.issue()
    verifier.until(lambda it: it.acked >= view["revision"])
    stream = verifier.stream
    with verifier.lock:
        verifier.token = "jtn_none"
    body = {"selector": {"credential": "jeton/deaf"}, "wait": "complete", "timeout_ms": 60000}
    ended = case.api.call("POST", "/v1/namespaces/jeton/revocations", body)
    case.must(ended["receipt"]["state"] == "complete", "the receipt of the verifier's own token completes")
    case.ends(stream, grpc.StatusCode.ABORTED)
    late = [it for it in verifier.grants if it.authority_time_us > timestamp_us(ended["receipt"]["completed_at"])]
    case.must(not late, "no lease is granted to it any more")
    case.fenced(verifier, case.revoke(view))


@case
def killed_over_and_over(case):
    """Sixty sessions that each take a view and vanish."""
    token = case.verifier_token()
    for _ in range(60):
        stream = case.said(token)
        stream.send(ack=pb.Ack(revision=case.wait_for(stream, "snapshot_end").at))
        stream.close()
    _, view = case.issue()
    began = time.monotonic()
    receipt = case.complete(case.revoke(view))
    case.must(set(case.line(receipt)) == {"fenced"}, f"each is counted out ({len(case.line(receipt))} lines, {time.monotonic() - began:.1f} s)")
