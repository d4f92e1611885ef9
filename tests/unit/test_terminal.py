"""A pod's terminal: ring, replay, modes, holder and watchers, on a real pty."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import tty
from typing import TYPE_CHECKING, Any

import pytest

from podsh.monitor import terminal as t
from podsh.monitor.screen import REPLAY_BYTES, Screen
from podsh.wire.channel import Channel
from podsh.wire.framing import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable


class Viewer:
    """A client's end: what it was given; ``reading`` False makes it slow."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.peer.setblocking(False)
        self.channel = Channel(asyncio.get_running_loop(), ours, lambda *_: None, lambda *_: None)
        self.decoder = Decoder()
        self.seen = bytearray()

    def pump(self) -> None:
        try:
            for _, payload in self.decoder.feed(self.peer.recv(1 << 20)):
                self.seen += payload
        except BlockingIOError:
            pass

    def close(self) -> None:
        self.channel.close()
        self.peer.close()


class Bench:
    """A terminal, the slave that a program would have, and its viewers."""

    def __init__(self, log: t.Log | None = None) -> None:
        master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.ended: list[bool] = []
        self.terminal = t.Terminal(
            asyncio.get_running_loop(), master, log, lambda _: self.ended.append(True)
        )
        self.viewers: list[Viewer] = []

    def viewer(self) -> Viewer:
        self.viewers.append(Viewer())
        return self.viewers[-1]

    async def until(self, condition: Callable[[], Any], *reading: Viewer) -> None:
        async with asyncio.timeout(10):
            while not condition():
                for viewer in reading:
                    viewer.pump()
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self.terminal.close()
        for viewer in self.viewers:
            viewer.close()


def run(test: Callable[[], Any]) -> None:
    asyncio.run(test())


async def write_all(fd: int, data: bytes) -> None:
    """As a program writes: blocked while the terminal is full."""
    await asyncio.get_running_loop().run_in_executor(None, _write, fd, data)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def test_holder_sees_and_types_and_the_end_is_noticed() -> None:
    async def main() -> None:
        bench = Bench()
        viewer = bench.viewer()
        bench.terminal.hold(viewer.channel, replay=False)
        os.write(bench.slave, b"hello")
        await bench.until(lambda: viewer.seen == b"hello", viewer)
        bench.terminal.write(b"keys")
        assert os.read(bench.slave, 10) == b"keys"
        os.close(bench.slave)
        await asyncio.sleep(0.05)
        assert not bench.ended  # the program may only have closed its descriptors
        bench.terminal.linger()
        await bench.until(lambda: bench.ended)
        bench.close()

    run(main)


def test_a_slow_holder_slows_the_program_and_loses_nothing() -> None:
    async def main() -> None:
        bench = Bench()
        viewer = bench.viewer()
        bench.terminal.hold(viewer.channel, replay=False)
        data = bytes(range(32, 96)) * (1 << 15)  # 2 MiB
        writing = asyncio.create_task(write_all(bench.slave, data))
        await asyncio.sleep(0.3)
        assert not writing.done()
        await bench.until(lambda: len(viewer.seen) >= len(data), viewer)
        assert viewer.seen == data
        await writing
        os.close(bench.slave)
        bench.close()

    run(main)


def test_a_holder_that_takes_nothing_does_not_keep_output_from_a_watcher() -> None:
    async def main() -> None:
        bench = Bench()
        dead, watcher = bench.viewer(), bench.viewer()
        bench.terminal.hold(dead.channel, replay=False)
        bench.terminal.watch(watcher.channel, replay=False)
        data = b"x" * (2 << 20) + b"the end"
        writing = asyncio.create_task(write_all(bench.slave, data))
        await bench.until(lambda: watcher.seen.endswith(b"the end"), watcher)
        await writing
        os.close(bench.slave)
        bench.close()

    run(main)


def test_a_slow_watcher_never_slows_the_program_and_is_shown_the_end() -> None:
    async def main() -> None:
        bench = Bench()
        holder, slow = bench.viewer(), bench.viewer()
        bench.terminal.hold(holder.channel, replay=False)
        bench.terminal.watch(slow.channel, replay=False)
        data = b"line\n" * (1 << 18) + b"the end"
        writing = asyncio.create_task(write_all(bench.slave, data))
        await bench.until(lambda: holder.seen.endswith(b"the end"), holder)
        assert holder.seen == data
        await writing
        await bench.until(lambda: slow.seen.endswith(b"the end"), slow)
        assert len(slow.seen) < len(data)
        os.close(bench.slave)
        bench.close()

    run(main)


def test_replay_ends_with_the_last_output_and_asks_the_terminal_nothing() -> None:
    async def main() -> None:
        bench = Bench()
        viewer = bench.viewer()
        await write_all(bench.slave, b"old\n" * 20000 + b"\x1b[6n\x1b[c\x1b[?2004hnew$ ")
        await bench.until(lambda: b"new$ " in bench.terminal.screen.replay())
        bench.terminal.hold(viewer.channel, replay=True)
        await bench.until(lambda: viewer.seen, viewer)
        assert viewer.seen.endswith(b"new$ \x1b[?2004h")
        assert b"\x1b[6n" not in viewer.seen
        assert len(viewer.seen) <= REPLAY_BYTES + 100
        os.close(bench.slave)
        bench.close()

    run(main)


def test_nobody_there_answers_the_question_that_stalls_fish() -> None:
    async def main() -> None:
        bench = Bench()
        os.write(bench.slave, b"\x1b[c")
        await bench.until(lambda: bench.terminal.screen.replay() is not None)
        await asyncio.sleep(0.05)
        assert os.read(bench.slave, 20) == b"\x1b[?1;2c"
        os.close(bench.slave)
        bench.close()

    run(main)


def test_input_that_the_program_never_reads_is_bounded() -> None:
    async def main() -> None:
        bench = Bench()
        for _ in range(40):
            bench.terminal.write(b"x" * (64 << 10))
        assert len(bench.terminal._input) <= t.HIGH_WATER
        os.close(bench.slave)
        bench.close()

    run(main)


@pytest.mark.parametrize("cut", range(1, 12))
def test_modes_are_followed_across_cuts(cut: int) -> None:
    modes = Screen()
    stream = b"a\x1b[?1;2004hb\x1b[?1049h\x1b=c\x1b[?2004l"
    for at in range(0, len(stream), cut):
        modes.feed(stream[at : at + cut])
    assert modes.on == {1: True, 2004: False}
    assert modes.alternate
    assert modes.keypad
