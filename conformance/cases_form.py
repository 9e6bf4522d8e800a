"""Credentials, hellos and messages that break a rule of form."""

import os
import socket

import grpc
from replica import token_mint
from wire import pb

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


@case
def no_token(case):
    """Comes without a token, with two, with one of another form, and with one of an application."""
    good = case.verifier_token()
    text, _ = case.issue()
    for metadata in (
        [],
        [("authorization", f"Bearer {good}")] * 2,
        [("authorization", f"Basic {good}")],
        [("authorization", "Bearer jtn_nonsense")],
        [("authorization", f"Bearer {text}")],
    ):
        stream = case.stream(metadata=metadata)
        stream.send(hello=case.hello())
        case.ends(stream, grpc.StatusCode.UNAUTHENTICATED)


@case
def token_that_is_over(case):
    """Comes with a token that was revoked, and with one that never was."""
    token = case.verifier_token(name="over")
    body = {"selector": {"credential": "jeton/over"}, "wait": "committed"}
    case.api.call("POST", "/v1/namespaces/jeton/revocations", body, good=(200, 201, 202))
    case.refused(case.said(token), pb.REFUSAL_UNAUTHENTICATED)
    case.refused(case.said(token_mint("jtn", 5, os.urandom(24))), pb.REFUSAL_UNAUTHENTICATED)


@case
def another_namespace(case):
    """Asks for namespaces that its token does not name: one that is there, one that is not, the built-in one."""
    other = f"{case.ns}-2"
    case.world.prepare(other)
    token = case.verifier_token()
    for names in ([other], [case.ns, other], ["b-there-is-none"], ["jeton"]):
        case.refused(case.said(token, namespaces=names), pb.REFUSAL_FORBIDDEN)
    left = case.world.sessions(id="python", namespaces=[other])
    case.must(not left, "no session is opened by it")


@case
def other_protocols(case):
    """Speaks protocols that this authority does not, and ranges that reach beyond it."""
    for oldest, newest in ((5, 9), (1, 2), (0, 0), (4_000_000_000, 4_294_967_295)):
        case.refused(case.said(protocol_oldest=oldest, protocol=newest), pb.REFUSAL_PROTOCOL)
    stream = case.said(protocol_oldest=1, protocol=4_294_967_295)
    case.must(case.wait_for(stream, "welcome").protocol == 4, "of a range that reaches farther the newest known is spoken")
    case.invalid(case.said(protocol_oldest=5, protocol=4))


@case
def another_session(case):
    """Says hello with a session that is another credential's, and with its own under another name, namespaces or place."""
    victim = case.live(name="victim")
    higher = {"session": victim.session, "epoch": 1_000, "verifier": "victim"}
    case.refused(case.said(case.verifier_token(), **higher), pb.REFUSAL_INVALID)
    case.refused(case.said(victim.token, **{**higher, "verifier": "other"}), pb.REFUSAL_INVALID)
    case.refused(case.said(victim.token, **higher, boot_id=os.urandom(16)), pb.REFUSAL_INVALID)
    granted = len(victim.grants)
    victim.until(lambda it: len(it.grants) > granted)
    case.must(len(victim.welcomes) == 1, "the session goes on upon its stream")
    victim.goodbye()


@case
def fewer_namespaces(case):
    """Comes again with fewer namespaces than its session has, so that a receipt need not wait for it."""
    other = f"{case.ns}-2"
    case.world.prepare(other)
    body = {"name": f"v-{os.urandom(4).hex()}", "scopes": [f"verifier@{case.ns}", f"verifier@{other}"]}
    token = case.api.call("POST", "/v1/namespaces/jeton/credentials", body)["token"]["secret"]
    session = os.urandom(16)
    stream = case.said(token, session=session, namespaces=[case.ns, other])
    case.wait_for(stream, "snapshot_end")
    case.refused(case.said(token, session=session, epoch=2, namespaces=[other]), pb.REFUSAL_INVALID)
    _, view = case.issue()
    revoked = case.revoke(view)
    case.must(case.receipt(revoked)["state"] == "pending", "the receipt waits for it")
    case.complete(revoked)


@case
def reserved_name(case):
    """Calls itself `authority`, whose line every receipt has."""
    case.refused(case.said(verifier="authority"), pb.REFUSAL_INVALID)


@case
def hello_out_of_form(case):
    """Session ids, names, namespaces and numbers of another form."""
    for fields in (
        {"session": os.urandom(15)},
        {"session": b""},
        {"verifier": ""},
        {"verifier": "x" * 300},
        {"verifier": "a\nb"},
        {"namespaces": []},
        {"namespaces": [case.ns, case.ns]},
        {"namespaces": [f"n{number}" for number in range(257)]},
        {"namespaces": ["No Such Form"]},
        {"resume": 1 << 53},
        {"set_hashes": [bytes(31)]},
        {"set_hashes": [bytes(32)] * 2},
    ):
        case.invalid(case.said(**fields))


