"""New profiles are written so that they load as what was asked for, in one step, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podsh.errors import UsageError
from podsh.profiles.find import Library
from podsh.profiles.save import new_profile, write
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from pathlib import Path

CTX = Context("/home/u", "/srv/project", (("A", "/a"),))


def test_what_is_written_loads(tmp_path: Path) -> None:
    text = new_profile(
        "web",
        [{"path": "/home/u/src", "write": True}, {"path": "/srv/x", "dst": "/x", "exec": False}],
        ["base", "python"],
        'a "new" one',
        home="/home/u",
        cmd=["sh", "-c", "echo $A"],
        env={"A": "$A ~ é"},
        net="loop",
        x11="nested",
        wayland=True,
    )
    assert 'path = "~/src"' in text
    profile = Library(str(tmp_path), CTX).check(f"{tmp_path}/profiles/web.toml", text)
    assert (profile.name, profile.description) == ("web", 'a "new" one')
    assert profile.extends == ("base", "python")
    own = [bind for bind in profile.fs.bind if bind.where.file == profile.source]
    assert [(b.path, b.dst, b.write, b.exec) for b in own] == [
        ("/home/u/src", None, True, True), ("/srv/x", "/x", False, False)
    ]  # fmt: skip
    assert profile.run.cmd == ("sh", "-c", "echo $A")
    assert profile.run.env == (("A", "$A ~ é"),)
    assert profile.net.mode == "loop"
    assert (profile.x11.enabled, profile.x11.nested) == (False, True)
    assert profile.wayland.enabled
    text = new_profile("web", [], [], x11="")
    assert Library(str(tmp_path), CTX).check("/x.toml", text).x11.enabled


def test_the_least(tmp_path: Path) -> None:
    text = new_profile("x", [], [])
    assert text == 'name = "x"\n'
    assert Library(str(tmp_path), CTX).check("/x.toml", text).name == "x"


_NAME = st.text("ab $~{}'\"\\\n\té.*#=", min_size=1, max_size=8).filter(
    lambda text: text not in (".", "..")
)


@settings(database=None, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.lists(_NAME, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    below_home=st.booleans(),
    value=st.text("ab $~{}'\"\\\né", max_size=8).filter(lambda text: text[:1] != "~"),
    words=st.lists(_NAME, min_size=1, max_size=3),
)
def test_any_path_value_and_word_survive(
    path: str, below_home: bool, value: str, words: list[str]
) -> None:
    path = f"/home/u{path}" if below_home else path
    text = new_profile("x", [{"path": path}], [], home="/home/u", env={"V": value}, cmd=words)
    profile = Library("/nonexistent", CTX).check("/nonexistent/x.toml", text)
    assert profile.fs.bind[0].path == path
    assert profile.run.env == (("V", value),)
    assert profile.run.cmd == tuple(words)


def test_what_no_profile_can_say() -> None:
    with pytest.raises(UsageError, match="cannot be written in a profile"):
        new_profile("x", [{"path": "/a/{cwd}"}], [])
    with pytest.raises(UsageError, match="is not UTF-8"):
        new_profile("x", [{"path": os.fsdecode(b"/a/\xff")}], [])


def test_write(tmp_path: Path) -> None:
    path = tmp_path / "new" / "profiles" / "x.toml"
    write(str(path), "a = 1\n")
    assert path.read_text() == "a = 1\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == ["x.toml"]


def test_private(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    write(str(path), "", private=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_overwritten_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(UsageError, match="is there already"):
        write(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.toml"]
    write(str(path), "new", force=True)
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["x.toml"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "x.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is there already"):
        write(str(tmp_path / "x.toml"), "new")
    assert not (tmp_path / "elsewhere").exists()


def test_forced_over_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("old")
    (tmp_path / "x.toml").symlink_to("real.toml")
    write(str(tmp_path / "x.toml"), "new", force=True)
    assert (tmp_path / "x.toml").is_symlink()
    assert (tmp_path / "real.toml").read_text() == "new"


def test_where_nothing_can_be_written() -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        write("/proc/podsh/x.toml", "new")
