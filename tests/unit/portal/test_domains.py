"""Profiles as domains, and what a pod starts as: by profile, and by command alone."""

from __future__ import annotations

import dataclasses
import marshal
import os
from typing import TYPE_CHECKING

from podsh.policy.access import EXEC, READ, WRITE, Where
from podsh.policy.wire import from_wire
from podsh.portal.domains import Domains
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from podsh.policy.domain import Domain
    from podsh.portal import launch
    from tests.helpers.world import World


def domains(start: launch.Start) -> list[Domain]:
    return [from_wire(fields) for fields in marshal.loads(start.policy["domains"])]


def shown(start: launch.Start) -> dict[str, bool]:
    return {bind.path: bind.write for bind in start.profile.fs.bind}


def test_by_command_a_pod_begins_in_what_all_candidates_share(world: World) -> None:
    one, two = world.client("one"), world.client("two")
    start = world.start("tool")
    assert start.profile.name == "one∩two"
    assert start.policy["own"] is None
    assert [domain.name for domain in domains(start)] == ["one", "two"]
    assert shown(start) == {str(world.bin): False, f"{world.root}/sbin": False}
    assert {str(one), str(two)} <= {a.path for d in domains(start) for a in d.accesses}
    # base's denials hold in each of them, and are hidden in the pod
    assert all(f"{world.home}/.ssh" in {p.text for p in d.deny} for d in domains(start))
    assert [p.text for p in start.profile.access.deny] == [f"{world.home}/.ssh"]
    assert marshal.loads(marshal.dumps(start.policy)) == start.policy


def test_only_what_all_of_them_allow_is_shared_the_stricter_way(world: World) -> None:
    other = f'[[fs.bind]]\npath = "{world.root}/other"\n'
    world.client("one", other + "write = true\n")
    world.client("two", other + "exec = false\n", 'deny = ["~/x"]\n')
    start = world.start("tool")
    found = next(b for b in start.profile.fs.bind if b.path == f"{world.root}/other")
    assert (found.write, found.exec) == (False, False)
    assert f"{world.home}/x" in {p.text for p in start.profile.access.deny}
    assert (start.profile.net, start.profile.run) == (
        world.library.load("base").net,
        world.library.load("base").run,
    )


def test_what_one_candidate_denies_is_not_shown_and_is_no_failure(world: World) -> None:
    other = f'[[fs.bind]]\npath = "{world.root}/other"\n'
    world.client("one", other)
    world.client("two", other, f'deny = ["{world.root}/oth*"]\n')
    assert f"{world.root}/other" not in shown(world.start("tool"))


def test_one_candidate_gives_its_name_and_its_files_but_nothing_else(world: World) -> None:
    path = world.client("one", '[net]\nmode = "host"\n[run]\nenv = { A = "b" }\n')
    start = world.start("tool")
    assert start.profile.name == "one"
    assert shown(start)[str(path)]
    assert start.profile.net.mode == "none"
    assert start.profile.run.env == ()


def test_without_a_domain_that_may_read_the_program_it_is_base(world: World) -> None:
    program = world.root / "other" / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    world.client("one")
    for argv in ((str(program),), ("no-such-program",)):
        start = world.start(*argv)
        assert start.profile.name == "base"
        assert from_wire(marshal.loads(start.policy["own"])).name == "base"


def test_the_program_is_found_as_in_the_pod_links_followed(world: World) -> None:
    path = world.client("one")
    (world.project / "here").symlink_to(world.tool)
    for argv in (("tool",), (f"{world.root}/sbin/tool",), ("./here",)):
        assert world.start(*argv).profile.name == "one", argv
    # on PATH before it, and no domain may read that one
    (world.root / "other" / "tool").write_text("#!/bin/sh\n")
    (world.root / "other" / "tool").chmod(0o755)
    start = world.start("tool", env={"PATH": f"{world.root}/other:{world.bin}"})
    assert start.profile.name == "base"
    assert str(path) not in shown(start)


def test_by_profile_it_is_that_profile_and_may_become_what_contains_it(world: World) -> None:
    path = world.client("one")
    world.client("two")
    wide = f'extends = "base"\n[[fs.bind]]\npath = "{path.parent}"\nwrite = true\n'
    world.profile("wide.toml", wide)
    start = world.start("tool", profiles=["one"])
    own = from_wire(marshal.loads(start.policy["own"]))
    assert (start.profile.name, own.name, own.transition) == ("one", "one", "auto")
    assert [domain.name for domain in domains(start)] == ["wide"]
    both = world.start("tool", profiles=["one", "two"])
    assert from_wire(marshal.loads(both.policy["own"])).name == "one+two"
    assert [domain.name for domain in domains(both)] == ["wide"]


