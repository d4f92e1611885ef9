"""``allow --save``: exactly the rule that was shown, in the right file, all else as it was."""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from podsh.errors import UsageError
from podsh.portal.pods import Pod
from podsh.portal.saving import save_rule, targets

if TYPE_CHECKING:
    from tests.helpers.world import World

DEV = """\
# my own profile
name = "dev"
extends = "base"   # all of it

[net]
mode = "loop"  # servers of mine
"""


def pod(world: World, *profiles: str, domain: str = "dev") -> Pod:
    state = world.root / "state"
    state.mkdir(exist_ok=True)
    meta = {"name": "web", "request": {"profiles": list(profiles)}}
    (state / "meta.json").write_text(json.dumps(meta))
    found = Pod("web", "dev", str(state), "/r")
    found.domain = domain
    return found


def row(path: str, op: str = "read", **fields: Any) -> dict[str, Any]:
    return {"id": 7, "pod": "web", "op": op, "path": path, "state": "waiting", **fields}


def save(
    world: World,
    path: str,
    op: str = "read",
    profile: str | None = None,
    *profiles: str,
    **more: Any,
) -> str:
    """Save a rule; where it stands."""
    live = pod(world, *(profiles or ("dev",)), domain=more.pop("domain", "dev"))
    return save_rule(world.library, live, row(path, op, **more), path, op, profile)()


def added(before: str, after: str) -> list[str]:
    """The lines that are new; every old line must be there still, in its order."""
    difference = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert not [line for line in difference if line.startswith("- ")], difference
    return [line[2:] for line in difference if line.startswith("+ ")]


def test_a_rule_of_ones_own_profile(world: World) -> None:
    file = world.profile("dev.toml", DEV)
    (world.home / "data").mkdir()
    before = world.load("dev")
    where = save(world, str(world.home / "data"), "write")
    text = (world.user / "dev.toml").read_text()
    assert added(DEV, text) == ["", "[[fs.bind]]", 'path = "~/data"', "write = true"]
    line = text.splitlines().index('path = "~/data"') + 1
    assert where == f"{file}:{line}"
    after = world.load("dev")
    new = [bind for bind in after.fs.bind if bind.path not in {b.path for b in before.fs.bind}]
    assert [(b.path, b.write, b.exec, b.suid, b.dev) for b in new] == [
        (str(world.home / "data"), True, True, False, False)
    ]


@pytest.mark.parametrize(
    "table",
    [
        '[[fs.bind]]\npath = "/opt"  # tools\n',
        '[fs]\nhome = "tmp" # none\n',
        '[fs]\nbind = [ { path = "/opt" } ] # tools\n',
        "[fs]\nbind = []\n",
        '[fs]\nbind = [\n    { path = "/opt" }, # tools\n    # more\n    { path = "/srv" },\n]\n',
        '[fs]\nbind = [\n    { path = "/opt" } # tools\n]\nproc = true\n',
        'fs.home = "tmp"\n',
        "",
        "# no newline at the end",
    ],
)
def test_wherever_the_binds_stand_comments_stay(world: World, table: str) -> None:
    before = DEV + table if table.startswith(("[", "#")) else table + DEV
    world.profile("dev.toml", before)
    where = save(world, "/var/data/x")
    text = (world.user / "dev.toml").read_text()
    for line in before.splitlines():
        comment = line.partition("#")[2]
        assert comment in text
    line = int(where.rpartition(":")[2])
    assert "/var/data/x" in text.splitlines()[line - 1]
    bind = next(b for b in world.load("dev").fs.bind if b.path == "/var/data/x")
    assert (bind.write, str(bind.where)) == (False, where)
    if "\n    {" in table:
        assert '\n    {path = "/var/data/x"}' in text


def test_reading_becomes_writing_in_place(world: World) -> None:
    binds = '[[fs.bind]]\npath = "/srv/a"\n[[fs.bind]]\npath = "~/b" # mine\nexec = false\n'
    world.profile("dev.toml", DEV + binds)
    save(world, str(world.home / "b"), "write")
    text = (world.user / "dev.toml").read_text()
    assert added(DEV + binds, text) == ["write = true"]
    bind = next(b for b in world.load("dev").fs.bind if b.path == str(world.home / "b"))
    assert (bind.write, bind.exec) == (True, False)
    with pytest.raises(UsageError, match="has that rule already"):
        save(world, str(world.home / "b"), "read")


