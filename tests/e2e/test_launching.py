"""How a program is launched: its name, its limits, what runs first, daemons, kept output."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.runner import Podsh


def log_of(podsh: Podsh, pod: str) -> Path:
    """The one file that --logoutput wrote in the home; its name has the time."""
    (found,) = podsh.home.glob(f"{pod}-[0-9]*.log")
    return found


def script(podsh: Podsh, text: str) -> str:
    """An init script that pods see; its path."""
    path = podsh.file(podsh.directory("home/scripts") / "first", f"#!/bin/sh\n{text}\n", 0o755)
    return str(path)


def test_name_stack_environment(podsh: Podsh) -> None:
    options = ("--procname", "me", "--stacksize", "2048", "--clear-environ")
    done = podsh.pod("sh", "-c", "tr '\\0' ' ' </proc/$$/cmdline; ulimit -s", options=options)
    assert done.out.startswith("me -c ")
    assert done.out.endswith("2048\n")
    done = podsh.pod("env", options=("--clear-environ", "--env", "A=1"))
    names = [line.partition("=")[0] for line in done.out.splitlines()]
    assert "A" in names
    assert not {"HOME", "USER", "TERM", "LANG"} & set(names)
    done = podsh.pod("true", options=("--stacksize", "x"))
    assert (done.code, "--stacksize" in done.err) == (2, True)


def test_the_same_by_profile(podsh: Podsh) -> None:
    first = script(podsh, "echo ready > /tmp/first")
    podsh.profile(
        "launched",
        'extends = "base"\n[[fs.bind]]\npath = "~/scripts"\n'
        f'[run]\nprocname = "me"\nstack = "2M"\nclear_env = true\ninit = "{first}"\n',
    )
    text = "tr '\\0' ' ' </proc/$$/cmdline; ulimit -s; cat /tmp/first"
    done = podsh.pod("sh", "-c", text, options=("-p", "launched"))
    assert done.out.startswith("me -c "), done.err
    assert done.out.endswith("2048\nready\n")
    podsh.profile("served", 'extends = "base"\n[run]\ndaemon = true\nlogoutput = true\n')
    done = podsh.run("run", "-n", "served", "-p", "served", "--", "sh", "-c", "echo served")
    assert (done.code, done.out) == (0, "served\n"), done.err
    assert podsh.run("wait", "served", "exit").code == 0
    log = log_of(podsh, "served")
    assert log.read_text() == "served\n"
    log.unlink()


def test_the_init_script_runs_first_in_the_pod(podsh: Podsh) -> None:
    """A relative one lies in the pod's home; its output goes into the log, not into pipes."""
    write = "printf '#!/bin/sh\\necho ran >/tmp/h; echo prepared\\n' >~/prep; chmod +x ~/prep"
    assert podsh.run("run", "-n", "first", "--", "sh", "-c", write).code == 0
    done = podsh.run("run", "-n", "first", "--init", "prep", "--", "sh", "-c", "cat /tmp/h")
    assert (done.code, done.out) == (0, "ran\n"), done.err
    assert podsh.run("logs", "first").out == "prepared\n"
    with podsh.terminal("run", "-n", "first", "--init", "prep", "--", "echo", "then") as terminal:
        terminal.expect(r"prepared\r\nthen")
        assert terminal.wait() == 0


def test_a_failing_init_script_stops_the_launch(podsh: Podsh) -> None:
    first = script(podsh, r"echo one; printf 'it\033[31m is \001 wrong\n\n' >&2; exit 7")
    shown = ("--ro", str(podsh.home / "scripts"), "--init", first)
    done = podsh.run("run", "-n", "failing", *shown, "--", "echo", "started")
    assert (done.code, done.out) == (125, "")
    assert "the init script failed with 7: it is \\x01 wrong" in done.err
    assert podsh.state_of("failing") == "failed"
    detached = podsh.run("run", "-d", "-n", "failing", *shown, "--", "echo", "started")
    assert detached.code == 125
    assert "failed with 7" in detached.err
    missing = podsh.run("run", "--rm", "--init", "/no/such", "--", "echo", "started")
    assert (missing.code, missing.out) == (125, "")
    assert "/no/such: the init script: not found in the pod" in missing.err


def test_an_init_script_can_be_ended(podsh: Podsh) -> None:
    # exec: a shell that has just forked may lose the signal
    first = script(podsh, "echo begun; exec sleep 1000")
    shown = ("--ro", str(podsh.home / "scripts"), "--init", first)
    with podsh.terminal("run", "-n", "slow", *shown, "--", "echo", "started") as terminal:
        terminal.expect("begun")
        terminal.send("\x03")
        terminal.expect(r"the init script was ended\s+by signal 2")
        assert terminal.wait() == 125
    assert podsh.state_of("slow") == "failed"


def test_a_daemon_has_no_terminal_and_goes_on(podsh: Podsh) -> None:
    looks = "tty; test -t 1 || test -t 2 || echo none; (: </dev/tty) 2>/dev/null || echo no tty"
    goes_on = f"{looks}; ps -o tty= -p $$; echo asked >&2; sleep 1000"
    done = podsh.run("run", "--daemon", "-n", "alone", "--", "sh", "-c", goes_on)
    assert (done.code, done.out) == (0, "alone\n"), done.err
    end = time.monotonic() + 20
    while "asked" not in (said := podsh.run("logs", "alone").out):
        assert time.monotonic() < end, said
    assert said == "not a tty\nnone\nno tty\n?\nasked\n"
    refused = podsh.terminal("attach", "alone")
    with refused as terminal:
        terminal.expect("is a daemon, which has no terminal")
    # more programs have terminals as everywhere
    with podsh.terminal("exec", "alone", "--", "tty") as terminal:
        terminal.expect("/dev/pts/")
        assert terminal.wait() == 0
    assert podsh.run("kill", "alone").code == 0
    assert podsh.run("wait", "alone", "exit").code == 143


