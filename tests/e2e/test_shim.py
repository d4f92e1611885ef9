"""The shim in pods: what is there is reached without waiting, no program is the worse for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Podsh

FILES = ("/.podsh/shim.so", "/.podsh/gen")
SHIM = "/.podsh/shim.so"
COUNT = 500

# a call that is held gives up the processor: of its own will, says the kernel
WAITS = f"""
import os, resource, sys, time
time.sleep(0.3)
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for number in range({COUNT}):
        os.path.lexists(path.replace("*", str(number)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before)
"""


@pytest.fixture
def slow(podsh: Podsh) -> str:
    """A profile without the shim."""
    podsh.profile("slow", 'extends = "base"\n[access]\nshim = false\n')
    return "slow"


def held(podsh: Podsh, *paths: str, options: tuple[str, ...] = (), env: str = "") -> list[int]:
    """How often a program had to wait for COUNT looks at each of ``paths``."""
    python = ("python3", "-I", "-c", WAITS, *paths)
    argv = ("env", *env.split(), *python) if env else python
    done = podsh.pod(*argv, options=options)
    assert (done.code, done.err) == (0, "")
    return [int(line) for line in done.out.splitlines()]


def test_its_files_can_be_read_and_not_changed(podsh: Podsh) -> None:
    number = "import sys; print(int.from_bytes(open('/.podsh/gen', 'rb').read(8), sys.byteorder))"
    tries = [
        f"{change} 2>&1 && echo changed {path}"
        for path in FILES
        for change in (f"echo x >> {path}", f"chmod 777 {path}", f"rm {path}", f"mv {path} /tmp")
    ]
    script = "\n".join([*tries, "ls /.podsh", f'exec python3 -c "{number}"'])
    done = podsh.pod("sh", "-c", script)
    assert done.code == 0, done.err
    assert "changed" not in done.out
    lines = done.out.splitlines()
    assert {os.path.basename(path) for path in FILES} <= set(lines)
    assert lines[-1] == "1"


def test_what_is_there_is_not_waited_for(podsh: Podsh) -> None:
    there, elsewhere, nowhere = held(podsh, "/usr/bin/env", "/absent", "/usr/share/absent-*/x")
    # other processes may take the processor now and then
    assert there < COUNT / 10
    # asked for once
    assert elsewhere < COUNT / 10
    # on the host neither, and podsh has said so
    assert nowhere < COUNT / 10


def test_without_it_each_call_is_held(podsh: Podsh, slow: str) -> None:
    assert min(held(podsh, "/usr/bin/env", "/absent", options=("-p", slow))) >= COUNT * 0.9
    assert min(held(podsh, "/usr/bin/env", env="-u LD_PRELOAD")) >= COUNT * 0.9


def test_the_environment_says_so(podsh: Podsh, slow: str) -> None:
    script = "echo ${LD_PRELOAD-none} ${ASAN_OPTIONS-none}"
    asan = "verify_asan_link_order=0"
    assert podsh.pod("sh", "-c", script).out == f"{SHIM} {asan}\n"
    assert podsh.pod("sh", "-c", script, options=("-p", slow)).out == "none none\n"
    own = ("--env", "LD_PRELOAD=libm.so.6", "--env", "ASAN_OPTIONS=detect_leaks=0")
    done = podsh.pod("sh", "-c", script, options=own)
    assert (done.out, done.err) == (f"libm.so.6:{SHIM} detect_leaks=0:{asan}\n", "")
    lines = podsh.run("run", "--dry-run", "--", "true").out.splitlines()
    assert f"env      LD_PRELOAD={SHIM}" in lines
    assert [line for line in lines if line.startswith("notify ")]


@pytest.fixture
def outside(podsh: Podsh) -> Path:
    folder = podsh.directory(f"outside-{len(os.listdir(podsh.base))}")
    podsh.file(folder / "file", "content\n")
    return folder


@pytest.fixture
def pod(podsh: Podsh) -> Iterator[Podsh]:
    """podsh with a pod called ``web``; its program looks for its argument until it is there."""
    yield podsh
    podsh.run("kill", "-s", "KILL", "web")
    podsh.wait_state("web", "exited")


LOOK = """
import os, sys, time
def number():
    with open("/.podsh/gen", "rb") as file:
        return int.from_bytes(file.read(8), sys.byteorder)
before = number()
print("refused" if not os.path.exists(sys.argv[1]) else "there", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
print(open(sys.argv[1]).read().strip(), number() > before, flush=True)
time.sleep(1000)
"""


def said(podsh: Podsh, lines: int) -> list[str]:
    for _ in range(200):
        found = podsh.run("logs", "web").out.splitlines()
        if len(found) >= lines:
            return found
    raise AssertionError(found)


def test_what_was_refused_and_then_given_is_seen(pod: Podsh, outside: Path) -> None:
    pod.run("run", "-d", "-n", "web", "--", "python3", "-I", "-c", LOOK, str(outside / "file"))
    pod.wait_state("web", "running")
    assert said(pod, 1) == ["refused"]
    assert pod.run("mount", "web", str(outside)).code == 0
    assert said(pod, 2) == ["refused", "content True"]


def test_what_a_grant_lacks_is_not_waited_for(pod: Podsh, outside: Path) -> None:
    pod.run("run", "-d", "-n", "web", "--", "sleep", "1000")
    pod.wait_state("web", "running")
    look = ("exec", "web", "--", "python3", "-I", "-c", WAITS, str(outside / "absent-*"))
    assert int(pod.run(*look).out) >= COUNT * 0.9
    assert pod.run("mount", "web", str(outside)).code == 0
    assert int(pod.run(*look).out) < COUNT / 10
    assert pod.run("revoke", "web", str(outside)).code == 0
    assert int(pod.run(*look).out) >= COUNT * 0.9


HELLO = """
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
int main(int count, char **words)
{
	char *text = malloc(64);
	FILE *file = fopen(words[1], "r");
	puts(file && fgets(text, 64, file) ? text : "none");
	return open("/absent", O_RDONLY) >= 0;
}
"""
BUILDS = {
    "glibc": ("gcc",),
    "asan": ("gcc", "-fsanitize=address,undefined", "-Wno-unused-result"),
    "static": ("gcc", "-static"),
    "musl": ("musl-gcc",),
    "musl-static": ("musl-gcc", "-static"),
}


def build(podsh: Podsh, folder: Path, name: str) -> Path:
    compiler, *flags = BUILDS[name]
    source = podsh.file(folder / f"{name}.c", HELLO)
    argv = [needs_program(compiler), "-w", "-o", str(folder / name), str(source), *flags]
    subprocess.run(argv, check=True)
    (folder / name).chmod(0o755)
    return folder / name


@pytest.mark.parametrize("shim", [True, False])
@pytest.mark.parametrize("name", BUILDS)
def test_programs_of_all_kinds(
    podsh: Podsh, outside: Path, slow: str, name: str, shim: bool
) -> None:
    program = build(podsh, outside, name)
    options = ("--ro", str(outside), "--env", "ASAN_OPTIONS=detect_leaks=0")
    options += () if shim else ("-p", slow)
    done = podsh.pod(str(program), str(outside / "file"), options=options)
    assert (done.code, done.out, done.err) == (0, "content\n\n", "")


def test_busybox(podsh: Podsh, outside: Path) -> None:
    options = ("--ro", str(outside))
    busybox = needs_program("busybox")
    done = podsh.pod(busybox, "cat", str(outside / "file"), options=options)
    assert (done.code, done.out, done.err) == (0, "content\n", "")


def test_a_cleared_environment(podsh: Podsh, outside: Path) -> None:
    options = ("--ro", str(outside))
    script = f"exec env -i cat {outside}/file /absent"
    done = podsh.pod("sh", "-c", script, options=options)
    assert done.out == "content\n"
    assert done.err.splitlines() == ["cat: /absent: No such file or directory"]


@pytest.mark.skipif(os.getuid() != 0, reason="makes a program of root's")
def test_set_user_id_programs(podsh: Podsh, outside: Path) -> None:
    program = outside / "cat"
    shutil.copy(needs_program("cat"), program)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    podsh.profile(
        "suid",
        f'extends = "base"\n[[fs.bind]]\npath = "{outside}"\nsuid = true\n',
    )
    for options in (("--ro", str(outside)), ("-p", "suid")):
        done = podsh.pod(str(program), str(outside / "file"), options=options)
        assert (done.code, done.out, done.err) == (0, "content\n", "")