def test_what_a_parent_says_of_the_path_stays_but_for_the_mode(world: World) -> None:
    world.profile("parent.toml", 'extends = "base"\n[[fs.bind]]\npath = "/srv/a"\nexec = false\n')
    world.profile("dev.toml", 'extends = "parent"\n')
    save(world, "/srv/a", "write")
    bind = next(b for b in world.load("dev").fs.bind if b.path == "/srv/a")
    assert (bind.write, bind.exec) == (True, False)


@pytest.mark.parametrize("domain", [True, False])
def test_a_shipped_profile_is_extended_by_one_of_the_same_name(world: World, domain: bool) -> None:
    said = "[access]\ndomain = true\n" if domain else "[access]\ndomain = false\n"
    shipped = f'name = "tools"\ndescription = "t"\nextends = "base"\n{said}'
    shipped += '[run]\ncmd = ["sh"]\n[[fs.bind]]\npath = "/opt"\n'
    source = world.write(world.system / "tools.toml", shipped)
    before = world.load("tools")
    where = save(world, "/srv/x", "write", None, "tools")
    assert where.startswith(f"{world.user}/tools.toml:")
    assert (world.system / "tools.toml").read_text() == shipped
    after = world.load("tools")
    assert after.source == f"{world.user}/tools.toml"
    assert after.extends == ("tools",)
    assert after.access.domain == before.access.domain == domain
    assert (after.description, after.run) == (before.description, before.run)
    assert {b.path for b in after.fs.bind} == {b.path for b in before.fs.bind} | {"/srv/x"}
    assert source != after.source
    # the second one goes into the same file
    save(world, "/srv/y", "read", None, "tools")
    text = (world.user / "tools.toml").read_text()
    assert text.count("extends") == 1
    assert {"/srv/x", "/srv/y"} <= {b.path for b in world.load("tools").fs.bind}


def test_a_system_pod_file_is_extended_by_a_profile(world: World) -> None:
    world.write(world.jettison / "browser.pod", "# surf\nfile rx /opt\nnewnet none\n")
    before = world.load("browser")
    save(world, "/srv/x", "read", None, "browser")
    after = world.load("browser")
    assert after.source == f"{world.user}/browser.toml"
    assert (after.fs.home, after.net, after.access.domain) == (
        before.fs.home, before.net, before.access.domain,
    )  # fmt: skip
    assert "/srv/x" in {b.path for b in after.fs.bind}


def test_ones_own_pod_file_gets_a_line(world: World) -> None:
    text = "# mine\nfile rx /opt # tools"
    world.write(world.pods / "p.pod", text)
    where = save(world, "/srv/x", "write", None, "p")
    assert (world.pods / "p.pod").read_text() == text + "\nfile rwx /srv/x\n"
    assert where == f"{world.pods}/p.pod:3"
    for path in ("/srv/a b", "/srv/a\tb"):
        with pytest.raises(UsageError, match="has no blanks"):
            save(world, path, "read", None, "p")
    with pytest.raises(UsageError, match="cannot be added without changing more"):
        save(world, "/var/lib", "write", None, "p")


def test_a_rule_that_a_deny_covers_is_refused_with_the_line(world: World) -> None:
    file = world.profile("dev.toml", DEV + '[access]\ndeny = [\n  "~/secret*",\n]\n')
    with pytest.raises(UsageError) as caught:
        save(world, str(world.home / "secrets" / "a"))
    line = (world.user / "dev.toml").read_text().splitlines().index('  "~/secret*",') + 1
    assert caught.value.place == f"{file}:{line}"
    # base's deny is in every profile, also one that does not extend it
    world.profile("alone.toml", "[run]\ncmd = ['sh']\n")
    with pytest.raises(UsageError) as caught:
        save(world, str(world.home / ".ssh" / "id"), "read", None, "alone")
    assert caught.value.place.startswith(f"{world.user}/base.toml:")
    # by the name that a link leads to as well
    (world.home / "real").mkdir()
    (world.home / "name").symlink_to("real")
    world.profile("dev.toml", DEV + '[access]\ndeny = ["~/name"]\n')
    with pytest.raises(UsageError, match="denies"):
        save(world, str(world.home / "real" / "x"))


