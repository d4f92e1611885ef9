"""The console: a prompt over the registry of commands, events above it as they happen."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import time
import traceback
from typing import TYPE_CHECKING, Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input.typeahead import clear_typeahead, get_typeahead
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import CompleteStyle

from podsh import paths
from podsh.commands import registry
from podsh.commands.attach import capable
from podsh.commands.context import Context
from podsh.commands.dispatch import code_of
from podsh.commands.script import ScriptStopped, lines_of, split
from podsh.commands.syntax import HelpWanted, parse
from podsh.console.bar import Visited, keep_below, toolbar
from podsh.console.completer import RegistryCompleter
from podsh.console.echo import echo
from podsh.console.events import event_line
from podsh.console.feed import Feed
from podsh.console.keys import ATTENTION, attention, key_name
from podsh.console.render import show, show_lines
from podsh.errors import PodshError, UsageError
from podsh.wire import messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyPressEvent
    from prompt_toolkit.output import Output

PROMPT = "podsh> "
# the result of a prompt that C-] ended; no line can be that
_GO_BACK = "\x1d"
_WELCOME = "Try:  run -- bash     {} comes back here     help"
_NAMES_SHOWN = 4
# how often the toolbar says anew how long requests have waited
_TICK_S = 1.0


def open_console(context: Context, *, entered: bool = False) -> int:
    """Run the console until ``quit``; the exit code.

    entered: by C-] from a pod of a shell's command (``context.last_pod``): ``quit`` then leaves
    that pod running without a question.
    """
    own = Context("console")
    own.variables, own.last_pod, own.held = context.variables, context.last_pod, context.held
    context.held = None
    try:
        own.portal()
        return Console(own, entered=entered).run()
    finally:
        if own.held is not None:
            own.held[1].detach()
        own.close()


class History(FileHistory):
    """The person's lines; one that begins with a blank is not kept."""

    def store_string(self, string: str) -> None:
        if not string[:1].isspace():
            super().store_string(string)


def history() -> tuple[History, bool]:
    """The history in the state directory, for its owner alone; whether it is new."""
    paths.own_dir(paths.state_dir())
    path = os.path.join(paths.state_dir(), "history")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    new = os.fstat(fd).st_size == 0
    os.close(fd)
    return History(path), new


def bindings(go_back: Callable[[KeyPressEvent], None], key: str = "C-]") -> KeyBindings:
    """The attention key on an empty line goes back. C-] on another does nothing (in emacs mode it
    begins a search for the next key, which would be lost)."""
    keys = KeyBindings()
    here = Condition(lambda: key == "C-]" or not get_app().current_buffer.text)

    @keys.add(key.lower(), eager=True, filter=here)
    def _(event: KeyPressEvent) -> None:
        if not event.current_buffer.text:
            go_back(event)

    return keys


def first_request() -> bool:
    """Whether no request was shown to this user before; they are then told what to do, once."""
    path = os.path.join(paths.state_dir(), "asked")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