# writes a line, then how many it has written where the host sees it; without any end
COUNTER = """
import itertools, os
count = os.open(os.path.expanduser("~/count"), os.O_CREAT | os.O_WRONLY)
for number in itertools.count(1):
    print("line", number)
    os.pwrite(count, b"%d" % number, 0)
"""


def test_kept_output_is_whole_when_the_daemon_is_killed(podsh: Podsh) -> None:
    """Of the program, then of its monitor: every line that it had written is there."""
    for whom in ("pid", "monitor_pid"):
        started = podsh.run(
            *("run", "--daemon", "--logoutput", "-n", "counts"),
            *("--", "python3", "-c", COUNTER),
        )
        assert started.out == "counts\n", started.err
        (row,) = [row for row in podsh.ps() if row["name"] == "counts"]
        count = podsh.state / "podsh/pods/counts/home/count"
        end = time.monotonic() + 30
        while not (count.exists() and int(count.read_text() or 0) > 500):
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(row[whom], signal.SIGKILL)
        podsh.wait_state("counts", "exited", "lost")
        written = int(count.read_text())
        log = log_of(podsh, "counts")
        while len(lines := log.read_text().splitlines()) < written:
            assert time.monotonic() < end, (len(lines), written)
            time.sleep(0.01)
        # the last may be one that was not yet counted, or not yet whole
        wanted = [f"line {number}" for number in range(1, len(lines) + 1)]
        assert lines[:-1] == wanted[:-1]
        assert wanted[-1].startswith(lines[-1])
        assert len(lines) <= written + 1
        log.unlink()
        count.unlink()
        assert podsh.run("rm", "counts").code == 0


def test_libc_writes_by_the_line(podsh: Podsh) -> None:
    """A program that is killed with its output in stdio's buffer has written it all the same."""
    source = "#include <stdio.h>\n#include <signal.h>\n"
    source += 'int main(void) { puts("one"); puts("two"); printf("thr"); raise(SIGKILL); }\n'
    code = podsh.file(podsh.directory("home/src") / "lines.c", source)
    built = podsh.home / "src" / "lines"
    assert podsh.outside("gcc", "-o", str(built), str(code)).code == 0
    shown = ("--ro", str(built.parent))
    done = podsh.run("run", "--logoutput", "-n", "libc", *shown, "--", str(built), stdin="")
    assert (done.code, done.out) == (137, "one\ntwo\n"), done.err
    log = log_of(podsh, "libc")
    assert log.read_text() == "one\ntwo\n"
    log.unlink()


def test_kept_output_of_pipes_and_terminals(podsh: Podsh) -> None:
    """Both streams go where they went, too, and into the file line by line."""
    text = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 4"
    done = podsh.run("run", "--logoutput", "-n", "kept", "--", "sh", "-c", text)
    assert (done.code, done.out) == (4, "out 1\nout 2\nout 3\n")
    assert "err 1\nerr 2\nerr 3\n" in done.err
    log = log_of(podsh, "kept")
    assert f"what it writes is kept in {log}" in done.err
    lines = log.read_text().splitlines()
    assert [line for line in lines if "out" in line] == ["out 1", "out 2", "out 3"]
    assert [line for line in lines if "err" in line] == ["err 1", "err 2", "err 3"]
    assert len(lines) == 6
    assert log.stat().st_mode & 0o777 == 0o600
    log.unlink()
    with podsh.terminal("run", "--logoutput", "-n", "kept", "--", "echo", "seen") as terminal:
        terminal.expect("seen")
        assert terminal.wait() == 0
    log = log_of(podsh, "kept")
    assert log.read_text() == "seen\n"
    log.unlink()
    # a reader that goes away ends the program, as without the file
    command = f"{podsh.command} run --logoutput -n kept -- yes 2>/dev/null | head -1"
    done = podsh.outside("bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}")
    assert done.out == "y\n141\n"
    log_of(podsh, "kept").unlink()


def test_kept_output_where_nobody_may_write(podsh: Podsh) -> None:
    where = "/proc" if podsh.caller.uid == 0 else "/usr"
    done = podsh.run("run", "--logoutput", "-n", "closed", "--", "echo", "started", cwd=where)
    assert (done.code, done.out) == (125, "")
    assert "the log cannot be written" in done.err
    assert podsh.state_of("closed") == "failed"


def test_the_plan_says_so(podsh: Podsh) -> None:
    options = ("--daemon", "--logoutput", "--init", "prep", "--procname", "x")
    done = podsh.run("run", "--dry-run", "-n", "plan", *options, "--", "true")
    assert "daemon   without a terminal, goes on alone" in done.out
    assert f"output   {podsh.home}/plan-" in done.out
    assert f"init     {podsh.home}/prep" in done.out
    assert not list(podsh.home.glob("plan-*.log"))
    json_of = [json.loads(line) for line in podsh.run("ps", "--json").out.splitlines()]
    assert "plan" not in [row["name"] for row in json_of]
