"""The monitor's end of kage: what is asked, by whom, and what is never served."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from podsh import operations
from podsh.errors import UntrustedInput, UsageError
from podsh.kernel import shim
from podsh.monitor import kage
from podsh.monitor.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from podsh.errors import PodshError

    Answer = Callable[[bool], None]

WAIT_S = 10.0


class Touch:
    """A request for a path, that a test decides."""

    def __init__(
        self,
        pid: int,
        path: str,
        write: bool,
        alive: Callable[[], bool],
        decided: Callable[[], None],
    ) -> None:
        self.what = (pid, path, write)
        self.alive = alive
        self._decided = decided
        self._there = False

    def look(self) -> None:
        pass

    def there(self) -> bool:
        return self._there

    def decide(self, there: bool) -> None:
        self._there = there
        self._decided()


class Server:
    """A Kage in this process, which counts as the pod's own; what was asked of the monitor."""

    def __init__(self, path: Path) -> None:
        self.path = str(path / "kage.sock")
        self.loop = Loop()
        self.asked: list[tuple[int, str, bool]] = []
        self.waiting: list[Answer] = []
        self.mounted: list[tuple[str, str | None, bool]] = []
        self.error: PodshError | None = None
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.path)
        listener.listen(8)
        self.asks = kage.Asks(
            domain=lambda: "web∩shop\n",
            confined=True,
            touch=Touch,  # type: ignore[arg-type]
            take=self._take,  # type: ignore[arg-type]
            mount=self._mount,
            shown=lambda: {"/usr": "/usr", "/data": "/srv/data", "/data/home": None},
            hides=lambda: [operations.Hide(((f"{path}/hidden", "base.toml:7"),))],
        )
        self.kage = kage.Kage(self.loop, listener, os.getpid(), self.asks)
        self.clients: list[socket.socket] = []

    def _take(self, touch: Touch) -> None:
        self.asked.append(touch.what)
        self.waiting.append(touch.decide)

    def _mount(self, src: str, dst: str | None, write: bool, told: kage.Told) -> None:
        self.mounted.append((src, dst, write))
        told(self.error)

    def unconfined(self) -> None:
        self.kage._asks = self.asks._replace(confined=False)

    def dial(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.clients.append(sock)
        sock.settimeout(0)
        sock.connect(self.path)
        return sock

    def turn(self, seconds: float = 0.02) -> None:
        self.loop.run(lambda: False, seconds)

    def until(self, come: Callable[[], object]) -> None:
        """Go on until ``come()``."""
        self.loop.run(lambda: bool(come()), WAIT_S)
        assert come()

    def answer(self, sock: socket.socket) -> bytes:
        """What comes within WAIT_S; b"" where the connection is closed instead."""
        got: list[bytes] = []

        def came() -> bool:
            try:
                got.append(sock.recv(1 << 17))
            except BlockingIOError:
                return False
            except ConnectionResetError:
                got.append(b"")
            return True

        self.loop.run(came, WAIT_S)
        assert got, "neither an answer nor an end"
        return got[0]

    def say(self, data: bytes) -> bytes:
        sock = self.dial()
        sock.send(data)
        return self.answer(sock)

    def close(self) -> None:
        self.kage.close()
        self.loop.close()
        for sock in self.clients:
            sock.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    before = len(os.listdir("/proc/self/fd")) - len(made.clients)
    yield made
    for sock in made.clients:
        sock.close()
    made.turn()
    assert len(os.listdir("/proc/self/fd")) == before, "connections are closed"
    assert not made.kage._open
    made.close()


def test_the_places_in_a_pod_are_the_same_everywhere() -> None:
    assert shim.KAGE_SOCKET == operations.KAGE.socket
    assert shim.GENERATION == operations.SHIM.page


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"i", b"i-", b"x--", b"iw", b"ixx", b"\xff--", b"i-x", b"i--/", b"i--/a\0"),
        *(b"a--", b"a--/", b"a--\0", b"a--a\0", b"a--/a\0/b\0", b"a--/a", b"l--/a\0\0"),
        *(b"m--/a\0", b"m--/a\0/b", b"m--/a\0b\0", b"m--/a\0/b\0/c\0", b"A--/a\0"),
        *(b"a--/" + b"x" * 4095 + b"\0", b"a--" + b"\0" * 8000),
    ],
)
def test_what_is_not_a_request(data: bytes) -> None:
    with pytest.raises(UntrustedInput):
        kage.parse(data)


def test_requests() -> None:
    assert kage.parse(b"i--") == ("i", False, False, ())
    assert kage.parse(b"aw-/a b\0") == ("a", True, False, ("/a b",))
    assert kage.parse(b"mwp/a\0/\xff\0") == ("m", True, True, ("/a", "/\udcff"))
    assert kage.parse(b"l--/" + b"x" * 4094 + b"\0").paths == ("/" + "x" * 4094,)


def test_info_is_the_domains_name_alone(server: Server) -> None:
    assert server.say(b"i--") == "0web∩shop\\x0a\0".encode()


