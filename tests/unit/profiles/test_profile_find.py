"""Names and paths to files, ``extends``, expansion, and reading again."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from podsh import paths
from podsh.errors import UsageError
from podsh.profiles import places
from podsh.profiles.chain import MAX_DEPTH, MAX_FILES
from podsh.profiles.find import Library
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from podsh.profiles.schema import Profile
    from tests.helpers.profiles import Ground


def bind(path: str, more: str = "") -> str:
    return f'[[fs.bind]]\npath = "{path}"\n{more}\n'


def shown(profile: Profile) -> list[str]:
    return [bind.dst or bind.path for bind in profile.fs.bind]


# ---------------------------------------------------------------- where


def test_search_path(ground: Ground) -> None:
    assert places.search_path("/c") == ["/c/profiles", str(ground.system), paths.shared("profiles")]


def test_the_users_own_comes_first(ground: Ground) -> None:
    ground.write(ground.system / "x.toml", bind("/system"))
    assert shown(ground.load("x")) == ["/system"]
    ground.profile("x.toml", bind("/user"))
    assert shown(ground.load("x")) == ["/user"]


def test_toml_before_pod_and_pods_last(ground: Ground) -> None:
    ground.write(ground.jettison / "x.pod", "file r /jettison")
    assert shown(ground.load("x")) == ["/jettison"]
    ground.write(ground.pods / "x.pod", "file r /pods")
    assert shown(ground.load("x")) == ["/pods"]
    ground.write(ground.user / "x.pod", "file r /userpod")
    assert shown(ground.load("x")) == ["/userpod"]
    ground.profile("x.toml", bind("/user"))
    assert shown(ground.load("x")) == ["/user"]


def test_pod_files_are_looked_for_as_jettison_does(ground: Ground) -> None:
    ground.write(ground.user / "x.pod", "file r /podsh")
    assert shown(ground.load("x.pod")) == ["/podsh"]
    ground.write(ground.jettison / "x.pod", "file r /jettison")
    assert shown(ground.load("x.pod")) == ["/jettison"]
    ground.write(ground.pods / "x.pod", "file r /pods")
    assert shown(ground.load("x.pod")) == ["/pods"]
    ground.write(ground.project / "x.pod", "file r /usr/given")
    assert shown(ground.load("x.pod")) == ["/usr/given"]


def test_a_path_is_that_file_or_nothing(ground: Ground) -> None:
    ground.write(ground.pods / "x.pod", "file r /pods")
    with pytest.raises(UsageError) as caught:
        ground.load("./x.pod")
    assert caught.value.place == f"{ground.project}/x.pod"
    assert "cannot be read: No such file" in caught.value.cause


def test_home_in_a_path(ground: Ground) -> None:
    ground.write(ground.home / "x.toml", bind("/a"))
    assert shown(ground.load("~/x.toml")) == ["/a"]


def test_other_endings_are_refused(ground: Ground) -> None:
    with pytest.raises(UsageError, match=r"neither .toml nor .pod"):
        ground.load(ground.write(ground.home / "x.conf", ""))


def test_unknown_names(ground: Ground) -> None:
    ground.profile("webserver.toml", "")
    with pytest.raises(UsageError) as caught:
        ground.load("websever")
    assert 'no profile is called "websever"' in caught.value.cause
    assert caught.value.hint == 'did you mean "webserver"?'
    with pytest.raises(UsageError) as caught:
        ground.load("qqqqqqqq")
    assert caught.value.hint == "see: podsh profile list"
    with pytest.raises(UsageError) as caught:
        ground.load("none.pod")
    assert str(ground.pods) in caught.value.hint


def test_what_a_file_calls_itself_finds_it(ground: Ground) -> None:
    ground.profile("client-x.toml", 'name = "X"\n' + bind("/x"))
    assert ground.load("X") == ground.load("client-x")
    ground.profile("X.toml", bind("/other"))
    assert shown(ground.load("X")) == ["/other"]


def test_every_listed_name_loads_the_listed_file(ground: Ground) -> None:
    ground.profile("a.toml", 'name = "b"\ndescription = "first"\n')
    ground.profile("b.toml", 'name = "c"\n')
    ground.profile("d.toml", 'name = "c"\n')
    ground.profile("e.pod", "# an old one\nnewnet none\n")
    ground.profile(".hidden.toml", "")
    ground.write(ground.jettison / "f.pod", "")
    ground.write(ground.jettison / "g.toml", "")
    names = ground.library.names()
    for name, path, _ in names:
        assert ground.library.path(name) == path
        assert ground.load(name).source == path
    found = {os.path.basename(path): (name, about) for name, path, about in names}
    assert found["a.toml"] == ("a", "first")  # "b" is another's file name
    assert found["b.toml"][0] == "c"
    assert found["d.toml"][0] == "d"
    assert found["e.pod"] == ("e", "an old one")
    assert "f.pod" in found
    assert not {".hidden.toml", "g.toml"} & set(found)
    assert [name for name, _, _ in names] == sorted(name for name, _, _ in names)


def test_a_broken_file_is_listed_with_its_error(ground: Ground) -> None:
    path = ground.profile("bad.toml", "nmae = 1")
    (entry,) = [entry for entry in ground.library.entries() if entry.path == path]
    assert entry.name == "bad"
    assert entry.origin == "user"
    assert "did you mean" in entry.error


def test_domains(ground: Ground) -> None:
    """The user's own are; shipped ones and pod files only where they say so."""
    ground.profile("mine.toml", 'extends = "base"')
    ground.profile("not.toml", "[access]\ndomain = false")
    ground.write(ground.system / "admin.toml", "")
    ground.write(ground.pods / "old.pod", "")
    domains = {name: ground.load(name).access.domain for name in ("mine", "not", "admin", "old")}
    assert domains == {"mine": True, "not": False, "admin": True, "old": False}
    assert not ground.load("shell").access.domain


