"""What programs of a pod ask its monitor by `kage` (podsh/native/init/kage.c has the protocol).

Anything may be written to this socket. A connection is one small datagram and one answer; so many
at once and so many a second are let in, and each has little time to ask. Who asks is told by the
kernel with the request, and has to be a process of this very pod: who *connected* is not looked
at, since the monitor itself may do that on a program's behalf. Nothing here waits: files of the
host, which may be on a filesystem that does not answer, are looked at by threads.
"""

from __future__ import annotations

import _thread
import itertools
import os
import select
import socket
import stat
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from podsh import paths
from podsh.errors import LaunchFailed, PodshError, UntrustedInput, UsageError
from podsh.jail.hidden import hidden_paths, lies_in
from podsh.jail.resolve import Names, below, find
from podsh.kernel import fds, mounts
from podsh.monitor import caller
from podsh.operations import OWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podsh.monitor.loop import Loop
    from podsh.monitor.touch import Touch
    from podsh.operations import Hide

    Told = Callable[[PodshError | None], None]

T = TypeVar("T")

REQUEST_BYTES = 3 + 2 * 4096
ANSWER_BYTES = 60_000
CONNECTIONS = 32
REQUEST_S = 5.0
# then nobody is let in until the time is over
LET_IN = 32
PAUSE_S = 0.1
NAMES = 10_000
WORKERS = 32

DONE, DENIED, FAILED = b"0", b"1", b"2"


class Asks(NamedTuple):
    """What the rest of the monitor does for requests; told and answered on the loop's thread.

    touch(pid, path, write, alive, decided): the request of a process for ``path`` (as it sees it);
    once it has looked, ``take`` has it decided.
    mount(src, dst, write, told): ``src`` of the host is shown at ``dst`` of the pod.
    shown(): what the pod has of the host: its place in the pod -> the host's, or None for what
    is the pod's own. hides(): what no pod sees.
    """

    domain: Callable[[], str]
    confined: bool
    touch: Callable[[int, str, bool, Callable[[], bool], Callable[[], None]], Touch]
    take: Callable[[Touch], None]
    mount: Callable[[str, str | None, bool, Told], None]
    shown: Callable[[], Mapping[str, str | None]]
    hides: Callable[[], Sequence[Hide]]


class Request(NamedTuple):
    what: str  # a, l, m or i
    write: bool
    parent: bool
    paths: tuple[str, ...]


_PATHS = {"a": 1, "l": 1, "m": 2, "i": 0}


def parse(data: bytes) -> Request:
    """A request's datagram. Raises UntrustedInput."""
    what = chr(data[0]) if data else ""
    if what not in _PATHS or data[1:2] not in (b"-", b"w") or data[2:3] not in (b"-", b"p"):
        raise UntrustedInput("not a request")
    *paths, rest = data[3:].split(b"\0")
    if rest or len(paths) != _PATHS[what]:
        raise UntrustedInput("not a request")
    if any(not path.startswith(b"/") or len(path) >= 4096 for path in paths):
        raise UntrustedInput("not an absolute path")
    return Request(what, data[1:2] == b"w", data[2:3] == b"p", tuple(map(os.fsdecode, paths)))