@pytest.mark.parametrize("allowed", [True, False])
def test_access_is_answered_when_it_is_decided(server: Server, allowed: bool) -> None:
    sock = server.dial()
    sock.send(b"aw-/some/\x1bpath\0")
    server.until(lambda: server.asked)
    assert server.asked == [(os.getpid(), "/some/\x1bpath", True)]
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    server.waiting[0](allowed)
    expected = b"0\0" if allowed else b"1\0not allowed: /some/\\x1bpath"
    assert server.answer(sock) == expected
    assert server.answer(sock) == b""


def test_a_decision_for_somebody_who_has_gone(server: Server) -> None:
    sock = server.dial()
    sock.send(b"a--/x\0")
    server.until(lambda: server.asked)
    sock.close()
    server.until(lambda: not server.kage._open)
    server.waiting[0](True)


def test_one_request_a_connection(server: Server) -> None:
    sock = server.dial()
    sock.send(b"a--/x\0")
    sock.send(b"a--/y\0")
    assert server.answer(sock) == b""
    server.until(lambda: server.asked)
    assert [path for _, path, _ in server.asked] == ["/x"]


def test_a_confined_pod_neither_lists_nor_mounts(server: Server) -> None:
    for data in (b"l--/usr\0", b"mwp/srv\0/srv\0", b"m--/usr\0/u\0"):
        assert server.say(data) == b"1\0not allowed: this pod is confined"
    assert server.mounted == []


def test_mount(server: Server) -> None:
    server.unconfined()
    assert server.say(b"mwp/home/x\0/x\0") == b"0\0"
    assert server.say(b"m--/data/../data/in\0/y\0") == b"0\0"
    assert server.say(b"m-p/home/y\0/home//y\0") == b"0\0"
    assert server.mounted == [
        ("/home/x", "/x", True),
        ("/srv/data/in", "/y", False),
        ("/home/y", None, False),
    ]
    server.error = UsageError("is the\nkernel's", place="/proc", hint="do not")
    assert server.say(b"m-p/proc\0/p\0") == b"2\0/proc: is the\\x0akernel's; do not"
    for path in (b"/tmp/x", b"/data/home/x", b"/data/home", b"/usrlocal", b"/"):
        assert b"the pod's own" in server.say(b"m--" + path + b"\0/z\0")
    for path in (b"/.podsh", b"//.podsh/kage.sock", b"/x/../.podsh/bin"):
        assert b"podsh's own" in server.say(b"m-p/usr\0" + path + b"\0")
    assert len(server.mounted) == 4


def test_list(server: Server, tmp_path: Path) -> None:
    server.unconfined()
    folder = tmp_path / "dir"
    folder.mkdir()
    for name in (b"plain", b"new\nline", b"\xff\\", "ünï".encode(), "\u202e".encode()):
        (folder / os.fsdecode(name)).touch()
    (tmp_path / "link").symlink_to("dir")
    told = "0new\\x0aline\nplain\nünï\n\\xe2\\x80\\xae\n\\xff\\x5c\0".encode()
    for path in (folder, tmp_path / "link", tmp_path / "x" / ".." / "dir"):
        answer = server.say(b"l--" + bytes(path) + b"\0")
        assert sorted(answer[1:-1].split(b"\n")) == sorted(told[1:-1].split(b"\n"))
        assert answer.endswith(b"\0")
    (tmp_path / "hidden" / "in").mkdir(parents=True)
    (tmp_path / "way").symlink_to("hidden/in")
    for name, reason in (
        ("hidden", "hidden from every pod (base.toml:7)"),
        ("hidden/in", "hidden from every pod"),
        ("way", "hidden from every pod"),
        ("dir/plain", "not a directory"),
        ("none", "no such directory"),
        ("/proc/self", "kernel's own"),
        ("/sys", "kernel's own"),
    ):
        answer = server.say(b"l--" + bytes(tmp_path / name) + b"\0")
        assert answer[:2] == b"2\0"
        assert reason.encode() in answer, answer


