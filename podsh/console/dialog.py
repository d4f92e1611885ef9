"""``review`` on a terminal: prompt_toolkit around review.py, and the portal's answers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from prompt_toolkit.application import Application
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window

from podsh.commands.requests import answer_no, answer_yes
from podsh.console.render import show_lines
from podsh.console.review import Review
from podsh.errors import PodshError
from podsh.portal.client import connect_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.key_binding import KeyPressEvent

    from podsh.commands.context import Context
    from podsh.console.review import Act
    from podsh.portal.client import Client

# what changes the rows that are shown
_KINDS = ("request", "merged", "grant", "denial", "gone", "exit", "failed", "lost", "removed")
# in a flood of them the rows are looked at so often at most
_LOOK_S = 0.1


def converse(context: Context, ident: int | None) -> list[str]:
    """Show the requests that wait, the one with that number first; what was decided, as lines.

    Works below a running loop too (the console's), which stands still meanwhile.
    """
    dialog = Dialog(context, ident)
    thread = threading.Thread(target=dialog.run, name="podsh-review")
    thread.start()
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt:
            dialog.stop()
    # what was typed for the dialog is for nobody else
    clear_typeahead(dialog.app.input)
    if dialog.error is not None:
        raise dialog.error
    return dialog.decided


class Dialog:
    """One conversation. ``decided``: a line for each answer given."""

    def __init__(self, context: Context, ident: int | None) -> None:
        self.context = context
        self.review = Review(os.path.realpath(os.path.expanduser("~")), ident)
        self.decided: list[str] = []
        self.error: BaseException | None = None
        self._busy = False
        self._events: Client | None = None
        self._stale = self._looking = False
        self._loop: asyncio.AbstractEventLoop | None = None
        # the connection serves one call at a time
        self._calls = ThreadPoolExecutor(1, "podsh-review-call")
        self.app: Application[None] = Application(
            Layout(Window(FormattedTextControl(self._text), always_hide_cursor=True)),
            key_bindings=self._bindings(),
            full_screen=True,
        )
        self.app.ttimeoutlen = 0.05  # how long Esc might be the beginning of another key

    def run(self) -> None:
        """To its end, in this thread."""
        try:
            asyncio.run(self._main())
        except BaseException as exc:  # handed on by who waits for the thread
            self.error = exc
        finally:
            self._calls.shutdown()

    def stop(self) -> None:
        """End it from another thread."""
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._leave)
            except RuntimeError:
                pass  # it has ended

    def _leave(self) -> None:
        if self.app.is_running and not self.app.is_done:
            self.app.exit()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._follow()
        try:
            await self.app.run_async(handle_sigint=False)
        finally:
            self._unfollow()

    async def _off(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._calls, call, *arguments)

    # -- the portal

    def _fetch(self) -> tuple[list[dict[str, Any]], dict[int, tuple[list[str], str]]]:
        portal = self.context.portal()
        rows = portal.call("requests", all=True)["requests"]
        targets = dict(self.review.targets)
        row = self.review.row
        for each in [row] if row is not None else rows:
            if each["id"] not in targets:
                targets[each["id"]] = self._targets(each)
        return rows, targets

    def _targets(self, row: dict[str, Any]) -> tuple[list[str], str]:
        """The profiles that the rule could be saved in; why there are none."""
        try:
            answer = self.context.portal().call("save_targets", request=row["id"])
        except PodshError as exc:
            return [], str(exc)
        return [str(name) for name in answer["targets"]], str(answer.get("reason") or "")

    def _take(self, found: tuple[list[dict[str, Any]], dict[int, tuple[list[str], str]]]) -> None:
        rows, self.review.targets = found
        self.review.update(rows)
        self.app.invalidate()

    # -- requests come and go while a person reads

    async def _follow(self) -> None:
        """Be told of it; then look at what there is. Starts the portal where it has gone."""
        assert self._loop is not None
        self._events = await self._off(self._subscribe)
        if self._events is not None:
            self._loop.add_reader(self._events.fileno(), self._news)
        self._take(await self._off(self._fetch))

    def _subscribe(self) -> Client | None:
        self.context.portal()
        client = connect_running()
        if client is not None:
            # a person is here, who may be asked
            client.call("events", console=True, kinds=_KINDS)
        return client

    def _unfollow(self) -> None:
        if self._events is not None and self._loop is not None:
            self._loop.remove_reader(self._events.fileno())
            self._events.close()
        self._events = None

    def _news(self) -> None:
        assert self._events is not None
        try:
            self._stale |= bool(self._events.news(0))
        except (PodshError, OSError):
            self._unfollow()
            self.review.message = "the portal is gone: any key looks for another"
            self.app.invalidate()
            return
        if self._stale and not self._looking:
            self._looking = True
            self.app.create_background_task(self._look())

    async def _look(self) -> None:
        while self._stale:
            self._stale = False
            if not self._busy:  # an answer is followed by a look of its own
                try:
                    self._take(await self._off(self._fetch))
                except PodshError as exc:
                    self._complain(exc)
            await asyncio.sleep(_LOOK_S)
        self._looking = False

    async def _again(self) -> None:
        """A portal that is started anew finds the pods, and what they ask, again."""
        try:
            await self._follow()
            self.review.message = ""
        except PodshError as exc:
            self._complain(exc)
        finally:
            self._busy = False

    def _complain(self, error: PodshError) -> None:
        self.review.message = show_lines(str(error))
        self.app.invalidate()

    async def _answer(self, act: Act) -> None:
        assert act.row is not None
        try:
            if act.what == "allow":
                line = await self._off(answer_yes, act.row, act.fields, self.context)
            else:
                line = await self._off(self._no, act)
            self.decided.append(line)
            self._take(await self._off(self._fetch))
            if not self.review.next():
                self._leave()
        except PodshError as exc:
            self._complain(exc)
        finally:
            self._busy = False

    def _no(self, act: Act) -> str:
        assert act.row is not None
        return answer_no(act.row, self.context, always=bool(act.fields["always"]))

    # -- the terminal

    def _bindings(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add(Keys.Any)
        @keys.add("escape")
        @keys.add(Keys.BracketedPaste)
        def _(event: KeyPressEvent) -> None:
            key = event.key_sequence[0].key
            alone = not event.app.key_processor.input_queue
            self._key(key.value if isinstance(key, Keys) else key, alone)

        return keys

    def _key(self, key: str, alone: bool) -> None:
        if self._busy:
            return
        act = self.review.key(key, time.monotonic(), alone)
        if act is not None and act.what == "leave":
            self._leave()
        elif self._events is None:
            self._busy = True
            self.app.create_background_task(self._again())
        elif act is None:
            return
        else:
            self._busy = True
            self.app.create_background_task(self._answer(act))

    def _text(self) -> StyleAndTextTuples:
        size = self.app.output.get_size()
        now = time.monotonic()
        lines, foot = self.review.draw(size.columns, size.rows, now)
        armed = self.review.armed(now)
        if not armed and self._loop is not None:
            wait_s = min(max(self.review.armed_at - now, 0.0), 1.0) + 0.01
            self._loop.call_later(wait_s, self.app.invalidate)
        head, *body = lines
        return [
            ("bold", head + "\n"),
            *(("", line + "\n") for line in body),
            ("bold" if armed else "", "\n".join(foot)),
        ]
