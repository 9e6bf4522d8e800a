"""Resume points, heads, hashes, claims, frames and reports of use."""

import os
from concurrent.futures import ThreadPoolExecutor

import grpc
from cases_lease import verifier_row
from wire import pb

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def snapshot_comes(case, stream, welcome):
    case.must(not welcome.HasField("resume"), "it may not go on from what it claims")
    case.must(case.wait_for(stream, "snapshot_end").at > 0, "it gets a snapshot")


def settled(case, **hello):
    """A token, a session, its head and its view, of a verifier that was there and left its stream."""
    verifier = case.live(**hello)
    case.issue()
    verifier.until(lambda it: it.head.revision >= it.acked and it.acked > it.welcomes[0].head.revision)
    verifier.close()
    return verifier


def hello_of(verifier, **fields):
    """Its next hello, but for `fields`."""
    with verifier.lock:
        verifier.epoch += 1
        hello = verifier.hello()
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(hello, name)[:]
            getattr(hello, name).extend(value)
        else:
            setattr(hello, name, value)
    return hello


@case
def wrong_set_hash(case):
    """Says in its hello that it holds what it does not."""
    verifier = settled(case)
    stream = case.stream(verifier.token)
    stream.send(hello=hello_of(verifier, set_hashes=[os.urandom(32)]))
    welcome = case.wait_for(stream, "welcome")
    case.must(welcome.mismatch, "the welcome says mismatch")
    snapshot_comes(case, stream, welcome)


@case
def resumes_from_the_future(case):
    """Claims to have applied what is not committed yet."""
    verifier = settled(case)
    for resume in (verifier.head.revision + 1, (1 << 53) - 1):
        stream = case.stream(verifier.token)
        stream.send(hello=hello_of(verifier, resume=resume))
        snapshot_comes(case, stream, case.wait_for(stream, "welcome"))


@case
def resumes_without_a_head(case):
    """Claims a resume point and shows no head, or one that never was sealed."""
    verifier = settled(case)
    for mac in (None, b""):
        hello = hello_of(verifier)
        if mac is None:
            hello.ClearField("head")
        else:
            hello.head.ClearField("mac")
        stream = case.stream(verifier.token)
        stream.send(hello=hello)
        snapshot_comes(case, stream, case.wait_for(stream, "welcome"))


@case
def forged_heads(case):
    """Shows heads that this authority never sealed: a later revision, another start, another chain, another seal."""
    verifier = settled(case)
    for forge in (
        lambda head: setattr(head, "revision", head.revision + 1_000_000),
        lambda head: setattr(head, "start", os.urandom(16)),
        lambda head: setattr(head, "chain_hash", os.urandom(32)),
        lambda head: setattr(head, "mac", os.urandom(32)),
    ):
        hello = hello_of(verifier)
        forge(hello.head)
        stream = case.stream(verifier.token)
        stream.send(hello=hello)
        welcome = case.wait_for(stream, "welcome")
        case.must(welcome.foreign, "the welcome says foreign")
        snapshot_comes(case, stream, welcome)
    case.must(case.api.ask("GET", "/readyz")[0] == 200, "the store is not stopped by it")


@case
def head_of_wrong_size(case):
    """Shows a head whose parts have other lengths."""
    for field, size in (("start", 15), ("chain_hash", 31), ("mac", 33)):
        head = pb.Head(revision=1, start=bytes(16), chain_hash=bytes(32), mac=bytes(32))
        setattr(head, field, bytes(size))
        case.invalid(case.said(head=head))


@case
def claims_a_living_session(case):
    """Claims the session of another verifier, from a place of its own, and from the other's."""
    place = (os.urandom(16), 7, 7)
    victim = case.live(name="victim", place=place)
    for boot_id, device, inode in ((os.urandom(16), 1, 2), place, (place[0], 7, 8), (place[0], 8, 7)):
        stream = case.said(boot_id=boot_id, device=device, inode=inode, claims=[victim.session])
        stream.send(ack=pb.Ack(revision=case.wait_for(stream, "snapshot_end").at))
        stream.send(renew=pb.Renew(request=1))
        while (message := case.message(stream)).WhichOneof("message") != "grant":
            kind = message.WhichOneof("message")
            assert kind != "succeeded", "the claim is honoured"
        stream.send(goodbye=pb.Goodbye())
        case.ends(stream, grpc.StatusCode.OK)
    granted = len(victim.grants)
    victim.until(lambda it: len(it.grants) > granted)
    case.must(len(victim.welcomes) == 1, "the session that was claimed goes on upon its stream")
    _, view = case.issue()
    receipt = case.revoke(view, "complete")["receipt"]
    case.must(case.line(receipt, "victim") == ["acked"], "and receipts wait for it")
    victim.goodbye()


@case
def claims_what_is_its_own(case):
    """The claim that counts: same boot, device, inode, name and credential."""
    token, place = case.verifier_token(), (os.urandom(16), 3, 4)
    before = case.live(token=token, place=place)
    before.close()
    _, view = case.issue()
    revoked = case.revoke(view)
    case.must(case.receipt(revoked)["state"] == "pending", "a receipt waits for who is gone")
    after = case.live(token=token, place=place, claims=[before.session])
    after.until(lambda it: not it.claims)
    receipt = case.complete(revoked)
    case.must("succeeded" in case.line(receipt), f"the claim ends its wait ({case.line(receipt)})")
    after.goodbye()


