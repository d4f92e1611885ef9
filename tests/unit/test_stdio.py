"""What a descriptor is, and the pumps of those that are relayed."""

from __future__ import annotations

import os
import pty
import socket
from typing import TYPE_CHECKING

import pytest

from podsh.console import stdio
from podsh.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def opened() -> Iterator[Callable[..., int]]:
    """Opens descriptors, closed at the end of the test."""
    fds: list[int] = []

    def keep(*given: int) -> int:
        fds.extend(given)
        return given[0]

    yield keep
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass


def kind(fd: int) -> str:
    return stdio.classify(fd, stdio.pipe_device())


def test_terminal(opened: Callable[..., int]) -> None:
    master, slave = pty.openpty()
    opened(master, slave)
    assert kind(slave) == "pty"


def test_pipe_is_passed_a_named_fifo_is_not(opened: Callable[..., int], tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    opened(read_end, write_end)
    assert kind(read_end) == kind(write_end) == "fd"
    # a name that looks like the kernel's own for a pipe
    fifo = tmp_path / "pipe:[1]"
    os.mkfifo(fifo)
    assert kind(opened(os.open(fifo, os.O_RDWR))) == "relay"


def test_null_is_the_pods_own(opened: Callable[..., int]) -> None:
    assert kind(opened(os.open("/dev/null", os.O_RDWR))) == "null"


def test_a_closed_descriptor_is_null() -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    assert kind(fd) == "null"


def test_everything_else_is_relayed(opened: Callable[..., int], tmp_path: Path) -> None:
    assert kind(opened(os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT))) == "relay"
    assert kind(opened(os.open("/dev/zero", os.O_RDONLY))) == "relay"
    one, two = socket.socketpair()
    with one, two:
        assert kind(one.fileno()) == "relay"
    assert kind(opened(os.memfd_create("m"))) == "relay"


def test_directories_are_refused(opened: Callable[..., int], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        kind(opened(os.open(tmp_path, os.O_RDONLY)))
    (tmp_path / "f").touch()
    with pytest.raises(UsageError, match="O_PATH"):
        kind(opened(os.open(tmp_path / "f", os.O_PATH)))
    with pytest.raises(UsageError, match="is a directory"):
        kind(opened(os.open(tmp_path, os.O_PATH)))


def test_input_is_pumped_to_its_end(opened: Callable[..., int], tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "in").write_bytes(data)
    read_end, write_end = os.pipe()
    opened(read_end)
    relay = stdio.InRelay(opened(os.open(tmp_path / "in", os.O_RDONLY)), write_end)
    got = b""
    while not relay.done:
        source, sink = relay.wants()
        assert (source < 0) != (sink < 0)
        relay.turn()
        if relay.wants()[1] >= 0:  # the pipe is full
            got += os.read(read_end, 1 << 20)
    while chunk := os.read(read_end, 1 << 20):
        got += chunk
    assert got == data


def test_a_program_that_closes_its_input_ends_the_pump(opened: Callable[..., int]) -> None:
    read_end, write_end = os.pipe()
    relay = stdio.InRelay(opened(os.open("/dev/zero", os.O_RDONLY)), write_end)
    relay.turn()
    os.close(read_end)
    relay.turn()
    assert relay.done


def test_output_is_pumped_and_a_full_disk_told(opened: Callable[..., int], tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    sink = opened(os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT))
    relay = stdio.OutRelay(read_end, sink, "standard output")
    relay.turn()
    assert not relay.done
    os.write(write_end, b"x" * 10_000)
    os.close(write_end)
    while not relay.done:
        relay.turn()
    assert (tmp_path / "out").stat().st_size == 10_000
    relay.turn()  # of two, the other may still go on
    assert relay.error is None

    read_end, write_end = os.pipe()
    full = stdio.OutRelay(read_end, opened(os.open("/dev/full", os.O_WRONLY)), "standard output")
    os.write(write_end, b"x")
    full.turn()
    assert full.done
    assert full.error is not None
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)
