"""What is hidden stays so where the host has mounted the same tree a second time."""

from __future__ import annotations

import ctypes
import json
import os
import shlex
from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import MARKER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Podsh

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounts on the host")
_libc = ctypes.CDLL(None, use_errno=True)
MS_BIND = 0x1000
LOOK = """
cat {0}/home/.ssh/key; ls {0}/run/podsh {0}/state/podsh {0}/config/podsh
mv {0}/home/.ssh {0}/home/ssh && mv {0}/home/ssh {0}/home/.ssh && echo moved
mkdir -p {0}/config/podsh/profiles && echo '' > {0}/config/podsh/profiles/planted.toml && echo wrote
rm -f {0}/config/podsh/profiles/planted.toml
"""
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def bind(source: Path, target: Path) -> None:
    assert _libc.mount(bytes(source), bytes(target), None, MS_BIND, None) == 0


@pytest.fixture
def second(podsh: Podsh, ground: Path) -> Iterator[Path]:
    """A second mount of the directory that has the caller's home and all of podsh's own."""
    podsh.file(podsh.directory("home/.ssh") / "key", MARKER)
    place = ground / f"second-{podsh.caller.name}"
    place.mkdir()
    bind(podsh.base, place)
    try:
        yield place
    finally:
        podsh.forget_pods()
        _libc.umount2(bytes(place), 2)
        place.rmdir()


def test_below_a_bind(podsh: Podsh, second: Path) -> None:
    look = LOOK.format(shlex.quote(str(second)))
    outside = podsh.outside("sh", "-c", look)
    assert MARKER in outside.out
    assert {"portal.sock", "moved", "wrote"} <= {*outside.out.split()}
    inside = podsh.pod("sh", "-c", look, options=("--rw", str(second)))
    assert inside.out == "", inside


def test_below_a_grant(podsh: Podsh, second: Path) -> None:
    assert podsh.run("run", "-d", "-n", "given", "--", "sleep", "100").code == 0
    done = podsh.run("mount", "given", str(second), "-w")
    if "6.15" not in done.err:
        assert done.code == 0, done.err
        inside = podsh.run("exec", "given", "--", "sh", "-c", LOOK.format(second))
        assert inside.out == "", inside


def test_itself(podsh: Podsh, second: Path) -> None:
    podsh.directory("config/podsh/profiles")
    for name in ("home/.ssh", "run/podsh", "config/podsh/profiles"):
        path = str(second / name)
        assert podsh.outside("ls", path).code == 0
        done = podsh.pod("ls", path, options=("--ro", path))
        assert (done.code, done.out) == (125, "")
        assert "hidden from every pod" in done.err


def test_a_part_of_it(podsh: Podsh, second: Path, ground: Path) -> None:
    """Only a directory within the hidden one is mounted elsewhere."""
    part = ground / f"part-{podsh.caller.name}"
    part.mkdir()
    bind(podsh.home / ".ssh", part)
    try:
        done = podsh.pod("cat", str(part / "key"), options=("--ro", str(ground)))
        assert MARKER not in done.out, done
        assert podsh.outside("cat", str(part / "key")).out == MARKER
    finally:
        _libc.umount2(bytes(part), 2)
        part.rmdir()


def test_connecting_to_the_portal(podsh: Podsh, second: Path) -> None:
    """Nobody is asked about it: the monitor, which would connect, is no stranger there."""
    path = str(second / "run/podsh/portal.sock")
    python = "/usr/bin/python3"
    assert podsh.outside(python, "-c", CONNECT, path).code == 0
    done = podsh.pod(python, "-c", CONNECT, path, options=("--ro", str(second)))
    assert done.code == 1
    told = [json.loads(line) for line in podsh.run("events", "--json").out.splitlines()]
    denied = [event for event in told if event["ev"] == "denial" and event["path"] == path]
    assert denied, told[-5:]
    assert denied[-1]["rule"]["key"] == "access.deny"
