"""The event loop's end of a connection: frames in and out, descriptors received, bounded queues."""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from podsh.errors import UntrustedInput
from podsh.wire.framing import Decoder, encode_data, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Loop(Protocol):
        """What is needed of a loop: asyncio's has it, and the monitor's own."""

        def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> object: ...
        def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> object: ...
        def remove_reader(self, fd: int) -> bool: ...
        def remove_writer(self, fd: int) -> bool: ...


READ_BYTES = 1 << 16
# a peer passes 0-2 at most, once; more waiting than that is a fault
MAX_FDS = 8
_FD_SPACE = socket.CMSG_SPACE(MAX_FDS * 4)


class Channel:
    """One connected stream socket in an event loop; owns the socket and received descriptors.

    on_frame(channel, kind, payload) is called for every frame, on_close(channel, error) once,
    with None at a clean end or the error that ended it. on_drain(channel) is called when a
    queue that had grown is empty again.
    """

    __slots__ = (
        "_decoder",
        "_finishing",
        "_loop",
        "_on_close",
        "_on_frame",
        "_queue",
        "_sock",
        "fds",
        "on_drain",
        "queued",
        "tag",
    )

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_frame: Callable[[Channel, int, Any], None],
        on_close: Callable[[Channel, Exception | None], None],
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._decoder = Decoder()
        self._on_frame = on_frame
        self._on_close = on_close
        self._queue: deque[bytes | memoryview] = deque()
        self._finishing = False
        self.queued = 0  # bytes not yet taken by the kernel
        self.fds: list[int] = []
        self.on_drain: Callable[[Channel], None] | None = None
        self.tag: Any = None  # the user's own
        self._loop.add_reader(sock.fileno(), self._readable)

    def rebind(
        self,
        on_frame: Callable[[Channel, int, Any], None],
        on_close: Callable[[Channel, Exception | None], None],
    ) -> None:
        """Hand the connection over to another user, as it is."""
        self._on_frame = on_frame
        self._on_close = on_close

    @property
    def closed(self) -> bool:
        return self._sock.fileno() < 0

    def take_fds(self, count: int) -> list[int]:
        """Hand the first ``count`` received descriptors over to the caller."""
        if len(self.fds) < count:
            raise UntrustedInput(f"{count} descriptors announced, {len(self.fds)} received")
        taken, self.fds = self.fds[:count], self.fds[count:]
        return taken

    def send(self, message: dict[str, Any]) -> None:
        self.write(encode_json(message))

    def send_fd(self, message: dict[str, Any], fd: int) -> None:
        """With a descriptor, which stays the caller's: the first of all that is sent but a hello.
        Raises OSError where the kernel does not take it at once."""
        socket.send_fds(self._sock, [encode_json(message)], [fd])

    def send_data(self, data: bytes) -> None:
        self.write(encode_data(data))

    def write(self, frame: bytes) -> None:
        """Send a whole frame, or queue what the kernel does not take. A closed one is ignored."""
        if self.closed:
            return
        view: bytes | memoryview = frame
        if not self._queue:
            try:
                sent = self._sock.send(frame)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                # the reader sees the end too, and reports it from the loop, never from here
                return
            if sent == len(frame):
                return
            view = memoryview(frame)[sent:]
            self._loop.add_writer(self._sock.fileno(), self._writable)
        self._queue.append(view)
        self.queued += len(view)

    def _writable(self) -> None:
        while self._queue:
            view = self._queue[0]
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._end(exc)
                return
            self.queued -= sent
            if sent < len(view):
                self._queue[0] = memoryview(view)[sent:]
                return
            self._queue.popleft()
        self._loop.remove_writer(self._sock.fileno())
        if self._finishing:
            self._end(None)
        elif self.on_drain is not None:
            self.on_drain(self)

    def finish(self) -> None:
        """Close once the peer has been given everything; on_close is called then."""
        self._finishing = True
        if not self._queue:
            self._end(None)

    def _readable(self) -> None:
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(
                READ_BYTES, _FD_SPACE, socket.MSG_CMSG_CLOEXEC
            )
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._end(exc)
            return
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
                self.fds += found
        if flags & socket.MSG_CTRUNC or len(self.fds) > MAX_FDS:
            self._end(UntrustedInput("too many descriptors"))
            return
        if not data:
            self._end(None)
            return
        try:
            for kind, frame in self._decoder.feed(data):
                self._on_frame(self, kind, frame)
                if self.closed:
                    return
        except UntrustedInput as exc:
            self._end(exc)

    def _end(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.close()
        self._on_close(self, error)

    def close(self) -> None:
        """Close without a call of on_close; what is still queued is lost."""
        if self.closed:
            return
        fileno = self._sock.fileno()
        self._loop.remove_reader(fileno)
        self._loop.remove_writer(fileno)
        self._sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self._queue.clear()
        self.queued = 0