@case
def no_hello(case):
    """Opens a stream and says nothing."""
    stream = case.stream(case.verifier_token())
    case.ends(stream, grpc.StatusCode.DEADLINE_EXCEEDED)


@case
def begins_with_something_else(case):
    """Acknowledges, renews, asks and says goodbye before any hello."""
    for message in (
        {"ack": pb.Ack(revision=1)},
        {"renew": pb.Renew(request=1)},
        {"ask": pb.Ask(request=1)},
        {"goodbye": pb.Goodbye()},
    ):
        stream = case.stream(case.verifier_token())
        stream.send(**message)
        case.invalid(stream)


@case
def hello_twice(case):
    """Says hello again on the same stream."""
    token = case.verifier_token()
    stream = case.said(token)
    case.wait_for(stream, "snapshot_end")
    stream.send(hello=case.hello(epoch=9))
    case.invalid(stream)


@case
def too_large(case):
    """Sends a message above 72 KiB, before and after its hello."""
    token = case.verifier_token()
    stream = case.stream(token)
    stream.send(hello=case.hello(set_hashes=[bytes(80 * 1024)]))
    case.invalid(stream)
    stream = case.said(token)
    case.wait_for(stream, "welcome")
    stream.send_bytes(bytes(4 * 1024 * 1024))
    case.invalid(stream)


@case
def garbage(case):
    """Sends bytes that are no message, before and after its hello."""
    for garbage in (b"\xff" * 64, b"\x0a\x7f\x01", os.urandom(1_000) + b"\xff"):
        stream = case.stream(case.verifier_token())
        stream.send_bytes(garbage)
        case.invalid(stream)
        stream = case.said()
        case.wait_for(stream, "welcome")
        stream.send_bytes(garbage)
        case.invalid(stream)


@case
def unknown_message(case):
    """Sends a message of a kind that is not known, and an empty one."""
    for message in (b"\x9a\x06\x02\x08\x01", b""):
        stream = case.said()
        case.wait_for(stream, "welcome")
        stream.send_bytes(message)
        case.invalid(stream)


@case
def unknown_fields(case):
    """Sends known messages with fields that are not known: those of a later version."""
    extra = b"\xfa\x3e\x03abc"
    hello = case.hello().SerializeToString() + extra
    stream = case.stream(case.verifier_token())
    stream.send_bytes(field(1, hello))
    stream.send(ack=pb.Ack(revision=case.wait_for(stream, "snapshot_end").at))
    stream.send_bytes(field(3, pb.Renew(request=5).SerializeToString() + extra))
    case.must(case.wait_for(stream, "grant").request == 5, "they are passed over, and a lease is granted")
    stream.send(goodbye=pb.Goodbye())
    case.ends(stream, grpc.StatusCode.OK)


def field(number, data):
    """A length-delimited field."""
    length, size = b"", len(data)
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


@case
def never_reads(case):
    """Says hello and takes nothing of what comes."""
    many = [f"r{number:02}:{'x' * 50}" for number in range(60)]
    for _ in range(400):
        case.issue(scopes=many)
    token = case.verifier_token()
    stream = case.stream(token, reads=False)
    stream.send(hello=case.hello(verifier="deaf"))
    session = case.until(lambda: case.world.sessions(id="deaf", namespaces=[case.ns]), "the session is there")[0]
    case.must(session["connected"], "its stream is open")
    case.until(lambda: not case.world.sessions(id="deaf", namespaces=[case.ns])[0]["connected"], "its stream is cut")
    case.must(True, "its stream is cut")
    _, view = case.issue()
    receipt = case.complete(case.revoke(view))
    case.must(case.line(receipt, "deaf") == ["fenced"], "it is counted out")


@case
def not_grpc(case):
    """Sends to the feed's port what is neither HTTP/2 nor gRPC, and leaves connections open."""
    host, port = case.world.feed.rsplit(":", 1)
    held = []
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4_096), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(512), b""):
        for _ in range(10):
            connection = socket.create_connection((host, int(port)), timeout=30)
            connection.sendall(data)
            held.append(connection)
    verifier = case.live()
    text, _ = case.issue()
    case.must(verifier.verify(text, 10) == "valid", "a verifier that comes meanwhile is served")
    verifier.goodbye()
    for connection in held:
        connection.close()


@case
def floods_streams(case):
    """A hundred streams of one session, each newer than the one before, none of which is read."""
    token, session = case.verifier_token(), os.urandom(16)
    streams = []
    for epoch in range(1, 101):
        stream = case.stream(token)
        stream.send(hello=case.hello(session=session, epoch=epoch, verifier="many"))
        streams.append(stream)
    last = case.until(lambda: [it for it in case.world.sessions(id="many") if it["epoch"] == 100], "the newest is there")
    case.must(len(last) == 1, "there is one session")
    for stream in streams[:-1]:
        assert stream.closed.wait(60), "an older stream is cut"
    case.must(not streams[-1].closed.is_set(), "the newest stays, all older ones are cut")
    streams[-1].send(goodbye=pb.Goodbye())
    case.ends(streams[-1], grpc.StatusCode.OK)
