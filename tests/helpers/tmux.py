"""A tmux server of the test's own: a real terminal emulator around podsh."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Self

from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.helpers.callers import Caller


class Tmux:
    """One session with one window, in which ``argv`` runs."""

    def __init__(
        self,
        argv: Sequence[str],
        caller: Caller,
        env: Mapping[str, str],
        cwd: str,
        directory: Path,
        rows: int = 24,
        cols: int = 80,
    ) -> None:
        self._base = [needs_program("tmux"), "-S", str(directory / "tmux"), "-f", "/dev/null"]
        self._caller = caller
        self._env = dict(env)
        self._cwd = cwd
        size = ["-x", str(cols), "-y", str(rows)]
        self.call("new-session", "-d", *size, shlex.join(argv), ";", "set", "-g", "status", "off")
        # the status line's row comes back only with the next resize
        self.call("resize-window", *size)

    def call(self, *arguments: str) -> str:
        """Any tmux command; its output. Raises CalledProcessError."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*self._base, *arguments],
            check=True,
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            **self._caller.popen(),
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Press keys by tmux's names: ``Enter``, ``C-]``, ``Escape``."""
        self.call("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type ``text`` as it is."""
        self.call("send-keys", "-l", "--", text)

    def screen(self) -> list[str]:
        """The rows on the screen, without trailing blanks."""
        return [line.rstrip() for line in self.call("capture-pane", "-p").split("\n")]

    def history(self) -> list[str]:
        """The scrollback and the screen."""
        return [line.rstrip() for line in self.call("capture-pane", "-p", "-S", "-").split("\n")]

    def wait(self, pattern: str, timeout_s: float = 20.0) -> re.Match[str]:
        """Wait for a regular expression on the screen (``^`` and ``$`` match at rows)."""
        wanted = re.compile(pattern, re.MULTILINE)
        end = time.monotonic() + timeout_s
        while True:
            text = "\n".join(self.screen())
            if found := wanted.search(text):
                return found
            if time.monotonic() > end:
                raise AssertionError(f"no {pattern!r} on the screen:\n{text}")
            time.sleep(0.05)

    def resize(self, rows: int, cols: int) -> None:
        self.call("resize-window", "-x", str(cols), "-y", str(rows))

    def close(self) -> None:
        subprocess.run(
            [*self._base, "kill-server"],
            env=self._env,
            capture_output=True,
            check=False,
            timeout=20,
            **self._caller.popen(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
