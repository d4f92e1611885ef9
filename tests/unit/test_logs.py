"""A program's output on disk, and its readers, slow ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from podsh.monitor import logs as t
from podsh.monitor.logs import Kept, Log, Reader
from podsh.monitor.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_log_that_cannot_go_on_lets_its_descriptor_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state directory was removed under it: what is opened next gets the old number."""
    monkeypatch.setattr(t, "LOG_BYTES", 4)
    directory = tmp_path / "state"
    directory.mkdir()
    log = Log(Kept(str(directory / "log")))
    log.write(b"a")
    (directory / "log").unlink()
    directory.rmdir()
    log.write(b"full")
    with open(tmp_path / "other", "w+b", buffering=0) as other:
        log.write(b"of the pod")
        assert other.read() == b""
        log.close()
        other.write(b"still open")
    late = Log(Kept(str(directory / "log")))
    late.write(b"a full disk must not end the pod")
    late.close()


def test_log_is_kept_in_two_bounded_files(tmp_path: Path) -> None:
    log = Log(Kept(str(tmp_path / "log")))
    line = b"x" * 1023 + b"\n"
    for _ in range(2 * t.LOG_BYTES // len(line) + 10):
        log.write(line)
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["log.1"] == t.LOG_BYTES
    assert 0 < sizes["log"] < t.LOG_BYTES


class Client:
    """A channel whose other end takes so many bytes of data, then waits for ``drain``."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.queued = 0
        self.closed = False
        self.data = b""
        self.said: list[dict[str, Any]] = []
        self.on_drain: Any = None

    def send_data(self, data: bytes) -> None:
        self.data += data
        self.room -= len(data)
        self.queued = max(-self.room, 0)

    def send(self, message: dict[str, Any]) -> None:
        self.said.append(message)

    def finish(self) -> None:
        self.closed = True

    def drain(self) -> None:
        self.room, self.queued = 1, 0
        self.on_drain(self)


def reader(kept: Kept, place: int = 0, *, room: int = 1 << 30, stay: bool = True) -> Any:
    client: Any = Client(room)
    found = Reader(client, kept, place, stay=stay)
    found.begin(told=True)
    return client


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(str(tmp_path / "log"))


@pytest.fixture
def log(kept: Kept) -> Iterator[Log]:
    found = Log(kept)
    yield found
    found.close()


def test_a_reader_that_does_not_stay_is_told_the_end(kept: Kept, log: Log) -> None:
    log.write(b"hello")
    client = reader(kept, stay=False)
    assert client.data == b"hello"
    assert client.said == [{"ev": "from", "place": 0}, {"ev": "end"}]
    assert client.closed
    assert reader(kept, 2).data == b"llo"
    assert reader(kept, 99).said == [{"ev": "from", "place": 5}]


def test_a_slow_reader_misses_nothing(
    kept: Kept, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(t, "LOG_BYTES", 1000)
    monkeypatch.setattr(t, "_CHUNK", 64)
    client: Any = Client(room=1)
    Reader(client, kept, 0, stay=True).begin(told=False)
    lines = [b"line %d\n" % number for number in range(150)]
    for line in lines:
        log.write(line)
    while len(client.data) < kept.total:
        before = len(client.data)
        client.drain()
        assert len(client.data) > before
    assert client.data == b"".join(lines)
    assert not client.closed
    client.queued = 1
    log.write(b"the end")
    kept.rest()
    kept.finish({"ev": "exit", "code": 0})
    assert client.data.endswith(b"the end")
    assert client.said == [{"ev": "exit", "code": 0}]


def test_what_is_gone_from_the_disk_is_left_out(
    kept: Kept, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(t, "LOG_BYTES", 100)
    for number in range(30):
        log.write(b"%09d\n" % number)
    client = reader(kept)
    assert client.said == [{"ev": "from", "place": 200}]
    assert client.data == b"".join(b"%09d\n" % number for number in range(20, 30))


def test_what_another_process_writes(kept: Kept, tmp_path: Path) -> None:
    """A daemon's log: its writer renames it when it is full, as ours does."""
    loop = Loop()
    client = reader(kept)
    (tmp_path / "log").write_bytes(b"one\n")
    kept.watch(loop)
    assert client.data == b"one\n"
    with open(tmp_path / "log", "ab", buffering=0) as file:
        file.write(b"two\n")
        loop.run(lambda: client.data.endswith(b"two\n"), 10)
        (tmp_path / "log").rename(tmp_path / "log.1")
        (tmp_path / "log").write_bytes(b"three\n")
        loop.run(lambda: client.data.endswith(b"three\n"), 10)
    assert client.data == b"one\ntwo\nthree\n"
    assert reader(kept, 4).data == b"two\nthree\n"
    kept.close(loop)
    loop.close()
