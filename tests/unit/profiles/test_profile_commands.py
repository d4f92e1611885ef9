"""profile list, show, check, diff, new, edit, as the registry runs them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from podsh.commands.context import Context
from podsh.commands.dispatch import execute
from podsh.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.profiles import Ground


class Surface(Context):
    """Keeps what is printed; answers for the portal."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.answer: dict[str, Any] = {}
        self.asked: list[Any] = []

    def out(self, line: str) -> None:
        self.lines.append(line)

    def err(self, line: str) -> None:
        self.errors.append(line)

    def emit(self, fields: dict[str, Any], ev: str = "row") -> None:
        self.lines.append(json.dumps(fields))

    def portal(self) -> Any:
        return self

    def call(self, op: str, **fields: Any) -> dict[str, Any]:
        self.asked.append((op, fields))
        return self.answer


@pytest.fixture
def surface(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Surface:
    monkeypatch.setenv("HOME", str(ground.home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.chdir(ground.project)
    return Surface()


def test_list(surface: Surface, ground: Ground) -> None:
    ground.profile("mine.toml", 'description = "x\\u202ey"')
    ground.profile("bad.toml", "oops")
    assert execute(["profile", "list"], surface) == 0
    assert surface.lines[0].split() == ["NAME", "FROM", "DESCRIPTION"]
    rows = {line.split()[0]: line for line in surface.lines[1:]}
    assert "user" in rows["mine"]
    assert rows["mine"].endswith("x\\u202ey")
    assert "broken: " in rows["bad"]
    assert "bad.toml:1: not valid TOML" in rows["bad"]
    assert "shipped" in rows["base"]


def test_list_json(surface: Surface, ground: Ground) -> None:
    path = ground.profile("mine.toml", 'description = "d"')
    execute(["profile", "list", "--json"], surface)
    mine = next(o for o in map(json.loads, surface.lines) if o["name"] == "mine")
    assert mine == {
        "name": "mine", "path": path, "description": "d", "origin": "user", "error": ""
    }  # fmt: skip


def test_show(surface: Surface, ground: Ground) -> None:
    path = ground.profile(
        "mine.toml",
        'extends = "base"\n[[fs.bind]]\npath = "~/a b"\nwrite = true\nexec = false\n'
        '[run]\ncmd = ["sh", "-c", "a b"]\nenv = { K = "V" }\n[fs]\ntmp_exec = false\n'
        '[caps]\nkeep = ["CAP_CHOWN"]\n',
    )
    assert execute(["profile", "show", "mine"], surface) == 0
    text = "\n".join(" ".join(line.split()) for line in surface.lines)
    assert f'bind "{ground.home}/a b" rw noexec [{path}:3]' in text
    assert 'cmd sh -c "a b"' in text
    assert "env K=V" in text
    assert "fs.tmp_exec false" in text
    assert "caps.keep CAP_CHOWN" in text
    assert "extends base" in text
    assert "base.toml:8]" in text
    assert f"deny {ground.home}/.ssh" in text
    assert "fs.home_exec" not in text


def test_show_json(surface: Surface, ground: Ground) -> None:
    ground.profile("mine.toml", '[net]\nmode = "loop"')
    execute(["profile", "show", "mine", "--json"], surface)
    (line,) = surface.lines
    assert json.loads(line)["net"]["mode"] == "loop"


def test_show_outside_of_any_project(
    surface: Surface, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ground.home)
    assert execute(["profile", "show", "build"], surface) == 0
    assert any("/{cwd}" in line and " rw" in line for line in surface.lines)
    assert execute(["profile", "check"], surface) == 0
    assert not [line for line in surface.lines if "is not there" in line]


def test_diff(surface: Surface, ground: Ground) -> None:
    (ground.home / "a\x1bb").mkdir()
    mine = '[[fs.bind]]\npath = "~/a\\u001bb"\n[net]\nmode = "host"\n'
    ground.profile("one.toml", 'extends = "base"\n')
    two = ground.profile("two.toml", 'extends = "base"\n' + mine)
    execute(["profile", "diff", "one", "two"], surface)
    found = [line.split(None, 2)[:2] for line in surface.lines]
    both = [["-", "name"], ["+", "name"], ["-", "file"], ["+", "file"]]
    assert [row for row in found if row[1] in ("name", "file")] == both
    assert [row for row in found if row not in both] == [["+", "bind"], ["+", "net.mode"]]
    (bind,) = (line for line in surface.lines if line.startswith("+ bind"))
    assert "a\\eb" in bind
    assert f"[{two}:" in bind
    there = surface.lines
    surface.lines = []
    execute(["profile", "diff", "two", "one", "--json"], surface)
    assert len(surface.lines) == len(there)
    rows = [json.loads(line) for line in surface.lines]
    assert {"sign": "-", "key": "net.mode", "values": ["host"], "where": ""} in rows
    surface.lines = []
    execute(["profile", "diff", "two"], surface)  # base is what it is compared with
    assert any(line.startswith("- name") and line.endswith(" base") for line in surface.lines)
    with pytest.raises(UsageError, match="compares two"):
        execute(["profile", "diff", "one", "two", "base"], surface)


def test_check(surface: Surface, ground: Ground) -> None:
    ground.profile("good.toml", '[run]\ncmd = ["a"]')
    assert execute(["profile", "check", "good"], surface) == 0
    assert surface.lines == ["good: ok"]
    assert surface.errors == []


def test_check_reports_every_file_and_fails(surface: Surface, ground: Ground) -> None:
    ground.profile("good.toml", "")
    bad = ground.profile("bad.toml", "\nx = 1")
    assert execute(["profile", "check", "nope", "bad", "good"], surface) == 1
    assert surface.errors[0].startswith('no profile is called "nope"')
    assert surface.errors[1].startswith(f'{bad}:2: unknown key "x"')
    assert surface.lines[0] == "good: ok"


def test_check_remarks(surface: Surface, ground: Ground) -> None:
    path = ground.profile(
        "mine.toml",
        '[[fs.bind]]\npath = "/nonexistent/x"\n[[fs.bind]]\npath = "/nonexistent/y"\n'
        "optional = true\n",
    )
    assert execute(["profile", "check", "mine"], surface) == 0
    assert surface.lines == [
        "mine: ok",
        "  no [run] cmd: each run must give a program after --",
        f"  {path}:2: /nonexistent/x is not there, and not optional",
    ]


def test_check_refuses_capabilities_that_a_run_would(surface: Surface, ground: Ground) -> None:
    path = ground.profile("far.toml", '[caps]\nkeep = ["CAP_NET_RAW"]\n[net]\nmode = "host"\n')
    ground.profile("near.toml", '[caps]\nkeep = ["CAP_NET_RAW"]\n[net]\nmode = "loop"\n')
    bad = ground.profile("bad.toml", '[caps]\nkeep = ["CAP_MKNOD"]\n')
    assert execute(["profile", "check", "far", "near", "bad"], surface) == 1
    assert surface.errors[0].startswith(f"{path}: a run refuses CAP_NET_RAW: the network is")
    assert surface.errors[1].startswith(
        f"{bad}:2: caps.keep CAP_MKNOD is refused: devices are the host's"
    )
    assert surface.lines[0] == "near: ok"


def test_check_all(surface: Surface, ground: Ground) -> None:
    assert execute(["profile", "check"], surface) == 0
    assert len([line for line in surface.lines if line.endswith(": ok")]) == 8
    ground.profile("bad.toml", "x = 1")
    assert execute(["profile", "check"], surface) == 1


def test_check_a_file_of_the_project(surface: Surface, ground: Ground) -> None:
    ground.write(ground.project / "p.toml", '[net]\nmode = "host"')
    assert execute(["profile", "check", "./p.toml"], surface) == 1
    assert "cannot widen" in surface.errors[0]


def test_new(surface: Surface, ground: Ground) -> None:
    words = ["--ro", "~/docs", "--rw", "data", "--rw", "~/docs", "--description", "for the web"]
    assert execute(["profile", "new", "web", *words], surface) == 0
    path = ground.user / "web.toml"
    assert surface.lines[0] == str(path)
    profile = ground.load("web")
    assert profile.extends == ("base",)
    assert profile.description == "for the web"
    own = {b.path: b.write for b in profile.fs.bind if b.where.file == str(path)}
    assert own == {f"{ground.home}/docs": True, f"{ground.project}/data": True}
    with pytest.raises(UsageError, match=r"is there already; podsh profile edit web"):
        execute(["profile", "new", "web"], surface)


def test_new_from_a_pod(surface: Surface, ground: Ground) -> None:
    surface.answer = {
        "extends": ["base", "python"],
        "binds": [{"path": "/srv/$x", "write": True}],
        "net": "loop",
        "env": {"TOKEN": "s$cret"},
        "cmd": ["python3", "-c", "print('{cwd}')"],
    }
    assert execute(["profile", "new", "web", "--from", "pod-1", "--ro", "/usr"], surface) == 0
    assert surface.asked == [("from_pod", {"pod": "pod-1"})]
    profile = ground.load("web")
    assert profile.extends == ("base", "python")
    assert profile.net.mode == "loop"
    assert profile.run.env == (("TOKEN", "s$cret"),)
    assert profile.run.cmd == ("python3", "-c", "print('{cwd}')")
    assert "/srv/$x" in [bind.path for bind in profile.fs.bind]
    assert (ground.user / "web.toml").stat().st_mode & 0o777 == 0o600  # it holds values


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["a/b"], "cannot be a name"),
        ([".x"], "cannot be a name"),
        (["x", "--rw", "/"], "whole file system"),
        (["x", "--ro", "/proc/1"], "is the kernel's"),
        (["x", "--extends", "bsae"], 'no profile is called "bsae"'),
    ],
)
def test_new_refuses(surface: Surface, ground: Ground, words: list[str], cause: str) -> None:
    with pytest.raises(UsageError, match=cause):
        execute(["profile", "new", *words], surface)
    assert os.listdir(ground.user) == []


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = tmp_path / "my editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{path}' --flag")


