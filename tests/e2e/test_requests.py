"""Requests end to end: a program asks, a person or a script answers, the same call goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.needs import lacking
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Done, Podsh

CONTENT = "[s]\n\tmark = content-42\n"
# each reads the file; the number of things that it asks for
PROGRAMS = {
    "busybox": (["busybox", "cat"], 1),
    "cat": (["cat"], 1),
    "python": (["/usr/bin/python3", "-c", "import sys; print(open(sys.argv[1]).read())"], 1),
    "git": (["git", "config", "-l", "-f"], 1),
    # it goes into the file's directory, and looks whether it may write
    "vim": (["vim", "-es", "-n", "-i", "NONE", "-u", "NONE", "+%print", "+q!"], 2),
}


def program(name: str, path: Path | str) -> list[str]:
    argv, _ = PROGRAMS[name]
    found = shutil.which(argv[0])
    if found is None:
        lacking(name, "not installed")
    if name == "busybox":
        with open(str(found), "rb") as file:
            data = file.read(1 << 12)
        assert b"ld-linux" not in data, "busybox is to be the static one"
    return [*argv, str(path)]


@pytest.fixture
def file(podsh: Podsh) -> Iterator[Path]:
    """A file of the caller's that no profile shows."""
    directory = podsh.directory(f"home/data-{time.monotonic_ns()}")
    yield podsh.file(directory / "f.txt", CONTENT)
    shutil.rmtree(directory)


def rows(podsh: Podsh, *options: str) -> list[dict[str, Any]]:
    done = podsh.run("requests", "--json", *options)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


class Asking:
    """A foreground pod whose requests wait."""

    def __init__(self, podsh: Podsh, name: str, *argv: str, options: tuple[str, ...] = ()) -> None:
        self.podsh, self.name = podsh, name
        asks = ("--rm", "--ask", "hold", "-n", name, *options)
        self.process = podsh.start("run", *asks, "--", *argv)

    def asked(self) -> int:
        """Wait for a request; its number."""
        done = self.podsh.run("wait", self.name, "request", "-t", "20")
        for _ in range(100):
            if done.code != 2:
                break
            time.sleep(0.05)  # there is no such pod yet
            done = self.podsh.run("wait", self.name, "request", "-t", "20")
        assert done.code == 0, done.err
        return int(done.out)

    def end(self) -> Done:
        from tests.helpers.runner import Done

        try:
            out, err = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            raise
        return Done(self.process.returncode, out.decode(errors="replace"), err.decode())


# ---------------------------------------------------------------- the answers


@pytest.mark.parametrize("name", PROGRAMS)
def test_allowed_the_same_call_gives_the_content(podsh: Podsh, file: Path, name: str) -> None:
    pod = Asking(podsh, "web", *program(name, file))
    for count in range(PROGRAMS[name][1]):
        ident = pod.asked()
        (row,) = rows(podsh)
        assert (row["id"], row["pod"], row["state"]) == (ident, "web", "waiting")
        path = file.parent if name == "vim" and not count else file
        assert row["path"] == str(path)
        said = podsh.run("allow", str(ident))
        assert said.out == f"{ident}: {row['op']} {path}  once\n", said.err
    done = pod.end()
    assert "content-42" in done.out, done.err
    assert done.code == 0
    assert rows(podsh) == []


@pytest.mark.parametrize("name", ["busybox", "cat", "python", "git"])
def test_denied_it_is_not_there(podsh: Podsh, file: Path, name: str) -> None:
    pod = Asking(podsh, "web", *program(name, file))
    ident = pod.asked()
    assert podsh.run("deny", str(ident)).out == f"{ident}: read {file}  denied\n"
    done = pod.end()
    assert "content-42" not in done.out
    assert "No such file or directory" in done.err or (name == "git" and done.code == 1), done.err
    assert done.code != 0


@pytest.mark.parametrize("name", ["busybox", "cat", "python"])
def test_nobody_there_denied_at_once_and_said_once(podsh: Podsh, file: Path, name: str) -> None:
    line = " ".join(f"'{word}'" for word in program(name, file))
    begun = time.monotonic()
    done = podsh.run("run", "--rm", "-n", "web", "--", "sh", "-c", f"{line}; {line}; exit 5")
    assert time.monotonic() - begun < 5
    assert done.code == 5  # the program's own
    assert done.err.count("No such file or directory") == 2
    shown = f"~/{file.relative_to(podsh.home)}"
    assert done.err.splitlines()[-1] == (
        f"podsh: 1 access was denied: read {shown}; see: podsh events web, or use --ask hold"
    )
    assert f"read {shown}  nobody there" in podsh.run("events", "web").out


