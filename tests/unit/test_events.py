"""Events as lines: their signs and words, what is hostile in them, and bursts."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podsh.console.events import Bursts, event_line, raw_path, shown_path
from podsh.console.render import cells
from podsh.policy.access import NOWHERE, Where
from podsh.policy.events import Asked, Denied, Granted, Transition
from podsh.policy.state import Rule

HOSTILE = [
    "\x1b[2J\x1b[31m",
    "a\nb\r\tc",
    "\u202egnp.exe",
    "x" * 10_000,
    "/tmp/\udcff\udcfe",
    "\u2800\u3164\u200b",
    "\x9b31m\x84",
]


def line(**event: object) -> str:
    text = event_line({"ts": 0, "pod": "web", **event}, home="/home/u")
    assert text[2] == text[5] == ":"
    return text[9:]


def test_the_lines_of_the_console() -> None:
    assert line(ev="start", argv=["make", "-j"], pid=401) == "web   .    start make -j (pid 401)"
    assert line(ev="exit", code=2, signal=None, seconds=31.2) == "web   .    exit 2 after 31s"
    assert line(ev="exit", code=143, signal=15, seconds=3) == "web   .    killed by TERM after 3s"
    error = {"place": "move_mount /x", "cause": "No such file", "kind": "LaunchFailed"}
    assert line(ev="failed", error=error) == "web   !    failed: move_mount /x: No such file"
    assert line(ev="lost") == "web   !    lost: its monitor died"
    assert line(ev="gone", id=7) == "web   - 7  gone: its program ended or went on"
    assert line(ev="merged", id=7, count=2) == "web   ? 7  the same again (×2)"
    assert line(ev="note", text="many wait") == "web   .    many wait"
    assert line(ev="revoke", path="/home/u/x") == "web   -    revoked ~/x"
    assert event_line({"ev": "ready", "pod": "web", "ts": 1}) == ""


def policy(kind: Any, **fields: Any) -> str:
    """An event of podsh.policy.events, as it comes over the wire."""
    event = kind(pod="web", ts=0.0, **fields).to_wire()
    return event_line(event, home="/home/u")[9:]


def test_the_lines_about_access() -> None:
    """Column for column as in the drawing of the console."""
    assert policy(
        Transition, old="base", new="build", path="/usr/bin/gcc", mode="read", pid=412
    ) == "web   >    base -> build        /usr/bin/gcc (pid 412)"  # fmt: skip
    asked = policy(
        Asked, id=7, path="/home/u/.gitconfig", mode="write", argv=("/usr/bin/git",), pid=431
    )
    assert asked == "web   ? 7  write ~/.gitconfig   git (pid 431)"
    given = policy(Granted, id=7, path="/home/u/.gitconfig", mode="write", scope="once")
    assert given == "web   + 7  write ~/.gitconfig   once"
    rule = Rule("access.deny", "base", "/etc/shadow*", Where("/p/base.toml", 12))
    denied = policy(Denied, id=8, path="/etc/shadow", mode="read", rule=rule)
    assert denied == "web   - 8  read /etc/shadow     rule base:12"
    by_hand = policy(Denied, id=8, path="/etc/shadow", mode="read")
    assert by_hand == "web   - 8  read /etc/shadow     denied"
    hidden = policy(Denied, path="/s", mode="read", rule=Rule("hidden", where=NOWHERE))
    assert hidden == "web   -    read /s              podsh's own"
    mounted = policy(Granted, path="/srv", mode="read", scope="mount")
    assert mounted == "web   +    read /srv            mount"


def test_what_is_to_be_made_is_said() -> None:
    shown = line(
        ev="request", id=9, mode="write", path="/srv", exists=False, link="/srv/new", pid=1,
        argv=["touch", "/srv/new"], to="build",
    )  # fmt: skip
    assert shown.endswith("write /srv           touch (pid 1), to make new, to domain build")


def test_colour_only_repeats_the_sign() -> None:
    event = {"ev": "request", "id": 7, "ts": 0, "pod": "web", "path": "/x", "mode": "read"}
    plain, coloured = event_line(event), event_line(event, color=True)
    assert coloured == f"\x1b[33m{plain}\x1b[0m"


def test_paths_that_are_not_utf8() -> None:
    wire = Asked(pod="web", ts=0.0, id=1, path="/srv/\udcff\udcfe", mode="read").to_wire()
    assert raw_path(wire) == "/srv/\udcff\udcfe"
    assert shown_path(wire) == '"/srv/\\xff\\xfe"'
    assert raw_path({"path": "/x", "path_b64": "not base64!"}) == "/x"


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("kind", ["request", "grant", "denial", "transition", "start", "note"])
def test_hostile_strings_stay_in_their_line(text: str, kind: str) -> None:
    shown = event_line(
        {
            "ev": kind, "ts": 0, "pod": text, "path": f"/{text}", "mode": "read", "argv": [text],
            "old": text, "new": text, "text": text[:200], "scope": "once", "to": text,
            "rule": {"domain": text, "line": 3, "key": text}, "link": text, "exists": False,
        },
        home="/home/u",
    )  # fmt: skip
    assert len(shown) < 700
    for char in shown:
        assert unicodedata.category(char)[0] != "C"
        assert unicodedata.bidirectional(char) not in ("R", "AL", "AN", "RLO", "RLE", "RLI")


# random events are slow to make on a busy machine
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["ev", "pod", "ts", "code", "signal", "seconds", "argv", "pid", "text", "id", "path",
             "path_b64", "mode", "rule", "scope", "count", "old", "new", "exists", "link", "to"]
        ),
        st.text()
        | st.sampled_from(["request", "grant", "denial", "transition", "merged", "gone", "revoke"])
        | st.integers()
        | st.lists(st.text(), max_size=3)
        | st.dictionaries(st.sampled_from(["key", "domain", "line"]), st.text() | st.integers())
        | st.none()
        | st.floats(),
    )
)  # fmt: skip
def test_no_event_breaks_the_line(event: dict[str, object]) -> None:
    shown = event_line(event)
    assert all(unicodedata.category(c)[0] != "C" for c in shown)
    for printed in Bursts().add(event, 0.0):
        assert all(unicodedata.category(c)[0] != "C" for c in printed)


@pytest.mark.parametrize("width", [20, 33, 60, 80])
@pytest.mark.parametrize(
    "text", [*HOSTILE, "/srv/日本語" * 30, "x" * 55 + "12:00:00 web   + 7  fake"]
)
@pytest.mark.parametrize("kind", ["request", "grant", "denial", "transition", "start", "note"])
def test_on_a_terminal_no_name_begins_a_line(text: str, kind: str, width: int) -> None:
    event = {
        "ev": kind, "ts": 0, "pod": text, "path": f"/{text}", "mode": "read", "argv": [text],
        "old": text, "new": text, "text": text, "scope": "once", "pid": 7,
    }  # fmt: skip
    first, *others = event_line(event, width=width).split("\n")
    assert re.match(r"\d\d:\d\d:\d\d ", first)
    assert all(line.startswith("    ") for line in others)
    assert all(cells(line) <= width for line in (first, *others))
    colored = event_line(event, width=width, color=True)
    assert re.sub(r"\x1b\[[0-9]*m", "", colored) == "\n".join([first, *others])


def test_a_long_path_is_elided_to_one_line_where_that_does() -> None:
    event = {"ev": "request", "ts": 0, "pod": "web", "id": 7, "mode": "read", "pid": 1}
    event |= {"path": "/srv/" + "a" * 200 + "/name", "argv": ["git"]}
    line = event_line(event, width=80)
    assert "\n" not in line
    assert "/name" in line
    assert "git (pid 1)" in line


# ---------------------------------------------------------------- bursts


def moved(pod: str, number: int) -> dict[str, Any]:
    fields = {"old": "a", "new": "b", "mode": "read", "path": f"/{number}"}
    return {"ev": "transition", "pod": pod, "ts": 0, **fields}


def test_a_few_are_shown_one_by_one() -> None:
    bursts = Bursts()
    for number in range(3):
        assert len(bursts.add(moved("web", number), number / 10)) == 1
    assert bursts.wait_s(0.5) == pytest.approx(0.5)
    assert bursts.due(1.0) == []
    assert bursts.wait_s(1.0) is None


def test_many_become_one_line_that_counts() -> None:
    bursts = Bursts()
    shown = [text for number in range(37) for text in bursts.add(moved("web", number), 0.001)]
    assert len(shown) == 5
    assert bursts.due(0.9) == []
    (summary,) = bursts.due(1.1)
    assert summary[9:] == "web   >    37 transitions (events web)"
    # it goes on: nothing more one by one, a line a second
    for number in range(2000):
        assert bursts.add(moved("web", number), 1.2) == []
    assert [text[9:] for text in bursts.due(2.2)] == ["web   >    2000 transitions (events web)"]
    # it calms down: what was held back is shown after all
    assert bursts.add(moved("web", 1), 2.3) == []
    assert len(bursts.due(3.3)) == 1
    assert bursts.wait_s(3.3) is None


def test_pods_and_kinds_are_counted_apart() -> None:
    bursts = Bursts()
    for number in range(10):
        bursts.add(moved("web", number), 0.0)
    assert len(bursts.add(moved("other", 1), 0.0)) == 1
    asked = {"ev": "request", "id": 7, "pod": "web", "path": "/x", "mode": "read", "ts": 0}
    assert len(bursts.add(asked, 0.0)) == 1
    assert len(bursts.add({"ev": "exit", "pod": "web", "code": 0}, 0.0)) == 1


def test_every_request_that_can_wait_is_shown() -> None:
    bursts = Bursts()
    asked = [
        {"ev": "request", "id": n, "pod": "web", "path": "/x", "mode": "read"} for n in range(16)
    ]
    assert sum(len(bursts.add(event, 0.0)) for event in asked) == 16


def test_repetitions_are_told_ever_less_often() -> None:
    bursts = Bursts()
    told = [n for n in range(2, 100) if bursts.add({"ev": "merged", "id": 1, "count": n}, n * 2.0)]
    assert told == [2, 4, 8, 16, 32, 64]
