"""Requests as a person sees them, in tmux: lines, the dialog, and from within a pod."""

from __future__ import annotations

import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Podsh
    from tests.helpers.tmux import Tmux

CONTENT = "the answer is 42"
PROMPT = r"^podsh>$"
SHELL = "bash --norc --noprofile"
PROGRAMS = {
    "busybox": "busybox cat {}",
    "cat": "cat {}",
    "python": "/usr/bin/python3 -c 'print(open(\"{}\").read())'",
    "git": "git hash-object {}",
}


@pytest.fixture
def file(podsh: Podsh) -> Iterator[Path]:
    """A file of the caller's that no profile shows."""
    directory = podsh.directory(f"home/d{time.monotonic_ns() % 10**6}")
    yield podsh.file(directory / "f", CONTENT + "\n")
    shutil.rmtree(directory)


def enter(t: Tmux, line: str) -> None:
    t.type(line)
    t.keys("Enter")


def title(t: Tmux) -> str:
    return t.call("display-message", "-p", "#{pane_title}")


def asked(t: Tmux, file: Path, mode: str = "read") -> str:
    """Wait for the line of a request for the file; its number."""
    found = t.wait(rf"^\d\d:\d\d:\d\d \w+ +\? (\d+) +{mode} ~/{file.parent.name}/f ")
    return found[1]


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_line_one_answer(podsh: Podsh, file: Path, name: str) -> None:
    line = PROGRAMS[name].format(file)
    needs_program(line.split()[0])
    with podsh.tmux(rows=40, cols=120) as t:
        t.wait(PROMPT)
        enter(t, f"run -d -n web -- {line}")
        ident = asked(t, file)
        t.wait(r"^ 1 pod  1 waiting \(web 0:0\d\)  C-\] web")
        enter(t, f"allow {ident}")
        t.wait(rf"^{ident}: read {file}  once$")
        t.wait(rf"web +\+ {ident} +read ~/{file.parent.name}/f +once$")
        t.wait(r"web +\. +exit 0 after")
        t.wait(r"^ 0 pods$")
        shown = "\n".join(t.history())
        assert len(re.findall(r" \? \d+ ", shown)) == 1, shown
        enter(t, "logs web")
        t.wait(rf"^web \| {CONTENT}$" if name != "git" else r"^web \| [0-9a-f]{40}$")
        # and no
        enter(t, f"run -d -n no -- {line}")
        t.wait(r"no +\? ")
        enter(t, f"deny {int(ident) + 1}")
        t.wait(rf"no +- {int(ident) + 1} +read ~/{file.parent.name}/f +denied")
        t.wait(r"no +\. +exit [1-9]\d* after")
        enter(t, "logs no")
        t.wait("No such file or directory|could not open|not open")
        enter(t, "quit")


def test_the_dialog_in_a_small_window(podsh: Podsh, file: Path) -> None:
    with podsh.tmux(rows=15, cols=60) as t:
        t.wait(PROMPT)
        enter(t, f"run -d -n web -- cat {file}")
        t.wait(r"\? \d+ +read")
        enter(t, "review")
        t.wait(r"^-- request (\d+) \(1 of 1\) -+ pod web, domain base$")
        t.wait(r"^wants to READ a file:$")
        path = str(file)
        whole = "".join(line.strip() for line in t.screen())
        assert whole.count(path) == 3  # who asks, for what, and the rule
        t.wait("^o once")
        t.wait("Esc later")
        for key in ("y", "Enter", "Space", "x"):
            t.keys(key)
        time.sleep(0.6)
        t.wait("^o once")
        assert podsh.state_of("web") == "running"
        t.keys("Escape")
        t.wait(PROMPT)
        enter(t, "review")
        t.wait("^o once")
        time.sleep(0.6)
        t.type("p")
        t.wait(r"^\d+: read .*$")
        t.wait(r"exit 0 after")
        enter(t, "quit")


def test_type_ahead_never_approves(podsh: Podsh, file: Path) -> None:
    with podsh.tmux() as t:
        t.wait(PROMPT)
        enter(t, f"run -d -n web -- cat {file}")
        t.wait(r"\? \d+ +read")
        t.call("send-keys", "-l", "--", "review\rooopppssso")
        t.wait("^o once")
        time.sleep(0.8)
        t.wait(r"\(1 of 1\)")
        t.call("set-buffer", "o")
        t.call("paste-buffer", "-p")
        time.sleep(0.3)
        t.wait(r"\(1 of 1\)")
        t.type("n")
        t.wait(r"exit 1 after")
        enter(t, "quit")


def test_from_within_a_pod(podsh: Podsh, file: Path) -> None:
    with podsh.tmux("run", "-n", "web", "--", *SHELL.split(), rows=30, cols=100) as t:
        t.wait(r"^bash-\S+[#$]")
        enter(t, f"cat {file}")
        end = time.monotonic() + 10
        while (shown := title(t)) != "[1 waiting] web - podsh\n":
            assert time.monotonic() < end, shown
            time.sleep(0.05)
        t.keys("C-]")
        ident = asked(t, file)
        t.wait("^1 waiting: review, or allow ID / deny ID$")
        enter(t, f"allow {ident}")
        t.wait(rf"^{ident}: read")
        t.keys("C-]")
        t.wait(f"^{CONTENT}$")
        assert "waiting" not in title(t)
        enter(t, "exit 3")
        time.sleep(0.5)
    podsh.wait_state("web", "exited")


def test_vim_in_a_pod(podsh: Podsh, file: Path) -> None:
    needs_program("vim")
    with podsh.tmux(rows=30, cols=100) as t:
        t.wait(PROMPT)
        enter(t, f"run -n ed -- vim -n -u NONE -i NONE -R {file}")
        time.sleep(1.0)
        t.keys("C-]")
        enter(t, "review")
        # its directory, the file, whether it may write there: one dialog, or another
        end = time.monotonic() + 30
        while time.monotonic() < end:
            lines = t.screen()
            if CONTENT in lines:
                break
            if any(line.startswith("o once") for line in lines):
                time.sleep(0.6)
                t.type("p")
            elif any("waiting (ed" in line for line in lines):
                enter(t, "review")
            elif "podsh>" in lines or "waiting" in title(t):  # there, or back for one more
                t.keys("C-]")
            time.sleep(0.5)
        t.wait(f"^{CONTENT}$")
        enter(t, ":q!")
        t.wait(r"ed +\. +exit 0")
        enter(t, "quit")


def test_the_bell_rings_once(podsh: Podsh, file: Path) -> None:
    with podsh.terminal("run", "--rm", "-n", "web", "--", *SHELL.split()) as t:
        t.expect(r"bash-\S+[#$]")
        t.send(f"cat {file}\r")
        t.expect(rb"\x1b\]2;\[1 waiting\] web - podsh\x1b\\")
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            t.pump()
        assert t.output.count(b"\a") == 1
        (row,) = podsh.run("requests").out.splitlines()[1:]
        podsh.run("deny", row.split()[0])
        t.expect("No such file or directory")
        while b"\x1b[23;0t" not in t.output:  # the person's title comes back
            assert t.pump()
        t.send("exit\r")
        t.wait()