def test_who_only_sees_its_errors_is_not_there(podsh: Podsh, file: Path) -> None:
    """A terminal on 2 alone has no keys, hence no way to the console."""
    line = f"{podsh.command} run --rm -n web -- cat {file} | cat"
    with Terminal(["sh", "-c", line], podsh.caller, podsh.env, str(podsh.home)) as t:
        t.expect("No such file or directory")
        t.expect("podsh: 1 access was denied: read ~/")
        t.wait()


def test_writing(podsh: Podsh, file: Path) -> None:
    pod = Asking(podsh, "web", "sh", "-c", f"echo new >> {file}")
    ident = pod.asked()
    (row,) = rows(podsh)
    assert (row["op"], row["object"], row["exists"]) == ("write", "file", True)
    assert row["path"] == str(file)
    assert podsh.run("allow", str(ident)).out == f"{ident}: write {file}  once\n"
    assert pod.end().code == 0
    assert file.read_text() == CONTENT + "new\n"


def test_making(podsh: Podsh, file: Path) -> None:
    pod = Asking(podsh, "web", "sh", "-c", f"echo made > {file}.2")
    ident = pod.asked()
    (row,) = rows(podsh)
    assert (row["op"], row["exists"], row["path"]) == ("write", False, str(file.parent))
    assert row["link"] == f"{file}.2"
    assert podsh.run("allow", str(ident)).out == f"{ident}: write {file.parent}  once\n"
    assert pod.end().code == 0
    assert (file.parent / "f.txt.2").read_text() == "made\n"


def test_a_write_that_is_allowed_to_read_only(podsh: Podsh, file: Path) -> None:
    script = f"sh -c 'echo x >> {file}'; cat {file}"
    pod = Asking(podsh, "web", "sh", "-c", script)
    ident = pod.asked()
    said = podsh.run("allow", str(ident), "--read", "--pod").out
    assert said == f"{ident}: read {file}  pod\n"
    time.sleep(0.3)
    for row in rows(podsh):  # to write is asked for again, now that it is seen
        assert (row["op"], row["path"]) == ("write", str(file))
        podsh.run("deny", str(row["id"]))
    done = pod.end()
    assert done.out == CONTENT
    assert file.read_text() == CONTENT


def test_a_directory_above_and_for_the_pod(podsh: Podsh, file: Path) -> None:
    podsh.file(file.parent / "g.txt", "other\n")
    pod = Asking(podsh, "web", "sh", "-c", f"cat {file}; cat {file.parent}/g.txt")
    ident = pod.asked()
    said = podsh.run("allow", str(ident), "--pod", "--dir", str(file.parent)).out
    assert said == f"{ident}: read {file.parent}  pod\n"
    assert pod.end().out == CONTENT + "other\n"
    for wide in ("/", str(podsh.home), "/home"):
        pod = Asking(podsh, "web", "cat", str(file))
        ident = pod.asked()
        assert podsh.run("allow", str(ident), "--dir", wide).code != 0
        assert podsh.run("deny", str(ident)).code == 0
        pod.end()


def test_identical_requests_are_one(podsh: Podsh, file: Path) -> None:
    script = f"cat {file} & cat {file} & cat {file} & wait"
    pod = Asking(podsh, "web", "sh", "-c", script)
    ident = pod.asked()
    for _ in range(100):
        (row,) = rows(podsh)
        if row["count"] == 3:
            break
        time.sleep(0.05)
    assert row["count"] == 3
    podsh.run("allow", str(ident))
    assert pod.end().out == CONTENT * 3


def test_who_dies_is_gone(podsh: Podsh, file: Path) -> None:
    pod = Asking(podsh, "web", "sh", "-c", f"timeout -s KILL 1 cat {file}; sleep 4")
    ident = pod.asked()
    for _ in range(100):
        if not rows(podsh):
            break
        time.sleep(0.05)
    done = podsh.run("allow", str(ident))
    assert done.code == 1
    assert done.err.startswith(f"podsh: {ident}: is gone")
    podsh.run("kill", "web")
    pod.end()


# ---------------------------------------------------------------- scripts


def test_a_script_approves_what_it_names(podsh: Podsh, file: Path) -> None:
    script = f"""
run -d --ask hold -n web -- cat {file}
wait web request -t 20
-allow $REQ --if 'write {file}'
-allow $REQ
allow $REQ --if 'read ~/{file.relative_to(podsh.home)}'
wait web exit
"""
    done = podsh.run("-f", "-", stdin=script)
    assert done.code == 0, done.err
    differs, blind = done.err.splitlines()
    assert "asks to read" in differs
    assert "nothing was approved" in differs
    assert "a script approves only what it names" in blind
    assert re.search(rf"\d+: read {file}  once", done.out)
    assert podsh.run("logs", "web").out.replace("\r", "") == CONTENT.expandtabs()
    podsh.run("rm", "web")


