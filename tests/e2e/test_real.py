"""Real work with real programs, in tmux: the build profile and a project directory."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.runner import Podsh

MAIN_C = """
#include <stdio.h>
int main(void) { puts("made in a pod"); return 0; }
"""


@pytest.fixture
def project(podsh: Podsh) -> Path:
    """A directory with a git repository of a C program to be cloned, empty but for that."""
    needs_program("git")
    top = podsh.directory(f"work-{len(list(podsh.base.iterdir()))}")
    origin = top / "origin"
    origin.mkdir()
    podsh.caller.own(origin)
    podsh.file(origin / "main.c", MAIN_C)
    podsh.file(origin / "Makefile", "prog: main.c\n\tcc -O1 -o prog main.c\n")
    script = (
        "git init -q -b main . && git add . && "
        "git -c user.name=t -c user.email=t@t commit -qm first"
    )
    done = podsh.outside("sh", "-c", script, cwd=origin)
    assert done.code == 0, done.err
    return top


def test_clone_make_and_run(podsh: Podsh, project: Path) -> None:
    script = "git clone -q origin copy && make -C copy && ./copy/prog"
    done = podsh.run("run", "--rm", "-p", "build", "--", "sh", "-c", script, cwd=project)
    assert done.code == 0, done.err
    assert done.out.endswith("made in a pod\n")
    assert (project / "copy" / "prog").exists()


@pytest.mark.long
def test_python_virtual_environment(podsh: Podsh, project: Path) -> None:
    script = "/usr/bin/python3 -m venv env && ./env/bin/python -c 'import sys; print(sys.prefix)'"
    argv = ("run", "--rm", "-p", "python", "--rw", str(project), "--", "sh", "-c", script)
    done = podsh.run(*argv, cwd=project, timeout=120)
    assert done.out.strip() == f"{project}/env", done.err


def test_editor_pager_and_monitor_in_tmux(podsh: Podsh, project: Path) -> None:
    needs_program("vim")
    argv = ("run", "--rm", "-n", "desk", "-p", "build", "--", "bash", "--norc", "--noprofile")
    with podsh.tmux(*argv, cwd=project) as tmux:
        tmux.wait(r"[#$] ?$")
        tmux.type("vim -u NONE -N note\n")
        tmux.wait("~")
        tmux.type("ihello from vim")
        tmux.keys("Escape")
        tmux.wait("hello from vim")
        tmux.type(":wq\n")
        tmux.wait(r"[#$] ?$")
        tmux.type("cat note\n")
        tmux.wait("^hello from vim$")
        tmux.type("seq 500 | less\n")
        tmux.wait("^23$")
        tmux.type("G")
        tmux.wait("^500$")
        tmux.type("q")
        tmux.wait(r"[#$] ?$")
        tmux.type("sleep 77 &\n")
        needs_program("htop")
        tmux.type("htop -d 5\n")
        tmux.wait("sleep 77")
        tmux.type("q")
        tmux.type("clear; kill %1; wait; fg; echo still-$((40+2))\n")
        tmux.wait("still-42")
        tmux.type("exit\n")


def test_full_screen_program_looks_the_same_after_reattach(podsh: Podsh, project: Path) -> None:
    podsh.file(project / "text", "".join(f"row number {n}\n" for n in range(200)))
    argv = ("run", "-n", "edit", "-p", "build", "--", "vim", "-u", "NONE", "-N", "text")
    with podsh.tmux(*argv, cwd=project) as tmux:
        tmux.wait("row number 0")
        tmux.type("40Gzt")
        tmux.wait("^row number 61$")
        before = tmux.screen()
        tmux.keys("C-]")
        tmux.wait("podsh>")
        tmux.keys("C-]")
        tmux.wait("^row number 61$")  # the last row: it is drawn again from the top
        assert tmux.screen()[:-2] == before[:-2]
        tmux.type(":q!\n")
        tmux.wait("podsh>|exit|^$")
    podsh.wait_state("edit", "exited")


@pytest.mark.parametrize("package", ["busybox"])
def test_static_program(podsh: Podsh, package: str) -> None:
    path = needs_program(package)
    done = podsh.pod(path, "sh", "-c", "echo static; readlink /proc/self/exe")
    assert done.out.startswith("static\n"), done.err


def test_static_musl_program(podsh: Podsh, project: Path) -> None:
    compiler = needs_program("musl-gcc")
    subprocess.run(
        [compiler, "-static", "-o", str(project / "m"), str(project / "origin/main.c")], check=True
    )
    done = podsh.pod(str(project / "m"), options=("--ro", str(project)))
    assert done.out == "made in a pod\n", done.err
