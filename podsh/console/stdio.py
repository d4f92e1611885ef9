"""What descriptors 0, 1 and 2 are, and how each reaches the pod (design.md, section 1).

A terminal becomes the pod's pty. A pipe is passed as it is. /dev/null becomes the pod's own.
Everything else is relayed through a pipe, since a passed descriptor of a file can be reopened
through /proc/self/fd, past the mount namespace and writable. Directories are refused.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import time

from podsh.errors import UsageError
from podsh.wire.messages import STDIO_FD, STDIO_NULL, STDIO_PTY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("standard input", "standard output", "standard error")
RELAY = "relay"
_NULL_DEVICE = os.makedev(1, 3)  # Documentation/admin-guide/devices.txt
_CHUNK = 1 << 16
# others of the pod may hold a relay pipe open after the program's end
_DRAIN_S = 0.2
_PIPE_BUF = 4096  # pipe(7): after POLLOUT so much can be written without waiting


def classify(fd: int, pipe_device: int) -> str:
    """``pty``, ``fd``, ``null`` or ``relay`` for a descriptor; a closed one is ``null``.

    pipe_device: st_dev of the kernel's own pipe file system, on which named fifos are not.
    Raises UsageError for what no program can take as its standard stream.
    """
    try:
        found = os.fstat(fd)
        flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    except OSError:
        return STDIO_NULL
    mode = found.st_mode
    if stat.S_ISDIR(mode) or flags & os.O_PATH:
        what = "a directory" if stat.S_ISDIR(mode) else "opened without access (O_PATH)"
        place = NAMES[fd] if fd < len(NAMES) else f"descriptor {fd}"
        raise UsageError(f"is {what}", place=place, hint="give a file, a pipe or a terminal")
    if stat.S_ISCHR(mode):
        if found.st_rdev == _NULL_DEVICE:
            return STDIO_NULL
        return STDIO_PTY if os.isatty(fd) else RELAY
    if stat.S_ISFIFO(mode) and found.st_dev == pipe_device:
        return STDIO_FD
    return RELAY


class InRelay:
    """A source (file, socket, device) pumped into the pod's standard input. Owns ``pipe``."""

    __slots__ = ("_data", "_eof", "pipe", "source")

    def __init__(self, source: int, pipe: int) -> None:
        os.set_blocking(pipe, False)
        self.source = source
        self.pipe = pipe
        self._data = memoryview(b"")
        self._eof = False

    @property
    def done(self) -> bool:
        return self.pipe < 0

    def wants(self) -> tuple[int, int]:
        """(descriptor to poll for reading or -1, descriptor to poll for writing or -1)."""
        if self.done:
            return (-1, -1)
        return (-1, self.pipe) if self._data else (self.source, -1)

    def turn(self) -> None:
        """Move what can be moved without waiting; called when ``wants`` is ready."""
        try:
            if not self._data:
                self._data = memoryview(os.read(self.source, _CHUNK))
                self._eof = not self._data
            if self._data:
                self._data = self._data[os.write(self.pipe, self._data) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the program closed its input
            self._eof = True
            self._data = memoryview(b"")
        except OSError:
            # reading a vanished device or a reset socket ends the input, as read(2) would
            self._eof = True
        if self._eof and not self._data:
            self.close()

    def close(self) -> None:
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1


class OutRelay:
    """The pod's output pumped into a sink (file, socket, device). Owns ``pipe``.

    error: why the sink took no more (a full disk), for the end; the program then gets SIGPIPE.
    """

    __slots__ = ("_data", "_file", "error", "name", "pipe", "sink")

    def __init__(self, pipe: int, sink: int, name: str) -> None:
        os.set_blocking(pipe, False)
        self.pipe = pipe
        self.sink = sink
        self.name = name
        self.error: OSError | None = None
        self._file = stat.S_ISREG(os.fstat(sink).st_mode)
        self._data = memoryview(b"")

    @property
    def done(self) -> bool:
        return self.pipe < 0

    def wants(self) -> tuple[int, int]:
        """(descriptor to poll for reading or -1, descriptor to poll for writing or -1)."""
        if self.done:
            return (-1, -1)
        return (-1, self.sink) if self._data else (self.pipe, -1)

    def turn(self) -> None:
        """Move what can be moved without waiting; nothing once it is done."""
        if self.done:
            return
        if not self._data:
            try:
                self._data = memoryview(os.read(self.pipe, _CHUNK))
            except BlockingIOError:
                return
            if not self._data:
                self.close()
                return
        self._write()

    def _write(self) -> None:
        try:
            # a sink that is no file may be blocking: no more than it takes at once
            data = self._data if self._file else self._data[:_PIPE_BUF]
            self._data = self._data[os.write(self.sink, data) :]
        except BlockingIOError:
            return
        except OSError as exc:
            self.error = exc
            self.close()

    @property
    def busy(self) -> bool:
        """Whether the sink has still to take something."""
        return bool(self._data)

    def close(self) -> None:
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1


def drain(relays: Sequence[InRelay | OutRelay], signal_fd: int) -> None:
    """Everything that a program wrote into a relay before its end reaches its sink; a signal, told
    by that descriptor, breaks it off."""
    outs = [relay for relay in relays if isinstance(relay, OutRelay)]
    end = time.monotonic() + _DRAIN_S
    while any(not relay.done for relay in outs):
        ready = select.poll()
        ready.register(signal_fd, select.POLLIN)
        for relay in outs:
            for fd, mask in zip(relay.wants(), (select.POLLIN, select.POLLOUT), strict=True):
                if fd >= 0:
                    ready.register(fd, mask)
        # a slow sink is waited for without a limit, a quiet pipe is not
        busy = any(relay.busy for relay in outs)
        events = dict(ready.poll(None if busy else max((end - time.monotonic()) * 1000, 0)))
        if not events or signal_fd in events:
            break
        for relay in outs:
            relay.turn()


class Streams:
    """0, 1 and 2 of the caller, ready to be given to a pod.

    kinds: the ``stdio`` entries of the wire. passed: the descriptors to send with them, in
    order; ``close_passed`` after they are sent. relays: to be turned by the poll loop.
    terminal: one of 0-2 that is a terminal, to write to (-1: none). keys: whether the terminal
    is to be read; raw: whether it is the program's alone (Ctrl-C is a key).
    """

    __slots__ = ("_own", "keys", "kinds", "passed", "raw", "relays", "terminal")

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.passed: list[int] = []
        self.relays: list[InRelay | OutRelay] = []
        self._own: list[int] = []
        found = [classify(fd, pipe_device()) for fd in range(3)]
        sinks: dict[tuple[int, int], int] = {}
        for fd, kind in enumerate(found):
            self.kinds.append(STDIO_FD if kind == RELAY else kind)
            if kind == STDIO_FD:
                self.passed.append(fd)
            elif kind == RELAY:
                self._relay(fd, sinks)
        ttys = [fd for fd in (1, 2, 0) if found[fd] == STDIO_PTY]
        self.terminal = ttys[0] if ttys else -1
        self.raw = found[0] == found[1] == STDIO_PTY
        # the reader of a pipe (a pager) owns the keyboard
        self.keys = found[0] == STDIO_PTY and found[1] != STDIO_FD

    def _relay(self, fd: int, sinks: dict[tuple[int, int], int]) -> None:
        if fd == 0:
            read_end, write_end = os.pipe()
            self._own.append(read_end)
            self.passed.append(read_end)
            self.relays.append(InRelay(0, write_end))
            return
        found = os.fstat(fd)
        same = sinks.get((found.st_dev, found.st_ino))
        if same is None:  # 1 and 2 on one file share a pipe, so that their order is kept
            read_end, same = os.pipe()
            self._own.append(same)
            self.relays.append(OutRelay(read_end, fd, NAMES[fd]))
            sinks[found.st_dev, found.st_ino] = same
        self.passed.append(same)

    def close_passed(self) -> None:
        """Close podsh's copies of the pod's ends of the relay pipes, once they are sent."""
        for fd in self._own:
            os.close(fd)
        self._own = []

    def close(self) -> None:
        """Give everything back."""
        self.close_passed()
        for relay in self.relays:
            relay.close()


def pipe_device() -> int:
    """st_dev of the file system on which pipe(2) makes its pipes."""
    read_end, write_end = os.pipe()
    try:
        return os.fstat(read_end).st_dev
    finally:
        os.close(read_end)
        os.close(write_end)
