"""The builder of jails, as far as it goes without namespaces: sources and what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.errors import LaunchFailed
from podsh.jail import build
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
    assert build.attributes(bind("/sys/fs/cgroup", write=True)) & build.MOUNT_ATTR_RDONLY
    assert not build.attributes(bind("/system", write=True)) & build.MOUNT_ATTR_RDONLY
