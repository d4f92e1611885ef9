"""A group of processes that an ordinary user may divide, as systemd delegates one."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from podsh.kernel import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.runner import Podsh

WANTED = frozenset(("memory", "cpu"))


def named(pod: str) -> str:
    """A pod's name that no other run of the suite has."""
    return f"{pod}-t{os.getpid()}"


def left() -> list[str]:
    """Groups of such pods that are there, anywhere."""
    names = (name for _, directories, _ in os.walk("/sys/fs/cgroup") for name in directories)
    return [name for name in names if name.startswith("podsh-") and f"-t{os.getpid()}-" in name]


@contextlib.contextmanager
def delegated(podsh: Podsh) -> Iterator[None]:
    """The portal of ``podsh``, not yet running, is started in a group of its caller's own.

    Where the suite is not root's, it has to be in one.
    """
    caller = podsh.caller
    if not caller.switch:
        yield
        return
    place = cgroups.place(WANTED)
    made = [Path(path) / f"test-{secrets.token_hex(4)}" for path in set(place.directories.values())]
    try:
        for directory in made:
            directory.mkdir()
            for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
                with contextlib.suppress(FileNotFoundError):
                    os.chown(directory / name, caller.uid, caller.gid)
        starting = podsh.start(
            "sh", "-c", 'read go; "$0" ps', str(podsh.command), stdin=subprocess.PIPE, raw=True
        )
        for directory in made:
            (directory / "cgroup.procs").write_text(str(starting.pid))
        _, err = starting.communicate(b"\n", timeout=60)
        assert starting.returncode == 0, err
        yield
    finally:
        podsh.close()
        for directory in made:
            _remove(directory)


def _remove(directory: Path) -> None:
    """With the groups that podsh has made below it, once their processes are gone."""
    end = time.monotonic() + 10
    while directory.is_dir():
        below = [path for path in directory.rglob("*") if path.is_dir()]
        for path in [*sorted(below, reverse=True), directory]:
            with contextlib.suppress(OSError):
                path.rmdir()
        assert time.monotonic() < end, f"{directory} is still in use"
        time.sleep(0.02)
