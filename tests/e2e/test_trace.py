"""Calls counted, the whitelist that this writes, and what happens to a program outside of it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.runner import Podsh

THREADS = r"""
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *one(void *number) { usleep(1000); return number; }
int main(void)
{
    pthread_t all[8];
    for (long i = 0; i < 8; i++) if (pthread_create(&all[i], 0, one, (void *)i)) return 1;
    for (int i = 0; i < 8; i++) pthread_join(all[i], 0);
    return puts("joined") < 0;
}
"""
PYTHON = """
import os, socket, subprocess, tempfile, threading
thread = threading.Thread(target=print, args=("thread",), kwargs={"flush": True})
thread.start(); thread.join()
with tempfile.TemporaryDirectory() as folder:
    open(folder + "/x", "w").write("y"); os.rename(folder + "/x", folder + "/z")
print(subprocess.run(["/bin/echo", "child"], capture_output=True, text=True).stdout, end="")
a, b = socket.socketpair(); a.send(b"sent"); print(b.recv(9).decode())
"""
GIT = """
cd /tmp && git init -q r && cd r && echo x >f && git add f
git -c user.name=n -c user.email=e@x commit -qm m && git status -s && echo ok
"""
GCC = "cd /tmp && echo 'int main(void){return 7;}' >a.c && gcc -o a a.c && ./a; echo $?"
PROGRAMS = {
    "bash": (
        ["bash", "-c", "for i in 1 2; do echo $i | cat; done; ls / >/dev/null"],
        "1\n2\n",
    ),
    "python": (["/usr/bin/python3", "-c", PYTHON], "thread\nchild\nsent\n"),
    "git": (["sh", "-c", GIT], "ok\n"),
    "gcc": (["sh", "-c", GCC], "7\n"),
    "threads": (["/podhome/src/threads"], "joined\n"),
    "static": (["/podhome/src/static"], "joined\n"),
}


def built(podsh: Podsh) -> None:
    """The threaded program, dynamic and static, below the caller's home."""
    folder = podsh.directory("home/src")
    source = podsh.file(folder / "threads.c", THREADS)
    for name, options in (("threads", []), ("static", ["-static"])):
        made = podsh.outside("gcc", "-pthread", *options, "-o", str(folder / name), str(source))
        assert made.code == 0, made.err


def pod(podsh: Podsh, name: str = "traced") -> str:
    podsh.directory("home/src")
    lines = [f"file rx {path}" for path in ("/usr", "/bin", "/lib", "/lib64", "/etc")]
    lines += ["home rx /src", "newnet none", "home_exec", "tmp_exec", ""]
    podsh.file(podsh.directory("home/.pods") / f"{name}.pod", "\n".join(lines))
    return f"{name}.pod"


@pytest.fixture
def work(podsh: Podsh) -> Path:
    """Where the whitelist is written; not in the home, which is no project."""
    folder = podsh.directory("work")
    (folder / "podtemplate.pod").unlink(missing_ok=True)
    return folder


def events(podsh: Podsh, name: str) -> list[dict[str, Any]]:
    done = podsh.run("events", name, "--json")
    found = [json.loads(line) for line in done.out.splitlines()]
    return [event for event in found if event["ev"] == "call"]


def listed(path: Path) -> list[str]:
    found = re.findall(r"^seccomp_allow (\w+)$", path.read_text(), re.MULTILINE)
    return [str(name) for name in found]


@pytest.mark.parametrize("program", PROGRAMS)
def test_traced_then_strict(podsh: Podsh, work: Path, program: str) -> None:
    built(podsh)
    argv, wanted = PROGRAMS[program]
    needs_program("gcc")
    needs_program("git")
    first = podsh.run("jettison", argv[0], pod(podsh), "--tracecalls", *argv[1:], cwd=work)
    assert first.code == 0, first.err
    assert first.out == wanted
    # the table is by frequency, and the file in its order
    rows = re.findall(r"^ +(\d+) (\w+)$", first.err, re.MULTILINE)
    counts = [int(count) for count, _ in rows]
    assert counts == sorted(counts, reverse=True)
    assert listed(work / "podtemplate.pod") == [name for _, name in rows]
    assert f"podsh: {sum(counts)} calls, {len(rows)} different ones" in first.err
    for _ in range(2):
        again = podsh.run("jettison", argv[0], "./podtemplate.pod", "--strict", *argv[1:], cwd=work)
        assert (again.code, again.out) == (0, first.out), again.err
    assert [event for event in events(podsh, "podtemplate") if event["verdict"] == "killed"] == []


