"""The builder of jails, as far as it goes without namespaces: sources and what they are."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from podsh.errors import LaunchFailed
from podsh.jail import bound, build
from podsh.kernel.address import Address
from podsh.operations import Bind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def shown(ops: Sequence[Bind]) -> None:
    with build.Builder(ops) as builder:
        builder.shown(0)


def bind(src: object, **more: object) -> Bind:
    fields = {
        "dst": None,
        "write": False,
        "exec": True,
        "suid": False,
        "dev": False,
        "optional": False,
        "where": "web.toml:3",
    }
    return Bind(str(src), **{**fields, **more})  # type: ignore[arg-type]


def test_a_projects_bind_that_became_a_link_out_of_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "project" / "data").symlink_to("../secret")
    inside = bind(tmp_path / "project" / "data", within=str(tmp_path / "project"))
    with pytest.raises(LaunchFailed, match=r"leads to .*/secret, out of .*/project"):
        shown((inside,))


def test_what_is_not_there_says_where_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(LaunchFailed) as caught:
        shown((bind(tmp_path / "none"),))
    assert caught.value.place == "web.toml:3"
    assert "optional = true" in caught.value.hint


@pytest.mark.parametrize("path", ["/proc", "/proc/self", "/proc/sys/kernel"])
def test_the_hosts_proc_is_never_shown(path: str) -> None:
    with pytest.raises(LaunchFailed, match="a /proc of its own"):
        shown((bind(path),))


def test_sys_is_read_only_whatever_is_asked() -> None:
    assert bound.attributes(bind("/sys/fs/cgroup", write=True)) & bound.MOUNT_ATTR_RDONLY
    assert not bound.attributes(bind("/system", write=True)) & bound.MOUNT_ATTR_RDONLY


def test_a_mount_point_in_the_pods_home_is_made_with_its_parents(tmp_path: Path) -> None:
    home = os.open(tmp_path, os.O_PATH)
    try:
        for _ in range(2):
            build.make_point(home, "a/b/dir", True)
            build.make_point(home, "a/c/file", False)
        (tmp_path / "a/c/file").chmod(0)
        build.make_point(home, "a/c/file", False)
    finally:
        os.close(home)
    assert (tmp_path / "a/b/dir").is_dir()
    assert (tmp_path / "a/b").stat().st_mode & 0o7777 == 0o700
    assert (tmp_path / "a/c/file").read_bytes() == b""


@pytest.mark.parametrize(
    ("rest", "is_dir"),
    [
        *[(f"{name}/x", True) for name in ("link", "loop", "file", "fifo", "dangling")],
        *[(f"{name}/x", False) for name in ("link", "loop", "file", "fifo", "dangling")],
        *[(name, True) for name in ("link", "file", "fifo", "dangling")],
        *[(name, False) for name in ("link", "flink", "fifo", "dangling", "dir", "socket")],
        ("..", True),
        ("../x", False),
    ],
)
def test_what_a_pod_left_in_its_home_is_not_followed(
    tmp_path: Path, rest: str, is_dir: bool
) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "home/deep"
    outside.mkdir()
    inside.mkdir(parents=True)
    (inside / "dir").mkdir()
    (inside / "file").write_text("")
    for name, target in (
        *(("link", outside), ("loop", "loop")),
        *(("flink", "file"), ("dangling", outside / "new")),
    ):
        (inside / name).symlink_to(target)
    os.mkfifo(inside / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        with Address(str(inside / "socket")) as address:
            listener.bind(address)
    before = sorted(tmp_path.rglob("*"))
    home = os.open(inside, os.O_PATH)
    try:
        with pytest.raises(OSError):
            build.make_point(home, rest, is_dir)
    finally:
        os.close(home)
    assert sorted(tmp_path.rglob("*")) == before
