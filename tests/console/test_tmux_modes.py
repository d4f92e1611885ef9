"""The console on other terminals: narrow, without colours or a cursor, for who listens to it."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.console.test_tmux import PROMPT, leave
from tests.helpers.tmux import Tmux

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh

REQUEST = r"web +\? (\d+) +read ~/secret"


def console(podsh: Podsh, *settings: str, rows: int = 24, cols: int = 80) -> Tmux:
    """A console in tmux with more of an environment."""
    argv = ["env", *settings, str(podsh.command)]
    return Tmux(argv, podsh.caller, podsh.env, str(podsh.home), podsh.base, rows, cols)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def enter(t: Tmux, line: str) -> None:
    t.type(line)
    t.keys("Enter")


@pytest.mark.parametrize("setting", ["ACCESSIBLE=1", "TERM=dumb", "NO_COLOR=1", "A=1"])
def test_where_events_come_and_colours(podsh: Podsh, setting: str) -> None:
    podsh.file(podsh.home / "secret", "secret\n")
    quiet = setting in ("ACCESSIBLE=1", "TERM=dumb")
    with console(podsh, setting) as t:
        t.wait(PROMPT)
        enter(t, "run -d -n web -- cat $HOME/secret")
        t.wait("^web$")
        if quiet:
            # between commands alone: a line has to be entered before one comes
            t.type("echo half")
            t.wait("podsh> echo half$")
            until(lambda: len(podsh.run("requests").out.splitlines()) == 2)
            assert not re.search(REQUEST, "\n".join(t.screen()).split("echo half")[1])
            t.keys("Enter")
            t.wait("^half$")
            until(lambda: enter(t, "") or re.search(REQUEST, "\n".join(t.screen())))
        ident = t.wait(REQUEST)[1]
        if quiet:
            assert "1 waiting (" not in "\n".join(t.screen())
        else:
            t.wait(r"1 waiting \(web")
        colored = t.call("capture-pane", "-p", "-e", "-S", "-")
        if setting in ("NO_COLOR=1", "TERM=dumb"):
            assert "\x1b[3" not in colored.replace("\x1b[39m", "")
        else:
            assert "\x1b[33m" in colored
        if setting == "TERM=dumb":
            assert "\x1b" not in colored
            enter(t, "review")
            t.wait("needs a terminal that moves its cursor")
        enter(t, f"deny {ident}")
        t.wait(rf"^{ident}: read .*/secret  denied")
        enter(t, "wait web exit")
        t.wait(PROMPT)
        leave(t)


def test_twenty_columns(podsh: Podsh) -> None:
    """Everything is there, in rows of its own; wide letters are not cut."""
    name = "日本語" * 4
    podsh.file(podsh.home / name, "content\n")
    with console(podsh, rows=14, cols=20) as t:
        t.wait(PROMPT)
        assert podsh.run("run", "-d", "-n", "web", "--", "cat", f"{podsh.home}/{name}").code == 0
        t.wait(r"^\d\d:\d\d:\d\d web   \? \d+")
        request = json.loads(podsh.run("requests", "--json").out)
        t.wait(r"^    cat \(pid \d+|^    .*cat")
        t.wait(r"^ 1 pod  1 waiting")
        enter(t, "requests")
        t.wait(r"ID +POD")
        text = "".join(line.strip() for line in t.screen())
        assert name in text
        enter(t, "review")
        t.wait(r"^\(below 60x15\)$")
        for _ in range(30):
            if any("the end: PgUp" in line for line in t.screen()):
                break
            t.keys("PageDown")
        t.wait("-- the end: PgUp")
        t.keys("Escape")
        t.wait(PROMPT)
        enter(t, f"allow {request['id']}")
        t.wait(r"once$")
        enter(t, "wait web exit")
        enter(t, "logs web")
        t.wait(r"^web \| content$")
        leave(t)


def test_the_first_words(podsh: Podsh) -> None:
    """What the machine has, what to try; the first request ever says what to do about it."""
    for name in ("history", "asked"):
        (podsh.state / "podsh" / name).unlink(missing_ok=True)
    podsh.file(podsh.home / "secret", "secret\n")
    with console(podsh) as t:
        t.wait(PROMPT)
        text = "\n".join(t.screen())
        assert re.search(
            r"^podsh: kernel ok \(userns, seccomp-notify, landlock\)\. No pods\.$", text, re.M
        )
        assert "Try:  run -- bash     C-] comes back here     help" in text
        for number in range(2):
            enter(t, f"run -d --rm -n web{number} -- cat $HOME/secret")
            t.wait(rf"web{number} +\? (\d+) +read ~/secret")
        hints = re.findall(r"^type review, or allow (\d+) / deny \1$", "\n".join(t.screen()), re.M)
        assert len(hints) == 1
        t.wait(r"^ 2 pods  2 waiting \(web0 0:\d\d\)  C-\] web1")
        for number in range(2):
            enter(t, f"deny --pod web{number}")
        t.wait(r"^ 0 pods$")
        leave(t)
