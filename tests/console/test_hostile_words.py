"""Words of a pod's (names, paths, arguments, output), through everything that prints them."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from podsh.cli import main
from podsh.commands.context import Context
from podsh.policy.events import path_to_wire
from tests.console.portal import REQUEST, RUNNING
from tests.console.test_chart import POD, answer, clients
from tests.console.test_why import ANSWER

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.console.portal import Portal

WIDTH = 37
# what would be a line of podsh's own
FAKE = "12:00:00 web   + 9  write /etc/shadow   once"
ALPHABET = [
    *("a", "/", " ", '"', "\\", "日", "é", "%", "$HOME", "~"),
    *("\x1b[2J", "\x1b]0;t\x07", "\x1bP", "\n", "\r", "\t", "\b", "\x00", "\x7f"),
    *("\x9b31m", "\x84", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\u2029"),
    *("\u3164", "\u2800", "\u115f", "\u00a0", "\u0301", "א", "ع", "\U000e0041", "\udcff", FAKE),
]
HOSTILE = st.lists(st.sampled_from(ALPHABET), max_size=12).map("".join)
ROWS = ("ps -l", "requests", "events", "why web /x", "tree web", "allow 7", "run --dry-run -- x")
COMMANDS = (
    "ps", "ps -l", "ps --json", "requests", "requests --all", "requests --json",
    "events", "events --json", "why web /x", "why web /x --json", "tree", "tree web",
    "tree web --json", "graph --dot", "complete -- attach w", "complete -- allow 7",
    "complete --format zsh -- rm w", "run --dry-run -- x", "run -d -- x", "allow 7", "deny 7",
    "allow 7 --if read", "rm web",
)  # fmt: skip


def fill(portal: Portal, text: str) -> None:
    """Everything that comes from a pod, or from a portal that quotes it, is ``text``."""
    wire = json.loads(json.dumps(path_to_wire(f"/srv/{text}")))
    safe = wire["path"].removeprefix("/srv/")
    argv = [f"/bin/{safe}", safe]
    row = {**REQUEST, **wire, "argv": argv, "parent": [4, safe], "link": f"/l/{safe}", "to": safe}
    portal.rows[:] = [{**row, "id": 7, "domain": safe}]
    portal.pods[:] = [{**RUNNING, "argv": argv, "domain": safe, "profile": safe, "state_dir": safe}]
    about = {**wire, "argv": argv, "mode": "read", "old": safe, "new": safe, "text": safe}
    about |= {
        "rule": {"domain": safe, "line": 3},
        "call": safe,
        "to": safe,
        "scope": safe,
        "pid": 4,
    }
    about |= {"error": {"place": safe, "cause": safe}, "pod": "web", "ts": 1.0}
    kinds = ("request", "grant", "denial", "transition", "start", "note", "call", "failed", safe)
    portal.kept = [{**about, "ev": kind} for kind in kinds]
    portal.answers["why"] = lambda _: {
        **ANSWER,
        **wire,
        "asked": safe,
        "text": safe,
        "domain": safe,
    }
    grants = [{**wire, "mode": "read"}]
    pod = {
        **POD,
        "domain": safe,
        "grants": grants,
        "processes": [{"pid": 1, "parent": 0, "argv": argv}],
    }
    portal.answers["graph"] = lambda frame: answer(clients("A"), pod=pod if frame["name"] else None)
    started = {"name": "web", "notes": [safe]}
    portal.answers |= {
        "plan": lambda _: {"lines": [f"bind     {safe}"]},
        "run": lambda _: started,
        "allow": lambda _: {**wire, "mode": "read", "scope": safe, "notes": [safe]},
    }


def failing(text: str) -> Any:
    from podsh.errors import PodshError

    def fail(_: object) -> dict[str, Any]:
        raise PodshError(text, place=text, hint=text)

    return fail


def safe(text: str) -> None:
    for char in text.replace("\n", ""):
        assert unicodedata.category(char)[0] != "C", hex(ord(char))
        assert unicodedata.category(char) not in ("Zl", "Zp", "Mn")
        assert unicodedata.bidirectional(char) not in ("R", "AL", "AN")


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=HOSTILE)
@example(text="\n" + FAKE)
def test_nothing_of_it_is_obeyed_or_begins_a_line(
    portal: Portal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(Context, "width", property(lambda _: WIDTH))
    fill(portal, text)
    portal.answers["rm"] = failing(text.encode("utf-8", "replace").decode())
    for command in COMMANDS:
        portal.rows[0]["state"] = "waiting"
        main(command.split())
        said = capsys.readouterr()
        for out in (said.out, said.err):
            safe(out.replace("\t", "") if command.startswith("complete") else out)
            if not command.startswith(("complete", "graph")):
                assert not any(line.startswith("12:00:00") for line in out.splitlines()), command
    for line in portal_lines(capsys):
        json.loads(line)


def test_on_a_terminal_nothing_of_it_begins_a_row(
    portal: Portal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in a line it comes: rows as a terminal of WIDTH columns has them."""
    monkeypatch.setattr(Context, "width", property(lambda _: WIDTH))
    rows = 0
    for pad in range(WIDTH):
        fill(portal, "x" * pad + FAKE)
        for command in ROWS:
            portal.rows[0]["state"] = "waiting"
            main(command.split())
            for line in capsys.readouterr().out.splitlines():
                pieces = [line[at : at + WIDTH] for at in range(0, len(line), WIDTH)]
                assert not any(piece.startswith("12:00:00") for piece in pieces), command
                rows += len(pieces)
    assert rows > 1000


