"""The asyncio end of a connection: frames, descriptors, queues, and ends."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from podsh.errors import UntrustedInput
from podsh.wire.channel import MAX_FDS, Channel
from podsh.wire.framing import DATA, JSON, encode_data, encode_json


class Ends:
    """A channel in the loop and the plain socket at its other end."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.frames: list[tuple[int, Any]] = []
        self.closed: list[Exception | None] = []
        self.channel = Channel(
            asyncio.get_running_loop(),
            ours,
            lambda _, kind, payload: self.frames.append((kind, payload)),
            lambda _, error: self.closed.append(error),
        )

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - looks on from outside
                await asyncio.sleep(0.001)

    def end(self) -> None:
        self.channel.close()
        self.peer.close()


def test_frames_arrive_in_order_however_they_are_cut() -> None:
    async def main() -> None:
        ends = Ends()
        stream = encode_json({"a": 1}) + encode_data(b"xyz") + encode_json({"b": "\udcff"})
        for at in range(0, len(stream), 3):
            ends.peer.send(stream[at : at + 3])
            await asyncio.sleep(0)
        await ends.until(lambda: len(ends.frames) == 3)
        assert ends.frames == [(JSON, {"a": 1}), (DATA, b"xyz"), (JSON, {"b": "\udcff"})]
        ends.end()

    asyncio.run(main())


def test_descriptors_are_owned_until_taken_and_closed_with_the_channel() -> None:
    async def main() -> None:
        ends = Ends()
        read_end, write_end = os.pipe()
        socket.send_fds(ends.peer, [encode_json({"op": "start"})], [write_end])
        os.close(write_end)
        await ends.until(lambda: ends.frames)
        try:
            ends.channel.take_fds(2)
            raise AssertionError("two were taken where one had come")
        except UntrustedInput:
            pass
        assert len(ends.channel.fds) == 1
        ends.end()
        # the last writer is gone with the channel: end of file
        assert os.read(read_end, 1) == b""
        os.close(read_end)

    asyncio.run(main())


def test_a_flood_of_descriptors_ends_the_connection() -> None:
    async def main() -> None:
        ends = Ends()
        null = os.open("/dev/null", os.O_RDONLY)
        for _ in range(MAX_FDS + 1):
            socket.send_fds(ends.peer, [b"\0"], [null])
        await ends.until(lambda: ends.closed)
        assert isinstance(ends.closed[0], UntrustedInput)
        os.close(null)
        ends.end()

    asyncio.run(main())


def test_garbage_ends_the_connection_with_the_reason() -> None:
    async def main() -> None:
        ends = Ends()
        ends.peer.send(b"GET / HTTP/1.1\r\n")
        await ends.until(lambda: ends.closed)
        assert "bad frame" in str(ends.closed[0])
        assert ends.channel.closed
        ends.end()

    asyncio.run(main())


def test_what_the_peer_does_not_read_is_queued_and_given_later_and_whole() -> None:
    async def main() -> None:
        ends = Ends()
        drained: list[bool] = []
        ends.channel.on_drain = lambda _: drained.append(True)
        big = os.urandom(1 << 20)
        ends.channel.send_data(big[: 1 << 19])
        ends.channel.send_data(big[1 << 19 :])
        assert ends.channel.queued > 0
        got = bytearray()
        ends.peer.setblocking(False)
        total = len(encode_data(big[: 1 << 19])) * 2
        async with asyncio.timeout(5):
            while len(got) < total:
                try:
                    got += ends.peer.recv(1 << 16)
                except BlockingIOError:
                    await asyncio.sleep(0)
        assert ends.channel.queued == 0
        assert drained == [True]
        assert bytes(got[5 : 5 + (1 << 19)]) + bytes(got[10 + (1 << 19) :]) == big
        ends.end()

    asyncio.run(main())


def test_finish_gives_everything_and_then_closes() -> None:
    async def main() -> None:
        ends = Ends()
        ends.channel.send_data(b"x" * (1 << 20))
        ends.channel.send({"ev": "exit"})
        ends.channel.finish()
        assert not ends.channel.closed
        ends.peer.setblocking(False)
        got = bytearray()
        async with asyncio.timeout(5):
            while True:
                try:
                    data = ends.peer.recv(1 << 16)
                except BlockingIOError:
                    await asyncio.sleep(0)
                    continue
                if not data:
                    break
                got += data
        assert got.endswith(b'{"ev":"exit"}')
        assert ends.closed == [None]
        ends.peer.close()

    asyncio.run(main())
