"""requests, allow, deny by their command lines and in scripts, against a stand-in portal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from podsh.cli import main
from tests.console.portal import REQUEST

if TYPE_CHECKING:
    from pathlib import Path

    from tests.console.portal import Portal


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")


def asked(portal: Portal, op: str) -> list[dict[str, Any]]:
    return [fields for name, fields in portal.calls if name == op]


def test_the_list(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["requests"]) == 0
    assert capsys.readouterr().out == "No requests wait.\n"
    portal.ask(7)
    portal.ask(12, op="read", path="/tmp/\x1b[2J", count=3, argv=["\u202ex"])
    assert main(["requests"]) == 0
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["ID", "POD", "WAITS", "WANTS", "PATH", "PROGRAM"]
    assert first.split() == ["7", "web", "0:00", "write", "~/.gitconfig", "git", "(pid", "431)"]
    assert second.split()[3:] == ["read", '"/tmp/\\e[2J"', '"\\u202ex"', "(pid", "431)", "×3"]
    portal.decide(7, "denied")
    assert main(["requests", "--all"]) == 0
    assert "denied" in capsys.readouterr().out.splitlines()[1]


def test_the_list_as_json(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.ask(7)
    assert main(["requests", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["v"], row["ev"], row["id"], row["op"]) == (1, "request", 7, "write")
    assert {"pod", "path", "object", "pid", "argv", "state", "ts"} <= set(row)


@pytest.mark.parametrize(
    ("options", "sent", "said"),
    [
        ([], {"scope": "once"}, "7: write /home/u/.gitconfig  once"),
        (["--pod"], {"scope": "pod"}, "7: write /home/u/.gitconfig  pod"),
        (["--read"], {"scope": "once", "read": True}, "7: read /home/u/.gitconfig  once"),
        (
            ["--save", "dev"],
            {"scope": "save", "profile": "dev"},
            "7: write /home/u/.gitconfig  saved: /c/dev.toml:12",
        ),
        (["--save"], {"scope": "save", "profile": None}, "saved: /c/dev.toml:12"),
        (["--if", "write ~/.gitconfig"], {"scope": "once"}, "once"),
    ],
)
def test_allow(
    portal: Portal,
    options: list[str],
    sent: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    portal.ask(7)
    assert main(["allow", "7", *options]) == 0
    assert said in capsys.readouterr().out
    (fields,) = asked(portal, "allow")
    assert sent.items() <= fields.items()
    # what was seen goes with it
    assert fields["if"] == "write /home/u/.gitconfig"


def test_allow_a_directory_above(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.ask(7, path="/srv/a/b/c")
    assert main(["allow", "7", "--dir", "/srv/a/"]) == 0
    assert asked(portal, "allow")[0]["dir"] == "/srv/a"
    assert capsys.readouterr().out == "7: write /srv/a  once\n"
    portal.ask(8, path="/home/u/x/y")
    for wide in ("/", "~", "/home", "/srv", "/home/u/x/y/z"):
        assert main(["allow", "8", "--dir", wide]) == 2
    portal.ask(9, op="connect", path="/run/a/s")
    assert main(["allow", "9", "--dir", "/run/a"]) == 2
    assert "a socket is given by itself" in capsys.readouterr().err
    assert len(asked(portal, "allow")) == 1


@pytest.mark.parametrize(
    "condition",
    ["read ~/.gitconfig", "write /home/u/.gitconfi", "write", "", "/home/u/.gitconfig", "write  /"],
)
def test_if_it_differs_nothing_is_approved(
    portal: Portal, condition: str, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.ask(7)
    portal.ask(8, path="/other")
    assert main(["allow", "8", "7", "--if", condition]) == 1
    assert "nothing was approved" in capsys.readouterr().err
    assert not asked(portal, "allow")


def test_what_does_not_wait(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.ask(7)
    portal.decide(7, "gone")
    assert main(["allow", "7"]) == 1
    assert capsys.readouterr().err.startswith("podsh: 7: is gone")
    assert main(["allow", "99"]) == 1
    assert main(["deny", "99"]) == 1
    assert main(["allow", "web"]) == 2
    assert main(["allow", "7", "--pod", "--save", "x"]) == 2
    assert not asked(portal, "allow")


def test_deny(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.ask(7)
    portal.ask(8)
    assert main(["deny", "7", "--always"]) == 0
    assert "7: write /home/u/.gitconfig  denied" in capsys.readouterr().out
    assert main(["deny", "8"]) == 0
    assert [(f["request"], f["always"]) for f in asked(portal, "deny")] == [(7, True), (8, False)]
    portal.ask(9)
    assert main(["deny", "--pod", "web"]) == 0
    assert asked(portal, "deny")[-1] == {"pod": "web", "always": False}
    assert main(["deny"]) == 2
    assert main(["deny", "9", "--pod", "web"]) == 2


def test_a_home_that_is_a_link(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "real"
    (real / "x").mkdir(parents=True)
    (tmp_path / "home").symlink_to(real)
    (real / "link").symlink_to("/etc/shadow")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    portal.ask(7, path=f"{real}/x/f")
    assert main(["allow", "7", "--if", "write ~/x/f"]) == 0
    portal.ask(8, path=f"{real}/x/f")
    assert main(["allow", "8", "--dir", "~/x"]) == 0
    assert asked(portal, "allow")[-1]["dir"] == f"{real}/x"
    portal.ask(9, path=f"{real}/x/f")
    assert main(["allow", "9", "--dir", "~"]) == 2
    # a link that leads to what is asked for is not what was named
    portal.ask(10, path="/etc/shadow")
    assert main(["allow", "10", "--if", "write ~/link"]) == 1


@pytest.mark.parametrize("how", ["-c", "-f", "source"])
def test_a_script_approves_only_what_it_names(
    portal: Portal, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.ask(7)

    def script(text: str) -> int:
        file = tmp_path / "t.pod"
        file.write_text(text)
        return main(["-c", {"-c": text, "source": f"source {file}"}[how]]) if how != "-f" else main(
            ["-f", str(file)]
        )  # fmt: skip

    assert script("allow 7\n") == 2
    assert "a script approves only what it names; --if 'OP PATH'" in capsys.readouterr().err
    assert not asked(portal, "allow")
    assert script("allow 7 --if 'read /home/u/.gitconfig'\n") == 1
    assert not asked(portal, "allow")
    assert script("allow 7 --if 'write ~/.gitconfig'\n") == 0
    assert len(asked(portal, "allow")) == 1


def test_completion_knows_the_numbers(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.ask(7)
    portal.ask(8, path="/x/\x1b[2J")
    assert main(["complete", "--", "allow", ""]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "7\twrite ~/.gitconfig, git in web",
        '8\twrite "/x/\\e[2J", git in web',
    ]
    assert REQUEST["state"] == "waiting"


def test_review_needs_a_terminal(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.ask(7)
    assert main(["review"]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_waiting_for_a_request_sets_a_variable(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.ask(7)
    portal.answers["wait"] = lambda _: {"request": 7}
    assert main(["wait", "web", "request", "-t", "3"]) == 0
    assert capsys.readouterr().out == "7\n"
    op, fields = portal.calls[-1]
    assert (op, fields["what"], fields["name"]) == ("wait", "request", "web")
    assert 0 < fields["timeout_s"] <= 3.0
    script = "wait web request\nallow $REQ --if 'write ~/.gitconfig'\n"
    assert main(["-c", script]) == 0
    assert capsys.readouterr().out == "7: write /home/u/.gitconfig  once\n"