@case
def claims_out_of_form(case):
    """Claims without a place, 65 at once, and ids of another length."""
    place = {"boot_id": os.urandom(16), "device": 1, "inode": 1}
    case.invalid(case.said(claims=[os.urandom(16)]))
    case.invalid(case.said(claims=[os.urandom(16) for _ in range(65)], **place))
    case.invalid(case.said(claims=[os.urandom(15)], **place))
    case.invalid(case.said(boot_id=os.urandom(15)))


@case
def frames(case):
    """No bug: a revocation of 1,300 tokens, which comes in frames."""
    verifier = case.live()
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda number: case.issue(subject="svc:many")[0], range(1_300)))
    body = {"selector": {"subject": "svc:many"}, "wait": "complete", "timeout_ms": 60000}
    revoked = case.api.call("POST", f"/v1/namespaces/{case.ns}/revocations", body)
    case.must(revoked["count"] == 1_300 and case.line(revoked["receipt"]) == ["acked"], "it is acknowledged as a whole")
    case.must(verifier.replica.seen == revoked["revision"], "it came in frames")
    case.must(all(verifier.verify(text) == "revoked" for text in texts), "and every one is over")
    case.must(not verifier.faults, "and all of it adds up")
    verifier.goodbye()


@case
def acks_half_a_record(case):
    """Acknowledges a record of which only the first frame has come."""
    stream = case.said()
    stream.send(ack=pb.Ack(revision=case.wait_for(stream, "snapshot_end").at))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: case.issue(subject="svc:many"), range(1_300)))
    body = {"selector": {"subject": "svc:many"}, "wait": "committed"}
    revoked = case.api.call("POST", f"/v1/namespaces/{case.ns}/revocations", body, good=(200, 201, 202))
    record = case.wait_for(stream, "record")
    while record.revision != revoked["revision"]:
        record = case.wait_for(stream, "record")
    case.must(record.frame == 1 and not record.last, "the first frame has come")
    # Whether the last one left meanwhile decides which: then this is an acknowledgement like any other.
    stream.send(ack=pb.Ack(revision=revoked["revision"]))
    stream.send(goodbye=pb.Goodbye())
    case.ends(stream, grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    case.must(case.complete(revoked)["state"] == "complete", "the receipt completes, by evidence of one kind or another")


@case
def usage_of_another_namespace(case):
    """Reports the use of a token that its session does not serve."""
    text, view = case.issue()
    other = f"{case.ns}-2"
    case.world.prepare(other)
    stream = case.said(case.verifier_token(other), namespaces=[other])
    stream.send(ack=pb.Ack(revision=case.wait_for(stream, "snapshot_end").at))
    digest_owner = case.live()
    token = verifier_row(digest_owner, text).token
    use = pb.Use(token=token, first_us=1_000_000, last_us=2_000_000, count=9)
    stream.send(usage=pb.Usage(number=1, until_us=2_000_000, uses=[use]))
    case.invalid(stream)
    shown = case.api.call("GET", f"/v1/credentials/{view['credential']['id']}/tokens")["items"][0]
    case.must(not uses_of(shown), f"nothing of it is counted ({shown.get('usage')})")
    digest_owner.goodbye()


@case
def usage_out_of_form(case):
    """Reports that break the form: no uses, times in the wrong order, an address of five bytes, 257 entries."""
    good = {"token": bytes(16), "first_us": 1, "last_us": 2, "count": 1}
    bad = [
        pb.Usage(number=1, uses=[pb.Use(**{**good, "count": 0})]),
        pb.Usage(number=1, uses=[pb.Use(**{**good, "first_us": 3})]),
        pb.Usage(number=1, uses=[pb.Use(**{**good, "token": bytes(15)})]),
        pb.Usage(number=1, presented=[pb.Presentation(use=pb.Use(**good), address=bytes(5))]),
        pb.Usage(number=1, uses=[pb.Use(**good)] * 257),
    ]
    for report in bad:
        stream = case.said()
        case.wait_for(stream, "welcome")
        stream.send(usage=report)
        case.invalid(stream)


@case
def usage_twice(case):
    """Hands the same report in three times, once on another stream."""
    verifier = case.live()
    text, view = case.issue()
    case.must(verifier.verify(text, 10) == "valid", "the token is there")
    at = verifier.grants[-1].authority_time_us
    use = pb.Use(token=verifier_row(verifier, text).token, first_us=at, last_us=at, count=11)
    report = pb.Usage(number=1, until_us=at, uses=[use])
    for streams in range(1, 3):
        verifier.until(lambda it: len(it.welcomes) >= streams and it.state == "live")
        verifier.usage_taken.clear()
        verifier.stream.send(usage=report)
        if streams == 1:
            verifier.stream.send(usage=report)
        verifier.until(lambda it: 1 in it.usage_taken)
        verifier.stream.close()
    shown = case.api.call("GET", f"/v1/credentials/{view['credential']['id']}/tokens")["items"][0]
    case.must(uses_of(shown) == 11, f"it is counted once ({shown.get('usage')})")
    verifier.until(lambda it: it.state == "live")
    verifier.goodbye()


def uses_of(shown):
    return (shown["usage"] or {}).get("count")
