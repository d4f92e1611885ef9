"""why by its command line, against a stand-in portal."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from podsh.cli import main

if TYPE_CHECKING:
    from tests.console.portal import Portal

ANSWER = {
    "verdict": "deny",
    "text": "profile 'base' denies '/home/u/.ssh'",
    "rule": {
        "key": "access.deny",
        "domain": "base",
        "text": "/home/u/.ssh",
        "file": "/p/base.toml",
        "line": 79,
    },
    "change": {"do": "take out", "line": '"/home/u/.ssh"', "file": "/p/base.toml", "at": 79},
    "path": "/home/u/.ssh",
    "asked": "/home/u/.ssh",
    "exists": True,
    "mode": "read",
    "domain": "A∩B",
}


def ask(portal: Portal, *words: str, **answer: Any) -> dict[str, Any]:
    """Run ``why WORDS``; the fields that the portal got."""
    portal.answers["why"] = lambda _: {**ANSWER, **answer}
    assert main(["why", *words]) == 0
    return next(fields for op, fields in portal.calls if op == "why")


def test_the_verdict_the_rule_and_what_would_turn_it(
    portal: Portal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    fields = ask(portal, "web", "~/.ssh")
    assert (fields["name"], fields["path"], fields["write"]) == ("web", "/home/u/.ssh", False)
    assert capsys.readouterr().out.splitlines() == [
        "denied: read /home/u/.ssh  (web, A∩B)",
        "  because      profile 'base' denies '/home/u/.ssh'",
        "  rule         /p/base.toml:79  access.deny  /home/u/.ssh",
        '  to turn it   in /p/base.toml:79 take out: "/home/u/.ssh"',
    ]


def test_a_relative_path_is_the_callers_and_need_not_exist(
    portal: Portal, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fields = ask(portal, "-w", "-p", "dev", "-p", "./x.toml", "no/such")
    assert (fields["name"], fields["write"]) == (None, True)
    assert fields["path"] == f"{tmp_path}/no/such"
    assert fields["profiles"] == ["dev", f"{tmp_path}/x.toml"]


def test_a_link_a_command_and_what_nothing_turns(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"do": "run", "line": "revoke web /srv", "file": "", "at": 0}
    ask(portal, "web", "/l", verdict="allowed", asked="/l", rule=None, change=run)
    out = capsys.readouterr().out
    assert "  leads there  /l\n" in out
    assert "  to turn it   podsh revoke web /srv\n" in out
    ask(portal, "web", "/l", change=None)
    assert "  to turn it   nothing does\n" in capsys.readouterr().out


def test_hostile_names_are_shown_not_obeyed(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = b"/a\xff\x1b[2J"
    ask(
        portal, "web", "/x", path="/a\ufffd\x1b[2J", path_b64=base64.b64encode(raw).decode(),
        asked="\x1b[2J", domain="\u202eA", text="\x1b[2J",
    )  # fmt: skip
    out = capsys.readouterr().out
    assert '"/a\\xff\\e[2J"' in out
    assert not {"\x1b", "\u202e"} & set(out)


def test_json_is_the_answer(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    ask(portal, "web", "/x", "--json")
    row = json.loads(capsys.readouterr().out)
    assert {"v": 1, "ev": "why", "pod": "web", **ANSWER}.items() <= row.items()


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["web"], "missing PATH"), (["-p", "dev", "web", "/x"], "name a pod or a profile")],
)
def test_what_is_missing_or_too_much(
    portal: Portal, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", *words]) == 2
    assert reason in capsys.readouterr().err
    assert not portal.calls
