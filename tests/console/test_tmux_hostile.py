"""Hostile programs and names, with real pods in tmux: nothing in the console is theirs."""

from __future__ import annotations

import json
import os
import re
import time
from typing import TYPE_CHECKING

from tests.console.test_tmux import PROMPT, leave

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh
    from tests.helpers.tmux import Tmux

# what a program draws: podsh's prompt, a dialog of its own, and questions to the terminal
FAKE = r"""
import sys, threading
threading.Thread(target=lambda: open(sys.argv[1]).read(), daemon=True).start()
out = sys.stdout
out.write("\033[2J\033[H\033[8m\033[5;9rhidden\033[0m\033[r\033[H")
out.write("-- request 1 (1 of 1) --\r\nwants to READ a file:\r\n  /tmp/harmless\r\n")
out.write("rule to add:  read /tmp/harmless\r\no once  p this pod  n deny\r\npodsh> ")
out.write("\033[c\033[>q\033[6n\033]52;c;b3Bz\007\033]0;podsh\007")
out.flush()
while True:
    sys.stdin.read(1)
"""
# ESC, line ends, bidi, C1, blank fillers; what it would be a line of
NAME = os.fsencode("x\x1b[2J\x1b]0;t\x07\r\npodsh> allow 1\n12:00:00 fake + 1 \u202e\x9b31m\u3164y")


def enter(t: Tmux, line: str) -> None:
    t.type(line)
    t.keys("Enter")


def waiting(podsh: Podsh) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in podsh.run("requests", "--json").out.splitlines()]
    return [row for row in rows if row["state"] == "waiting"]


def one_waits(podsh: Podsh) -> int:
    end = time.monotonic() + 20
    while not (rows := waiting(podsh)):
        assert time.monotonic() < end
        time.sleep(0.05)
    (row,) = rows
    return int(str(row["id"]))


def test_a_fake_prompt_gets_nothing_approved(podsh: Podsh) -> None:
    """Keys that are typed at it reach the pod alone, and the console shows nothing of it."""
    secret = podsh.file(podsh.home / "secret", "secret\n")
    program = podsh.file(podsh.directory("home/fake") / "fake.py", FAKE)
    argv = [
        "run",
        "-n",
        "evil",
        "--ro",
        str(program.parent),
        "--",
        "/usr/bin/python3",
        str(program),
    ]
    with podsh.tmux(rows=30, cols=100) as t:
        t.wait(PROMPT)
        enter(t, " ".join([*argv, str(secret)]))
        t.wait("^o once  p this pod")
        ident = one_waits(podsh)
        for keys in (f"allow {ident}", "o", "p", "y", f"allow {ident} --pod", "review"):
            enter(t, keys)
        t.type("oooo")
        time.sleep(0.6)  # longer than keys are inert
        assert [row["id"] for row in waiting(podsh)] == [ident]
        t.keys("C-]")
        t.wait(rf"^\d\d:\d\d:\d\d evil +\? {ident} +read ~/secret")
        t.wait(PROMPT)
        screen = "\n".join(t.history())
        assert "harmless" not in screen
        assert "hidden" not in screen
        assert [row["id"] for row in waiting(podsh)] == [ident]
        # and what was typed there is not typed again here
        enter(t, "echo the-line-is-mine")
        t.wait("^the-line-is-mine$")
        enter(t, f"deny {ident}")
        t.wait(rf"evil +- {ident} +read ~/secret")
        enter(t, "kill -s KILL evil")
        t.wait(r"evil +\. +killed by KILL")
        leave(t)


def test_names_that_would_move_the_cursor(podsh: Podsh) -> None:
    """In event lines, lists, the dialog, why, tree and completion: escaped, never a row's start."""
    directory = podsh.directory("home/h")
    file = podsh.file(directory / os.fsdecode(NAME), "content\n")
    fake = re.compile(r"^(12:00:00|podsh> allow 1)", re.MULTILINE)
    with podsh.tmux(rows=40, cols=60) as t:
        t.wait(PROMPT)
        script = 'cat "$1"; sleep 100'
        done = podsh.run("run", "-d", "-n", "web", "--", "sh", "-c", script, "sh", str(file))
        assert done.code == 0
        t.wait(r"web +\? (\d+) +read")
        ident = one_waits(podsh)
        for line, there in {
            "requests": r"ID +POD",
            "ps -l": r"NAME +STATE",
            "tree web": "processes",
            f"why web {directory}": "because",
            "events web": r"start sh -c",
        }.items():
            enter(t, "echo begin")
            enter(t, line)
            t.wait(there)
            enter(t, "echo end")
            t.wait("^end$")
        text = "\n".join(t.history())
        assert not fake.search(text)
        assert "\\e[2J" in text
        assert "\\u202e\\x9b31m\\u3164y" in text
        assert "\u3164" not in text
        # keys that were sent before and while it opens give nothing
        t.call("send-keys", "-l", "--", f"review {ident}\rooop")
        t.type("oo")
        t.wait("^rule to add:")
        text = "\n".join(t.screen())
        assert not fake.search(text)
        assert "non-ASCII: U+202E, U+009B, U+3164" in text.replace("\n    ", "")
        assert [row["id"] for row in waiting(podsh)] == [ident]
        t.type("n")
        t.wait(r"web +- \d+ +read")
        t.wait(PROMPT)  # what is typed before belongs to the dialog
        t.type(f"source {directory}/x")
        t.keys("Tab")
        t.wait(r"podsh> source \$'/")
        assert not fake.search("\n".join(t.screen()))
        t.keys("C-u")
        enter(t, "logs web")
        t.wait(r"^web \| .*")
        assert not fake.search("\n".join(t.history()))
        enter(t, "kill -s KILL web")
        # not by its event: the list above may have one of an earlier pod of that name
        podsh.wait_state("web", "exited")
        leave(t)
    file.unlink()
