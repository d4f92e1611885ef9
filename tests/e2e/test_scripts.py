"""Scripts with real pods: waiting for words, requests and ends; the one of the README."""

from __future__ import annotations

import json
import re
import shlex
import time
from typing import TYPE_CHECKING, Any

from tests.helpers.install import ROOT

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh


def test_the_script_of_the_readme(podsh: Podsh) -> None:
    """Three pods, one request answered with --if, three exit codes."""
    found = re.search(r"```\n(# three pods.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found
    podsh.file(podsh.home / "notes.txt", "a note\n")
    file = podsh.file(podsh.base / "three.pods", found[1])
    done = podsh.run("-f", str(file))
    assert (done.code, done.err) == (0, "")
    *names, port, rule, codes = done.out.splitlines()
    assert names == ["one", "two", "three"]
    assert port == "port 8080"
    assert re.fullmatch(rf"\d+: read {podsh.home}/notes.txt  once", rule)
    assert codes == "one 3, two 0, three 137"
    # and what it asks for is not what the script names
    wrong = found[1].replace("read ~/notes.txt", "read ~/other.txt")
    done = podsh.run("-f", str(podsh.file(file, wrong)))
    assert done.code == 1
    line = 1 + wrong[: wrong.index("allow $REQ")].count("\n")
    assert done.err.startswith(f"{file}:{line}: ")
    assert "asks to read" in done.err
    assert "nothing was approved" in done.err
    assert podsh.state_of("two") == "running"
    podsh.run("kill", "-s", "KILL", "two")
    podsh.wait_state("two", "exited")
    podsh.wait_state("one", "exited")


def test_text_is_waited_for_from_where_the_last_wait_ended(podsh: Podsh) -> None:
    program = r"printf '\033[1mre\033[0mady \033]0;no-title\07one\r\n'; read x"
    script = f"""\
run -d -n talk -- sh -c {shlex.quote(program)}
wait talk 'text:^ready (\\w+)$' -t 30
echo $MATCH
-wait talk text:ready -t 0.1
echo code $?
-wait talk text:no-title -t 0.1
echo code $?
"""
    done = podsh.run("-c", script)
    assert done.out.splitlines() == ["talk", "one", "code 124", "code 124"], done.err
    assert "talk: has not written that" in done.err
    # another script begins at the beginning
    assert podsh.run("wait", "talk", "text:ready", "-t", "30").code == 0
    podsh.run("kill", "-s", "KILL", "talk")
    podsh.wait_state("talk", "exited")
    # it has ended: what it wrote is still searched
    done = podsh.run("wait", "talk", "text:ready (o)", "--json")
    assert done.code == 0
    row = json.loads(done.out)
    assert (row["v"], row["ev"], row["pod"], row["match"]) == (1, "text", "talk", "o")
    assert abs(row["ts"] - time.time()) < 600
    done = podsh.run("wait", "talk", "text:never")
    assert (done.code, "has ended, and did not write that" in done.err) == (1, True)


def test_much_output_is_searched_to_its_end(podsh: Podsh) -> None:
    """More than is kept: what is gone is skipped, and the end is found, live and on disk."""
    lines = "i=0; while [ $i -lt 9 ]; do head -c 1000000 /dev/zero | tr '\\0' x; i=$((i+1)); done"
    done = podsh.run("run", "-d", "-n", "much", "--", "sh", "-c", f"{lines}; echo; echo at last")
    assert done.code == 0
    assert podsh.run("wait", "much", "text:^at last$", "-t", "60").code == 0
    podsh.wait_state("much", "exited")
    assert podsh.run("wait", "much", "text:^at last$").code == 0


def test_exit_codes(podsh: Podsh) -> None:
    """Of ux.md: usage, timed out, not executable, not found, the child's, 128 and a signal."""
    podsh.file(podsh.home / "plain", "no program\n")
    for line, code in {
        "nosuch": 2,
        "wait nosuch exit": 2,
        "run --rm -- sh -c 'exit 7'": 7,
        "run --rm -- sh -c 'kill -9 $$'": 137,
        "run --rm -- no-such-program": 127,
        f"run --rm --ro {podsh.home}/plain -- {podsh.home}/plain": 126,
        "run --rm --ro /no/such/path -- true": 125,
        "rm nosuch": 2,
    }.items():
        done = podsh.run("-c", f"-{line}\nset CODE=$?\nquit $CODE")
        assert done.code == code, (line, done.err)
        assert podsh.run("-c", line).code == code, line
    done = podsh.run("-c", "run -d --rm -n w -- sleep 100\nwait w exit -t 0.05")
    assert done.code == 124
    assert done.err == "-c:2: w: is still running\n"
    assert podsh.run("-c", "kill -s KILL w\n-wait w exit").code == 0
    podsh.wait_state("w", "")


def test_of_several_names_one_that_fails_keeps_nothing_from_the_others(podsh: Podsh) -> None:
    for name in ("one", "two"):
        assert podsh.run("run", "-d", "-n", name, "--", "sleep", "1000").code == 0
    done = podsh.run("kill", "nope", "one", "-s", "0", "two")
    assert (done.code, done.err.count("\n")) == (2, 1)
    done = podsh.run("kill", "one", "nope", "one", "two", "--json")
    assert done.code == 2
    assert "no pod called nope" in done.err
    assert [json.loads(line)["pod"] for line in done.out.splitlines()] == ["one", "two"]
    script = podsh.run("-c", "-kill one two\nkill two\n")
    assert script.code == 2
    assert [line.split(": ")[:2] for line in script.err.splitlines()] == [
        ["-c:1", "one"],
        ["-c:1", "two"],
        ["-c:2", "two"],
    ]
    done = podsh.run("rm", "one", "nope", "two")
    assert (done.code, "no pod called nope" in done.err) == (2, True)
    assert podsh.run("ps", "--json").out == ""


def test_an_object_a_line(podsh: Podsh) -> None:
    """Of what programs use, the commands that once had only text for people."""

    def objects(*words: str, code: int = 0) -> list[dict[str, Any]]:
        done = podsh.run(*words, "--json")
        assert done.code == code, done
        rows = [json.loads(line) for line in done.out.splitlines()]
        assert all(row["v"] == 1 and row["ts"] > 0 for row in rows)
        return rows

    script = (
        "mkdir t; echo one > t/a; mkfifo t/f; echo ready; read x; printf '\\033[1mgot%s\\r\\n' $x"
    )
    assert podsh.run("run", "-d", "-n", "web", "--", "sh", "-c", script).code == 0
    assert podsh.run("wait", "web", "text:ready", "-t", "20").code == 0
    left, copied = objects("cp", "-r", "web:~/t", str(podsh.home / "t"), code=1)
    assert (left["ev"], left["path"], left["cause"]) == ("left_out", "web:~/t/f", "is a fifo")
    assert (copied["ev"], copied["src"], copied["left_out"]) == ("copied", "web:~/t", 1)
    assert (podsh.home / "t" / "a").read_text() == "one\n"
    (drawn,) = objects("graph", "web")
    assert (drawn["ev"], drawn["pod"]["name"]) == ("graph", "web")
    recorder = podsh.start("record", "web", str(podsh.home / "web.cast"), "--json")
    end = time.monotonic() + 20
    while not (podsh.home / "web.cast").exists() or not (podsh.home / "web.cast").stat().st_size:
        assert time.monotonic() < end
        time.sleep(0.02)
    (sent,) = objects("send", "web", r"x\n")
    assert (sent["ev"], sent["pod"], sent["bytes"]) == ("sent", "web", 2)
    out, _ = recorder.communicate(timeout=30)
    cast = json.loads(out)
    assert (cast["ev"], cast["path"]) == ("cast", str(podsh.home / "web.cast"))
    assert cast["events"] > 0
    lines = objects("logs", "web")
    assert {row["ev"] for row in lines} == {"line"}
    assert [row["text"] for row in lines if row["text"].startswith("got")] == ["gotx"]
    assert "gotx" in [row["text"] for row in objects("logs", "web", "--screen")]
    assert podsh.run("logs", "web", "--raw", "--json").code == 2
    assert podsh.run("graph", "--json", "--svg").code == 2


def test_nothing_but_text_where_nobody_looks(podsh: Podsh) -> None:
    """Not a terminal: no escape codes, and JSON is one object a line."""
    script = "run -d --rm -n web -- sleep 100\nps\nps --json\nevents web --json\ntree web --json\n"
    done = podsh.run("-c", script + "requests --json\nkill web --json\nset A=1\nset --json\nhelp")
    assert done.code == 0, done.err
    assert "\x1b" not in done.out + done.err
    rows = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    assert {row["ev"] for row in rows} >= {"pod", "start", "tree", "killed", "variable"}
    for row in rows:
        assert row["v"] == 1
        assert row["ts"] > 1e9
