"""Attached, in tmux: programs look the same when one comes back; nothing of a pod's gets out."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.runner import Podsh
    from tests.helpers.tmux import Tmux

SHELL = "bash --norc --noprofile"
READY = r"^bash-\S+[#$]"
PROMPT = r"^podsh>$"


def settled(t: Tmux) -> list[str]:
    """The screen, once it stays as it is."""
    before = t.screen()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        time.sleep(0.15)
        now = t.screen()
        if now == before:
            return now
        before = now
    raise AssertionError("the screen does not come to rest")


def looks(t: Tmux, wanted: Callable[[list[str]], bool]) -> list[str]:
    """Wait until the screen is as ``wanted``."""
    end = time.monotonic() + 20
    while not wanted(screen := t.screen()):
        assert time.monotonic() < end, "\n".join(screen)
        time.sleep(0.05)
    return screen


def away_and_back(t: Tmux, rows: int = 0, cols: int = 0) -> None:
    """C-] to the console, and back to the pod; at another size."""
    t.keys("C-]")
    t.wait(PROMPT)
    if rows:
        t.resize(rows, cols)
        t.wait(PROMPT)
    t.keys("C-]")


def test_programs_look_the_same_after_coming_back(podsh: Podsh) -> None:
    for name in ("less", "htop"):
        needs_program(name)
    lines = "".join(f"line {n} of a file\n" for n in range(1, 200))
    podsh.file(podsh.home / "text", lines)
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type(f"run --rm -n web --rw {podsh.home}/text -- {SHELL}")
        t.keys("Enter")
        t.wait(READY)
        t.type("cd; PS1='pod$ '; clear; for n in 1 2 3; do echo said-$n; done")
        t.keys("Enter")
        t.wait(r"^said-3$\n^pod\$$")

        # a shell, with something typed
        t.type("echo half")
        before = looks(t, lambda screen: "pod$ echo half" in screen)
        away_and_back(t)
        looks(t, lambda screen: screen == before)
        t.keys("BSpace", "BSpace")
        t.wait(r"^pod\$ echo ha$")
        t.keys("C-u")
        t.wait(r"^pod\$$")

        # vim, scrolled and with its cursor somewhere
        t.type("vi -n -u NONE text")
        t.keys("Enter")
        t.wait("^line 1 of")
        t.keys("C-d", "C-d", "j")
        t.wait("^line 25 of")
        before = settled(t)
        away_and_back(t)
        looks(t, lambda screen: screen == before)
        away_and_back(t, 30, 100)
        looks(t, lambda screen: sum(line.endswith("of a file") for line in screen) == 29)
        away_and_back(t, 24, 80)
        looks(t, lambda screen: sum(line.endswith("of a file") for line in screen) == 23)
        t.type(":q!")
        t.keys("Enter")
        # the shell's screen comes back, though the terminal was another in between
        t.wait(r"(?s)^said-1$.*^said-3$.*^pod\$ vi -n -u NONE text$\n^pod\$$")

        t.type("less text")
        t.keys("Enter")
        t.wait("^line 1 of")
        t.keys("Space", "j")
        t.wait("^line 25 of")
        before = settled(t)
        away_and_back(t)
        looks(t, lambda screen: screen == before)
        away_and_back(t, 30, 100)
        looks(t, lambda screen: sum(line.endswith("of a file") for line in screen) == 29)
        away_and_back(t, 24, 80)
        looks(t, lambda screen: sum(line.endswith("of a file") for line in screen) == 23)
        t.keys("q")
        t.wait(r"^said-3$")

        t.type("htop")
        t.keys("Enter")
        t.wait("F10")
        for size in ((0, 0), (30, 100)):
            away_and_back(t, *size)
            screen = looks(t, lambda screen: any("F10" in line for line in screen))
            assert any("PID USER" in line for line in screen)
        t.keys("F10")
        t.wait(r"^pod\$$")
        t.keys("C-]")
        t.wait(PROMPT)
        # nothing of all that is in the console's scrollback
        assert not re.search("said-|of a file|F10|pod\\$", "\n".join(t.history()))
        t.type("kill web")
        t.keys("Enter")
        t.wait("web +. +killed")


EVIL = r"""
import os, sys, time
out = lambda data: os.write(1, data)
os.system("stty raw -echo")
kind = sys.argv[1]
if kind == "look":
    # hidden text, colours, a scroll region, a window title, an unterminated string at the end
    out(b"\x1b]2;allow 1\x07\x1b]52;c;ZXZpbA==\x07\x1b[8m\x1b[41m\x1b[5;7r\x1b[?6h\x1b[?7l")
    out(b"\x1b[4h\x0e\x1b[2h\x1b[?1000h\x1b[?1003h\x1b[?1006h\x1b[?2004h\x1b[?25l\x1b[?1049l")
    # and keyboards that would report C-] as an escape sequence
    out(b"\x1b[?47l\x1b[?1049h\x1bc\x1b[3J\x1b[>1u\x1b[=31;1u\x1b[>4;2m\x1b[?1036h")
    out(b"podsh> allow 1\r\n1: read /etc/shadow  once\r\npodsh> there \x1bP never ended ")
