"""A program of a pod on this terminal: the blocking loop between terminal, monitor and signals.

One Attachment is one connection to a monitor, in role attach or exec. It can run again after
the attention key when it was held (``exec``); else it is detached and done.
"""

from __future__ import annotations

import select

from podsh.console import screen
from podsh.console.filter import Filter
from podsh.console.keys import ATTENTION as ATTENTION_KEY
from podsh.console.keys import Answers, Attention
from podsh.console.outcome import ATTENTION, EXIT, HANGUP, LOST, SIGNAL, TAKEN, Outcome
from podsh.console.signals import Signals
from podsh.console.stdio import drain
from podsh.errors import Disconnected, PodshError, from_wire
from podsh.wire.framing import DATA, encode_data, encode_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any

    from podsh.console.notices import Notices
    from podsh.console.stdio import InRelay, OutRelay
    from podsh.console.terminal import Terminal
    from podsh.portal.client import Channel
else:
    import _signal as signal  # without its enums, which take 3 ms

# above this much unwritten output the monitor's socket is not read (the pod then waits)
HIGH_WATER = 128 << 10
# until so little is left
LOW_WATER = 48 << 10
# keys that the monitor has not taken; more are not read from the terminal
KEYS_HIGH_WATER = 64 << 10
_DETACH_S = 2.0
# output is dealt with in pieces of so many bytes, the keyboard looked at in between
_PIECE = 32 << 10
_CTRL_C = 0x03
# how often a job in the background looks whether it was brought to the front
_FRONT_MS = 500


