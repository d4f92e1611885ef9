"""Where groups can be made: on directories that look like those of cgroups(7), version 2."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from podsh.kernel import cgroups, mounts

if TYPE_CHECKING:
    from pathlib import Path

WANTED = frozenset(("memory", "cpu"))
OWN = "/user.slice/user@1000.service/app.slice/terminal.scope"


class Tree:
    """Groups from the topmost to this process's own, as plain files."""

    def __init__(self, top: Path, own: str = OWN) -> None:
        self.top = top
        at = top
        self.groups = [self._make(at, topmost=True)]
        for name in own.strip("/").split("/"):
            at /= name
            self.groups.append(self._make(at))
        self.own = at

    def _make(self, at: Path, topmost: bool = False) -> Path:
        at.mkdir(exist_ok=True)
        names = ["cgroup.procs", "cgroup.subtree_control"] + ["cgroup.type"] * (not topmost)
        for name in names:
            (at / name).write_text("")
        (at / "cgroup.controllers").write_text("cpu memory pids\n")
        at.chmod(0o755)
        return at


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    made = Tree(tmp_path / "cgroup")
    line = f"30 1 0:9 / {made.top} rw - cgroup2 cgroup2 rw"
    monkeypatch.setattr(mounts, "listing", lambda: [mounts.Mount(line.encode())])
    monkeypatch.setattr(cgroups, "_own", lambda hierarchy: None if hierarchy else OWN)
    # which are ours: root may write anywhere
    monkeypatch.setattr(cgroups, "_may_use", lambda path: os.stat(path).st_mode & 0o200 != 0)
    for group in made.groups[:3]:
        group.chmod(0o555)
    made.groups[-1].chmod(0o755)
    (made.own / "cgroup.procs").write_text("1\n")
    return made


def enable(group: Path) -> None:
    (group / "cgroup.subtree_control").write_text("cpu memory pids\n")


def test_the_nearest_that_has_groups_with_these_controllers(tree: Tree) -> None:
    enable(tree.groups[3])
    found = cgroups.place(WANTED)
    assert found.unified
    assert found.directories == dict.fromkeys(("cpu", "memory", "pids"), str(tree.groups[3]))


def test_one_without_processes_can_be_made_ready(tree: Tree) -> None:
    found = cgroups.place(WANTED, prepare=False)
    assert set(found.directories.values()) == {str(tree.groups[3])}
    assert (tree.groups[3] / "cgroup.subtree_control").read_text() == ""


def test_the_nearest_even_if_one_above_is_ready(tree: Tree) -> None:
    """Or a pod would be out of reach of the limits in between."""
    tree.groups[2].chmod(0o755)
    enable(tree.groups[2])
    found = cgroups.place(WANTED, prepare=False)
    assert set(found.directories.values()) == {str(tree.groups[3])}


def test_what_is_not_ours_is_left_alone(tree: Tree) -> None:
    for group in tree.groups:
        enable(group)
        group.chmod(0o555)
    with pytest.raises(cgroups.Lacking, match="not podsh's to divide") as caught:
        cgroups.place(WANTED)
    assert caught.value.mend


def test_processes_of_others_are_not_moved(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_delegated", lambda _: False)
    tree.groups[3].chmod(0o555)
    with pytest.raises(cgroups.Lacking):
        cgroups.place(WANTED)
    assert not (tree.own / "podsh").exists()


def test_own_ones_are_where_the_group_was_handed_over(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_delegated", lambda _: True)
    tree.groups[3].chmod(0o555)
    (tree.own / "podsh").mkdir()
    (tree.own / "podsh/cgroup.procs").write_text("")
    with pytest.raises(cgroups.Lacking):
        cgroups.place(WANTED)  # plain files: what is enabled does not show
    assert (tree.own / "podsh/cgroup.procs").read_text() == "1"


def test_an_own_group_without_a_controller(tree: Tree) -> None:
    for group in tree.groups[3:]:
        (group / "cgroup.controllers").write_text("memory pids\n")
    with pytest.raises(cgroups.Lacking, match=r"terminal.scope was not given cpu$"):
        cgroups.place(WANTED)
    assert cgroups.place(frozenset(("memory",)), prepare=False).directories == {
        "memory": str(tree.groups[3])
    }


def test_controllers_that_are_not_there(tree: Tree) -> None:
    (tree.top / "cgroup.controllers").write_text("pids\n")
    with pytest.raises(cgroups.Lacking, match="no cpu and memory cgroups"):
        cgroups.place(WANTED)


def test_a_group_and_what_it_says(tmp_path: Path) -> None:
    place = cgroups.Place(True, dict.fromkeys(("cpu", "memory", "pids"), str(tmp_path)))
    with pytest.raises(FileNotFoundError):
        cgroups.Group.make(place, "pod", cgroups.Limits(memory_bytes=1 << 20))
    assert not (tmp_path / "pod").exists()
    group = cgroups.Group(True, dict.fromkeys(("cpu", "memory", "pids"), str(tmp_path)))
    for name, text in {
        "memory.current": "4096",
        "memory.max": "max",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n",
        "cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
        "cpu.max": "50000 100000",
        "pids.current": "7",
    }.items():
        (tmp_path / name).write_text(text)
    assert group.usage() == {
        "memory": 4096,
        "memory_limit": None,
        "cpu_seconds": 1.5,
        "cpu_limit": 0.5,
        "pids": 7,
        "pids_limit": None,
        "oom_kills": 2,
    }
    assert cgroups.Group.from_wire(group.to_wire()).directories == group.directories