def portal_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What ``--json`` prints: always one object a line."""
    main(["ps", "--json"])
    main(["events", "--json"])
    main(["requests", "--json"])
    return capsys.readouterr().out.splitlines()


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=HOSTILE)
def test_names_of_files_in_completion(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    from podsh.commands.quoting import quoted
    from podsh.commands.script import split
    from podsh.console.complete import local_source

    directory = tmp_path_factory.mktemp("names")
    file = "x" + name.replace("/", "").replace("\0", "").replace("$HOME", "")
    (directory / file).touch()
    # in the console: what is put into the line
    ((found, _),) = local_source("path", f"{directory}/x")
    safe(quoted(found))
    assert split(quoted(found), {}) == [f"{directory}/{file}"]
    # for shells: one line, or none
    assert main(["complete", "--", "source", f"{directory}/x"]) == 0
    out = capsys.readouterr().out
    assert out in ("", f"{directory}/{file}\n")
    assert (out == "") == (not file.isprintable())


def test_what_a_pod_wrote_in_logs(
    portal: Portal,
    places: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    text = "".join(ALPHABET).replace("\n", "")
    (places / "log").write_bytes(os.fsencode(text) + b"\x1b[31m\nend\n")
    pod = {**RUNNING, "state": "exited", "state_dir": str(places), "socket": None}
    portal.answers["pod"] = lambda _: pod
    assert main(["logs", "web"]) == 0
    out = capsys.readouterr().out
    safe(out)
    assert out.endswith("end\n")


def test_a_path_that_is_not_utf8_keeps_its_bytes(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    """In what the portal tells, and in what is the person's own."""
    import base64

    fill(portal, "a\udcff")
    for command in ("requests --json", "events --json -k grant"):
        main(command.split())
        row = json.loads(capsys.readouterr().out.splitlines()[0])
        assert base64.b64decode(row["path_b64"]) == b"/srv/a\xff"
        assert "\ufffd" in row["path"]
    portal.answers["revoke"] = lambda _: {}
    assert main(["revoke", "web", "/x/\udcfe", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["ev"], row["path"]) == ("revoke", "/x/\ufffd")
    assert base64.b64decode(row["path_b64"]) == b"/x/\xfe"
    assert re.fullmatch(r"[ -~]*", json.dumps(row))