class Attachment:
    """One program on one terminal, or without one.

    channel: the monitor, its hello done. terminal: where the pty's output goes (None: nowhere).
    raw: the terminal is the program's alone, with the attention key. keys: it is read at all.
    alternate: on the alternate screen. forward: signals to podsh are for the program, and a
    terminal that hangs up ends it; else they end the attachment only. hold: the attention key
    keeps the connection, for another ``run``. watch: nothing that is typed goes to the program.
    filtered: what it writes goes through a Filter. key: the attention key. notices: to be told of
    requests that wait.
    """

    def __init__(
        self,
        channel: Channel,
        terminal: Terminal | None = None,
        *,
        raw: bool = False,
        keys: bool = False,
        alternate: bool = False,
        forward: bool = True,
        hold: bool = False,
        watch: bool = False,
        filtered: bool = True,
        key: int = ATTENTION_KEY,
        name: str = "",
        relays: list[InRelay | OutRelay] | None = None,
    ) -> None:
        self.channel = channel
        self.terminal = terminal
        self.raw = raw and terminal is not None
        self.keys = keys and terminal is not None
        self.alternate = alternate
        self.forward = forward
        self.hold = hold
        self.watch = watch
        self.name = name
        self.relays = relays or []
        self.notices: Notices | None = None
        self._filtered = filtered
        self._attention = Attention(key)
        self.screen = self._fresh()
        self._answers = Answers()
        self._frames: list[tuple[int, Any]] = []  # not yet dealt with, the next one last
        self._to_terminal = bytearray()
        self._to_monitor = bytearray()
        self._outcome: Outcome | None = None
        self._connected = True
        self._slow = False  # the terminal
        self._poll = select.poll()
        self._registered: dict[int, int] = {}
        self._interest: tuple[Any, ...] = ()
        self._runs = 0
        self._typed_any = False

    def _fresh(self) -> screen.Guest | screen.Plain:
        filter = Filter(queries=not self.watch) if self._filtered else None
        return screen.Guest(filter) if self.alternate else screen.Plain(filter)

    # -- the whole of it

    def run(self, typed: bytes = b"") -> Outcome:
        """Until the program ends, or the person or another client takes the terminal away.

        typed: keys that came before the terminal was ours; they are the program's.
        Raises the error that the monitor answers (NotFound, NotExecutable, …).
        """
        signals = Signals(self.forward)
        self._outcome = None
        self._runs += 1
        try:
            self._enter()
            if typed and self.keys:
                self._typed(typed)
            try:
                self._loop(signals)
                self._detach()
            finally:
                self._leave()
        finally:
            signals.close()
            for fd in list(self._registered):
                self._want(fd, 0)
            self._interest = ()
        assert self._outcome is not None
        self._outcome.typed = self._typed_any
        return self._outcome

    def close(self) -> None:
        """Give the connection up: a program that is neither detached nor over ends."""
        self.channel.close()
        for relay in self.relays:
            relay.close()

    def detach(self) -> None:
        """Leave the program running with nobody on its terminal, and give the connection up."""
        self.hold = False
        self._outcome = Outcome(ATTENTION)
        self._detach()
        self.close()

    def _loop(self, signals: Signals) -> None:
        self.channel.sock.setblocking(False)
        self._frames = self.channel.pending()[::-1]
        while not self._finished():
            self._interests(signals.fd)
            background = self.keys and self.terminal is not None and not self.terminal.raw
            patience = self.notices.patience_ms if self.notices is not None else None
            patience = _FRONT_MS if background else patience
            ready = self._frames and len(self._to_terminal) <= HIGH_WATER
            found = self._poll.poll(0 if ready else patience)
            if patience is None and len(self._to_terminal) > LOW_WATER:
                found = self._take_more(found)
            events = dict(found)
            if signals.fd in events:
                self._signals(signals.read())
            elif background:
                self._front()
            if self.channel.fileno() in events:
                self._monitor(events[self.channel.fileno()])
            if self._frames and len(self._to_terminal) <= HIGH_WATER:
                self._next_frame()
            if self.terminal is not None and self.terminal.fd in events:
                self._person(events[self.terminal.fd])
            for relay in self.relays:
                if any(fd in events for fd in relay.wants() if fd >= 0):
                    relay.turn()
            if self.notices is not None:
                self._tell(self.notices, events)
        assert self._outcome is not None
        if self._outcome.reason == EXIT:
            drain(self.relays, signals.fd)

    def _take_more(self, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Write on while that is all there is to do, as nearly always in a flood: terminals take
        little at a time. What there is to do next."""
        assert self.terminal is not None
        taking = [(self.terminal.fd, select.POLLOUT)]
        while found == taking and len(self._to_terminal) > LOW_WATER:
            try:
                del self._to_terminal[: self.terminal.write(self._to_terminal)]
            except OSError:
                self._gone()
                return []
            found = self._poll.poll()
        return found

    def _tell(self, notices: Notices, events: dict[int, int]) -> None:
        fd = notices.fileno()
        if fd in events:
            notices.turn()
            if notices.fileno() != fd:  # the portal is gone
                self._want(fd, 0)
        if self.terminal is not None and (news := notices.take()):
            self._show(news)

    def _finished(self) -> bool:
        if self._outcome is None:
            return False
        # the program's last bytes are shown first; whoever left does not wait for them
        return self._outcome.reason not in (EXIT, LOST) or not self._to_terminal

    def _interests(self, signal_fd: int) -> None:
        """Poll for what can be used now."""
        monitor = terminal = 0
        if self._connected:
            behind = len(self._to_terminal)
            self._slow = behind > (LOW_WATER if self._slow else HIGH_WATER)
            monitor = 0 if self._slow or self._frames else select.POLLIN
            monitor |= select.POLLOUT if self._to_monitor else 0
        if self.terminal is not None:
            terminal = select.POLLOUT if self._to_terminal else 0
            if self.keys and self.terminal.raw and len(self._to_monitor) < KEYS_HIGH_WATER:
                terminal |= select.POLLIN
        news = self.notices.fileno() if self.notices is not None else -1
        interest = monitor, terminal, news, *(relay.wants() for relay in self.relays)
        if interest == self._interest:
            return  # as nearly always in a flood
        self._interest = interest
        wanted = {signal_fd: select.POLLIN} | ({news: select.POLLIN} if news >= 0 else {})
        if monitor:
            wanted[self.channel.fileno()] = monitor
        if terminal and self.terminal is not None:
            wanted[self.terminal.fd] = terminal
        for relay in self.relays:
            source, sink = relay.wants()
            if source >= 0:
                wanted[source] = select.POLLIN
            if sink >= 0:
                wanted[sink] = select.POLLOUT
        for fd in [fd for fd in self._registered if fd not in wanted]:
            self._want(fd, 0)
        for fd, mask in wanted.items():
            self._want(fd, mask)

    def _want(self, fd: int, mask: int) -> None:
        if self._registered.get(fd, 0) == mask:
            return
        if mask:
            self._poll.register(fd, mask)
            self._registered[fd] = mask
        else:
            self._poll.unregister(fd)
            del self._registered[fd]

    # -- the monitor

    def _monitor(self, events: int) -> None:
        if events & ~select.POLLOUT:
            try:
                frames = self.channel.read()
            except Disconnected:
                self._connected = False
                self._end(Outcome(LOST, 125))
                return
            self._frames = frames[::-1] + self._frames
        if self._to_monitor:
            self._flush_keys()

    def _next_frame(self) -> None:
        """One message, or a piece of output, however it was cut."""
        kind, frame = self._frames.pop()
        if kind == DATA:
            while len(frame) < _PIECE and self._frames and self._frames[-1][0] == DATA:
                frame += self._frames.pop()[1]
            if len(frame) > _PIECE and b"\x1b" in frame:
                self._frames.append((DATA, frame[_PIECE:]))
                frame = frame[:_PIECE]
        self._frame(kind, frame)

    def _frame(self, kind: int, frame: Any) -> None:
        if kind == DATA:
            if self.terminal is not None:
                shown = self.screen.feed(frame)
                if self.notices is not None and not self._filtered:
                    self.notices.shown(shown)  # else it is whole
                self._show(shown)
            return
        event = frame.get("ev")
        if event == "exit":
            code, number = int(frame.get("code", 125)), frame.get("signal")
            outcome = Outcome(EXIT, code, number if isinstance(number, int) else None)
            outcome.denied = frame.get("denied") or {}
            self._end(outcome)
        elif event == "taken":
            if self.terminal is not None:  # else it was never ours
                self._end(Outcome(TAKEN))
        elif "error" in frame:
            raise from_wire(frame["error"])

    def _end(self, outcome: Outcome) -> None:
        if self._outcome is None:
            self._outcome = outcome

    def _show(self, data: bytes) -> None:
        """Write through; queue only what the terminal refuses."""
        if not self._to_terminal:
            assert self.terminal is not None
            try:
                data = data[self.terminal.write(data) :]
            except OSError:
                self._gone()
                return
        self._to_terminal += data

    def _send(self, message: dict[str, Any]) -> None:
        self._to_monitor += encode_json(message)
        self._flush_keys()

    def _flush_keys(self) -> None:
        if not self._connected:
            self._to_monitor.clear()
            return
        try:
            sent = self.channel.sock.send(self._to_monitor)
        except BlockingIOError:
            return
        except OSError:
            # what the monitor said last may still be there to be read
            sent = len(self._to_monitor)
        del self._to_monitor[:sent]

    # -- the person

    def _person(self, events: int) -> None:
        assert self.terminal is not None
        if events & select.POLLOUT and self._to_terminal:
            try:
                del self._to_terminal[: self.terminal.write(self._to_terminal)]
            except OSError:
                self._gone()
                return
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            data = self.terminal.read()
            if data == b"":
                self._gone()
            elif data:
                self._typed(data)

    def _typed(self, data: bytes) -> None:
        attention = False
        if self.raw:
            self._answers.feed(data)
            data, attention = self._attention.feed(data)
        if self.watch:
            attention = attention or _CTRL_C in data
        elif data:
            self._typed_any = True
            self._to_monitor += encode_data(data)
            self._flush_keys()
        if attention:
            self._end(Outcome(ATTENTION))

    def _gone(self) -> None:
        """The terminal hung up: nothing more can be shown or typed."""
        self._to_terminal.clear()
        self._end(Outcome(HANGUP, 128 + signal.SIGHUP))

    # -- signals and job control

    def _signals(self, numbers: bytes) -> None:
        for number in numbers:
            if self._outcome is not None:
                self._to_terminal.clear()  # over, but for a terminal that takes nothing
            elif number == signal.SIGWINCH:
                if self.terminal is not None:
                    rows, cols = self.terminal.size()
                    self._send({"op": "size", "rows": rows, "cols": cols})
            elif number == signal.SIGCONT:
                if self.terminal is not None:
                    self.terminal.raw = False  # the shell has set modes of its own
                    self._front()
            elif self.forward:
                self._send({"op": "signal", "signo": number})
            else:
                self._end(Outcome(SIGNAL, 128 + number))

    def _front(self) -> None:
        """Take the keyboard, if this job is in the foreground."""
        if self._take_keyboard() and self.terminal is not None:
            rows, cols = self.terminal.size()
            self._send({"op": "size", "rows": rows, "cols": cols})

    def _take_keyboard(self) -> bool:
        if not self.keys or self.terminal is None or not self.terminal.foreground():
            return False
        try:
            self.terminal.set_raw(signals=not self.raw)
        except OSError:
            self._gone()
        return self.terminal.raw

    # -- coming and going

    def _enter(self) -> None:
        if self.terminal is None:
            return
        self._take_keyboard()
        if self.alternate:
            start = screen.SAVE_TITLE + screen.title(f"{self.name} - podsh")
            self.terminal.write_all(start + screen.ENTER_ALTERNATE)
        if self.notices is not None:
            self.terminal.write_all(self.notices.begin())
        if self._runs > 1:
            self.screen, self._answers = self._fresh(), Answers()
            rows, cols = self.terminal.size()
            self._send({"op": "back", "rows": rows, "cols": cols})

    def _detach(self) -> None:
        """Tell the monitor that the program is to live on, and wait until it has heard.

        One that is held stays ours, with nobody at its terminal.
        """
        assert self._outcome is not None
        leaving = self._outcome.reason in (ATTENTION, SIGNAL) or (
            self._outcome.reason == HANGUP and not self.forward
        )
        if not leaving or not self._connected:
            return
        held = self.hold and self._outcome.reason == ATTENTION
        sock = self.channel.sock
        try:
            sock.settimeout(_DETACH_S)
            leave = encode_json({"op": "away" if held else "detach"})
            sock.sendall(bytes(self._to_monitor) + leave)
            self._to_monitor.clear()
            while True:
                kind, frame = self._frames.pop() if self._frames else self.channel.receive()
                if kind == DATA:
                    continue
                if frame.get("ev") == "exit":
                    self._frame_exit(frame)
                    break
                if frame.get("ev") in ("detached", "away", "taken"):
                    break
            self._connected = held and self._outcome.reason == ATTENTION
        except (PodshError, OSError):
            self._connected = False  # gone already: then there is nothing to leave running

    def _frame_exit(self, frame: dict[str, Any]) -> None:
        """The program ended just as the person left."""
        self._outcome = None
        self._frame(0, frame)

    def _leave(self) -> None:
        """Put the terminal right: nothing of the program's stays in it or in its answers."""
        terminal = self.terminal
        if terminal is None:
            return
        self._to_terminal.clear()
        asked = self.screen.filter.asked if self.screen.filter is not None else 0
        outstanding = max(asked - self._answers.count, 0)
        if self.notices is not None:
            terminal.write_all(self.notices.end())
        if isinstance(self.screen, screen.Guest):
            if self._outcome is not None and self._outcome.reason == EXIT:
                self._outcome.tail = self.screen.again()
            terminal.write_all(screen.RESET + screen.LEAVE_ALTERNATE + screen.RESTORE_TITLE)
            terminal.fence(outstanding)
        elif self.screen.dirty:
            leave = screen.LEAVE_ALTERNATE if self.screen.alternate else b""
            terminal.write_all(screen.RESET + leave)
            if terminal.raw:
                terminal.fence(outstanding)
        if not self.alternate and self._outcome is not None and self._outcome.reason != EXIT:
            terminal.write_all(b"\r\n")
        terminal.restore()