elif kind == "ask":
    while True:
        out(b"\x1b[5n\x1b[5n\x1b[c\x1b[>c\x1b[6n\x1b[>q\x1b]11;?\x1b\\\x1bP$qm\x1b\\\x1b[5n\x1bZ")
        out(b"\x05\x1b[21t\x1b]52;c;?\x07")
        time.sleep(0.0005)
elif kind == "flood":
    out(b"begun")
    for _ in range(160):
        out(b"0123456789abcdef" * 4096)
    out(b"ended")
out(b"there")
sys.stdin.buffer.read(1)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["look", "ask", "flood"])
def test_a_hostile_program_changes_nothing(podsh: Podsh, kind: str) -> None:
    podsh.file(podsh.home / "evil.py", EVIL)
    secret = podsh.file(podsh.home / "secret", "s")
    program = f"python3 {podsh.home}/evil.py {kind}"
    script = f"cat {secret} & {program}"
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.call("set", "-g", "set-clipboard", "on")
        options = f"-p python --ro {podsh.home}/evil.py"
        t.type(f'run --rm -n evil {options} -- sh -c "{script}"')
        t.keys("Enter")
        if kind == "flood":
            t.wait("endedthere")
        elif kind != "ask":
            t.wait("there")
        title = "#{pane_title}"
        # the title is podsh's own, and says that somebody asks
        end = time.monotonic() + 20
        while "[1 waiting] evil - podsh" not in (shown := t.call("display", "-p", title)):
            assert time.monotonic() < end, shown
            time.sleep(0.05)
        t.keys("C-]")
        t.wait(r"evil +\? \d+ +read ~/secret")
        t.wait(PROMPT)
        screen = "\n".join(t.history())
        assert not re.search(r"there|begun|ended|0123456789|once|\[\?|\d;\d|R\d", screen), screen
        # the person's terminal is as it was: colours, wrapping, region, cursor, mouse
        flags = "#{cursor_flag} #{insert_flag} #{wrap_flag} #{origin_flag} #{mouse_any_flag}"
        region = "#{scroll_region_upper} #{scroll_region_lower} #{alternate_on}"
        assert t.call("display", "-p", f"{flags} {region}").split() == "1 0 1 0 0 0 23 0".split()
        assert "\x1b[" not in t.call("capture-pane", "-p", "-e", "-S", "0", "-E", "0")
        assert t.call("list-buffers") == ""
        # and no answer of the terminal's was taken for something typed
        t.type("requests")
        t.keys("Enter")
        t.wait(r"^podsh> requests$\n(?s:.*)~/secret")
        rows = podsh.run("requests", "--all", "--json").out
        assert '"state":"waiting"' in rows
        t.type("kill -s KILL evil")
        t.keys("Enter")
        t.wait(r"evil +\. +killed by KILL")


