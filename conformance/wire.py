"""The feed on the wire: messages made from the tree's own feed.proto, and one call.

The messages are generated each time into a folder that goes with the process, so that there is nothing to keep in step.
"""

import atexit
import pathlib
import queue
import shutil
import sys
import tempfile
import threading

import grpc
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parent.parent / "crates/proto/proto"
CALL = "/jeton.feed.v1.Feed/Session"
MESSAGE_BYTES_MAX = 72 * 1024


def _generated():
    folder = tempfile.mkdtemp(prefix="jeton-feed-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    arguments = ["protoc", f"-I{PROTO}", f"--python_out={folder}", str(PROTO / "jeton/feed/v1/feed.proto")]
    if protoc.main(arguments) != 0:
        raise SystemExit(f"{PROTO}: protoc fails; is this the whole tree of Jeton?")
    sys.path.insert(0, folder)
    from jeton.feed.v1 import feed_pb2

    return feed_pb2


pb = _generated()


class Stream:
    """One call. What comes is put into `received`; None is its end, and then `status` says which."""

    def __init__(self, address, token, reads=True, metadata=None):
        # A channel, and so a connection, of its own: what happens to one stream happens to no other.
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.bdp_probe", 0),
        ]
        self._channel = grpc.insecure_channel(address, options=options)
        call = self._channel.stream_stream(
            CALL,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=pb.ToVerifier.FromString,
        )
        self._out = queue.Queue()
        self.received = queue.Queue()
        self.status = None
        self.closed = threading.Event()
        if metadata is None:
            metadata = [("authorization", f"Bearer {token}")]
        self.call = call(iter(self._out.get, None), metadata=metadata)
        if reads:
            self.read()

    def read(self):
        """Begins to take what comes."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for message in self.call:
                self.received.put(message)
        except grpc.RpcError:
            pass
        self.status = self.call.code()
        self.closed.set()
        self.received.put(None)

    def send(self, **message):
        """Sends a message: `send(ack=pb.Ack(revision=7))`."""
        self._out.put(pb.ToAuthority(**message))

    def send_bytes(self, data):
        """Sends bytes that need not be a message."""
        self._out.put(data)

    def close(self):
        """Breaks it off: no goodbye."""
        self.call.cancel()
        self._channel.close()
        self._out.put(None)

    def half_close(self):
        """Nothing more is sent."""
        self._out.put(None)