def test_paths_are_resolved_and_lines_kept(world: World) -> None:
    world.client("one")
    (domain,) = domains(world.start("tool"))
    access = next(a for a in domain.accesses if a.path.endswith("clients/one"))
    assert access.perms == READ | WRITE | EXEC
    assert access.where == Where(str(world.user / "one.toml"), 3)
    assert {a.path for a in domain.accesses} == {str(world.bin), access.path}


def test_what_a_domain_does_not_say_of_the_host_itself_is_left_out(world: World) -> None:
    world.client(
        "one",
        f'[[fs.bind]]\npath = "{world.root}/other"\ndst = "/elsewhere"\n'
        f'[[fs.bind]]\npath = "{world.root}/late"\noptional = true\n'
        f'[[fs.bind]]\npath = "{world.root}/same"\ndst = "{world.root}/same"\n',
    )
    paths = {a.path for a in domains(world.start("tool"))[0].accesses}
    assert not {f"{world.root}/other", f"{world.root}/late"} & paths
    assert f"{world.root}/same" in paths
    (world.root / "late").mkdir()
    assert f"{world.root}/late" in {a.path for a in domains(world.start("tool"))[0].accesses}


def test_a_profile_of_a_project_is_resolved_where_the_caller_is(world: World) -> None:
    world.profile("proj.toml", 'extends = "base"\n[[fs.bind]]\npath = "{cwd}"\nwrite = true\n')
    elsewhere = world.home / "work" / "b"
    elsewhere.mkdir()
    for cwd in (world.project, elsewhere, world.project):
        start = world.start("tool", cwd=str(cwd))
        assert start.profile.name == "proj"
        assert shown(start)[str(cwd)]
    # at home there is no project: it is no domain there, and nothing to complain about
    start = world.start("tool", cwd=str(world.home))
    assert (start.profile.name, start.notes) == ("base", ())


def test_changed_new_and_removed_profiles_count_at_once(world: World) -> None:
    world.client("one")
    assert world.start("tool").profile.name == "one"
    world.client("two")
    assert world.start("tool").profile.name == "one∩two"
    world.client("two", access="domain = false\n")
    assert world.start("tool").profile.name == "one"
    os.unlink(world.user / "one.toml")
    assert world.start("tool").profile.name == "base"


def test_a_broken_profile_is_no_domain_and_that_is_said(world: World) -> None:
    world.client("one")
    world.profile("two.toml", 'extends = "base"\nnonsense = 1\n')
    start = world.start("tool")
    assert start.profile.name == "one"
    assert "two.toml:2" in start.notes[0]


def test_two_files_of_one_name_are_two_domains(world: World) -> None:
    for file in ("a", "b"):
        world.profile(f"{file}.toml", 'name = "x"\nextends = "base"\n')
    assert world.start("tool").profile.name in ("x∩b", "a∩x")


def test_what_the_command_line_shows_is_the_persons_grant(world: World) -> None:
    (world.project / "link").symlink_to(world.root / "other")
    start = world.start("tool", ro=[f"{world.project}/link"], rw=[str(world.project)])
    assert start.policy["grants"] == [
        [f"{world.root}/other", READ | EXEC],
        [str(world.project), READ | WRITE | EXEC],
    ]


def test_who_may_be_asked_when_nobody_is_there(world: World) -> None:
    assert world.start("tool").policy["unattended"] == "deny"
    world.client("one", access='unattended = "hold"\nshim = false\n')
    assert world.start("tool").policy["unattended"] == "deny"  # base's
    policy = world.start("tool", profiles=["one"]).policy
    assert (policy["unattended"], policy["shim"], policy["confined"]) == ("hold", False, True)
    assert world.start("tool", profiles=["one"], ask="deny").policy["unattended"] == "deny"
    assert world.start("tool", ask="hold").policy["unattended"] == "hold"


def test_nothing_is_made_anew_while_nothing_changes(world: World) -> None:
    world.client("one")
    ctx = Context(str(world.home), str(world.project))
    first = world.domains.load(ctx)
    elsewhere = dataclasses.replace(ctx, environ=(("OLDPWD", "/"),))
    again = world.domains.load(elsewhere)
    assert again.all is first.all
    assert again.known[0].wire is first.known[0].wire


def test_podshs_own_paths_are_hidden_as_named_and_as_they_are(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "named").symlink_to("real")
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}/named")
    hidden = Domains(world.library).hidden()
    assert {f"{tmp_path}/named/podsh", f"{tmp_path}/real/podsh"} <= {*hidden}