class Kage:
    """Accepts and serves; owns the listening socket and every connection."""

    def __init__(self, loop: Loop, listener: socket.socket, init_pid: int, asks: Asks) -> None:
        """``init_pid``: of a process in the pod's pid namespace."""
        self._loop = loop
        self._listener = listener
        self._asks = asks
        self._init_pid = init_pid
        try:
            self._namespace: tuple[int, int] | None = pid_namespace(init_pid)
        except OSError:
            self._namespace = None  # it was killed: nobody is left to ask
        # who is connected, and whether he has asked: then he may wait as long as he likes
        self._open: dict[socket.socket, bool] = {}
        self._let_in = 0
        self._paused = False
        self._workers = 0
        self._closed = False
        listener.setblocking(False)
        # inherited by what is accepted, and true for what is sent before that
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Answer nobody any more."""
        if self._closed:
            return
        self._pause()
        self._closed = True
        self._listener.close()
        for sock in tuple(self._open):
            self._drop(sock)

    # -- connections

    def _accept(self) -> None:
        if self._let_in == 0:
            self._loop.call_later(PAUSE_S, self._again)
        self._let_in += 1
        if self._let_in >= LET_IN:
            self._pause()
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:
            self._pause()  # no descriptor is left: it would only be tried again at once
            return
        sock.setblocking(False)
        if len(self._open) >= CONNECTIONS:
            _turn_away(sock)
            return
        self._open[sock] = False
        self._loop.add_reader(sock.fileno(), self._readable, sock)
        self._loop.call_later(REQUEST_S, self._late, sock)

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._loop.remove_reader(self._listener.fileno())

    def _again(self) -> None:
        self._let_in = 0
        if self._paused and not self._closed:
            self._paused = False
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _late(self, sock: socket.socket) -> None:
        if self._open.get(sock) is False:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        if sock in self._open:
            del self._open[sock]
            self._loop.remove_reader(sock.fileno())
            sock.close()

    def _answer(self, sock: socket.socket, code: bytes, out: str = "", err: str = "") -> None:
        if sock in self._open:
            _send(sock, code, out, err)
            self._drop(sock)

    # -- requests

    def _readable(self, sock: socket.socket) -> None:
        try:
            got = fds.receive(sock, REQUEST_BYTES, 0)
            if not got.data or self._open[sock]:
                self._drop(sock)  # gone, or not content with one request
                return
            pid = self._sender(got.credentials)
            if pid == 0:
                self._drop(sock)
                return
            request = parse(got.data)
            self._open[sock] = True
            self._serve(sock, pid, request)
        except BlockingIOError:
            return
        except PodshError as exc:
            self._answer(sock, FAILED, err=_words(exc))
        except OSError:
            self._drop(sock)

    def _sender(self, credentials: tuple[int, int, int] | None) -> int:
        """The pid of who has sent the request, as seen from here; 0: not a process of the pod."""
        pid, uid, _ = credentials or (0, -1, -1)
        if pid <= 0 or uid != os.geteuid():
            return 0
        try:
            with fds.pidfd_open(pid) as held:
                inside = pid_namespace(pid) == self._namespace
                # if it has ended, what was looked at may have been another's
                ended = select.select([held.fileno()], [], [], 0)[0]
        except OSError:
            return 0
        return pid if inside and not ended else 0

    def _asker(self, pid: int) -> int:
        """The process for which ``pid`` asks: kage itself ends with the answer, and with it what is
        granted "once"; who has started it goes on."""
        try:
            if not os.path.samefile(f"/proc/{pid}/exe", paths.init_binary()):
                return pid
            above = caller.parent(pid)[0]
            if above != self._init_pid and pid_namespace(above) == self._namespace:
                return above
        except OSError:
            pass
        return pid

    def _serve(self, sock: socket.socket, pid: int, request: Request) -> None:
        if request.what == "i":
            self._answer(sock, DONE, escaped(self._asks.domain()))
        elif request.what == "a":
            self._touch(sock, self._asker(pid), request.paths[0], request.write)
        elif self._asks.confined:
            self._answer(sock, DENIED, err="not allowed: this pod is confined")
        elif request.what == "l":
            self._list(sock, request.paths[0])
        else:

            def told(error: PodshError | None) -> None:
                if error is None:
                    self._answer(sock, DONE)
                else:
                    self._answer(sock, FAILED, err=_words(error))

            src, dst = request.paths
            if f"{os.path.normpath(dst)}/".lstrip("/").startswith(f"{OWN[1:]}/"):
                raise UsageError("is podsh's own in every pod", place=dst)
            if not request.parent:
                src = outside(src, self._asks.shown())
            # at its own place it is as good as any other grant
            same = os.path.normpath(src) == os.path.normpath(dst)
            self._asks.mount(src, None if same else dst, request.write, told)

    def _touch(self, sock: socket.socket, pid: int, path: str, write: bool) -> None:
        def alive() -> bool:
            return sock in self._open

        def decided() -> None:
            self._work(touch.there, answered)

        def answered(there: bool | PodshError) -> None:
            err = "" if there is True else f"not allowed: {escaped(path)}"
            self._answer(sock, DENIED if err else DONE, err=err)

        def looked(result: PodshError | None) -> None:
            if result is None:
                self._asks.take(touch)
            else:
                self._answer(sock, FAILED, err=_words(result))

        self._have_room()
        touch = self._asks.touch(pid, path, write, alive, decided)
        self._work(touch.look, looked)

    def _list(self, sock: socket.socket, path: str) -> None:
        hides = self._asks.hides()

        def listed(found: tuple[str, str] | PodshError) -> None:
            if isinstance(found, PodshError):
                self._answer(sock, FAILED, err=_words(found))
            else:
                self._answer(sock, DONE, *found)

        self._have_room()
        self._work(lambda: host_names(path, hides), listed)

    # -- what may take long

    def _have_room(self) -> None:
        if self._workers >= WORKERS:
            raise UsageError("the host's filesystems do not answer; try again later")

    def _work(self, work: Callable[[], T], then: Callable[[T | PodshError], None]) -> None:
        """Have a thread do it; it may never come back, and holds nobody up at the end."""
        self._workers += 1

        def done(result: T | PodshError) -> None:
            self._workers -= 1
            then(result)

        def run() -> None:
            result: T | PodshError
            try:
                result = work()
            except PodshError as exc:
                result = exc
            except Exception as exc:
                result = LaunchFailed(type(exc).__name__)
            try:
                self._loop.call_soon_threadsafe(done, result)
            except OSError:
                pass  # the loop has ended meanwhile

        _thread.start_new_thread(run, ())


def _send(sock: socket.socket, code: bytes, out: str = "", err: str = "") -> None:
    try:
        sock.send(code + out.encode() + b"\0" + err.encode()[:4096], socket.MSG_NOSIGNAL)
    except OSError:
        pass  # he has not waited for it


def _turn_away(sock: socket.socket) -> None:
    with sock:
        try:
            sock.recv(1)  # what is not read would be a reset, and the answer lost
        except OSError:
            pass
        _send(sock, FAILED, err="too many requests are waiting; try again later")


def _words(error: PodshError) -> str:
    return escaped(str(error))


def pid_namespace(pid: int) -> tuple[int, int]:
    """What tells the pid namespace of a process from all others."""
    found = os.stat(f"/proc/{pid}/ns/pid")
    return found.st_dev, found.st_ino


def outside(path: str, shown: Mapping[str, str | None]) -> str:
    """The host's path of what a pod has at ``path``. Raises UsageError for what is its own."""
    path = os.path.normpath(path)
    for dst in sorted(shown, key=len, reverse=True):
        if path == dst or below(path, dst):
            src = shown[dst]
            if src is not None:
                return os.path.normpath(src + path[len(dst) :])
            break
    raise UsageError(
        "is the pod's own, not of the host",
        place=path,
        hint="with --parent SRC is a path of the host",
    )


