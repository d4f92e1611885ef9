"""A pod on a terminal: keys, job control, size, attach and detach, several viewers."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

# no line editing: what bash writes is then only what programs write
BASH = ("bash", "--norc", "--noprofile", "--noediting")
PROMPT = r"[#$] "


def test_a_shell_on_a_terminal(podsh: Podsh) -> None:
    with podsh.terminal("run", "--rm", "-n", "sh", "--", *BASH) as t:
        t.expect(PROMPT)
        t.send("tty; stty size; echo $((6*7))\r")
        t.expect(r"/dev/pts/\d+\r\n24 80\r\n42")
        t.send("exit 3\r")
        assert t.wait() == 3


def test_keys_reach_the_program(podsh: Podsh) -> None:
    with podsh.terminal("run", "--rm", "-n", "keys", "--", *BASH) as t:
        t.expect(PROMPT)
        t.send("sleep 100\r")
        time.sleep(0.3)
        t.send(b"\x03")
        t.send("echo int-$?\r")
        t.expect("int-130")
        t.send("sleep 100\r")
        time.sleep(0.3)
        t.send(b"\x1a")
        t.expect("Stopped")
        t.send("jobs; kill %1; wait; echo job-done\r")
        t.expect("job-done")
        t.send("cat | wc -c\r")
        time.sleep(0.2)
        t.send(b"four\r\x04")
        t.expect(r"\n5\r\n")
        t.send(b"\x04")
        t.wait()


def test_size_follows_the_window(podsh: Podsh) -> None:
    with podsh.terminal("run", "--rm", "-n", "size", "--", *BASH) as t:
        t.expect(PROMPT)
        t.send("trap 'echo winch $(stty size)' WINCH\r")
        t.expect(PROMPT)
        t.resize(40, 100)
        time.sleep(0.2)
        t.send("\r")
        t.expect("winch 40 100")
        t.send("exit\r")
        t.wait()


def test_output_at_the_exit_is_whole(podsh: Podsh) -> None:
    with podsh.terminal("run", "--rm", "--", "seq", "20000") as t:
        assert t.wait() == 0
        numbers = re.findall(rb"\d+", t.output)
        assert numbers == [str(n).encode() for n in range(1, 20001)]


def test_detach_and_attach_again(podsh: Podsh) -> None:
    with podsh.terminal("run", "-n", "back", "--", *BASH) as t:
        t.expect(PROMPT)
        t.send("echo first-mark\r")
        t.expect("\r\nfirst-mark")
        t.send(b"\x1d")
        t.expect("podsh>")
        t.send("ps\r")
        t.expect("back +running")
        t.send(b"\x1d")
        t.expect("first-mark")
        t.send("\recho in-again\r")
        t.expect("in-again\r\n")
        t.send(b"\x1d")
        t.expect("podsh>")
        t.send("quit\r")
        assert t.wait() == 0
    assert podsh.state_of("back") == "running"
    with podsh.terminal("attach", "back") as t:
        t.expect("first-mark")
        t.send("exit 7\r")
        assert t.wait() == 7
    podsh.wait_state("back", "exited")


def test_the_terminal_is_given_back_as_it_was(podsh: Podsh) -> None:
    with podsh.terminal("run", "--rm", "-n", "raw", "--", *BASH) as t:
        t.expect(PROMPT)
        t.send("exit\r")
        t.wait()
        tail = t.output[-2000:]
    # nothing that a program may have left on: mouse, bracketed paste, hidden cursor
    assert b"\x1b[?1049h" not in tail


def test_a_second_attach_takes_over(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "two", "--", *BASH)
    podsh.wait_state("two", "running")
    with podsh.terminal("attach", "two") as first:
        first.send("echo here-one\r")
        first.expect("\r\nhere-one")
        with podsh.terminal("attach", "two") as second:
            second.expect("here-one")
            second.send("echo here-two\r")
            second.expect("\r\nhere-two")
            first.wait()
            assert b"two is now attached" in first.output
            second.send("exit\r")
            second.wait()
    podsh.wait_state("two", "exited")


def test_dev_tty_and_the_controlling_terminal_are_the_pods(podsh: Podsh) -> None:
    done = podsh.pod("sh", "-c", "echo to-tty > /dev/tty; ps -o tty= -p $$ 2>/dev/null; echo $?")
    assert done.code == 0
    assert "to-tty" not in done.out  # its own pty, which nobody looks at here


def test_hangup_of_the_terminal_ends_the_pod(podsh: Podsh) -> None:
    with podsh.terminal("run", "-n", "hup", "--", *BASH) as t:
        t.expect(PROMPT)
        podsh.wait_state("hup", "running")
    podsh.wait_state("hup", "exited")
