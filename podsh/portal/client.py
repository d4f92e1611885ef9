"""The blocking end of a connection to the portal or to a pod's monitor. Light to import.

``connect()`` starts the portal where none is running. Errors are those of podsh.errors.
"""

from __future__ import annotations

import _socket as socket  # socket, with selectors and enum, takes 4 ms more
import os
import struct

from podsh import paths
from podsh.errors import Disconnected, PodshError, UntrustedInput, from_wire
from podsh.kernel.address import Address
from podsh.wire import messages
from podsh.wire.framing import JSON, Decoder, encode_data, encode_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_UCRED = struct.Struct("3i")  # struct ucred of unix(7): pid, uid, gid
_READ_BYTES = 1 << 18


class Channel:
    """One connected stream socket and its frames; ``closed`` once it is given up.

    What is sent after ``greet`` need not wait for the other side's hello, which is looked at before
    anything else is received.
    """

    __slots__ = ("_decoder", "_frames", "_greeted", "_hello", "interrupted", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.interrupted = False
        self._greeted = ""  # whom we have said hello to, until it answers
        self._hello: dict[str, Any] = {}
        self._decoder = Decoder()
        self._frames: list[tuple[int, Any]] = []

    @property
    def closed(self) -> bool:
        return self.sock.fileno() < 0 or self.interrupted

    def hung_up(self) -> bool:
        """Whether the other side has gone, and left nothing to receive."""
        try:
            return not self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()

    def interrupt(self) -> None:
        """Make the thread that waits on this connection give up (it gets KeyboardInterrupt)."""
        self.interrupted = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """One JSON frame; ``fds`` travel with its first byte and stay the caller's."""
        data = encode_json(message)
        try:
            if fds:
                data = data[self.sock.sendmsg([data], [_rights(fds)]) :]
            if data:  # sending nothing fails where a quick program is already over
                self.sock.sendall(data)
        except OSError as exc:
            self._lost(exc)

    def send_data(self, data: bytes) -> None:
        """One DATA frame; waits until the kernel takes it."""
        try:
            self.sock.sendall(encode_data(data))
        except OSError as exc:
            self._lost(exc)

    def receive(self) -> tuple[int, Any]:
        """The next frame; waits for it. Raises Disconnected at the end of the stream."""
        while not self._frames:
            self._frames += self.read()
        return self._frames.pop(0)

    def receive_fd(self) -> tuple[dict[str, Any], int]:
        """The answer that comes with a descriptor, the caller's. Raises the error in it."""
        data, ancillary, _, _ = self.sock.recvmsg(_READ_BYTES, socket.CMSG_SPACE(4))
        fds = [struct.unpack("i", content)[0] for _, _, content in ancillary]
        for fd in fds:
            os.set_inheritable(fd, False)
        try:
            ((_, frame),) = self._decoder.feed(data)
            if "error" in frame:
                raise from_wire(frame["error"])
            (fd,) = fds
        except ValueError:
            for fd in fds:
                os.close(fd)
            raise Disconnected("the connection ended", place="the pod's monitor") from None
        return frame, fd

    def read(self) -> list[tuple[int, Any]]:
        """The frames that one read completes (maybe none), after those not yet received.

        Raises UsageError where the other side speaks another protocol; what it says of itself.
        """
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as exc:
            self._lost(exc)
        if not data:
            self._lost(None)
        found = self._decoder.feed(data)
        if self._greeted and found:
            self._answered(*found.pop(0))
        frames, self._frames = self._frames, []
        return frames + found

    def pending(self) -> list[tuple[int, Any]]:
        """Frames already read but not yet received."""
        frames, self._frames = self._frames, []
        return frames

    def _lost(self, exc: OSError | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        reason = f": {exc.strerror}" if exc is not None else ""
        raise Disconnected(f"the connection ended{reason}")

    def greet(self, role: str, who: str) -> None:
        """Say hello, first of all; ``who`` is the other side, for messages."""
        self._greeted = who
        self.send(messages.hello(role))

    def hello(self) -> dict[str, Any]:
        """The other side's hello; waits for it."""
        while self._greeted:
            self._frames = self.read()
        return self._hello

    def _answered(self, kind: int, answer: Any) -> None:
        who, self._greeted = self._greeted, ""
        if kind != JSON:
            raise UntrustedInput("data before the hello", place=who)
        if "error" in answer and answer.get("hello", messages.PROTOCOL) == messages.PROTOCOL:
            raise from_wire(answer["error"])
        self._hello = messages.check_hello(answer, who)


class Client(Channel):
    """A connection to the portal: calls, and events once they were asked for.

    ``dismissed``: the portal has said that it ends, as it was told to.
    """

    __slots__ = ("_events", "_next_id", "dismissed")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.dismissed = False
        self._next_id = 0
        self._events: list[dict[str, Any]] = []
        self.greet(messages.CLIENT, "the running portal")

    @property
    def pid(self) -> int:
        """The portal's, as it says."""
        return int(self.hello().get("pid", 0))

    def read(self) -> list[tuple[int, Any]]:
        frames = super().read()
        if frames and frames[-1][0] == JSON and "bye" in frames[-1][1]:
            del frames[-1]
            self.dismissed = True
        return frames

    def _lost(self, exc: OSError | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        if exc is not None and self._greeted:
            self._last_words()
        if self.dismissed:
            raise Disconnected("was ended", place="the portal", hint="pods go on; see: podsh ps")
        hint = "the next command starts another, which finds the pods"
        raise Disconnected("died", place="the portal", hint=hint)

    def _last_words(self) -> None:
        """Raise what it said before it closed, if it did."""
        try:
            data = self.sock.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except OSError:
            return
        if found := self._decoder.feed(data):
            self._answered(*found[0])

    def call(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask the portal; its answer's ``ok``. Raises the error that it answers."""
        return self.answer(self.post(op, **fields))

    def post(self, op: str, **fields: Any) -> int:
        """Ask without waiting; the call's number, for ``answer``."""
        self._next_id += 1
        self.send({"id": self._next_id, "op": op, **fields})
        return self._next_id

    def answer(self, number: int) -> dict[str, Any]:
        """Wait for the answer to the call posted last."""
        while True:
            kind, frame = self.receive()
            if kind != JSON:
                raise UntrustedInput("data from the portal")
            if "ev" in frame:
                self._events.append(frame)
            elif frame.get("id") == number:
                if "error" in frame:
                    raise from_wire(frame["error"])
                answer: dict[str, Any] = frame["ok"]
                return answer

    def events(self, **fields: Any) -> Iterator[dict[str, Any]]:
        """Subscribe, then yield events until the connection ends (Disconnected)."""
        self.call("events", **fields)
        while True:
            while self._events:
                yield self._events.pop(0)
            kind, frame = self.receive()
            if kind == JSON and "ev" in frame:
                yield frame

    def news(self, timeout_s: float | None = None) -> list[dict[str, Any]]:
        """The events that have come since the last call, after ``events`` was called.

        Waits for one so many seconds at most (None: for ever); then the list may be empty.
        """
        import select

        if not (self._events or self._frames) and not select.select([self], [], [], timeout_s)[0]:
            return []
        if self._events:
            found, self._events = self._events, []
            return found
        frames = self.pending() or self.read()
        return [frame for kind, frame in frames if kind == JSON and "ev" in frame]


def _rights(fds: Sequence[int]) -> tuple[int, int, bytes]:
    """Descriptors as a control message (man 3 cmsg)."""
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds)


def connect() -> Client:
    """A connection to the caller's portal, which is started if none is running."""
    client = connect_running()
    if client is None:
        from podsh.portal import starter

        client = starter.start(portal_socket(), connect_running)
    return client


def connect_running() -> Client | None:
    """A connection to the portal if one is running."""
    try:
        sock = dial(portal_socket())
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    return _greet(sock)


def _greet(sock: socket.socket) -> Client:
    try:
        return Client(sock)
    except BaseException:
        sock.close()
        raise


def portal_socket() -> str:
    """Where the portal listens."""
    return os.path.join(paths.runtime_dir(), "portal.sock")


def monitor(path: str, role: str) -> Channel:
    """A connection to the monitor that listens at ``path``, in one of messages.ROLES."""
    try:
        sock = dial(path)
    except (FileNotFoundError, ConnectionRefusedError):
        raise Disconnected("the pod's monitor is gone", hint="see: podsh ps") from None
    channel = Channel(sock)
    try:
        channel.greet(role, "the pod's monitor")
    except BaseException:
        channel.close()
        raise
    return channel


def dial(path: str) -> socket.socket:
    """Connect to a UNIX socket whose owner is the caller. Raises OSError, UntrustedInput."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with Address(path) as address:
            sock.connect(address)
        _, uid, _ = peer(sock)
        if uid != os.getuid():
            raise UntrustedInput(f"belongs to uid {uid}", place=path)
    except BaseException:
        sock.close()
        raise
    return sock


def peer(sock: socket.socket) -> tuple[int, int, int]:
    """pid, uid and gid of the process that listens (SO_PEERCRED of unix(7))."""
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(found)
    return pid, uid, gid


def end_running() -> int | None:
    """Ask a portal of any version to end by SIGTERM; its pid, or None where none is running."""
    import signal

    try:
        sock = dial(portal_socket())
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    try:
        pid, _, _ = peer(sock)
        if pid <= 1:
            raise PodshError("the portal is not to be seen from here", place="shutdown")
        os.kill(pid, signal.SIGTERM)
    finally:
        sock.close()
    return pid