def test_edit(
    surface: Surface, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ground.profile("mine.toml", "# kept\n[run]\ncmd = ['a']\n")
    editor(tmp_path, monkeypatch, 'test "$1" = --flag && sed -i s/a/b/ "$2"')
    assert execute(["profile", "edit", "mine"], surface) == 0
    assert ground.load("mine").run.cmd == ("b",)
    with open(path, encoding="utf-8") as file:
        assert file.read() == "# kept\n[run]\ncmd = ['b']\n"


def test_edit_of_a_shipped_profile_makes_an_own(
    surface: Surface, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = ground.library.path("shell")
    with open(shipped, encoding="utf-8") as file:
        before = file.read()
    editor(tmp_path, monkeypatch, 'sed -i s/bash/zsh/ "$2"')
    execute(["profile", "edit", "shell"], surface)
    assert ground.load("shell").source == f"{ground.user}/shell.toml"
    assert ground.load("shell").run.cmd == ("zsh",)
    with open(shipped, encoding="utf-8") as file:
        assert file.read() == before


def test_edit_without_a_change(
    surface: Surface, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor(tmp_path, monkeypatch, "true")
    assert execute(["profile", "edit", "shell"], surface) == 0
    assert surface.lines[-1] == "nothing changed"
    assert os.listdir(ground.user) == []


def test_edit_keeps_what_has_a_mistake_beside(
    surface: Surface, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ground.profile("mine.toml", "[run]\ncmd = ['a']\n")
    editor(tmp_path, monkeypatch, 'sed -i s/cmd/cnd/ "$2"')
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError) as caught:
        execute(["profile", "edit", "mine"], surface)
    assert caught.value.place == f"{path}:2"
    assert caught.value.hint.endswith(f"your text is kept in {path}.rejected")
    with open(f"{path}.rejected", encoding="utf-8") as file:
        assert "cnd" in file.read()
    assert ground.load("mine").run.cmd == ("a",)
    assert [name for name, _, _ in ground.library.names() if "rejected" in name] == []


def test_edit_goes_on_where_somebody_sits(
    surface: Surface, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.profile("mine.toml", "[run]\ncmd = ['a']\n")
    # the first time a mistake, the second time mended
    editor(
        tmp_path, monkeypatch,
        "if grep -q cnd \"$2\"; then sed -i 's/cnd/cmd/; s/a/b/' \"$2\";"
        " else sed -i s/cmd/cnd/ \"$2\"; fi",
    )  # fmt: skip
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "")
    assert execute(["profile", "edit", "mine"], surface) == 0
    assert 'unknown key "cnd"' in surface.errors[0]
    assert ground.load("mine").run.cmd == ("b",)
    monkeypatch.setattr("builtins.input", lambda _: "q")
    editor(tmp_path, monkeypatch, 'sed -i s/cmd/cnd/ "$2"')
    execute(["profile", "edit", "mine"], surface)
    assert surface.lines[-1] == "nothing changed"
    assert ground.load("mine").run.cmd == ("b",)


def test_edit_of_a_file_that_changes_meanwhile(
    surface: Surface, ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ground.profile("mine.toml", "[run]\ncmd = ['a']\n")
    editor(tmp_path, monkeypatch, f"sed -i s/a/b/ \"$2\"; echo '# other' >> '{path}'")
    with pytest.raises(UsageError, match="changed meanwhile"):
        execute(["profile", "edit", "mine"], surface)
    with open(path, encoding="utf-8") as file:
        assert "# other" in file.read()


@pytest.mark.parametrize(
    ("command", "cause"),
    [("false", "ended with 1; nothing changed"), ("/nonexistent/ed", "No such file"),
     ("'", "No closing quotation")],
)  # fmt: skip
def test_editors_that_fail(
    surface: Surface, ground: Ground, monkeypatch: pytest.MonkeyPatch, command: str, cause: str
) -> None:
    ground.profile("mine.toml", "")
    monkeypatch.setenv("EDITOR", command)
    with pytest.raises(UsageError, match=cause):
        execute(["profile", "edit", "mine"], surface)