def test_waiting_where_nobody_answers_is_an_error(podsh: Podsh) -> None:
    podsh.run("run", "-d", "-n", "web", "--", "sleep", "100")
    done = podsh.run("wait", "web", "request")
    assert done.code == 2
    assert "denied at once; start it with: run --ask hold" in done.err
    podsh.run("kill", "web")
    podsh.run("run", "-d", "--ask", "hold", "-n", "quiet", "--", "sleep", "100")
    assert podsh.run("wait", "quiet", "request", "-t", "0.2").code == 124
    podsh.run("kill", "quiet")


# ---------------------------------------------------------------- saving


@pytest.fixture
def profiles(podsh: Podsh) -> Iterator[Path]:
    directory = podsh.directory("config/podsh/profiles")
    yield directory
    for path in directory.iterdir():
        path.unlink()


def test_a_saved_rule_holds_in_the_next_pod(podsh: Podsh, file: Path, profiles: Path) -> None:
    text = 'extends = "base"  # all of it\n[run]\ncmd = ["sh"]\n'
    podsh.profile("dev", text)
    pod = Asking(podsh, "web", "cat", str(file), options=("-p", "dev"))
    ident = pod.asked()
    said = podsh.run("allow", str(ident), "--save")
    assert said.code == 0, said.err
    assert said.out.startswith(f"{ident}: read {file}  saved: {profiles}/dev.toml:")
    assert pod.end().out == CONTENT
    assert (profiles / "dev.toml").read_text() == (
        f'{text}\n[[fs.bind]]\npath = "~/{file.relative_to(podsh.home)}"\n'
    )
    assert '"scope":"save"' in podsh.run("events", "web", "--json").out
    done = podsh.pod("cat", str(file), options=("-p", "dev"))
    assert (done.out, done.err) == (CONTENT, "")
    done = podsh.pod("sh", "-c", f"echo x > {file}", options=("-p", "dev"))
    assert done.code != 0
    assert file.read_text() == CONTENT


def test_a_shipped_profile_is_extended(podsh: Podsh, file: Path, profiles: Path) -> None:
    pod = Asking(podsh, "web", "cat", str(file), options=("-p", "shell"))
    ident = pod.asked()
    said = podsh.run("allow", str(ident), "--save")
    assert said.code == 0, said.err
    pod.end()
    assert 'extends = "shell"' in (profiles / "shell.toml").read_text()
    checked = podsh.run("profile", "check", "shell")
    assert checked.code == 0, checked.out + checked.err
    assert podsh.pod("cat", str(file), options=("-p", "shell")).out == CONTENT


# ---------------------------------------------------------------- events


def test_events_are_the_audit(podsh: Podsh, file: Path) -> None:
    pod = Asking(podsh, "audited", "cat", str(file))
    podsh.run("allow", str(pod.asked()))
    pod.end()
    done = podsh.run("events", "audited", "--json")
    told = [json.loads(line) for line in done.out.splitlines()]
    kinds = [event["ev"] for event in told]
    assert kinds.index("request") < kinds.index("grant")
    assert all({"v", "ts", "ev"} <= set(event) for event in told)
    assert {event["pod"] for event in told} == {"audited"}


# ---------------------------------------------------------------- hostile


HOSTILE = ["a\x1b[2Jb", "new\nline", "\u202egnp.exe", "\udcff\udcfe", "x" * 250]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_shown_harmlessly(podsh: Podsh, file: Path, name: str) -> None:
    path = os.fsencode(file.parent) + b"/" + os.fsencode(name)
    with open(path, "w") as made:
        made.write(CONTENT)
    podsh.caller.own(os.fsdecode(path))
    # a script's words are text: the name is found by the shell in the pod, once it may look
    pod = Asking(podsh, "web", "sh", "-c", 'cat "$1"', "\x1b]0;t\x07\n", os.fsdecode(path))
    ident = pod.asked()
    table = podsh.run("requests").out
    assert len(table.splitlines()) == 2
    assert not set(table) & set("\x1b\u202e\x07")
    (row,) = rows(podsh)
    assert row["pod"] == "web"
    done = podsh.run("allow", str(ident))
    assert done.code == 0, done.err
    assert not set(done.out) & set("\x1b\u202e\x07")
    assert len(done.out.splitlines()) == 1
    assert pod.end().out == CONTENT
    assert not set(podsh.run("events", "web").out) & set("\x1b\u202e\x07")