# ---------------------------------------------------------------- again


def test_changes_are_seen(ground: Ground) -> None:
    ground.profile("p.toml", bind("/a"))
    ground.profile("c.toml", 'extends = "p"\n' + bind("/c"))
    assert shown(ground.load("c")) == ["/a", "/c"]
    assert ground.load("c") is ground.load("c")
    ground.profile("p.toml", bind("/bb"))
    assert shown(ground.load("c")) == ["/bb", "/c"]
    os.unlink(ground.user / "p.toml")
    with pytest.raises(UsageError, match='extends "p": no profile'):
        ground.load("c")


def test_domains_are_kept_until_something_changes(ground: Ground) -> None:
    """A file, what it builds on, wherever that lies, a variable, the caller's place, a new file."""
    outside = ground.write(ground.home / "shared.toml", bind("/shared"))
    ground.profile("a.toml", f'extends = "{outside}"\n' + bind("/a") + bind("$LIBS"))
    ground.profile("b.toml", bind("{cwd}"))
    time.sleep(0.1)  # directories that have only just changed are looked at again

    def found(ctx: Context = ground.ctx) -> dict[str, list[str]]:
        domains, _ = ground.library.domains(ctx)
        return {name: shown(profile) for name, profile in domains}

    project = str(ground.project)
    before = {"a": ["/shared", "/a", "/srv/libs"], "b": [project]}
    assert found() == before
    assert ground.library.domains(ground.ctx)[0] is ground.library.domains(ground.ctx)[0]

    other = ground.home / "work" / "other"
    other.mkdir()
    assert found(replace(ground.ctx, cwd=str(other))) == before | {"b": [str(other)]}
    assert found(replace(ground.ctx, cwd=str(ground.home))) == {"a": before["a"]}
    moved = replace(ground.ctx, environ=(("LIBS", "/opt/libs"),))
    assert found(moved) == {"a": ["/shared", "/a", "/opt/libs"], "b": [project]}
    assert found(replace(ground.ctx, environ=())) == {"b": [project]}
    assert found() == before

    ground.write(ground.home / "shared.toml", bind("/changed"))
    assert found()["a"] == ["/changed", "/a", "/srv/libs"]
    os.unlink(outside)
    assert found() == {"b": [project]}
    ground.write(ground.home / "shared.toml", bind("/shared"))
    assert found() == before
    ground.write(ground.system / "c.toml", bind("/c"))
    assert found() == before | {"c": ["/c"]}
    ground.profile("c.toml", "[access]\ndomain = false")
    assert found() == before
    time.sleep(0.1)
    assert found() == before
    ground.profile("c.toml", bind("/changed"))
    assert found() == before | {"c": ["/changed"]}


