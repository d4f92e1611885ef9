"""podsh as one caller uses it: an own home, own runtime, state and configuration directories."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.helpers.terminal import Terminal
from tests.helpers.tmux import Tmux

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tests.helpers.callers import Caller

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LIVE = ("building", "ready", "running")


class Done(NamedTuple):
    """What a command gave; ``code`` is 128+signal where a signal ended it."""

    code: int
    out: str
    err: str


class Podsh:
    """Runs podsh, and programs beside it without the sandbox, as ``caller``.

    base: a directory of the caller's own, made here, removed by who made its parent.
    """

    def __init__(self, command: Path, caller: Caller, base: Path) -> None:
        self.command = command
        self.caller = caller
        self.base = base
        self._profiles: list[Path] = []
        base.mkdir(mode=0o700)
        caller.own(base)
        self.home = self.directory("home")
        self.runtime = self.directory("run")
        self.state = self.directory("state")
        self.config = self.directory("config")
        self.cache = self.directory("cache")
        self.env = {
            "HOME": str(self.home),
            "USER": caller.login,
            "LOGNAME": caller.login,
            "SHELL": "/bin/bash",
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(self.state),
            "XDG_CONFIG_HOME": str(self.config),
            "XDG_CACHE_HOME": str(self.cache),
        }

    # ---------------------------------------------------------------- files of the caller's

    def directory(self, name: str, mode: int = 0o700) -> Path:
        """Make a directory of the caller's below ``base``, parents too."""
        path = self.base
        for part in name.split("/"):
            path = path / part
            if not path.is_dir():
                path.mkdir(mode=mode)
                self.caller.own(path)
        return path

    def file(self, path: Path, content: str | bytes, mode: int = 0o644) -> Path:
        """Write a file of the caller's."""
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        self.caller.own(path)
        return path

    def profile(self, name: str, text: str, keep: bool = False) -> Path:
        """Write a TOML profile where podsh looks for the caller's; for this test alone, or to be
        kept: another test's pods would begin in the domain that it is."""
        path = self.file(self.directory("config/podsh/profiles") / f"{name}.toml", text)
        if not keep:
            self._profiles.append(path)
        return path

    def forget_profiles(self) -> None:
        """Remove those that were written for one test."""
        while self._profiles:
            self._profiles.pop().unlink(missing_ok=True)

    # ---------------------------------------------------------------- running

    def run(self, *argv: str, **options: Any) -> Done:
        """``podsh ARGV``; options as of ``outside``."""
        return self.outside(str(self.command), *argv, **options)

    def pod(self, *argv: str, options: Iterable[str] = (), **more: Any) -> Done:
        """``podsh run --rm OPTIONS -- ARGV``"""
        return self.run("run", "--rm", *options, "--", *argv, **more)

    def outside(
        self,
        *argv: str,
        stdin: str | bytes | int | None = None,
        timeout: float = 60,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> Done:
        """A program without the sandbox, as the caller.

        stdin: what it reads (nothing: /dev/null), or a descriptor. env: more variables. On a
        timeout (seconds) its process group is killed, and the test fails.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        process = self.start(
            *argv,
            stdin=data if isinstance(data, int) else subprocess.PIPE if data is not None else None,
            cwd=cwd,
            env=env,
            pass_fds=pass_fds,
            raw=True,
        )
        try:
            out, err = process.communicate(
                data if isinstance(data, bytes) else None, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{argv} still runs after {timeout} s: {out!r} {err!r}") from None
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return Done(code, out.decode(errors="replace"), err.decode(errors="replace"))

    def start(
        self,
        *argv: str,
        stdin: int | None = None,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        raw: bool = False,
    ) -> subprocess.Popen[bytes]:
        """``podsh ARGV`` (raw: ARGV itself) in the background, in a session of its own."""
        return subprocess.Popen(
            argv if raw else [str(self.command), *argv],
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd or self.home,
            env={**self.env, **(env or {})},
            start_new_session=True,
            pass_fds=pass_fds,
            **self.caller.popen(),
        )

    def terminal(
        self, *argv: str, rows: int = 24, cols: int = 80, cwd: Path | None = None
    ) -> Terminal:
        """``podsh ARGV`` on a terminal of its own."""
        return Terminal(
            [str(self.command), *argv], self.caller, self.env, str(cwd or self.home), rows, cols
        )

    def tmux(self, *argv: str, rows: int = 24, cols: int = 80, cwd: Path | None = None) -> Tmux:
        """``podsh ARGV`` in tmux; without ARGV the console."""
        return Tmux(
            [str(self.command), *argv],
            self.caller,
            self.env,
            str(cwd or self.home),
            self.base,
            rows,
            cols,
        )

    # ---------------------------------------------------------------- what there is

    def ps(self) -> list[dict[str, Any]]:
        """``podsh ps --json``"""
        done = self.run("ps", "--json")
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    def state_of(self, pod: str) -> str:
        """The state of a pod; empty where there is none of that name."""
        return next((str(row["state"]) for row in self.ps() if row["name"] == pod), "")

    def wait_state(self, pod: str, *states: str, timeout_s: float = 20) -> None:
        """Wait until ``pod`` is in one of ``states``."""
        end = time.monotonic() + timeout_s
        while (state := self.state_of(pod)) not in states:
            assert time.monotonic() < end, f"{pod} is {state or 'not there'}"
            time.sleep(0.05)

    def forget_pods(self) -> list[str]:
        """Remove every pod; the names of those that were still alive (these are killed)."""
        made = self.state / "podsh/pods"
        # every pod has its directory there: most tests leave none, and nobody has to be asked
        pods = self.ps() if made.exists() and any(made.iterdir()) else []
        live = [str(row["name"]) for row in pods if row["state"] in LIVE]
        if live:
            self.run("kill", "-s", "KILL", *live)
            for name in live:
                self.run("wait", name, "exit", "-t", "10")
        if pods:
            self.run("rm", *(str(row["name"]) for row in pods))
        return live

    def close(self) -> None:
        """End the portal and every pod."""
        self.run("shutdown", "--kill")
