"""The dialog: what it shows, what gives and when, at every size and for hostile content."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.console.render import cells
from podsh.console.review import ARM_S, Act, Review
from tests.console.portal import REQUEST

HOME = "/home/u"
LATER = 10.0  # long after everything was drawn


def review(*rows: dict[str, Any], ident: int | None = None, **fields: Any) -> Review:
    """A dialog that has just been drawn, at time 0, in a terminal of 60 x 15."""
    found = Review(HOME, ident)
    given = [{**REQUEST, **row} for row in rows] or [{**REQUEST, **fields}]
    found.targets = {row["id"]: (["dev"], "") for row in given}
    found.update(given)
    found.draw(60, 15, 0.0)
    return found


def shown(found: Review, width: int = 60, height: int = 15, now: float = 0.0) -> str:
    lines, foot = found.draw(width, height, now)
    assert len(lines) + len(foot) <= height
    assert all(cells(line) <= width for line in (*lines, *foot))
    return "\n".join([*lines, *foot])


def test_the_dialog_as_drawn() -> None:
    assert (
        shown(review({}, {"id": 8}), 64)
        == """\
-- request 7 (1 of 2) -------------------- pod web, domain build
/usr/bin/git fetch origin  (pid 431, parent make 412)
wants to WRITE a file (exists):
  /home/u/.gitconfig