def test_same_size_and_time_but_another_file(ground: Ground) -> None:
    path = ground.profile("x.toml", bind("/a"))
    ground.load("x")
    before = os.stat(path)
    new = ground.profile("y.toml", bind("/b"))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(new, path)
    assert shown(ground.load("x")) == ["/b"]


def test_a_new_file_that_comes_first_is_seen(ground: Ground) -> None:
    ground.write(ground.system / "p.toml", bind("/system"))
    ground.profile("c.toml", 'extends = "p"')
    assert shown(ground.load("c")) == ["/system"]
    ground.profile("p.toml", bind("/user"))
    assert shown(ground.load("c")) == ["/user"]


def test_each_caller_has_their_own(ground: Ground) -> None:
    ground.profile("x.toml", bind("{cwd}") + bind("~/d") + bind("$LIBS/e"))
    other = Context("/home/eve", "/srv/eve", (("LIBS", "/lib/eve"),))
    assert shown(ground.load("x")) == [str(ground.project), f"{ground.home}/d", "/srv/libs/e"]
    assert shown(ground.library.load("x", other)) == ["/srv/eve", "/home/eve/d", "/lib/eve/e"]


def test_a_thousand_profiles_in_a_second(ground: Ground) -> None:
    text = 'description = "one of many"\nextends = "base"\n[run]\ncmd = ["a", "b"]\n'
    for number in range(1000):
        ground.profile(f"p{number}.toml", text + bind(f"/srv/{number}") * 1 + bind("~/work"))
    start = time.process_time()
    entries = ground.library.entries()
    assert time.process_time() - start < 1.0
    assert len(entries) > 1000
    start = time.process_time()
    for number in range(1000):
        ground.load(f"p{number}")
    assert time.process_time() - start < 2.0


# ---------------------------------------------------------------- extends


def test_child_over_parent(ground: Ground) -> None:
    ground.profile(
        "p.toml",
        bind("/a") + bind("/b") + bind("/c", 'dst = "/d"') + "[fs]\n".replace("[fs]\n", "")
        + '[run]\ncmd = ["p"]\nenv = { A = "p", B = "p" }\nprocname = "p"\n'
        + '[limits]\nprocesses = 1\nptys = 2\n[seccomp]\nblock = ["link"]\nallow = ["read"]\n'
        + '[access]\ndeny = ["/p"]\nask = ["/q"]\nunlisted = "deny"\ndomain = false\n'
        + '[net]\nmode = "ipvlan"\ndevice = "e"\naddress = "1.2.3.4/8"\n',
    )  # fmt: skip
    path = ground.profile(
        "c.toml",
        'extends = "p"\ndescription = "child"\n' + bind("/b", "write = true") + bind("/e/d")
        + bind("/x", 'dst = "/d"')
        + '[run]\ncmd = ["c"]\nenv = { B = "c", C = "c" }\n[limits]\nptys = 3\n'
        + '[seccomp]\nblock = ["pipe"]\nallow = ["write"]\n[access]\ndeny = ["/c", "/p"]\n'
        + '[net]\nmode = "loop"\n',
    )  # fmt: skip
    profile = ground.load("c")
    assert (profile.name, profile.extends, profile.description) == ("c", ("p",), "child")
    assert [(b.path, b.dst, b.write) for b in profile.fs.bind] == [
        ("/a", None, False), ("/b", None, True), ("/x", "/d", False), ("/e/d", None, False)
    ]  # fmt: skip
    assert [os.path.basename(b.where.file) for b in profile.fs.bind] == [
        "p.toml", "c.toml", "c.toml", "c.toml"
    ]  # fmt: skip
    assert profile.run.cmd == ("c",)
    assert profile.run.procname == "p"
    assert dict(profile.run.env) == {"A": "p", "B": "c", "C": "c"}
    assert (profile.limits.processes, profile.limits.ptys) == (1, 3)
    assert profile.seccomp.block == ("link", "pipe")
    assert profile.seccomp.allow == ("write",)
    assert [(p.text, p.where.file != path) for p in profile.access.deny] == [
        ("/p", True), ("/c", False)
    ]  # fmt: skip
    assert [p.text for p in profile.access.ask] == ["/q"]
    assert profile.access.unlisted == "deny"
    assert profile.access.domain
    assert (profile.net.mode, profile.net.device, profile.net.address) == ("loop", None, None)