class Console:
    """One console on one terminal. input, output: for tests."""

    def __init__(
        self,
        context: Context,
        *,
        entered: bool = False,
        input: Input | None = None,
        output: Output | None = None,
    ) -> None:
        self.context = context
        self.entered = entered
        # nothing is drawn over: also where the terminal cannot
        self.accessible = bool(os.environ.get("ACCESSIBLE")) or not capable()
        lines, self.first_time = history()
        self.feed = Feed(self._woken, color=context.color, width=lambda: context.width)
        self.completer = RegistryCompleter(self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending = False
        self._ticking: asyncio.TimerHandle | None = None
        self.session: PromptSession[str] = PromptSession(
            PROMPT,
            history=lines,
            completer=self.completer,
            complete_style=CompleteStyle.READLINE_LIKE,
            complete_while_typing=False,
            complete_in_thread=True,
            key_bindings=self._bindings(),
            enable_suspend=True,
            input=input,
            output=output,
        )
        if not self.accessible:
            keep_below(self.session, self._toolbar)
        self._visited = Visited()
        self._visited.add(context.last_pod)

    def _key(self) -> str:
        """The attention key's name, as it is set now."""
        try:
            return key_name(attention(self.context.variables))
        except UsageError:
            return key_name(ATTENTION)  # who attaches is told

    def _bindings(self) -> KeyBindings:
        def go_back(event: KeyPressEvent) -> None:
            event.app.erase_when_done = True  # no line of the person's
            event.app.exit(result=_GO_BACK)

        return bindings(go_back, self._key())

    def _toolbar(self) -> str:
        feed, held = self.feed, self.context.held
        back = held[0] if held is not None else self._visited.back_to(feed.pods or ())
        return toolbar(feed.pods, feed.requests, back, time.time(), self._key())

    def _tick(self) -> None:
        """While requests wait, the toolbar's clock goes on."""
        self._ticking = None
        if self.feed.requests and self._loop is not None:
            self._ticking = self._loop.call_later(_TICK_S, self._tick)
            self.session.app.invalidate()

    # -- events

    def _woken(self) -> None:
        """In the feed's thread: let the loop print. During an attach it does so afterwards."""
        if self._loop is not None and not self._pending:
            self._pending = True
            try:
                self._loop.call_soon_threadsafe(self._news)
            except RuntimeError:
                pass  # the console is closing

    def _news(self) -> None:
        self._pending = False
        if not self.accessible:
            self._print_events()
            self.session.app.invalidate()
            if self._ticking is None:
                self._tick()

    def _print_events(self) -> None:
        self._print(self.feed.take())

    def _print(self, lines: list[str]) -> None:
        ident, self.feed.asked = self.feed.asked, 0
        if ident and first_request():
            lines.append(f"type review, or allow {ident} / deny {ident}")
        if lines:
            print("\n".join(lines), flush=True)

    def _list_waiting(self) -> None:
        """What waits for an answer, for who has looked at something else."""
        try:
            portal = self.context.running_portal()
            rows = portal.call("requests")["requests"] if portal is not None else []
        except PodshError:
            return
        shown: dict[str, Any] = {
            "home": os.path.expanduser("~"),
            "color": self.context.color,
            "width": self.context.width,
        }
        lines = [event_line({**row, "ev": "request"}, **shown) for row in rows]
        # of these an event may be on its way still
        self.feed.listed = frozenset(int(row["id"]) for row in rows)
        self._print([line for line in self.feed.take() if line not in lines])
        if rows:
            self._print([*lines, f"{len(rows)} waiting: review, or allow ID / deny ID"])

    # -- the loop

    def run(self) -> int:
        """Prompt and execute until the person leaves.

        Between prompts nothing is echoed: what is typed ahead shows where it arrives.
        """
        with echo(sys.stdin.fileno(), False):
            return asyncio.run(self.main())

    async def main(self) -> int:
        self._loop = asyncio.get_running_loop()
        self._greet()
        self._list_waiting()
        self.feed.start()
        try:
            while True:
                text = await self._ask()
                if text is None or not await self._lines(text):
                    if await self._may_leave():
                        return self._exit_code()
                    self.context.leave = False
        finally:
            self._loop.remove_signal_handler(signal.SIGINT)
            if self._ticking is not None:
                self._ticking.cancel()
            await asyncio.to_thread(self.feed.stop)
            self.completer.close()

    def _greet(self) -> None:
        pods = self.context.portal().call("ps")["pods"]
        live = [str(pod["name"]) for pod in pods if pod.get("state") in messages.LIVE]
        names = ", ".join(show(name) for name in live[:_NAMES_SHOWN])
        more = f" and {len(live) - _NAMES_SHOWN} more" if len(live) > _NAMES_SHOWN else ""
        there = f"Pods: {names}{more}." if live else "No pods."
        if self.first_time:  # the probes take a moment, and their news are for once
            from podsh.commands.welcome import machine_line

            self.context.out(f"{machine_line()} {there}")
        else:
            self.context.out(f"podsh {messages.VERSION}. {there}")
        if not live:
            self.context.out(_WELCOME.format(self._key()))
        self.context.flush()

    async def _ask(self) -> str | None:
        """The next line; empty where C-c gave it up, None at the end of the input."""
        assert self._loop is not None
        self._print_events()
        self.session.key_bindings = self._bindings()  # `set` may have changed the key
        self.session.app.erase_when_done = False
        try:
            with patch_stdout(raw=True):
                line = await self.session.prompt_async()
        except KeyboardInterrupt:
            line = ""
        except EOFError:
            return None
        finally:
            # until a handler wants it, C-c is for nobody (it would end the loop)
            self._loop.add_signal_handler(signal.SIGINT, lambda: None)
        return line

    async def _lines(self, text: str) -> bool:
        """Execute what was typed, or pasted: then it may be several lines."""
        for line in lines_of(text):
            if not await self._line(line):
                return False
        return True

    async def _line(self, line: str) -> bool:
        """Execute a line; False where it says to leave. Errors are printed."""
        try:
            if line == _GO_BACK:
                await self._go_back()
            else:
                await self._execute(line)
        except ScriptStopped as exc:
            self.context.status = code_of(exc.error)
            self.context.err(show_lines(str(exc)))
        except PodshError as exc:
            self.context.status = code_of(exc)
            self.context.err(show_lines(f"podsh: {exc}"))
        except OSError as exc:
            self.context.err(show_lines(f"podsh: {exc}"))
        except KeyboardInterrupt:
            self.context.err("podsh: interrupted")
        except Exception:  # a fault of ours must not cost the person the console
            traceback.print_exc()
        return not self.context.leave

    async def _execute(self, line: str) -> None:
        words = split(line, self.context.words())
        if not words:
            return
        command, rest = registry.find(words)
        try:
            args = parse(command, rest)
        except HelpWanted:
            from podsh.commands.help import help_text

            self.context.out(help_text(command))
            return
        handler = command.load()
        if command.terminal and not (command.without and args.flag(command.without)):
            self._on_terminal(lambda: handler(args, self.context))
            if command.name not in ("review", "logs"):
                self._list_waiting()
        else:
            await self._in_thread(lambda: handler(args, self.context))

    def _on_terminal(self, work: Callable[[], int]) -> None:
        """The terminal is the handler's: the loop stands still, C-c interrupts as everywhere."""
        assert self._loop is not None
        # what was typed after the line is for the terminal that it takes, never the next prompt
        keys = "".join(press.data for press in get_typeahead(self.session.app.input))
        self.context.typed = keys.encode("utf-8", "surrogateescape")
        self._loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.context.status = work()
        finally:
            self._visited.add(self.context.last_pod)
            self.context.typed = b""
            self._loop.add_signal_handler(signal.SIGINT, lambda: None)

    async def _in_thread(self, work: Callable[[], int]) -> None:
        """Events go on being printed; C-c breaks off what the handler waits for."""
        assert self._loop is not None
        interrupted = False

        def call() -> None:
            nonlocal interrupted
            try:
                self.context.status = work()
            except KeyboardInterrupt:  # must not reach the loop, which would end
                interrupted = True

        self._loop.add_signal_handler(signal.SIGINT, self.context.interrupt)
        try:
            await asyncio.to_thread(call)
        finally:
            self._loop.add_signal_handler(signal.SIGINT, lambda: None)
        self.context.flush()
        if interrupted:
            raise KeyboardInterrupt

    async def _go_back(self) -> None:
        """C-]: to the program that it left, else to the pod last looked at of those that live."""
        from podsh.commands.attach import attach_to, resume

        if self.context.held is not None:
            self._on_terminal(lambda: resume(self.context))
            self._list_waiting()
            return
        back = self._visited.back_to(self.context.portal().call("ps")["pods"])
        name = back or self.context.last_pod
        if name is None:
            self.context.err("podsh: no pod to go back to; attach POD, or run -- bash")
            return
        self._on_terminal(lambda: attach_to(name, self.context))
        self._list_waiting()

    # -- leaving

    async def _may_leave(self) -> bool:
        """Ask what becomes of live pods; False to stay."""
        if self.entered:
            return True
        try:
            portal = self.context.running_portal()
            pods = portal.call("ps")["pods"] if portal is not None else []
        except PodshError:
            return True
        live = [str(pod["name"]) for pod in pods if pod.get("state") in messages.LIVE]
        if not live:
            return True
        shown = ", ".join(show(name) for name in live[:_NAMES_SHOWN])
        more = ", …" if len(live) > _NAMES_SHOWN else ""
        running = f"{len(live)} pod{'' if len(live) == 1 else 's'} running ({shown}{more})."
        answer = await self._choose(f"{running} keep, kill or stay? [keep] ")
        if answer == "kill":
            self._kill(live)
        return answer != "stay"

    async def _choose(self, question: str) -> str:
        asking: PromptSession[str] = PromptSession(
            question, input=self.session.app.input, output=self.session.app.output
        )
        while True:
            self._drop_keys()  # only what is typed for it is an answer
            try:
                given = (await asking.prompt_async()).strip().lower()
            except KeyboardInterrupt:
                return "stay"
            except EOFError:
                return "keep"
            found = [word for word in ("keep", "kill", "stay") if word.startswith(given)]
            if len(found) == 1 or not given:
                return found[0]

    def _drop_keys(self) -> None:
        """Forget what was typed and not read, here and in the terminal."""
        clear_typeahead(self.session.app.input)
        fd = self.session.app.input.fileno()
        if os.isatty(fd):
            termios.tcflush(fd, termios.TCIFLUSH)

    def _kill(self, names: list[str]) -> None:
        portal = self.context.portal()
        for name in names:
            try:
                portal.call("kill", name=name, signal=int(signal.SIGKILL))
            except PodshError as exc:
                self.context.err(show_lines(f"podsh: {exc}"))

    def _exit_code(self) -> int:
        """That of ``quit``; else 0, or of the pod that a shell's ``run`` made, if it has ended."""
        if self.context.leave and self.context.status:
            return self.context.status
        name = self.context.last_pod
        if not self.entered or name is None:
            return 0
        try:
            code = self.context.portal().call("pod", name=name).get("exit")
        except PodshError:
            return 0
        return code if isinstance(code, int) else 0
