"""The monitor's event loop: descriptors, timers, other threads, signals, and what goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from podsh.monitor.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 5.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_readers_and_writers(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    seen: list[object] = []
    loop.add_reader(ours.fileno(), lambda word: seen.append((word, ours.recv(9))), "read")
    loop.run(lambda: bool(seen), 0.02)
    assert not seen
    theirs.send(b"x")
    loop.run(lambda: bool(seen), PATIENCE_S)
    assert seen == [("read", b"x")]
    loop.add_writer(ours.fileno(), lambda: seen.append(loop.remove_writer(ours.fileno())))
    loop.run(lambda: len(seen) > 1, PATIENCE_S)
    loop.run(lambda: len(seen) > 2, 0.02)
    assert seen[1:] == [True]
    # the reader is still there, and hears the end
    theirs.close()
    loop.run(lambda: len(seen) > 2, PATIENCE_S)
    assert seen[2] == ("read", b"")
    assert loop.remove_reader(ours.fileno())
    assert not loop.remove_reader(ours.fileno())


def test_who_was_removed_in_the_same_turn_is_not_called(loop: Loop) -> None:
    """Nor is who was given the same number since."""
    first, second = socket.socketpair(), socket.socketpair()
    called: list[str] = []
    taken: list[socket.socket] = []

    def swap(other: socket.socket) -> None:
        called.append("one")
        loop.remove_reader(other.fileno())
        number = other.fileno()
        other.close()
        taken.extend(socket.socketpair())
        assert number in [sock.fileno() for sock in taken]
        loop.add_reader(number, called.append, "another")
        for sock in (first[0], second[0]):
            if sock.fileno() >= 0:
                loop.remove_reader(sock.fileno())

    loop.add_reader(first[0].fileno(), swap, second[0])
    loop.add_reader(second[0].fileno(), swap, first[0])
    first[1].send(b"x")
    second[1].send(b"x")
    loop.run(lambda: len(called) > 1, 0.05)
    assert called == ["one"]
    for sock in (*first, *second, *taken):
        sock.close()


def test_timers_come_in_order_and_not_early(loop: Loop) -> None:
    came: list[int] = []
    start = time.monotonic()
    for number, delay in ((3, 0.03), (1, 0.01), (2, 0.01)):
        loop.call_later(delay, came.append, number)
    loop.run(lambda: len(came) == 3, PATIENCE_S)
    assert came == [1, 2, 3]
    assert time.monotonic() - start >= 0.03


def test_another_thread_wakes_it(loop: Loop) -> None:
    came: list[int] = []
    for number in range(2):
        thread = threading.Timer(0.05, loop.call_soon_threadsafe, (came.append, number))
        thread.start()
        start = time.monotonic()
        loop.run(lambda: len(came) > number, PATIENCE_S)  # noqa: B023 - called at once
        assert time.monotonic() - start < PATIENCE_S / 2
        thread.join()
    assert came == [0, 1]


def test_a_signal_wakes_it(loop: Loop) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    came: list[str] = []
    thread = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        loop.add_signal_handler(signal.SIGUSR1, came.append, "usr1")
        thread.start()
        loop.run(lambda: bool(came), PATIENCE_S)
        thread.join()
        assert came == ["usr1"]
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGUSR1, before)


def test_what_raises_does_not_end_it(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    came: list[str] = []
    loop.call_soon(lambda: 1 // 0)
    loop.call_soon(came.append, "after")
    loop.run(lambda: bool(came), PATIENCE_S)
    assert came == ["after"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_rest(loop: Loop, pair: tuple[socket.socket, socket.socket]) -> None:
    """Once for each time that there was something to do, and not before it is over."""
    ours, theirs = pair
    rested: list[float] = []
    loop.at_rest(0.05, lambda: rested.append(loop.time()))
    loop.add_reader(ours.fileno(), lambda: ours.recv(9))
    began = loop.time()
    for number in range(4):
        loop.call_later(number * 0.03, theirs.send, b"x")
    loop.run(lambda: bool(rested), PATIENCE_S)
    assert rested[0] - began >= 0.09 + 0.05
    loop.run(lambda: False, 0.3)
    assert len(rested) == 1
    theirs.send(b"x")
    loop.run(lambda: len(rested) > 1, PATIENCE_S)
    assert len(rested) == 2
