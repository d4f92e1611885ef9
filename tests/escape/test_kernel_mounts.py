"""The kernel's own filesystems where a bind brings them along: root's pods own /proc/sys."""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import TYPE_CHECKING

import pytest

from tests.helpers import callers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.callers import Caller
    from tests.helpers.runner import Podsh

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounts on the host")
_libc = ctypes.CDLL(None, use_errno=True)
TREE = ("proc", "sysfs", "cgroup2")
LOOK = """
for d in proc sysfs cgroup2; do ls {0}/$d 2>/dev/null; done
test -w {0}/proc/sys/kernel/core_pattern && echo writable core_pattern
test -w {0}/sysfs/kernel/uevent_helper && echo writable uevent_helper
echo looked >> {0}/file; cat {0}/file
"""


@pytest.fixture
def caller() -> Caller:
    return callers.caller("root")


@pytest.fixture
def tree(ground: Path) -> Iterator[Path]:
    """A directory as a chroot is: the kernel's filesystems mounted in it."""
    with contextlib.ExitStack() as stack:
        tree = ground / "chroot"
        tree.mkdir()
        stack.callback(tree.rmdir)
        stack.callback((tree / "file").unlink, missing_ok=True)
        for kind in TREE:
            point = tree / kind
            point.mkdir()
            stack.callback(point.rmdir)
            if _libc.mount(b"none", bytes(point), kind.encode(), 0, None) == 0:
                stack.callback(_libc.umount2, bytes(point), 2)
        assert os.access(tree / "proc/sys/kernel/core_pattern", os.W_OK)
        yield tree


def test_they_do_not_come_along_with_a_bind(podsh: Podsh, tree: Path) -> None:
    done = podsh.pod("sh", "-c", LOOK.format(tree), options=("--rw", str(tree)))
    assert (done.code, done.out) == (0, "looked\n")


def test_they_do_not_come_along_with_a_grant(podsh: Podsh, tree: Path) -> None:
    podsh.run("run", "-d", "-n", "given", "--", "sleep", "100")
    done = podsh.run("mount", "given", str(tree), "-w")
    if "6.15" not in done.err:
        assert done.code == 0, done.err
        looked = podsh.run("exec", "given", "--", "sh", "-c", LOOK.format(tree))
        assert (looked.code, looked.out) == (0, "looked\n")
    podsh.run("kill", "-s", "KILL", "given")
    podsh.run("wait", "given", "exit")


def test_none_is_bound_by_another_name(podsh: Podsh, tree: Path) -> None:
    refused = podsh.pod("true", options=("--ro", str(tree / "proc")))
    assert refused.code == 125
    assert "a /proc of its own" in refused.err
    link = podsh.home / "link"
    link.symlink_to("/sys")
    for path in (link, tree / "sysfs"):
        options = ("--rw", str(path))
        done = podsh.pod(
            "sh", "-c", f"test -w {path}/kernel/uevent_helper; echo $?", options=options
        )
        assert (done.code, done.out) == (0, "1\n")


def test_shipped_profiles_cannot_be_written(podsh: Podsh) -> None:
    """Who writes `base` decides what the next pod sees."""
    from podsh import paths

    profiles = paths.shared("profiles")
    checkout = os.path.dirname(profiles)
    look = f"ls {profiles}; : >> {profiles}/base.toml"
    done = podsh.pod("sh", "-c", look, options=("--rw", checkout))
    assert done.out == ""
    assert done.code != 0
