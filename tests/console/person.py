"""A terminal with an attachment on it, and the test in the place of the pod's monitor.

Run as a program (``python -m tests.console.person SOCKET RESULT OPTIONS``) it is the client:
it attaches descriptor SOCKET to its terminal and writes the outcome as JSON to RESULT. Options are
those of Attachment; ``notices`` (titles may be set): it is told of requests by the portal.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
import time
from typing import Any, Self

import ptyprocess

from podsh.wire.framing import DATA, Decoder, encode_data, encode_json

LIMIT_S = 10.0


class Person:
    """The client on a pty, and the monitor's end of its connection."""

    def __init__(self, answers: bool = True, **options: Any) -> None:
        self.answers = answers  # to the fence, as a terminal does
        mine, theirs = socket.socketpair()
        result, result_child = os.pipe()
        os.set_inheritable(theirs.fileno(), True)
        os.set_inheritable(result_child, True)
        self.process = ptyprocess.PtyProcess.spawn(
            [
                sys.executable,
                *("-m", "tests.console.person"),
                *(str(theirs.fileno()), str(result_child), json.dumps(options)),
            ],
            dimensions=(24, 80),
            pass_fds=(theirs.fileno(), result_child),
        )
        theirs.close()
        os.close(result_child)
        self.sock = mine
        self.result_fd = result
        self.decoder = Decoder()
        self.frames: list[tuple[int, Any]] = []
        self.keys = b""
        self.screen = b""
        self.descriptors: list[int] = []
        self.fences = 0

    # -- the monitor's side

    def send(self, *frames: dict[str, Any] | bytes) -> None:
        for frame in frames:
            self.sock.sendall(encode_json(frame) if isinstance(frame, dict) else encode_data(frame))

    def message(self, **wanted: Any) -> dict[str, Any]:
        """Wait for a JSON frame with these fields; DATA before it is collected in ``keys``."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            while self.frames:
                kind, frame = self.frames.pop(0)
                if kind == DATA:
                    self.keys += frame
                elif wanted.items() <= frame.items():
                    return dict(frame)
            self.pump()
        raise AssertionError(f"no {wanted} came; the screen: {self.screen[-500:]!r}")

    def typed(self, keys: bytes) -> None:
        """Wait until the monitor has got ``keys``."""
        end = time.monotonic() + LIMIT_S
        while keys not in self.keys and time.monotonic() < end:
            self.pump()
            while self.frames and self.frames[0][0] == DATA:
                self.keys += self.frames.pop(0)[1]
        assert keys in self.keys

    # -- the person's side

    def pump(self, timeout_s: float = 0.05) -> None:
        """Take what came from the client on both sides."""
        watched = [fd for fd in (self.process.fd, self.sock.fileno()) if fd >= 0]
        ready = select.select(watched, [], [], timeout_s)[0]
        if self.process.fd in ready:
            try:
                self.screen += os.read(self.process.fd, 1 << 16)
            except OSError:
                time.sleep(0.01)  # EIO: nobody has the terminal open
            while self.answers and self.screen.count(b"\x1b[5n") > self.fences:
                self.fences += 1
                os.write(self.process.fd, b"\x1b[0n")
        if self.sock.fileno() in ready:
            data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 8)
            self.descriptors += fds
            if data:
                self.frames += self.decoder.feed(data)
            else:
                self.sock.close()

    def sees(self, pattern: bytes) -> None:
        """Wait until the terminal was written ``pattern`` (a regular expression)."""
        end = time.monotonic() + LIMIT_S
        while not re.search(pattern, self.screen, re.DOTALL):
            assert time.monotonic() < end, f"no {pattern!r} in {self.screen[-800:]!r}"
            self.pump()

    def type(self, keys: bytes) -> None:
        os.write(self.process.fd, keys)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def outcome(self) -> dict[str, Any]:
        """Wait for the client's end; what it reported."""
        end = time.monotonic() + LIMIT_S
        while self.process.isalive():
            assert time.monotonic() < end, f"still attached: {self.screen[-500:]!r}"
            self.pump(0.01)
        with os.fdopen(self.result_fd, "rb", closefd=False) as file:
            found = file.read()
        while select.select([self.process.fd], [], [], 0)[0]:
            before = len(self.screen)
            self.pump(0)
            if len(self.screen) == before:
                break
        return dict(json.loads(found)) if found else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.isalive():
            self.process.kill(signal.SIGKILL)
        self.process.close(force=True)
        self.sock.close()
        os.close(self.result_fd)
        for fd in self.descriptors:
            os.close(fd)


def main() -> None:
    """The client; OPTIONS are those of Attachment, and ``times`` to run it."""
    import termios

    from podsh.console.attach import Attachment
    from podsh.console.notices import Notices
    from podsh.console.terminal import Terminal
    from podsh.errors import PodshError
    from podsh.portal.client import Channel

    options = json.loads(sys.argv[3])
    times = options.pop("times", 1)
    notices = options.pop("notices", None)
    before = termios.tcgetattr(0)
    terminal = Terminal(1)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    attachment = Attachment(channel, terminal, **{"raw": True, "keys": True, **options})
    report: dict[str, Any] = {}
    try:
        if notices is not None:
            attachment.notices = Notices.open(
                attachment.name, titles=notices, saved=attachment.alternate
            )
        for _ in range(times):
            outcome = attachment.run()
        report = {
            "reason": outcome.reason,
            "code": outcome.code,
            "signal": outcome.signal,
            "tail": outcome.tail.decode("latin-1"),
        }
    except PodshError as exc:
        report = {"error": str(exc), "kind": type(exc).__name__}
    try:
        report["restored"] = termios.tcgetattr(0) == before
        report["blocking"] = os.get_blocking(0)
    except termios.error:
        pass  # hung up
    os.write(int(sys.argv[2]), json.dumps(report).encode())


if __name__ == "__main__":
    main()
