"""The command line against a stand-in portal: what is asked, what is printed, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from podsh.cli import main
from podsh.commands.events import moment
from podsh.errors import Disconnected, LaunchFailed, NotFound, TimedOut, UsageError
from podsh.wire import messages
from tests.console.portal import Portal

if TYPE_CHECKING:
    from pathlib import Path

    from podsh.errors import PodshError


def test_ps(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps"]) == 0
    header, web, old = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "STATE", "PID", "PROFILE", "AGE", "COMMAND"]
    assert web.split()[:4] == ["web", "running", "401", "dev"]
    assert "exit 2" in old
    assert '"\\e[2J"' in old
    assert main(["ps", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0]["name"] == "web"
    assert rows[0]["v"] == 1
    assert main(["ps", "-l"]) == 0
    assert "ATTACHED" in capsys.readouterr().out


def test_kill_with_a_signal_only_sends_it(portal: Portal) -> None:
    assert main(["kill", "-s", "usr1", "web", "old"]) == 0
    assert [call for call in portal.calls if call[0] == "kill"] == [
        ("kill", {"name": "web", "signal": 10}),
        ("kill", {"name": "old", "signal": 10}),
    ]


def test_kill_waits_and_then_kills(portal: Portal) -> None:
    answers = iter([TimedOut("is still running"), None])

    def wait(_: dict[str, object]) -> dict[str, object]:
        error = next(answers)
        if error is not None:
            raise error
        return {"exit": 137}

    portal.answers["wait"] = wait
    assert main(["kill", "web"]) == 0
    done = [(op, fields.get("signal")) for op, fields in portal.calls]
    assert done == [("kill", 15), ("wait", None), ("kill", 9), ("wait", None)]


def test_wait_gives_the_exit_code(portal: Portal) -> None:
    portal.answers["wait"] = lambda _: {"exit": 3, "signal": None}
    assert main(["wait", "web", "exit", "-t", "1.5"]) == 3
    ((op, fields),) = portal.calls
    assert (op, fields["name"]) == ("wait", "web")
    assert 0 < fields["timeout_s"] <= 1.5
    assert main(["wait", "web", "exit", "-t", "soon"]) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (TimedOut("x"), 124),
        (NotFound("x"), 127),
        (LaunchFailed("x"), 125),
        (Disconnected("x"), 125),
    ],
)
def test_errors_become_exit_codes(
    portal: Portal, error: PodshError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: dict[str, object]) -> dict[str, object]:
        raise error

    portal.answers["rm"] = fail
    assert main(["rm", "web"]) == code
    assert capsys.readouterr().err == "podsh: x\n"


def test_events_until_now(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.kept = [
        {"ev": "start", "ts": 0, "pod": "web", "argv": ["a\x1b"], "pid": 7},
        {"ev": "exit", "ts": 1, "pod": "web", "code": 0, "seconds": 1},
    ]
    assert main(["events"]) == 0
    out = capsys.readouterr().out
    assert 'start "a\\e" (pid 7)' in out
    assert "exit 0 after 1s" in out
    assert main(["events", "--json", "web"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["ev"] == "start"
    op, fields = portal.calls[-1]
    assert (op, fields["since"], fields["pods"], fields["follow"]) == (
        "events", "start", ["web"], False,
    )  # fmt: skip


def test_events_of_some_kinds_and_times(
    portal: Portal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert main(["events", "a", "b", "-k", "grant", "--kind=exit", "-s", "10m", "-n", "5"]) == 0
    fields = portal.calls[-1][1]
    assert (fields["pods"], fields["kinds"]) == (["a", "b"], ["grant", "exit"])
    assert (fields["after"], fields["last"]) == (now - 600, 5)
    for wrong in (["-k", "nope"], ["-s", "soon"], ["-n", "-1"]):
        assert main(["events", *wrong]) == 2
    assert "did you mean note?" in capsys.readouterr().err


def test_the_days_of_events(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    """A line says the time; what is not of today says the day, once."""
    today = time.time()
    portal.kept = [
        {"ev": "note", "ts": ts, "pod": "web", "text": text}
        for ts, text in ((0.0, "old"), (1.0, "as old"), (today, "new"))
    ]
    assert main(["events"]) == 0
    old, first, second, new, third = capsys.readouterr().out.splitlines()
    assert re.match(r"-- 19(69|70)-", old)
    assert [first[-3:], second[-6:], third[-3:]] == ["old", "as old", "new"]
    assert new == time.strftime("-- %Y-%m-%d", time.localtime(today))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90s", "2026-01-31 12:28:30"),
        ("3d", "2026-01-28 12:30:00"),
        ("12:00", "2026-01-31 12:00:00"),
        ("23:59:59", "2026-01-30 23:59:59"),
        ("2026-01-02", "2026-01-02 00:00:00"),
        ("2026-01-02T03:04", "2026-01-02 03:04:00"),
        ("2026-01-02 03:04:05", "2026-01-02 03:04:05"),
    ],
)
def test_moments(text: str, found: str) -> None:
    now = time.mktime(time.strptime("2026-01-31 12:30", "%Y-%m-%d %H:%M"))
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment(text, now))) == found
    assert moment("1700000000.5", now) == 1700000000.5


def test_run_asks_with_absolute_paths(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("MINE", "yes")
    portal.answers["run"] = lambda _: {"name": "web", "socket": "/nowhere", "notes": []}
    argv = ["run", "-d", "-n", "web", "-p", "dev", "-p", "./p.toml", "--ro", "x", "--rw", "~/y"]
    assert main([*argv, "--env", "A=b=c", "--env", "MINE", "--net", "loop", "make", "-n"]) == 0
    asked = portal.calls[0][1]
    assert asked["ro"] == [f"{tmp_path}/x"]
    assert asked["rw"] == ["/home/u/y"]
    assert asked["profiles"] == ["dev", f"{tmp_path}/p.toml"]
    assert asked["env"] == {"A": "b=c", "MINE": "yes"}
    assert asked["argv"] == ["make", "-n"]
    assert asked["detach"] is True
    assert asked["cwd"] == str(tmp_path)
    assert asked["net"] == "loop"
    assert main(["run", "--env", "NO_SUCH_VARIABLE_", "--", "x"]) == 2


def test_dry_run_prints_the_plan(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.answers["plan"] = lambda _: {"lines": ["pod      web", "run      \x1b[2J"]}
    assert main(["run", "--dry-run", "--", "x"]) == 0
    assert capsys.readouterr().out == "pod      web\nrun      \\e[2J\n"


def test_complete(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    def completed(*words: str) -> list[str]:
        assert main(["complete", *words]) == 0
        return capsys.readouterr().out.splitlines()

    assert completed("--", "attach", "") == ["web\trunning"]
    assert completed("--format", "values", "--", "rm", "") == ["web", "old"]
    assert completed("--format", "zsh", "--", "rm", "o") == ["+old:exit 2"]
    assert completed("--", "run", "-p", "d") == ["dev"]
    assert completed("--", "nosuch", "") == []
    assert completed() == completed("--", "")


def test_complete_starts_no_portal(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complete", "--", "attach", ""]) == 0
    assert capsys.readouterr().out == ""
    assert main(["shutdown"]) == 0
    assert capsys.readouterr().out == "No portal is running.\n"
    assert not (places / "podsh" / "portal.sock").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_stubs_call_complete(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["complete", "--stub", shell]) == 0
    assert "podsh complete" in capsys.readouterr().out


def test_bash_completes(portal: Portal) -> None:
    """The stub in a real bash, with = in a word."""
    for words, found in (
        (["podsh", "att"], ["attach"]),
        (["podsh", "attach", ""], ["web"]),
        (["podsh", "run", "--net", "=", "ho"], ["host"]),
        (["podsh", "nosuch", ""], []),
    ):
        listed = " ".join(f"'{word}'" for word in words)
        script = f"""
            podsh() {{ '{sys.executable}' -m podsh "$@"; }}
            compopt() {{ :; }}
            . completions/podsh.bash
            COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}
            _podsh; printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
        assert done.stdout.split() == found, done.stderr


