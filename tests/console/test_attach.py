"""The attach engine on a pty, the test being the monitor (see person.py)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from podsh.console import screen
from podsh.console.filter import WELL
from podsh.wire.framing import encode_data
from tests.console.person import Person

EXIT = {"ev": "exit", "code": 3, "signal": None}
STARTED = {"ev": "started", "pid": 1}


def test_output_and_keys_and_exit() -> None:
    with Person() as p:
        p.send(STARTED, b"hello\r\n$ ")
        p.sees(rb"hello\r\n\$ ")
        p.type(b"ls\r")
        p.typed(b"ls\r")
        p.send(b"last words", EXIT)
        found = p.outcome()
        assert (found["reason"], found["code"]) == ("exit", 3)
        assert found["restored"]
        assert found["blocking"]
        # a plain program leaves the terminal alone
        assert p.screen == b"hello\r\n$ last words"


def test_control_characters_are_keys() -> None:
    with Person() as p:
        p.send(STARTED, b"ready")
        p.sees(b"ready")
        p.type(b"\x03\x1a\x04\x11\x13\x1c\x7f\r")
        p.typed(b"\x03\x1a\x04\x11\x13\x1c\x7f\r")
        p.send(EXIT)
        p.outcome()


def test_the_alternate_screen_is_ours() -> None:
    with Person(alternate=True, name="web") as p:
        p.send({"ev": "attached"}, b"shell$ vim\r\n\x1b[?1049h~~~")
        p.sees(b"~~~")
        assert p.screen.index(screen.ENTER_ALTERNATE) < p.screen.index(b"shell$")
        assert b"\x1b]2;web - podsh\x1b\\" in p.screen
        assert p.screen.count(b"?1049h") == 1
        p.send(b"\x1b[?1049l", EXIT)
        found = p.outcome()
        assert found["tail"] == "shell$ vim\r\n"
        end = screen.RESET + screen.LEAVE_ALTERNATE + screen.RESTORE_TITLE + WELL
        assert p.screen.endswith(b"shell$ vim\r\n" + end)


@pytest.mark.parametrize("key", [b"\x1d", b"\x1b[93;5u", b"\x1b[27;5;93~"])
def test_the_attention_key_detaches(key: bytes) -> None:
    with Person(alternate=True, filtered=False) as p:
        p.send(b"\x1b[?1000h\x1b]0;unterminated")
        p.sees(b"unterminated")
        p.type(b"before" + key + b"after")
        p.message(op="detach")
        assert p.keys == b"before"
        p.send(b"still talking", {"ev": "detached"})
        assert p.outcome() == {
            "reason": "attention",
            "code": 0,
            "signal": None,
            "tail": "",
            "restored": True,
            "blocking": True,
        }
        assert b"unterminated" + screen.RESET in p.screen
        assert b"still talking" not in p.screen


def test_the_fence_swallows_the_terminals_answers() -> None:
    with Person(alternate=True, answers=False) as p:
        p.send(b"\x1b[c\x1b[6n")
        p.sees(rb"\x1b\[6n")
        p.type(b"\x1d")
        p.message(op="detach")
        p.send({"ev": "detached"})
        p.sees(rb"\x1b\[5n")
        p.type(b"\x1b[?1;2c\x1b[1;1R\x1b[0n")
        p.outcome()
        # nothing of it is left for who reads the terminal next
        assert b"[?1;2c" not in p.screen.rpartition(b"\x1b[5n")[2]


def test_the_fence_is_not_the_answer_to_a_question_of_the_pods() -> None:
    """It asks the same just before: what comes between the two answers is not left either."""
    with Person(alternate=True, answers=False) as p:
        p.send(b"\x1b[5n")
        p.sees(rb"\x1b\[5n")
        p.type(b"\x1b[0n")
        p.typed(b"\x1b[0n")  # it was answered: this one does not count
        p.send(b"\x1b[5n\x1b[5n\x1b[c")
        p.sees(rb"\x1b\[c")
        p.type(b"\x1d")
        p.message(op="detach")
        p.send({"ev": "detached"})
        p.sees(rb"\x1b\[c.*\x1b\[5n")
        p.type(b"\x1b[0n\x1b[0n\x1b[?1;2c")
        for _ in range(3):
            p.pump()
        assert p.process.isalive()
        p.type(b"\x1b[0n")
        assert p.outcome()["restored"]
        assert b"[?1;2c" not in p.screen.rpartition(b"\x1b[5n")[2]


def test_who_watches_types_nothing() -> None:
    with Person(alternate=True, watch=True) as p:
        p.send({"ev": "watching"}, b"seen\x1b[c\x1b[6n")
        p.sees(b"seen")
        p.type(b"ls\r")
        p.type(b"\x1d")
        p.message(op="detach")
        p.send({"ev": "detached"})
        assert p.outcome()["reason"] == "attention"
        assert p.keys == b""
        assert b"\x1b[c" not in p.screen
    with Person(alternate=True, watch=True, filtered=False) as p:
        p.send({"ev": "watching"}, b"seen")
        p.sees(b"seen")
        p.type(b"\x03")
        p.message(op="detach")
        p.send({"ev": "detached"})
        assert p.outcome()["restored"]


def test_what_is_filtered_and_what_is_not() -> None:
    hostile = b"a\x1b]52;c;QUJD\x07b\x1b[2hc"
    with Person(alternate=True) as p:
        p.send(hostile)
        p.sees(b"abc")
        p.send(EXIT)
        assert p.outcome()["tail"] == "abc"
    with Person(filtered=False) as p:
        p.send(STARTED, hostile)
        p.sees(rb"\x1b\[2hc")
        p.send(EXIT)
        p.outcome()
        assert p.screen.startswith(hostile)


def test_a_terminal_that_answers_nothing_costs_half_a_second() -> None:
    with Person(alternate=True, answers=False) as p:
        p.send(b"x")
        p.sees(b"x")
        start = time.monotonic()
        p.type(b"\x1d")
        p.message(op="detach")
        p.send({"ev": "detached"})
        assert p.outcome()["restored"]
        assert time.monotonic() - start < 3


def test_exit_while_leaving_is_an_exit() -> None:
    with Person(alternate=True) as p:
        p.send(b"x")
        p.sees(b"x")
        p.type(b"\x1d")
        p.message(op="detach")
        p.send(b"bye", EXIT)
        assert p.outcome()["reason"] == "exit"


def test_all_of_a_long_output_is_shown_before_the_end() -> None:
    with Person() as p:
        line = b"0123456789abcdef" * 4 + b"\r\n"
        total = 3 << 20
        data = line * (total // len(line))
        p.send(STARTED)
        p.sock.setblocking(False)
        stream = memoryview(
            b"".join(encode_data(data[i : i + 60000]) for i in range(0, len(data), 60000))
        )
        while stream:
            try:
                stream = stream[p.sock.send(stream) :]
            except BlockingIOError:
                p.pump()
        p.sock.setblocking(True)
        p.send(EXIT)
        assert p.outcome()["reason"] == "exit"
        assert p.screen == data


def test_a_slow_terminal_slows_the_monitor() -> None:
    with Person() as p:
        p.send(STARTED, b"go")
        p.sees(b"go")
        p.sock.setblocking(False)
        sent = 0
        stuck = 0
        frame = encode_data(b"x" * 30000)
        while stuck < 20:
            try:
                sent += p.sock.send(frame)
                stuck = 0
            except BlockingIOError:
                stuck += 1
                time.sleep(0.02)
            assert sent < 8 << 20
        resident = Path(f"/proc/{p.process.pid}/statm").read_text().split()[1]
        assert int(resident) * 4096 < 60 << 20
        # and C-] works all the same
        p.type(b"\x1d")
        p.message(op="detach")


def test_the_size_follows() -> None:
    with Person() as p:
        p.send(STARTED, b"x")
        p.sees(b"x")
        p.process.setwinsize(40, 100)
        assert p.message(op="size") == {"op": "size", "rows": 40, "cols": 100}
        p.send(EXIT)
        p.outcome()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
def test_signals_are_for_the_program(name: str) -> None:
    number = getattr(signal, name)
    with Person() as p:
        p.send(STARTED, b"x")
        p.sees(b"x")
        p.signal(number)
        assert p.message(op="signal")["signo"] == number
        p.send({"ev": "exit", "code": 128 + number, "signal": int(number)})
        found = p.outcome()
        assert (found["code"], found["signal"]) == (128 + number, number)


def test_signals_to_an_attachment_only_detach_it() -> None:
    with Person(forward=False, alternate=True) as p:
        p.send(b"x")
        p.sees(b"x")
        p.signal(signal.SIGTERM)
        p.message(op="detach")
        p.send({"ev": "detached"})
        found = p.outcome()
        assert (found["reason"], found["code"]) == ("signal", 143)
        assert found["restored"]


def test_stopped_and_continued_it_takes_the_terminal_again() -> None:
    with Person() as p:
        p.send(STARTED, b"x")
        p.sees(b"x")
        p.signal(signal.SIGSTOP)
        time.sleep(0.1)
        p.signal(signal.SIGCONT)
        p.message(op="size")
        p.type(b"\x03")
        p.typed(b"\x03")
        p.send(EXIT)
        assert p.outcome()["restored"]


def test_a_dead_monitor_is_told() -> None:
    with Person(alternate=True) as p:
        p.send(b"half a line")
        p.sees(b"half a line")
        p.sock.close()
        found = p.outcome()
        assert (found["reason"], found["code"]) == ("lost", 125)
        assert found["restored"]


def test_a_launch_error_is_raised() -> None:
    with Person() as p:
        error = {
            "kind": "NotFound",
            "cause": "nosuch: not found in the pod",
            "place": "",
            "hint": "",
        }
        p.send({"error": error})
        found = p.outcome()
        assert found["kind"] == "NotFound"
        assert found["restored"]


def test_taken_over() -> None:
    with Person() as p:
        p.send(STARTED, b"x")
        p.sees(b"x")
        p.send({"ev": "taken"})
        assert p.outcome()["reason"] == "taken"


def test_a_hung_up_terminal_ends_it() -> None:
    with Person() as p:
        p.send(STARTED, b"x")
        p.sees(b"x")
        pid = p.process.pid
        p.process.fileobj.close()
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if os.waitpid(pid, os.WNOHANG)[0]:
                break
            time.sleep(0.02)
        else:
            raise AssertionError("still there")
        p.process.terminated = True
        # it left without a detach: the monitor ends the pod
        p.sock.settimeout(1)
        rest = b""
        while data := p.sock.recv(4096):
            rest += data
        assert b"detach" not in rest


def test_what_needs_it_is_reset_on_the_normal_screen() -> None:
    with Person() as p:
        p.send(STARTED, b"\x1b[?1049h\x1b[?1000hvim")
        p.sees(b"vim")
        assert b"\x1b[?1049hvim" not in p.screen  # passed on as it is
        p.send({"ev": "exit", "code": 137, "signal": 9})
        p.outcome()
        assert p.screen.endswith(b"vim" + screen.RESET + screen.LEAVE_ALTERNATE + WELL)


def test_held_programs_come_back() -> None:
    with Person(alternate=True, hold=True, times=2) as p:
        p.send(STARTED, b"pod$ ")
        p.sees(rb"pod\$ ")
        p.type(b"\x1d")
        p.message(op="away")
        p.send(b"nobody sees it", {"ev": "away"})
        p.message(op="back", rows=24)
        p.send(b"pod$ ")
        p.sees(rb"\x1b\[\?1049l.*\x1b\[\?1049h.*pod\$ ")
        p.send(b"more", EXIT)
        assert p.outcome()["tail"] == "pod$ more"
        assert b"nobody sees it" not in p.screen


def test_cooked_output_keeps_signals() -> None:
    """Standard output is a file: keys go to the pod, Ctrl-C is a signal."""
    with Person(raw=False) as p:
        p.send(STARTED, b"x")
        p.sees(b"x")
        p.type(b"line\r\x1d")
        p.typed(b"line\r\x1d")
        p.type(b"\x03")
        assert p.message(op="signal")["signo"] == signal.SIGINT
        p.send(EXIT)
        assert p.outcome()["restored"]
