"""A person at a terminal: a program on a pty of its own, its screen as pyte sees it."""

from __future__ import annotations

import os
import re
import select
import signal
import time
from typing import TYPE_CHECKING, Self

import ptyprocess
import pyte

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.helpers.callers import Caller


class Terminal:
    """One program on a pty. ``output``: every byte it wrote so far."""

    def __init__(
        self,
        argv: Sequence[str],
        caller: Caller,
        env: Mapping[str, str],
        cwd: str,
        rows: int = 24,
        cols: int = 80,
    ) -> None:
        self._process = ptyprocess.PtyProcess.spawn(
            list(argv),
            cwd=cwd,
            env=dict(env),
            preexec_fn=caller.become(),
            dimensions=(rows, cols),
        )
        self.pid: int = self._process.pid
        self.fd: int = self._process.fd
        self.output = b""
        self._seen = 0
        self.screen = pyte.Screen(cols, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._ended = False

    def pump(self, timeout_s: float = 0.05) -> bool:
        """Read what is there; False at the end of the output."""
        if self._ended:
            return False
        if select.select([self.fd], [], [], timeout_s)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # EIO: the last holder of the slave is gone
                data = b""
            if not data:
                self._ended = True
                return False
            self.output += data
            self._stream.feed(data)
            # every real terminal answers these (ECMA-48 DSR): "I am well", and where its cursor is
            for _ in range(data.count(b"\x1b[5n")):
                self.send(b"\x1b[0n")
            for _ in range(data.count(b"\x1b[6n")):
                cursor = self.screen.cursor
                self.send(f"\x1b[{cursor.y + 1};{cursor.x + 1}R")
        return True

    @property
    def lines(self) -> list[str]:
        """The screen's rows, without trailing blanks."""
        return [line.rstrip() for line in self.screen.display]

    def send(self, text: str | bytes) -> None:
        """Type."""
        data = text.encode() if isinstance(text, str) else text
        while data:
            data = data[os.write(self.fd, data) :]

    def expect(self, pattern: str | bytes, timeout_s: float = 20.0) -> re.Match[bytes]:
        """Wait for ``pattern`` (a regular expression) in the output after the last match."""
        wanted = re.compile(pattern.encode() if isinstance(pattern, str) else pattern)
        end = time.monotonic() + timeout_s
        while True:
            if found := wanted.search(self.output, self._seen):
                self._seen = found.end()
                return found
            if not self.pump() or time.monotonic() > end:
                # one that came with the last read
                if found := wanted.search(self.output, self._seen):
                    self._seen = found.end()
                    return found
                tail = self.output[self._seen :][-2000:]
                raise AssertionError(f"no {pattern!r} in {tail!r}")

    def resize(self, rows: int, cols: int) -> None:
        """As a window does; the program gets SIGWINCH."""
        self._process.setwinsize(rows, cols)
        self.screen.resize(rows, cols)

    def wait(self, timeout_s: float = 20.0) -> int:
        """Read on to the program's end; its exit code, or 128+signal."""
        end = time.monotonic() + timeout_s
        while self.pump() and time.monotonic() < end:
            pass
        while self._process.isalive():
            if time.monotonic() > end:
                raise AssertionError(f"still alive; its last words: {self.output[-2000:]!r}")
            time.sleep(0.01)
        if self._process.signalstatus is not None:
            return 128 + int(self._process.signalstatus)
        assert self._process.exitstatus is not None
        return int(self._process.exitstatus)

    def kill(self) -> None:
        """Kill the program, which gets to do nothing any more."""
        self._process.kill(signal.SIGKILL)

    def close(self) -> None:
        """Hang up; what does not end by that is killed."""
        if self._process.isalive():
            self._process.kill(signal.SIGHUP)
            end = time.monotonic() + 2
            while self._process.isalive() and time.monotonic() < end:
                self.pump(0.01)
        if self._process.isalive():
            self._process.kill(signal.SIGKILL)
        self._process.close(force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