def test_which_profile_is_asked_where_there_are_several(world: World) -> None:
    world.profile("dev.toml", DEV)
    world.profile("other.toml", 'extends = "base"\n')
    for profiles, domain in ((["dev", "other"], "x"), ([], "dev∩other")):
        live = pod(world, *profiles, domain=domain)
        with pytest.raises(UsageError) as caught:
            save_rule(world.library, live, row("/srv/x"), "/srv/x", "read", None)
        assert "which profile: dev, other?" in str(caught.value)
        assert "allow 7 --save dev" in str(caught.value)
    assert save(world, "/srv/x", "read", "other", "dev", "other").startswith(f"{world.user}/other")
    assert targets(pod(world, "dev", "other"), row("/x")) == (["dev", "other"], "")
    assert targets(pod(world), row("/x", domain="a∩b∩7 more")) == (["a", "b"], "")
    assert targets(pod(world, domain=""), row("/x")) == (["base"], "")


def test_base_is_changed_only_by_its_name(world: World) -> None:
    world.profile("dev.toml", DEV)
    with pytest.raises(UsageError, match="all pods would have it"):
        save(world, "/srv/x", "read", None, "base")
    save(world, "/srv/x", "read", "base")
    assert "/srv/x" in {b.path for b in world.load("base").fs.bind}
    assert world.load("base").access.domain is False


def test_what_is_no_rule_of_a_profile(world: World) -> None:
    world.profile("dev.toml", DEV)
    with pytest.raises(UsageError, match="a socket is no rule of a profile"):
        save(world, "/run/s", "connect")
    with pytest.raises(UsageError, match="there is nothing to keep"):
        save(world, "/srv/x", "read", to="build")
    with pytest.raises(UsageError, match="is not UTF-8"):
        save(world, "/srv/\udcff")
    with pytest.raises(UsageError, match="no profile is called"):
        save(world, "/srv/x", "read", "nosuch")
    assert (world.user / "dev.toml").read_text() == DEV


def test_podsh_writes_only_into_directories_of_profiles(world: World, tmp_path: Path) -> None:
    project = world.write(world.project / "p.toml", "[run]\ncmd = ['sh']\n")
    other = world.write(tmp_path / "q.toml", "[run]\ncmd = ['sh']\n")
    for name in (project, other):
        text = Path(name).read_text()
        with pytest.raises(UsageError, match="not in a directory of your profiles"):
            save(world, "/srv/x", "read", name)
        assert Path(name).read_text() == text


def test_nothing_is_written_before_the_monitor_has_agreed(world: World) -> None:
    file = world.user / "dev.toml"
    world.profile("dev.toml", DEV)
    keep = save_rule(world.library, pod(world, "dev"), row("/srv/x"), "/srv/x", "read", None)
    assert file.read_text() == DEV
    # nor over what somebody else wrote meanwhile
    file.write_text(DEV + "# new\n")
    with pytest.raises(UsageError, match="changed meanwhile"):
        keep()
    assert file.read_text() == DEV + "# new\n"


@pytest.mark.parametrize("name", ["a b", "a#b", 'a"b', "a\\b", "$HOME", "~x", "日本", "a'b", "a=b"])
def test_names_are_kept_to_the_letter(world: World, name: str) -> None:
    world.profile("dev.toml", DEV)
    path = str(world.home / name)
    save(world, path)
    assert path in {bind.path for bind in world.load("dev").fs.bind}


def test_a_link_to_the_profile_stays_a_link(world: World) -> None:
    real = world.write(world.home / "dotfiles" / "dev.toml", DEV)
    (world.user / "dev.toml").symlink_to(real)
    save(world, "/srv/x")
    assert (world.user / "dev.toml").is_symlink()
    assert "/srv/x" in Path(real).read_text()
    assert os.stat(real).st_mode & 0o777 == 0o644