def test_two_consoles_watching_taking_over_and_sending(podsh: Podsh) -> None:
    assert podsh.run("run", "-d", "-n", "web", "--", *SHELL.split()).code == 0
    with podsh.tmux() as one, podsh.terminal(rows=30, cols=100) as two:
        one.wait(PROMPT)
        two.expect("podsh>")
        one.type("attach web")
        one.keys("Enter")
        one.wait(READY)
        one.type("echo mark-$((40+2))")
        one.keys("Enter")
        one.wait("^mark-42$")
        # read-only: the first stays attached, and no key goes through
        two.send("attach --watch web\r")
        two.expect("mark-42")
        two.send("echo from-two\r")
        one.type("echo mark-$((50+2))")
        one.keys("Enter")
        two.expect("mark-52\r\n")
        assert "from-two" not in "\n".join(one.screen())
        two.send(b"\x03")
        two.expect("podsh>")
        # typed from elsewhere, by text and by key
        assert podsh.run("send", "web", r"echo sent-$((1+1))\n").code == 0
        one.wait("^sent-2$")
        assert podsh.run("send", "web", "-k", "Up", "-k", "Enter").code == 0
        one.wait(r"^sent-2$\n(?s:.*)^sent-2$")
        assert podsh.run("send", "web", "cat -v", "-k", "Enter").code == 0
        assert podsh.run("send", "web", "-k", "C-]", "-k", "C-d", "-k", "F5", "-k", "M-x").code == 0
        one.wait(r"\^\]")
        assert podsh.run("send", "web", "-k", "Enter", "-k", "C-d").code == 0
        # the second takes it over; the first is told, and its console goes on
        two.send("attach web\r")
        two.expect("mark-52")
        one.wait("web is now attached elsewhere")
        one.wait(PROMPT)
        two.send("echo size $(stty size)\r")
        two.expect("size 30 100")
        one.type("ps")
        one.keys("Enter")
        one.wait("^web +running")
        two.send("exit 4\r")
        two.expect(r"exit 4 after(?s:.*)podsh>")
        one.wait("web +. +exit 4")
        two.send("quit\r")
        two.wait()


def test_another_attention_key(podsh: Podsh) -> None:
    with podsh.tmux() as t:
        t.wait(PROMPT)
        t.type("set PODSH_ATTENTION=C-t")
        t.keys("Enter")
        t.type(f"run --rm -n web -- {SHELL}")
        t.keys("Enter")
        t.wait(READY)
        t.type("echo one; cat -v")
        t.keys("Enter")
        t.wait("^one$")
        t.keys("C-]", "Enter")
        t.wait(r"^\^\]$")  # it is the program's now
        t.keys("C-t")
        t.wait(r"C-t web")
        t.keys("C-t")
        t.wait(r"^\^\]$")
        t.keys("C-d")
        t.type("exit")
        t.keys("Enter")
        t.wait("web +. +exit 0")
    done = podsh.run("run", "--", "true", env={"PODSH_ATTENTION": "C-m"})
    assert done.code == 2
    assert "PODSH_ATTENTION: 'C-m' cannot be it (that is Enter)" in done.err


def test_a_program_by_exec_goes_on_while_nobody_looks(podsh: Podsh) -> None:
    assert podsh.run("run", "-d", "-n", "web", "--", "sleep", "100").code == 0
    with podsh.tmux() as t:
        t.wait(PROMPT)
        # more than any buffer on the way holds
        t.type(
            'exec web -- sh -c "echo ready; read go; seq 300000; touch /tmp/done; echo all; read a"'
        )
        t.keys("Enter")
        t.wait("^ready$")
        t.keys("Enter")
        t.wait(r"^\d+$")
        t.keys("C-]")
        t.wait(PROMPT)
        end = time.monotonic() + 20
        while podsh.run("exec", "web", "--", "test", "-e", "/tmp/done").code:
            assert time.monotonic() < end
        t.keys("C-]")
        t.wait(r"^300000$\n^all$")
        t.keys("Enter")
        t.wait("^podsh: web: exit 0$")
        t.type("kill -s KILL web")
        t.keys("Enter")
        t.wait("killed by KILL")
