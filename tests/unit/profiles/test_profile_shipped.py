"""The shipped profiles load everywhere, ask for nothing that a launch refuses, and deny enough."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh import paths, plan
from podsh.profiles import toml
from podsh.profiles.report import remarks
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from podsh.profiles.schema import Profile
    from tests.helpers.profiles import Ground

NAMES = ("agent", "base", "build", "example", "git", "node", "python", "shell")
IN_PROJECT = {"agent", "build", "git"}


def shipped(ground: Ground) -> dict[str, Profile]:
    return {name: ground.load(name) for name in NAMES}


def test_all_are_there(ground: Ground) -> None:
    assert [entry.name for entry in ground.library.entries()] == sorted(NAMES)
    assert {os.path.dirname(path) for _, path, _ in ground.library.names()} == {
        paths.shared("profiles")
    }
    assert all(about for _, _, about in ground.library.names())


def test_none_is_refused_at_launch(ground: Ground) -> None:
    for name, profile in shipped(ground).items():
        assert [r for r in remarks(profile) if str(ground.home) not in r] == [], name


def test_base_works_anywhere_and_projects_only_in_one(ground: Ground) -> None:
    for name, profile in shipped(ground).items():
        uses_project = any(bind.path == str(ground.project) for bind in profile.fs.bind)
        assert uses_project == (name in IN_PROJECT), name
    for cwd in ("/", str(ground.home)):
        for name in set(NAMES) - IN_PROJECT:
            ground.library.load(name, Context(str(ground.home), cwd, ()))


def test_only_the_agent_has_a_network(ground: Ground) -> None:
    modes = {name: profile.net.mode for name, profile in shipped(ground).items()}
    assert modes == dict.fromkeys(NAMES, "none") | {"agent": "host", "example": "loop"}


def test_only_the_project_is_writable(ground: Ground) -> None:
    for name, profile in shipped(ground).items():
        writable = {bind.path for bind in profile.fs.bind if bind.write}
        assert writable <= {str(ground.project), "/dev/null"}, name


def test_none_is_a_domain_by_itself(ground: Ground) -> None:
    assert not any(profile.access.domain for profile in shipped(ground).values())


def test_no_shipped_bind_shows_a_secret(ground: Ground) -> None:
    for name, profile in shipped(ground).items():
        binds = {bind.path for bind in profile.fs.bind}
        assert not binds & {"/", "/etc", "/etc/ssl", "/home", "/root", "/var", "/run", "/proc"}, (
            name
        )
        assert not [path for path in binds if "shadow" in path or "private" in path], name


@pytest.mark.parametrize(
    "secret",
    [
        ".ssh", ".gnupg", ".mozilla", ".config/google-chrome*", ".config/chromium",
        ".config/BraveSoftware", ".aws", ".config/gcloud", ".kube", ".docker/config.json",
        ".netrc", ".password-store", ".local/share/keyrings", ".pypirc", ".npmrc",
        ".cargo/credentials*", ".git-credentials", ".*_history",
    ],
)  # fmt: skip
def test_secrets_are_denied_by_all_but_pod_files(ground: Ground, secret: str) -> None:
    for name, profile in shipped(ground).items():
        if profile.dialect == "toml":
            assert f"{ground.home}/{secret}" in [p.text for p in profile.access.deny], name


def test_base_states_podshs_own_limits(ground: Ground) -> None:
    limits = ground.load("base").limits
    assert limits.processes == plan.DEFAULT_PROCESSES
    assert limits.tmpfs == plan.DEFAULT_TMPFS
    assert limits.ptys == plan.DEFAULT_PTYS
    assert limits.open_files is None  # given, it would raise the soft limit too


def test_pods_devices_are_the_plans() -> None:
    from podsh.operations import DEVICES
    from podsh.profiles import narrow

    assert {f"/dev/{name}" for name in DEVICES} == narrow.DEVICES


def test_the_manual_names_every_key_and_its_example_loads(ground: Ground) -> None:
    text = (Path(__file__).parents[3] / "profiles" / "README.md").read_text()
    rows = {row.split("|")[1]: row for row in text.splitlines() if row.startswith("|")}
    for table, keys in toml.TABLES.items():
        (row,) = [row for head, row in rows.items() if f"`[{table}]`" in head]
        assert [key for key in keys if f"`{key}`" not in row] == []
    example = text.partition("```toml\n")[2].partition("```")[0]
    ground.profile("web.toml", example)
    assert ground.load("web").net.mode == "loop"