def test_a_missing_call_kills_and_the_event_names_it(podsh: Podsh, work: Path) -> None:
    """A session of bash, and one call of its child taken off the list."""
    script = "echo one; ls /usr >/dev/null; echo $?; wait; echo end"
    first = podsh.run("jettison", "/bin/bash", pod(podsh), "--tracecalls", "-c", script, cwd=work)
    assert first.out == "one\n0\nend\n", first.err
    text = (work / "podtemplate.pod").read_text()
    assert "seccomp_allow getdents64\n" in text
    template = text.replace("seccomp_allow getdents64\n", "")
    podsh.file(podsh.directory("home/.pods") / "lesser.pod", template)
    done = podsh.run("jettison", "/bin/bash", "lesser.pod", "--strict", "-c", script)
    # ls dies, its shell goes on
    assert (done.code, done.out) == (0, "one\n159\nend\n"), done.err
    (told,) = events(podsh, "lesser")
    assert (told["verdict"], told["call"], told["argv"]) == ("killed", "getdents64", ["ls", "/usr"])
    assert told["rule"].startswith("seccomp_allow getdents64, in /")
    assert told["rule"].endswith("/.pods/lesser.pod")
    line = podsh.run("events", "lesser").out
    assert re.search(r"lesser ! +killed by call getdents64 +ls \(pid \d+\)", line), line


def test_refused_calls_are_told_once(podsh: Podsh) -> None:
    script = (
        "import os\nfor i in range(50):\n try: os.getpgid(0)\n except OSError as e: print(e.errno)"
    )
    podsh.profile("told", 'extends = "base"\n[seccomp]\nblock = ["getpgid"]\n')
    done = podsh.run(
        "run", "-n", "told", "-p", "told", "--", "/usr/bin/python3", "-I", "-S", "-c", script
    )
    assert done.out == "38\n" * 50, done.err
    (told,) = events(podsh, "told")
    assert (told["verdict"], told["call"]) == ("refused", "getpgid")
    assert told["rule"].startswith("take getpgid from [seccomp] block in ")


STUBBORN = """
import os, signal, sys, threading
if "catch" in sys.argv: signal.signal(signal.SIGSYS, lambda *_: None)
if "ignore" in sys.argv: signal.signal(signal.SIGSYS, signal.SIG_IGN)
if "block" in sys.argv: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGSYS})
if "thread" in sys.argv:
    thread = threading.Thread(target=os.getpgid, args=(0,)); thread.start(); thread.join()
else:
    os.getpgid(0)
print("alive")
"""


@pytest.mark.parametrize("how", ["plain", "catch", "ignore", "block", "thread"])
def test_nothing_survives_strict(podsh: Podsh, work: Path, how: str) -> None:
    argv = ["-I", "-S", "-c", STUBBORN, how]
    first = podsh.run("jettison", "/usr/bin/python3", pod(podsh), "--tracecalls", *argv, cwd=work)
    assert first.out == "alive\n", first.err
    text = (work / "podtemplate.pod").read_text()
    template = text.replace("seccomp_allow getpgid\n", "")
    assert template != text
    podsh.file(podsh.directory("home/.pods") / "strict.pod", template)
    done = podsh.run("jettison", "/usr/bin/python3", "strict.pod", "--strict", *argv)
    code = 128 + 31 if how in ("plain", "thread") else 128 + 9
    assert (done.code, done.out) == (code, "")
    assert events(podsh, "strict")[-1]["call"] == "getpgid"


def test_trace_by_profile(podsh: Podsh, work: Path) -> None:
    """Refusals of every pod are counted too: under the list they are refused again, not killed."""
    script = "unshare -U true; echo $?; exit 3"
    done = podsh.run("trace", "-o", "mine.pod", "--", "sh", "-c", script, cwd=work)
    assert done.code == 3, done.err
    assert podsh.ps() == []
    calls = listed(work / "mine.pod")
    assert {"execve", "openat", "unshare", "wait4", "write"} <= set(calls)
    again = podsh.run("jettison", "sh", "./mine.pod", "--strict", "-c", script, cwd=work)
    assert (again.code, again.out) == (3, done.out), again.err


def test_a_trace_does_not_let_refused_calls_by(podsh: Podsh) -> None:
    import tests.e2e.test_calls as calls

    for call, args, wanted in (
        ("mount", (0, 0, 0, 0, 0), 1),
        ("unshare", (0x10000000,), 1),
        ("unshare", (0x400,), 0),
        ("ioctl", (0, 0x5412, 0), 1),
        ("socket", (40, 1, 0), 97),
        ("keyctl", (0, 0, 0), 38),
        ("ptrace", (0,), 1),
    ):
        script = ["/usr/bin/python3", "-I", "-S", "-c", calls.python(call, *args)]
        done = podsh.run("trace", "-o", "/dev/null", "--", *script)
        assert (done.code, done.out) == (0, f"{wanted}\n"), (call, done.err)


def test_a_link_in_the_templates_place_is_not_followed(podsh: Podsh, work: Path) -> None:
    target = podsh.file(podsh.base / "precious", "precious")
    (work / "podtemplate.pod").symlink_to(target)
    done = podsh.run("trace", "--", "true", cwd=work)
    assert done.code == 2
    assert target.read_text() == "precious"


def test_a_program_that_is_not_there(podsh: Podsh, work: Path) -> None:
    done = podsh.run("trace", "--", "no-such-program", cwd=work)
    assert done.code == 127
    assert not (work / "podtemplate.pod").exists()
    assert podsh.ps() == []
