"""The console fed through prompt_toolkit's pipe input, against a stand-in portal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from podsh.commands import welcome
from podsh.commands.context import Context
from podsh.console.app import Console
from podsh.console.bar import Visited, toolbar
from tests.console.portal import ENDED, REQUEST, RUNNING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from prompt_toolkit.input import PipeInput

    from tests.console.portal import Portal

LIMIT_S = 10.0


class Screen(DummyOutput):
    """Keeps what is written above the prompt."""

    def __init__(self) -> None:
        self.text = ""

    def write_raw(self, data: str) -> None:
        self.text += data


class Driven:
    """A console that is running, and what is typed into it."""

    def __init__(self, console: Console, keys: PipeInput, screen: Screen) -> None:
        self.console = console
        self.screen = screen
        self.keys = keys
        self.task = asyncio.ensure_future(console.main())

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():  # noqa: ASYNC110 - polling from outside is the point
                await asyncio.sleep(0.01)

    async def type(self, text: str) -> None:
        """Type when the prompt is there."""
        await self.until(lambda: self.console.session.app.is_running or self.task.done())
        await asyncio.sleep(0.02)
        self.keys.send_text(text)

    async def end(self) -> int:
        async with asyncio.timeout(LIMIT_S):
            return await self.task


@contextlib.asynccontextmanager
async def driven(**options: Any) -> AsyncIterator[Driven]:
    context = Context("console")
    screen = Screen()
    with create_pipe_input() as keys, create_app_session(input=keys, output=screen):
        found = Driven(Console(context, input=keys, output=screen, **options), keys, screen)
        try:
            yield found
        finally:
            if not found.task.done():
                found.task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await found.task
            context.close()


@pytest.fixture(autouse=True)
def _no_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(welcome, "machine_line", lambda: "podsh: kernel ok.")


async def test_first_words_and_quit(
    portal: Portal, places: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.pods = [ENDED]
    async with driven() as d:
        await d.type("quit\r")
        assert await d.end() == 0
    out = capsys.readouterr().out
    assert out.startswith("podsh: kernel ok. No pods.\nTry:  run -- bash")
    history = places / "podsh" / "history"
    assert history.stat().st_mode & 0o077 == 0
    assert "quit" in history.read_text()
    async with driven() as d:
        await d.type("\x04")
        await d.end()
    assert capsys.readouterr().out.startswith("podsh 0.1.0. No pods.")


async def test_commands_and_errors(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.pods = [ENDED]
    async with driven() as d:
        for line in ("ps\r", "attch\r", "set A=1\r", "set\r", "x 'open\r", "ps -h\r", "quit\r"):
            await d.type(line)
            await asyncio.sleep(0.05)
        await d.end()
    said = capsys.readouterr()
    assert "exit 2" in said.out
    assert "A=1" in said.out
    assert "list pods" in said.out
    assert "did you mean attach?" in said.err
    assert "podsh: no closing '" in said.err


async def test_events_print_above_the_prompt(
    portal: Portal, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.pods = []
    async with driven() as d:
        await d.until(lambda: portal.followed)
        await d.type("hel")
        portal.event(ev="start", argv=["make"], pid=401)
        portal.event(ev="attached")
        portal.event(ev="ready")
        await d.until(lambda: "web   .    start make (pid 401)" in d.screen.text)
        await d.type("p\rquit\r")
        await d.end()
    assert "attached" not in d.screen.text
    assert "list pods" in capsys.readouterr().out  # the typing was not lost


async def test_a_paste_of_several_lines(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    """It is there to be read first, and runs line by line once it is entered."""
    portal.pods = []
    async with driven() as d:
        await d.type("\x1b[200~set A=1\rset B='x\ry'\rdeny 7\x1b[201~")
        await asyncio.sleep(0.3)
        assert not d.console.context.variables
        await d.type("\r")
        await d.until(lambda: not d.console.session.default_buffer.text)
        await d.type("quit\r")
        await d.end()
    assert d.console.context.variables == {"A": "1", "B": "x\ny"}
    assert "no such request waits" in capsys.readouterr().err


async def test_a_blank_line_is_not_kept(portal: Portal, places: Path) -> None:
    portal.pods = []
    async with driven() as d:
        await d.type(" set SECRET=1\r")
        await d.type("quit\r")
        await d.end()
    assert "SECRET" not in (places / "podsh" / "history").read_text()


async def test_interrupting_a_wait(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.pods = []
    async with driven() as d:
        await d.type("wait web exit\r")
        await d.until(portal.held.is_set)
        os.kill(os.getpid(), signal.SIGINT)
        await d.type("ps\r")
        await d.type("quit\r")
        await d.end()
    said = capsys.readouterr()
    assert "podsh: interrupted" in said.err
    assert "No pods." in said.out


async def test_ctrl_c_clears_the_line(portal: Portal) -> None:
    portal.pods = []
    async with driven() as d:
        await d.type("kill web\x03")
        await d.type("quit\r")
        await d.end()
    assert not [op for op, _ in portal.calls if op == "kill"]


@pytest.mark.parametrize(
    ("answers", "killed"),
    [(("keep\r",), False), (("\r",), False), (("kill\r",), True), (("k\r", "ki\r"), True)],
)
async def test_quitting_asks_about_live_pods(
    portal: Portal, answers: tuple[str, ...], killed: bool
) -> None:
    async with driven() as d:
        await d.type("quit\r")
        await asyncio.sleep(0.2)
        for answer in answers:
            d.keys.send_text(answer)
            await asyncio.sleep(0.1)
        await d.end()
    assert bool([op for op, _ in portal.calls if op == "kill"]) == killed


async def test_staying(portal: Portal) -> None:
    async with driven() as d:
        await d.type("quit\r")
        await asyncio.sleep(0.2)
        d.keys.send_text("stay\r")
        await d.until(lambda: d.console.session.app.is_running)
        portal.pods = []
        await d.type("\x04")
        await d.end()


async def test_entered_from_a_pod_quit_asks_nothing(portal: Portal) -> None:
    portal.answers["pod"] = lambda _: {**RUNNING, "exit": 4}
    async with driven(entered=True) as d:
        d.console.context.last_pod = "web"
        await d.type("quit\r")
        assert await d.end() == 4
    async with driven(entered=True) as d:
        d.console.context.last_pod = "web"
        await d.type("quit 7\r")
        assert await d.end() == 7


async def test_attention_key_goes_back_only_from_an_empty_line(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal.pods = []
    attached: list[str] = []
    monkeypatch.setattr(
        "podsh.commands.attach.attach_to", lambda name, _: attached.append(name) or 0
    )
    async with driven() as d:
        d.console.context.last_pod = "web"
        await d.type("x\x1d")
        await asyncio.sleep(0.05)
        assert not attached
        await d.type("\x08\x1d")
        await d.until(lambda: attached)
        await d.type("quit\r")
        await d.end()
    assert attached == ["web"]


async def test_keys_typed_ahead_are_the_pods(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    portal.pods = []
    given: list[bytes] = []
    monkeypatch.setattr(
        "podsh.commands.attach.attach_to", lambda _, context: given.append(context.typeahead()) or 0
    )
    async with driven() as d:
        d.console.context.last_pod = "web"
        await d.type("\x1decho é\r\x03")
        await d.until(lambda: given)
        await d.type("quit\r")
        await d.end()
    assert given == ["echo é\r\x03".encode()]


async def test_tab_completes(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    async with driven() as d:
        await d.until(lambda: d.console.feed.pods)
        await d.type("kil\t")
        await d.until(lambda: d.console.session.default_buffer.text == "kill ")
        d.keys.send_text("w\t")
        await d.until(lambda: d.console.session.default_buffer.text == "kill web ")
        portal.pods = []
        await d.type("\x15quit\r")
        await d.end()


async def test_a_portal_that_goes_away_is_survived(portal: Portal, places: Path) -> None:
    portal.pods = []
    async with driven() as d:
        await d.until(lambda: d.console.feed.pods is not None)
        portal.__exit__()
        await d.until(lambda: d.console.feed.pods is None)
        assert "no portal" in d.console._toolbar()
        await asyncio.sleep(0.6)  # as long as it looks by itself
        (places / "podsh" / "portal.sock").unlink()
        with type(portal)(places) as other:
            await d.until(lambda: other.followed)
            await d.until(lambda: "some may be missing here: see events" in d.screen.text)
            other.event(ev="start", argv=["make"], pid=401)
            await d.until(lambda: "start make" in d.screen.text)
            other.pods = []
            await d.type("quit\r")
            await d.end()


def test_toolbar() -> None:
    assert toolbar([RUNNING, ENDED], [], None, 0.0) == " 1 pod "
    waiting = [{**REQUEST, "ts": 100.0}, {**REQUEST, "pod": "b", "ts": 70.0}]
    bar = toolbar([RUNNING, RUNNING], waiting, "web", 165.0)
    assert bar == " 2 pods  2 waiting (b 1:35)  C-] web "
    assert toolbar([], [], "\x1b[2J", 0.0) == ' 0 pods  C-] "\\e[2J" '


def test_where_the_attention_key_goes() -> None:
    visited = Visited()
    a, b, c = ({"name": name, "state": "running"} for name in "abc")
    assert visited.back_to([]) is None
    assert visited.back_to([a]) == "a"  # there is no other
    assert visited.back_to([a, b]) is None
    for name in ("a", "b", "a", None):
        visited.add(name)
    assert visited.back_to([a, b, c]) == "a"
    assert visited.back_to([{**a, "state": "exited"}, b, c]) == "b"
    assert visited.back_to([b | {"state": "exited"}, c]) == "c"
    assert visited.back_to([]) is None


async def test_a_request_is_a_line_and_a_number_in_the_toolbar(portal: Portal) -> None:
    async with driven() as d:
        await d.until(lambda: portal.followed)
        await d.type("hel")
        portal.ask(7)
        await d.until(lambda: d.console.feed.requests)
        await d.until(lambda: "? 7" in d.screen.text)
        assert "1 waiting (web 0:0" in d.console._toolbar()
        assert d.console.session.default_buffer.text == "hel"  # nothing took a key
        portal.decide(7, "denied")
        portal.event(ev="denial", id=7, path="/home/u/.gitconfig", mode="write")
        await d.until(lambda: not d.console.feed.requests)
        portal.ask(8)
        await d.until(lambda: "? 8" in d.screen.text)
        portal.pods = []
        await d.type("\x15quit\r")
        await d.end()
    text = d.screen.text
    assert "web   ? 7  write /home/u/.gitconfig  git (pid 431)" in text
    assert "web   - 7  write /home/u/.gitconfig  denied" in text
    # said once, ever
    assert text.count("type review, or allow 7 / deny 7") == 1
    assert text.count("type review") == 1


async def test_what_waits_is_listed_when_a_person_comes_back(
    portal: Portal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.ask(5)
    monkeypatch.setattr("podsh.commands.attach.attach_to", lambda name, _: portal.ask(6) and 0)
    async with driven() as d:
        d.console.context.last_pod = "web"
        await d.until(lambda: portal.followed)
        await d.type("\x1d")
        await d.until(lambda: any(row["id"] == 6 for row in portal.rows))
        portal.pods = []
        await d.type("quit\r")
        await d.end()
    out = capsys.readouterr().out
    assert "1 waiting: review, or allow ID / deny ID" in out
    again = out[out.index("1 waiting") :]
    assert again.count("? 5") == 1
    assert again.count("? 6") == 1
    assert "2 waiting: review" in again


async def test_numbers_of_requests_complete(portal: Portal) -> None:
    portal.ask(17)
    async with driven() as d:
        await d.until(lambda: d.console.feed.requests)
        await d.type("allow 1\t")
        await d.until(lambda: d.console.session.default_buffer.text == "allow 17 ")
        portal.pods = []
        await d.type("\x15quit\r")
        await d.end()