def test_parents_in_their_order_each_once(ground: Ground) -> None:
    ground.profile("root.toml", '[run]\ncmd = ["root"]\n[fs]\nhome = "tmp"\n')
    ground.profile("left.toml", 'extends = "root"\n[run]\ncmd = ["left"]\n')
    ground.profile("right.toml", 'extends = "root"\n[run]\nprocname = "right"\n')
    ground.profile("child.toml", 'extends = ["left", "right"]\n')
    profile = ground.load("child")
    # root does not come back over left by way of right
    assert profile.run.cmd == ("left",)
    assert (profile.run.procname, profile.fs.home) == ("right", "tmp")


def test_extends_by_path_beside_the_file(ground: Ground) -> None:
    ground.write(ground.home / "d" / "sub" / "p.toml", bind("/p"))
    ground.write(ground.home / "d" / "q.toml", bind("/q"))
    path = ground.write(
        ground.home / "d" / "c.toml", 'extends = ["./sub/p.toml", "q.toml", "~/d/sub/p.toml"]'
    )
    assert shown(ground.load(path)) == ["/p", "/q"]


def test_a_profile_of_the_users_can_extend_its_namesake(ground: Ground) -> None:
    ground.write(ground.system / "x.toml", bind("/system"))
    ground.profile("x.toml", 'extends = "x"\n' + bind("/user"))
    assert shown(ground.load("x")) == ["/system", "/user"]


def test_cycles_are_named_in_full(ground: Ground) -> None:
    ground.profile("a.toml", 'extends = "b"')
    ground.profile("b.toml", 'extends = [\n"c"]')
    ground.profile("c.toml", '\nextends = "a"')
    with pytest.raises(UsageError) as caught:
        ground.load("a")
    assert caught.value.place == f"{ground.user}/c.toml:2"
    assert caught.value.cause == "extends itself: a -> b -> c -> a"
    ground.profile("self.toml", 'extends = "self"')
    with pytest.raises(UsageError, match="extends itself: self -> self"):
        ground.load("self")


def test_a_cycle_behind_the_start(ground: Ground) -> None:
    ground.profile("a.toml", 'extends = "b"')
    ground.profile("b.toml", 'extends = "c"')
    ground.profile("c.toml", 'extends = "b"')
    with pytest.raises(UsageError, match=r"extends itself: b -> c -> b;"):
        ground.load("a")


def test_depth_and_number(ground: Ground) -> None:
    for number in range(MAX_DEPTH + 1):
        ground.profile(f"d{number}.toml", f'extends = "d{number + 1}"')
    ground.profile(f"d{MAX_DEPTH + 1}.toml", "")
    ground.load("d2")
    with pytest.raises(UsageError, match=f"more than {MAX_DEPTH} deep"):
        ground.load("d1")
    for number in range(MAX_FILES):
        ground.profile(f"n{number}.toml", "")
    names = ", ".join(f'"n{number}"' for number in range(MAX_FILES))
    ground.profile("many.toml", f"extends = [{names}]")
    with pytest.raises(UsageError, match=f"more than {MAX_FILES} profiles"):
        ground.load("many")


def test_a_ladder_of_parents_is_climbed_once(ground: Ground) -> None:
    """Each of three extends all three of the next: 3**12 ways down."""
    for number in range(12):
        parents = ", ".join(f'"{side}{number + 1}"' for side in "lmr")
        for side in "lmr":
            ground.profile(f"{side}{number}.toml", f"extends = [{parents}]")
    for side in "lmr":
        ground.profile(f"{side}12.toml", "")
    start = time.process_time()
    ground.load("l0")
    assert time.process_time() - start < 0.5


def test_errors_in_a_parent_have_the_parents_line(ground: Ground) -> None:
    ground.profile("p.toml", "\n\n" + bind("src"))
    ground.profile("c.toml", 'extends = "p"')
    with pytest.raises(UsageError) as caught:
        ground.load("c")
    assert caught.value.place == f"{ground.user}/p.toml:4"


