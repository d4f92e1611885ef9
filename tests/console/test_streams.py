"""run_streams without a terminal: what reaches the monitor, and what comes back at the end."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from podsh.wire.framing import Decoder, encode_json

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = """
import socket, sys
from podsh.console.streams import run_streams
from podsh.console.stdio import Streams
from podsh.portal.client import Channel
streams = Streams()
channel = Channel(socket.socket(fileno=int(sys.argv[1])))
outcome = run_streams(channel, {"op": "start"}, streams, None).run()
errors = [str(r.error) for r in streams.relays if getattr(r, "error", None)]
streams.close()
sys.exit(outcome.code if not errors else 77)
"""
EXIT = {"ev": "exit", "code": 5, "signal": None}


class Run:
    """The client as a process, the test as its monitor."""

    def __init__(self, **streams: Any) -> None:
        self.sock, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            self.process = subprocess.Popen(
                [sys.executable, "-c", CLIENT, str(fd)], pass_fds=(fd,), **streams
            )
        decoder = Decoder()
        self.fds: list[int] = []
        frames: list[tuple[int, Any]] = []
        while not frames:
            data, fds, _, _ = socket.recv_fds(self.sock, 65536, 8)
            assert data, "the client ended"
            self.fds += fds
            frames = decoder.feed(data)
        self.start: dict[str, Any] = frames[0][1]

    def take(self, index: int) -> int:
        """The descriptor in that place; the caller's from now on."""
        fd, self.fds[index] = self.fds[index], -1
        return fd

    def end(self) -> int:
        self.sock.sendall(encode_json(EXIT))
        return self.process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for fd in self.fds:
            if fd >= 0:
                os.close(fd)
        self.sock.close()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def test_files_are_relayed_through_pipes(tmp_path: Path) -> None:
    data = os.urandom(400_000)
    (tmp_path / "in").write_bytes(data)
    with (
        (tmp_path / "in").open("rb") as source,
        (tmp_path / "out").open("wb") as sink,
        Run(stdin=source, stdout=sink, stderr=subprocess.STDOUT) as run,
    ):
        assert run.start["stdio"] == ["fd", "fd", "fd"]
        assert run.start["tty"] is False
        assert all(stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in run.fds)
        # 1 and 2 are one file: one pipe, so that their order is kept
        assert os.fstat(run.fds[1]).st_ino == os.fstat(run.fds[2]).st_ino
        with os.fdopen(run.take(0), "rb") as given:
            assert given.read() == data
        os.write(run.fds[1], b"one ")
        os.write(run.fds[2], b"two ")
        os.write(run.fds[1], b"three")
        assert run.end() == 5
    assert (tmp_path / "out").read_bytes() == b"one two three"


def test_what_is_in_the_pipe_at_the_exit_is_not_lost(tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("wb") as sink,
        Run(stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.DEVNULL) as run,
    ):
        assert run.start["stdio"] == ["null", "fd", "null"]
        run.process.send_signal(19)  # SIGSTOP: it cannot read on while we write
        os.write(run.fds[0], b"x" * 60_000)
        os.close(run.take(0))
        run.sock.sendall(encode_json(EXIT))
        run.process.send_signal(18)
        assert run.process.wait(10) == 5
    assert (tmp_path / "out").stat().st_size == 60_000


def test_a_pipe_that_others_hold_open_is_not_waited_for(tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("wb") as sink,
        Run(stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.DEVNULL) as run,
    ):
        os.write(run.fds[0], b"done")
        assert run.end() == 5
    assert (tmp_path / "out").read_bytes() == b"done"


def test_pipes_are_passed_as_they_are() -> None:
    with Run(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
        assert run.start["stdio"] == ["fd", "fd", "null"]
        assert run.process.stdin is not None
        assert run.process.stdout is not None
        theirs = [os.fstat(fd).st_ino for fd in run.fds]
        ours = [os.fstat(f.fileno()).st_ino for f in (run.process.stdin, run.process.stdout)]
        assert theirs == ours
        assert run.end() == 5


def test_sockets_are_relayed_both_ways() -> None:
    near, far = socket.socketpair()
    with far, near, Run(stdin=far, stdout=far, stderr=subprocess.DEVNULL) as run:
        assert run.start["stdio"] == ["fd", "fd", "null"]
        near.sendall(b"question")
        assert os.read(run.fds[0], 100) == b"question"
        os.write(run.fds[1], b"answer")
        assert near.recv(100) == b"answer"
        near.shutdown(socket.SHUT_WR)
        assert os.read(run.fds[0], 100) == b""
        assert run.end() == 5


def test_a_slow_sink_gets_everything() -> None:
    near, far = socket.socketpair()
    with far, near, Run(stdin=subprocess.DEVNULL, stdout=far, stderr=subprocess.DEVNULL) as run:
        total = 2_000_000
        fd = run.take(0)

        def produce() -> None:
            with os.fdopen(fd, "wb") as pipe:
                pipe.write(b"y" * total)
            run.sock.sendall(encode_json(EXIT))

        writer = threading.Thread(target=produce)
        writer.start()
        got = 0
        while got < total:
            got += len(near.recv(1000 if got < 50_000 else 1 << 20))
        writer.join()
        assert run.process.wait(10) == 5


def test_a_full_disk_is_told() -> None:
    with (
        open("/dev/full", "wb") as full,
        Run(stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.DEVNULL) as run,
    ):
        os.write(run.fds[0], b"lost")
        assert run.end() == 77