def escaped(text: str) -> str:
    """``text``, but whatever is not a plain character byte by byte as ``\\xNN``."""
    return "".join(
        char
        if char.isprintable() and char != "\\"
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(char))
        for char in text
    )


def host_names(path: str, hides: Sequence[Hide]) -> tuple[str, str]:
    """The names in a directory of the host, sorted, a line each; and a word if there are more
    than are told. Raises UsageError, LaunchFailed."""
    found = find(os.path.normpath(path))
    if found is None:
        raise UsageError("no such directory on the host", place=path)
    try:
        status = os.fstat(found.fd)
        if not stat.S_ISDIR(status.st_mode):
            raise UsageError("is not a directory", place=path)
        overview = mounts.Overview()
        if status.st_dev in {device for _, _, device in overview.kernel}:
            raise UsageError("is the kernel's own", place=path)
        for hidden, _, where in hidden_paths(hides, Names(), overview):
            if lies_in(found.path, hidden):
                raise UsageError(f"is hidden from every pod ({where})", place=path)
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            fd = os.open(f"/proc/self/fd/{found.fd}", flags)
        except OSError as exc:
            raise LaunchFailed(os.strerror(exc.errno or 0), place=path) from None
    finally:
        os.close(found.fd)
    try:
        with os.scandir(fd) as entries:
            names = [escaped(entry.name) for entry in itertools.islice(entries, NAMES + 1)]
    finally:
        os.close(fd)
    return _cut(sorted(names))


def _cut(names: list[str]) -> tuple[str, str]:
    kept: list[str] = []
    size = 0
    for name in names[:NAMES]:
        size += len(name.encode()) + 1
        if size > ANSWER_BYTES:
            break
        kept.append(name)
    more = "" if len(kept) == len(names) else "there are more names than can be told"
    return "\n".join(kept), more