def test_another_protocol_is_told(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hello = {"hello": messages.PROTOCOL + 1, "version": "9", "pid": 1, "error": {"cause": "x"}}
    with Portal(places, hello):
        assert main(["ps"]) == 2
    said = capsys.readouterr().err
    assert "the running portal: is podsh 9 (protocol 2)" in said
    assert "podsh shutdown" in said


def test_a_portal_of_another_protocol_can_be_ended(places: Path) -> None:
    """By a signal to its pid: here a process that stands in for it."""
    hello = {"hello": messages.PROTOCOL + 1, "version": "9", "pid": 1}
    code = f"""
import pathlib, signal, time
from tests.console.portal import Portal
signal.signal(signal.SIGTERM, lambda *_: exit(7))
with Portal(pathlib.Path({str(places)!r}), {hello!r}):
    print("up", flush=True)
    while True:
        time.sleep(0.02)  # the signal may be another thread's
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert main(["shutdown"]) == 0
        assert process.wait(5) == 7


def test_a_portal_that_does_not_start_says_why(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (places / "podsh").mkdir(mode=0o700)
    (places / "podsh" / "portal.log").write_text("of an earlier one\n")
    script = places / "python"
    script.write_text("#!/bin/sh\nls -l /proc/self/fd >&2\necho 'boom: no memory' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    assert main(["ps"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("podsh: portal: does not start: ")
    assert "boom: no memory" in said
    assert "of an earlier one" not in said
    # it inherits its log, its ready pipe and nothing of ours
    assert "0 -> /dev/null" in said
    assert "3 -> pipe:" in said
    assert " 5 -> " not in said