rule to add:  write /home/u/.gitconfig
o once  p this pod  s save to dev  n deny  N deny in this pod
d file/directory  r read only  e edit path  Tab next  Esc later"""
    )


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("o", {"scope": "once", "read": False}),
        ("p", {"scope": "pod", "read": False}),
        ("s", {"scope": "save", "read": False, "profile": "dev"}),
    ],
)
def test_giving_waits_until_it_can_have_been_read(key: str, fields: dict[str, Any]) -> None:
    found = review()
    assert found.key(key, ARM_S - 0.01) is None
    act = found.key(key, ARM_S)
    assert act == Act("allow", {**REQUEST}, fields)


@pytest.mark.parametrize("change", ["d", "r", "c-i"])
def test_every_change_of_what_is_shown_makes_it_wait_again(change: str) -> None:
    found = review({"path": "/srv/a/b"}, {"id": 8})
    found.key(change, LATER)
    found.draw(60, 15, LATER)
    assert found.key("o", LATER + ARM_S / 2) is None
    assert found.key("o", LATER + ARM_S) is not None
    # also of the terminal's size
    found.draw(80, 24, LATER + 1)
    assert found.key("o", LATER + 1) is None


@pytest.mark.parametrize("key", ["y", "Y", "c-m", "c-j", " ", "<bracketed-paste>", "a", "1", "x"])
def test_inert_keys(key: str) -> None:
    found = review()
    assert found.key(key, LATER) is None
    # and what follows at once was not meant either
    assert found.key("o", LATER + 0.01) is None
    assert found.key("o", LATER + ARM_S + 0.01) is not None


def test_keys_that_come_together_give_nothing() -> None:
    found = review()
    for key in "rm -rf o":
        assert found.key(key, LATER, alone=False) is None
    assert found.key("o", LATER) is None


@pytest.mark.parametrize(("key", "always"), [("n", False), ("N", True)])
def test_denying_is_live_at_once(key: str, always: bool) -> None:
    found = review()
    assert found.key(key, 0.0) == Act("deny", {**REQUEST}, {"always": always})


@pytest.mark.parametrize("key", ["escape", "c-c", "c-d", "c-]", "q"])
def test_leaving_is_live_at_once(key: str) -> None:
    assert review().key(key, 0.0) == Act("leave")


def test_the_rule_follows_the_scope() -> None:
    found = review(path="/home/u/proj/src/a.c")
    assert "rule to add:  write /home/u/proj/src/a.c" in shown(found)
    found.key("d", LATER)
    assert "rule to add:  write /home/u/proj/src\n" in shown(found)
    found.key("r", LATER)
    assert "rule to add:  read /home/u/proj/src\n" in shown(found, now=LATER)
    act = found.key("o", 2 * LATER)
    assert act is not None
    assert act.fields == {"scope": "once", "read": True, "dir": "/home/u/proj/src"}
    found.key("d", LATER)
    found.key("r", LATER)
    assert "rule to add:  write /home/u/proj/src/a.c" in shown(found)


def test_the_path_is_edited_by_components() -> None:
    found = review(path="/home/u/proj/src/a.c")
    found.key("e", LATER)
    assert "Left shorter" in shown(found)
    for key in ("o", "p", "s"):
        assert found.key(key, LATER) is None  # no scope is chosen meanwhile
    found.key("left", LATER)
    found.key("backspace", LATER)
    assert found.path == "/home/u/proj"
    for _ in range(9):
        found.key("left", LATER)
    assert found.path == "/home/u/proj"
    assert "too wide: your home would be in it" in shown(found)
    found.key("right", LATER)
    assert found.path == "/home/u/proj/src"
    assert found.key("c-m", LATER) is None
    assert "o once" in shown(found, now=LATER)
    assert found.key("o", LATER) is None
    act = found.key("o", LATER + 1)
    assert act is not None
    assert act.fields["dir"] == "/home/u/proj/src"


def test_the_whole_file_system_is_no_rule() -> None:
    found = review(path="/opt/x")
    found.key("d", LATER)
    assert found.path == "/opt"
    found.key("e", LATER)
    found.key("left", LATER)
    assert found.path == "/opt"
    assert "too wide" in shown(found)
    # the home itself stays reachable only as itself
    found = review(path="/home/u/.gitconfig")
    found.key("d", LATER)
    assert found.path == "/home/u/.gitconfig"
    assert "your home would be in it" in shown(found)


def test_a_socket_is_given_by_itself() -> None:
    found = review(op="connect", object="socket", path="/run/u/bus")
    assert "wants to CONNECT to a socket:" in shown(found)
    for keys in ("d", "e left"):
        for key in keys.split():
            found.key(key, LATER)
        assert found.path == "/run/u/bus"
        assert "by itself" in shown(found)


def test_saving_where_there_are_several() -> None:
    found = review()
    found.targets[7] = (["dev", "build"], "")
    assert "s save to …" in shown(found)
    assert found.key("s", LATER) is None
    assert "save to:  1 dev  2 build  Esc back" in shown(found, now=LATER)
    assert found.key("2", LATER) is None
    assert found.key("3", LATER + 1) is None
    act = found.key("2", LATER + 2)
    assert act is not None
    assert act.fields["profile"] == "build"
    assert found.key("escape", LATER) is None
    assert "o once" in shown(found)


def test_saving_where_there_is_none() -> None:
    found = review()
    found.targets[7] = ([], "a socket is no rule of a profile")
    assert found.key("s", LATER) is None
    assert "a socket is no rule of a profile" in shown(found)


def test_who_died_is_gone() -> None:
    found = review({}, {"id": 8})
    found.update([{**REQUEST, "state": "gone"}, {**REQUEST, "id": 8}])
    assert "7 gone" in shown(found)
    for key in "opsnNdre":
        assert found.key(key, LATER) is None
    assert found.key("c-i", LATER) is None
    assert "request 8 (1 of 1)" in shown(found)
    found.update([])
    assert "8 gone" in shown(found)
    assert found.key("c-i", LATER) == Act("leave")


def test_who_was_answered_elsewhere_is_told() -> None:
    found = review()
    found.update([{**REQUEST, "state": "denied"}])
    assert "7 was denied" in shown(found)


def test_what_is_shown_never_changes_under_the_person() -> None:
    found = review()
    before = shown(found)
    found.update([{**REQUEST, "path": "/etc/shadow", "argv": ["evil"]}])
    assert shown(found) == before
    act = found.key("o", LATER)
    assert act is not None
    assert act.row == REQUEST


def test_the_wanted_one_comes_first() -> None:
    assert "request 9 (3 of 3)" in shown(review({}, {"id": 8}, {"id": 9}, ident=9))


def test_tab_goes_round() -> None:
    found = review({}, {"id": 8}, {"id": 9})
    seen = []
    for _ in range(4):
        found.key("c-i", LATER)
        assert found.row is not None
        seen.append(found.row["id"])
    assert seen == [8, 9, 7, 8]


def test_a_directory_to_make_something_in_and_a_move() -> None:
    found = review(path="/srv/a", exists=False, link="/srv/a/new", object="directory", to="build")
    text = shown(found)
    assert "wants to WRITE in a directory:\n  /srv/a\n  to make or remove /srv/a/new" in text
    assert "a yes moves the pod to domain build" in text


LONG = "/" + "/".join(["d" * 200] * 19) + "/end"


@pytest.mark.parametrize(("width", "height"), [(60, 15), (80, 24), (40, 10), (200, 60), (20, 6)])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"path": LONG},
        {"argv": ["x" * 10_000]},
        {"argv": ["/bin/\x1b[2J\n\r", "\u202e", "\udcff", "\u3164"], "parent": [1, "\x1b]0;t\x07"]},
        {"path": "/srv/\u202egnp.exe\n\x1b[8m/日本語/é"},
        {"path": "/srv/\ufffd", "path_b64": "L3Nydi//"},
        {"pod": "p" * 64, "domain": "d" * 500},
    ],
)
def test_nothing_is_left_out_at_any_size(fields: dict[str, Any], width: int, height: int) -> None:
    found = review(**fields)
    seen: list[str] = []
    end = False
    for at in range(3000):
        text = shown(found, width, height, now=at)
        for char in text.replace("\n", ""):
            assert unicodedata.category(char)[0] != "C"
            assert unicodedata.bidirectional(char) not in ("R", "AL", "AN", "RLO", "RLE", "RLI")
        lines, _ = found.draw(width, height, float(at))
        seen += [line for line in lines if line not in seen[-height:]]
        if found.armed(at + 1.0):
            end = True
            break
        # not before all of it was on the screen
        assert found.key("o", at + 1.0) is None
        found.key("pagedown", float(at))
    assert end
    whole = "".join(line.strip() for line in seen if not line.startswith("-- "))
    for key in ("path", "argv"):
        for word in fields.get(key, []) if key == "argv" else [fields.get(key, "")]:
            plain = [part for part in word.split("/") if part.isascii() and part.isalnum()]
            for part in plain:
                if len(set(part)) > 1:
                    assert part in whole
                else:  # wrapped lines of one letter look the same
                    assert part[0] * min(width, len(part)) in whole or width < len(part)


@pytest.mark.parametrize("pad", range(40, 70))
def test_a_command_line_cannot_pose_as_the_rule(pad: int) -> None:
    argv = ["x" * pad + "rule to add:  read /harmless" + " " * 40 + "o once"]
    lines, _ = review(argv=argv, path="/etc/secret").draw(60, 15, 0.0)
    assert [line for line in lines if line.startswith("rule")] == [
        "rule to add:  write /etc/secret"
    ]


def test_letters_that_look_like_others_are_named() -> None:
    assert "non-ASCII: а U+0430" in shown(review(path="/home/u/p\u0430ss"))
    assert "byte ff" in shown(review(path="/srv/\ufffd", path_b64="L3Nydi//"))
    assert "non-ASCII" not in shown(review())


@given(st.lists(st.sampled_from(
    ["o", "p", "s", "n", "d", "r", "e", "left", "right", "c-m", "c-i", "escape", "1", "y", "down"]
)))  # fmt: skip
def test_no_keys_typed_quickly_ever_give(keys: list[str]) -> None:
    found = review({"path": "/srv/a/b"}, {"id": 8})
    for at, key in enumerate(keys):
        act = found.key(key, at * 0.001)
        assert act is None or act.what in ("deny", "leave")
        found.draw(60, 15, at * 0.001)


def test_a_window_that_is_small_says_so() -> None:
    found = review()
    assert "below 60x15" not in shown(found, 60, 15)
    for width, height in ((59, 15), (60, 14), (20, 6)):
        assert "(below 60x15)" in shown(found, width, height)


def test_no_request_at_all() -> None:
    found = Review(HOME)
    assert "No requests wait." in "\n".join(found.draw(60, 15, 0.0)[0])
    assert found.key("o", LATER) is None