def test_unknown_parent(ground: Ground) -> None:
    ground.profile("webserver.toml", "")
    ground.profile("c.toml", '\nextends = ["websever"]')
    with pytest.raises(UsageError) as caught:
        ground.load("c")
    assert caught.value.place == f"{ground.user}/c.toml:2"
    assert caught.value.cause == 'extends "websever": no profile is called "websever"'
    assert caught.value.hint == 'did you mean "webserver"?'


# ---------------------------------------------------------------- expansion


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("~", "{home}"),
        ("~/x/./y//", "{home}/x/y"),
        ("$HOME/x", "{home}/x"),
        ("${LIBS}y", "/srv/libsy"),
        ("/a/$LIBS", "/a/srv/libs"),
        ("/a/$$LIBS/$/$1", "/a/$LIBS/$/$1"),
        ("{cwd}/x", "{project}/x"),
        ("/a/~/{x}", "/a/~/{x}"),
    ],
)
def test_expansion(
    ground: Ground, loads: Callable[[str], Profile], written: str, expected: str
) -> None:
    expected = expected.replace("{home}", str(ground.home))
    expected = expected.replace("{project}", str(ground.project))
    assert loads(bind(written)).fs.bind[0].path == expected


def test_values_are_not_expanded_twice(ground: Ground) -> None:
    ground.profile("x.toml", bind("$A/x"))
    ctx = Context(str(ground.home), str(ground.project), (("A", "/$LIBS/{cwd}"), ("LIBS", "/b")))
    assert shown(ground.library.load("x", ctx)) == ["/$LIBS/{cwd}/x"]


@pytest.mark.parametrize("value", ["", "relative", "/a/../b", "/"])
def test_what_a_variable_brings_in_is_checked(ground: Ground, value: str) -> None:
    ground.profile("x.toml", bind("$A"))
    with pytest.raises(UsageError) as caught:
        ground.library.load("x", Context("/h", "/srv/p", (("A", value),)))
    assert caught.value.place == f"{ground.user}/x.toml:2"


def _with_cwd(ground: Ground, cwd: str) -> Profile:
    ground.profile("x.toml", bind("{cwd}"))
    return ground.library.load("x", Context(str(ground.home), cwd, ()))


def test_cwd_may_not_hold_the_home(ground: Ground, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(ground.home)
    for cwd in ("/", "//", str(ground.home), str(ground.home) + "/", str(tmp_path), str(link)):
        with pytest.raises(UsageError) as caught:
            _with_cwd(ground, cwd)
        assert caught.value.place == f"{ground.user}/x.toml:2"
        assert "uses {cwd}, which is" in caught.value.cause
        assert "project" in caught.value.hint
    assert shown(_with_cwd(ground, str(ground.project))) == [str(ground.project)]
    assert shown(_with_cwd(ground, "/srv/elsewhere")) == ["/srv/elsewhere"]


def test_a_home_that_is_a_link(ground: Ground, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(ground.home)
    (tmp_path / "homes").mkdir()
    (tmp_path / "homes" / "u").symlink_to(ground.home)
    ground.profile("x.toml", bind("{cwd}"))
    with pytest.raises(UsageError, match=r"uses \{cwd\}"):
        ground.library.load("x", Context(str(link), str(ground.home), ()))
    # and where that link lies
    with pytest.raises(UsageError, match=r"uses \{cwd\}"):
        ground.library.load("x", Context(f"{tmp_path}/homes/u", f"{tmp_path}/homes", ()))


def test_cwd_that_becomes_the_home_later(ground: Ground, tmp_path: Path) -> None:
    cwd = tmp_path / "moving"
    cwd.mkdir()
    _with_cwd(ground, str(cwd))
    cwd.rmdir()
    cwd.symlink_to(ground.home)
    with pytest.raises(UsageError, match=r"uses \{cwd\}"):
        ground.library.load("x", Context(str(ground.home), str(cwd), ()))


def test_profiles_without_cwd_work_at_home(ground: Ground) -> None:
    ctx = Context(str(ground.home), str(ground.home), ())
    assert ground.library.load("base", ctx).fs.bind


def test_a_library_needs_no_directory() -> None:
    library = Library("/nonexistent", Context("/nonexistent/home", "/"))
    assert library.load("base").name == "base"
