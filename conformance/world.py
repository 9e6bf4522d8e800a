"""Where a case is played: an authority, its HTTP API as root, and what must be true of both."""

import hashlib
import http.client
import json
import os
import threading
import time
import urllib.parse

import grpc
from verifier import Verifier
from wire import Stream, pb

PATIENCE = 60.0


class Api:
    """The authority's HTTP API, with the root token."""

    def __init__(self, url, token):
        self.host, self.token = urllib.parse.urlparse(url).netloc, token
        self._local = threading.local()

    def call(self, method, path, body=None, good=(200, 201, 204)):
        status, answer = self.ask(method, path, body)
        assert status in good, f"{method} {path}: {status} {answer}"
        return answer

    def ask(self, method, path, body=None):
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self._local.connection = None
            raise
        is_json = "json" in response.headers.get("content-type", "")
        return response.status, json.loads(text) if is_json else text


class Beside:
    """A sidecar that serves every namespace here: whatever is done to the authority, it must not notice."""

    def __init__(self, url):
        self.host = urllib.parse.urlparse(url).netloc

    def status(self, path, token=None):
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE)
        connection.request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status


def prefix_of(namespace):
    """What its tokens begin with: at most 24 characters."""
    return f"b{hashlib.sha256(namespace.encode()).hexdigest()[:12]}"


class World:
    """What all cases share."""

    def __init__(self, feed, http_url, root_token, beside=None):
        self.feed, self.api = feed, Api(http_url, root_token)
        self.beside = Beside(beside) if beside else None

    def prepare(self, namespace):
        body = {"name": namespace, "prefix": prefix_of(namespace), "freshness": "strict"}
        self.api.call("POST", "/v1/namespaces", body, good=(200, 201, 409))

    def sessions(self, **fields):
        views = self.api.call("GET", "/v1/verifiers?limit=1000")["items"]
        return [view for view in views if all(view[name] == value for name, value in fields.items())]


class Case:
    """One case: a namespace of its own, tokens, streams and verifiers that end with it."""

    def __init__(self, world, name):
        self.world, self.api, self.name = world, world.api, name
        self.ns = f"b-{name.replace('_', '-')}"
        self.told = []
        self._open = []
        world.prepare(self.ns)

    # --- what it makes

    def verifier_token(self, namespace=None, name=None):
        """A token that may be fed this namespace."""
        name = name or f"v-{os.urandom(4).hex()}"
        body = {"name": name, "scopes": [f"verifier@{namespace or self.ns}"]}
        return self.api.call("POST", "/v1/namespaces/jeton/credentials", body)["token"]["secret"]

    def issue(self, name=None, **more):
        """A token of the namespace: its text and the whole answer."""
        body = {"name": name or f"c-{os.urandom(6).hex()}", "scopes": ["orders:read"], **more}
        view = self.api.call("POST", f"/v1/namespaces/{self.ns}/credentials", body)
        return view["token"]["secret"], view

    def verifier(self, name="python", token=None, **more):
        verifier = Verifier(self.world.feed, token or self.verifier_token(), name, [self.ns], **more)
        self._open.append(verifier)
        return verifier.start()

    def live(self, **more):
        return self.verifier(**more).until(lambda it: it.lease is not None)

    def stream(self, token=None, **more):
        stream = Stream(self.world.feed, token, **more)
        self._open.append(stream)
        return stream

    def hello(self, **fields):
        """A good hello of a new session, but for `fields`."""
        hello = {
            "protocol_oldest": 3,
            "protocol": 4,
            "session": os.urandom(16),
            "verifier": "python",
            "epoch": 1,
            "namespaces": [self.ns],
            **fields,
        }
        return pb.Hello(**hello)

    def said(self, token=None, **hello):
        """A stream that has said hello."""
        stream = self.stream(token or self.verifier_token())
        stream.send(hello=self.hello(**hello))
        return stream

    def close(self):
        for one in self._open:
            one.close()

    # --- what it asks

    def revoke(self, view, wait="committed"):
        """Revokes a token's credential; with the revocation's view."""
        body = {"selector": {"credential": view["credential"]["id"]}, "wait": wait, "timeout_ms": 60000}
        return self.api.call("POST", f"/v1/namespaces/{self.ns}/revocations", body, good=(200, 201, 202))

    def receipt(self, revoked):
        return self.api.call("GET", f"/v1/revocations/{revoked['id']}")["receipt"]

    def complete(self, revoked):
        """The receipt, once it is complete, which must come."""
        return self.until(lambda: (it := self.receipt(revoked))["state"] == "complete" and it, "the receipt is complete")

    def line(self, receipt, name="python"):
        """The states of a verifier's sessions in a receipt."""
        return sorted(line["state"] for line in receipt["verifiers"] if line["id"] == name)

    def until(self, true, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := true():
                return found
            time.sleep(0.03)
        raise AssertionError(f"it does not come: {what}")

    # --- what must be true

    def must(self, true, what):
        assert true, f"it is not true that {what}"
        self.told.append(what)

    def refused(self, stream, why):
        """The hello is refused, in a message, and the call ends well."""
        message = self.message(stream)
        kind = message.WhichOneof("message") if message else f"the end, {stream.status}"
        self.must(kind == "refused" and message.refused.why == why, f"the hello is refused as {pb.Refusal.Name(why)} (it is {kind})")
        assert message.refused.message, "a refusal says what to do"
        self.ends(stream, grpc.StatusCode.OK)

    def message(self, stream):
        return stream.received.get(timeout=PATIENCE)

    def wait_for(self, stream, kind):
        """The next message of a kind; others are passed over."""
        while (message := self.message(stream)) is not None:
            if message.WhichOneof("message") == kind:
                return getattr(message, kind)
        raise AssertionError(f"the stream ends with {stream.status} before {kind}")

    def ends(self, stream, *codes):
        """The stream ends, in one of these ways."""
        assert stream.closed.wait(PATIENCE), "the stream is not cut"
        self.must(not codes or stream.status in codes, f"the stream ends with {[code.name for code in codes]} (it is {stream.status.name})")

    def invalid(self, stream):
        self.ends(stream, grpc.StatusCode.INVALID_ARGUMENT)

    def fenced(self, verifier, revoked):
        """The receipt completes, and not before the verifier's lease was over: the promise, seen from both sides."""
        receipt = self.complete(revoked)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        until = verifier.lease_until()
        self.must(self.line(receipt) == ["fenced"], f"the session is counted out ({self.line(receipt)})")
        self.must(until is None or now >= until, "no lease was left when the receipt was complete")
        return receipt

    def others_unharmed(self, before):
        """A token's whole life beside what was done."""
        beside = self.world.beside
        if beside is None:
            return
        text, view = self.issue()
        status = beside.status("/auth", text)
        assert status == 200, f"a token is good at the sidecar beside from its issue on: {status}"
        receipt = self.revoke(view, "complete")["receipt"]
        assert receipt["state"] == "complete", receipt
        assert beside.status("/auth", text) == 401, "the token is over at the sidecar beside"
        assert "acked" in self.line(receipt, "beside"), receipt
        after = self.world.sessions(id="beside")
        assert [(it["session"], it["epoch"]) for it in after] == before, "the stream of the sidecar beside is the one it was"
        self.told.append("the sidecar beside serves on the stream that it had, and a receipt completes by its acknowledgement")