def test_a_list_is_bounded(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.unconfined()
    for number in range(500):
        (tmp_path / (f"{number:04}" + "\x01" * 200)).touch()
    answer = server.say(b"l--" + bytes(tmp_path) + b"\0")
    assert len(answer) < kage.ANSWER_BYTES + 200
    assert answer.endswith(b"\0there are more names than can be told")
    monkeypatch.setattr(kage, "NAMES", 3)
    names, _, more = server.say(b"l--" + bytes(tmp_path) + b"\0").partition(b"\0")
    assert names.count(b"\n") == 2
    assert more


def test_a_filesystem_that_hangs_holds_nobody_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.unconfined()
    hanging = threading.Event()

    def hang(path: str, hides: object) -> tuple[str, str]:
        assert hanging.wait(WAIT_S)
        return path, ""

    monkeypatch.setattr(kage, "host_names", hang)
    monkeypatch.setattr(kage, "WORKERS", 4)
    first = [server.dial() for _ in range(4)]
    for sock in first:
        sock.send(b"l--/x\0")
    server.until(lambda: server.kage._workers == 4)
    assert b"filesystems do not answer" in server.say(b"l--/y\0")
    assert b"filesystems do not answer" in server.say(b"a--/y\0")
    assert server.say(b"i--")[:1] == b"0"
    hanging.set()
    assert [server.answer(sock) for sock in first] == [b"0/x\0"] * 4
    assert server.say(b"l--/z\0") == b"0/z\0"


@pytest.mark.parametrize(
    "data", [b"x", b"\0", os.urandom(4000), b"a--/" + b"y" * 9000 + b"\0", bytes(100_000)]
)
def test_garbage_is_answered_and_forgotten(server: Server, data: bytes) -> None:
    answer = server.say(data)
    assert answer[:2] == b"2\0"
    assert len(answer) < 200
    assert server.asked == []


def test_an_empty_datagram_is_an_end(server: Server) -> None:
    assert server.say(b"") == b""


def test_descriptors_are_closed(server: Server) -> None:
    sock = server.dial()
    with open("/dev/null") as file:
        socket.send_fds(sock, [b"i--"], [file.fileno()] * 50)
    assert server.answer(sock)[:2] == b"2\0"


def test_those_who_say_nothing_are_sent_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kage, "REQUEST_S", 0.2)
    silent, waiting = server.dial(), server.dial()
    waiting.send(b"a--/x\0")
    assert server.answer(silent) == b""
    server.turn(0.3)
    server.until(lambda: server.asked)
    server.waiting[0](True)
    assert server.answer(waiting) == b"0\0"


def test_only_so_many_at_once_and_a_second(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kage, "CONNECTIONS", 4)
    waiting = []
    for _ in range(4):
        waiting.append(server.dial())
        waiting[-1].send(b"a--/x\0")
        server.until(lambda: len(server.asked) == len(waiting))
    assert server.say(b"i--") == b"2\0too many requests are waiting; try again later"
    for answer in server.waiting:
        answer(False)
    server.until(lambda: not server.kage._open)
    assert server.say(b"i--")[:1] == b"0"
    monkeypatch.setattr(kage, "PAUSE_S", 0.3)
    server.turn(0.3)
    let_in = 0
    for _ in range(200):
        try:
            server.dial()
        except BlockingIOError:
            continue
        let_in += 1
        server.turn(0.0005)
    # what the queue takes, and what is let in; the rest was told to wait
    assert let_in <= 3 * kage.LET_IN
    for sock in server.clients:
        sock.close()
    server.turn(0.4)
    assert server.say(b"i--")[:1] == b"0"


def test_no_descriptor_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Full:
        def accept(self) -> None:
            calls.append(1)
            raise OSError(24, "EMFILE")

        def fileno(self) -> int:
            return listener.fileno()

    listener = server.kage._listener
    monkeypatch.setattr(server.kage, "_listener", Full())
    sock = server.dial()
    sock.send(b"i--")
    server.turn(0.25)
    assert len(calls) < 6, "tried in a loop"
    monkeypatch.setattr(server.kage, "_listener", listener)
    assert server.answer(sock)[:1] == b"0"


def test_others_are_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.kage._namespace = (0, 0)
    assert server.say(b"i--") == b""
    server.kage._namespace = None
    assert server.say(b"i--") == b""
    server.kage._namespace = kage.pid_namespace(os.getpid())
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert server.say(b"i--") == b""
    monkeypatch.undo()
    assert server.kage._sender((0, os.geteuid(), 0)) == 0
    assert server.kage._sender(None) == 0
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert server.kage._sender((ended.pid, os.geteuid(), 0)) == 0, "a zombie"
    ended.wait()
    assert server.kage._sender((ended.pid, os.geteuid(), 0)) == 0
    assert server.say(b"i--")[:1] == b"0"


def test_who_connects_on_anothers_behalf_is_not_looked_at(server: Server) -> None:
    """The monitor may connect a program's socket: who sends counts."""
    sock = server.dial()
    child = subprocess.Popen(
        [sys.executable, "-c", "import socket; socket.socket(fileno=0).send(b'a--/x\\0'); input()"],
        stdin=sock.fileno(),
        stderr=subprocess.DEVNULL,
    )
    server.loop.run(lambda: bool(server.asked), WAIT_S)
    assert server.asked == [(child.pid, "/x", False)]
    server.waiting[0](True)
    child.kill()
    child.wait()


def test_close_ends_all(tmp_path: Path) -> None:
    server = Server(tmp_path)
    socks = [server.dial() for _ in range(3)]
    socks[1].send(b"a--/x\0")
    server.until(lambda: server.asked and len(server.kage._open) == 3)
    server.kage.close()
    server.kage.close()
    server.waiting[0](True)
    server.turn(0.2)
    assert [server.answer(sock) for sock in socks] == [b""] * 3
    with pytest.raises(ConnectionRefusedError):
        server.dial()
    assert stat.S_ISSOCK(os.stat(server.path).st_mode)
    server.close()
