"""``review`` fed through prompt_toolkit's pipe input, in the console and by itself."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from podsh.cli import main
from podsh.commands.context import Context
from podsh.console import review
from podsh.console.dialog import Dialog, converse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prompt_toolkit.input import PipeInput

    from tests.console.portal import Portal

LIMIT_S = 10.0


class Talk:
    """A dialog in a thread, and the keys for it."""

    def __init__(self, keys: PipeInput, ident: int | None = None) -> None:
        self.keys = keys
        self.context = Context("console")
        self.dialog = Dialog(self.context, ident)
        self.thread = threading.Thread(target=self.dialog.run)

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < end, self.dialog.error
            time.sleep(0.01)

    def armed(self) -> None:
        self.until(lambda: self.dialog.review.armed(time.monotonic()))

    def press(self, key: str, done: Callable[[], object]) -> None:
        """A key that gives; once more where news made the dialog draw itself just before."""
        while True:
            self.armed()
            if done():
                return
            before = self.dialog.review.armed_at
            self.type(key)
            self.until(lambda before=before: done() or self.dialog.review.armed_at != before)

    def type(self, text: str) -> None:
        self.keys.send_text(text)


@pytest.fixture
def talk(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Talk]]:
    monkeypatch.setenv("HOME", "/home/u")
    portal.answers["save_targets"] = lambda _: {"targets": ["dev"]}
    made: list[Talk] = []
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):

        def make(ident: int | None = None) -> Talk:
            made.append(Talk(keys, ident))
            made[-1].thread.start()
            made[-1].until(lambda: made[-1].dialog.app.is_running)
            return made[-1]

        yield make
        for each in made:
            each.dialog.stop()
            each.thread.join(LIMIT_S)
            each.context.close()


def states(portal: Portal) -> dict[int, str]:
    return {row["id"]: row["state"] for row in portal.rows}


def test_one_by_one(portal: Portal, talk: Callable[..., Talk]) -> None:
    for ident in (7, 8, 9, 10):
        portal.ask(ident, path=f"/srv/{ident}")
    t = talk()
    t.armed()
    t.type("o")
    t.until(lambda: states(portal)[7] == "allowed")
    t.until(lambda: t.dialog.review.row["id"] == 8)
    t.type("n")
    t.until(lambda: states(portal)[8] == "denied")
    t.until(lambda: t.dialog.review.row["id"] == 9)
    t.type("r")
    t.armed()
    t.type("p")
    t.until(lambda: states(portal)[9] == "allowed")
    t.until(lambda: t.dialog.review.row["id"] == 10)
    t.armed()
    t.type("s")
    t.thread.join(LIMIT_S)
    assert t.dialog.error is None
    assert t.dialog.decided == [
        "7: write /srv/7  once",
        "8: write /srv/8  denied",
        "9: read /srv/9  pod",
        "10: write /srv/10  saved: /c/dev.toml:12",
    ]
    given = [fields for op, fields in portal.calls if op == "allow"]
    assert [fields["if"] for fields in given] == ["write /srv/7", "write /srv/9", "write /srv/10"]


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        ("o", "allow 7"),
        ("p", "allow 7 --pod"),
        ("s", "allow 7 --save dev"),
        ("n", "deny 7"),
        ("N", "deny 7 --always"),
        ("do", "allow 7 --dir /srv/a"),
        ("rp", "allow 7 --pod --read"),
        ("e\x1b[D\rs", "allow 7 --save dev --dir /srv/a"),
        ("\to", "allow 8"),
    ],
)
def test_every_key_is_a_command_too(
    portal: Portal, talk: Callable[..., Talk], keys: str, command: str
) -> None:
    """What a key asks the portal for is what the command asks it for."""

    def asked() -> list[tuple[str, dict[str, object]]]:
        found = [call for call in portal.calls if call[0] in ("allow", "deny")]
        # what is left out, and what is as if it were
        return [
            (op, {key: value for key, value in fields.items() if value}) for op, fields in found
        ]

    for ident in (7, 8):
        portal.ask(ident, path=f"/srv/a/{ident}")
    t = talk()
    *others, last = keys if not keys.startswith("e") else ("e", "\x1b[D", "\r", "s")
    for key in others:
        before = t.dialog.review.armed_at
        t.armed()
        t.type(key)
        t.until(lambda before=before: t.dialog.review.armed_at != before)
    t.press(last, asked)
    by_key = asked()
    portal.calls.clear()
    for row in portal.rows:
        row["state"] = "waiting"
    assert main(command.split()) == 0
    assert asked() == by_key


@pytest.mark.parametrize(
    "keys", ["y", "\r", " ", "\x1b[200~o\x1b[201~", "oooo", "yo", "o\r", "ls -l o", "\n"]
)
def test_what_gives_nothing(portal: Portal, talk: Callable[..., Talk], keys: str) -> None:
    portal.ask(7)
    t = talk()
    t.armed()
    t.type(keys)
    time.sleep(0.2)
    assert states(portal) == {7: "waiting"}
    assert t.thread.is_alive()


def test_what_was_typed_ahead_gives_nothing(portal: Portal, talk: Callable[..., Talk]) -> None:
    portal.ask(7)
    t = talk()
    t.type("o")
    time.sleep(0.1)
    t.type("p")
    time.sleep(0.2)
    assert states(portal) == {7: "waiting"}


def test_escape_leaves_at_once(portal: Portal, talk: Callable[..., Talk]) -> None:
    portal.ask(7)
    t = talk()
    t.type("\x1b")
    t.thread.join(2)
    assert not t.thread.is_alive()
    assert t.dialog.decided == []
    assert states(portal) == {7: "waiting"}


def test_gone_while_it_is_read(portal: Portal, talk: Callable[..., Talk]) -> None:
    portal.ask(7)
    t = talk()
    t.armed()
    portal.decide(7, "gone")
    portal.event(ev="gone", id=7)
    t.until(lambda: t.dialog.review.gone)
    t.type("o")
    time.sleep(0.1)
    assert not [op for op, _ in portal.calls if op == "allow"]
    t.type("\t")
    t.thread.join(LIMIT_S)
    assert t.dialog.decided == []


def test_what_comes_meanwhile_is_counted(portal: Portal, talk: Callable[..., Talk]) -> None:
    portal.ask(7)
    t = talk()
    t.until(lambda: t.dialog.review.row)
    for ident in range(8, 12):
        portal.ask(ident)
    t.until(lambda: len(t.dialog.review.waiting) == 5 and not t.dialog._looking)
    before = len([op for op, _ in portal.calls if op == "requests"])
    time.sleep(0.6)  # and nobody asks again where nothing happens
    assert len([op for op, _ in portal.calls if op == "requests"]) == before
    t.armed()
    assert t.dialog.review.row["id"] == 7


def test_an_error_is_shown_and_the_dialog_stays(portal: Portal, talk: Callable[..., Talk]) -> None:
    from podsh.errors import UsageError

    def refuse(_: object) -> dict[str, object]:
        raise UsageError("is no longer what was asked for", place="/home/u/.gitconfig")

    portal.answers["allow"] = refuse
    portal.ask(7)
    t = talk()
    t.armed()
    t.type("o")
    t.until(lambda: "no longer what was asked for" in t.dialog.review.message)
    assert t.thread.is_alive()


async def test_below_a_running_loop(portal: Portal) -> None:
    """As the console calls it; keys that came with the deciding one go nowhere."""
    portal.ask(7)
    context = Context("console")
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        timer = threading.Timer(0.1, lambda: keys.send_text("n"))
        timer.start()
        assert converse(context, None) == ["7: write /home/u/.gitconfig  denied"]
        timer.join()
    context.close()
    await asyncio.sleep(0)
    assert review.ARM_S == 0.4
