"""The pod's own socket: clients that attach, watch, exec and read logs, and portals that adopt."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from podsh import paths
from podsh.errors import LaunchFailed, PodshError, UntrustedInput, UsageError
from podsh.kernel import fds
from podsh.kernel.address import Address
from podsh.monitor import requests
from podsh.monitor.launch import MAIN
from podsh.monitor.logs import Reader
from podsh.monitor.pod import Pod, Program, Stdio
from podsh.wire import messages
from podsh.wire.channel import Channel
from podsh.wire.framing import DATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.monitor.loop import Loop
    from podsh.monitor.terminal import Terminal
    from podsh.operations import Inner

HELLO_S = 5.0
MAX_CLIENTS = 64


def listen(path: str) -> socket.socket:
    """The pod's own socket, at ``path`` from now on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with Address(path) as address:
        try:
            listener.bind(address)  # in a directory of the caller's alone, the umask the portal's
        except OSError:
            os.unlink(path)  # of a monitor that was killed
            listener.bind(address)
    listener.listen(64)
    return listener


def _identity(path: str) -> tuple[int, int]:
    """Device and inode; zeros where there is nothing."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


class Session:
    """What one connection is to the pod."""

    __slots__ = ("detached", "program", "role", "terminal")

    def __init__(self) -> None:
        self.terminal = False  # somebody sits there who could decide
        self.role = ""
        self.program: Program | None = None
        self.detached = False


class Server:
    """Accepts and serves clients; owns the listening socket and its name."""

    def __init__(self, loop: Loop, pod: Pod, listener: socket.socket, path: str) -> None:
        self.pod = pod
        self.path = path
        self.portals: dict[Channel, None] = {}  # one, and while another adopts the pod, that too
        self.clients: set[Channel] = set()
        self._listener = listener
        self._made = _identity(path)
        self._loop = loop
        listener.setblocking(False)
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening and take the socket's name away; once."""
        if self._listener.fileno() < 0:
            return
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        try:
            os.unlink(self.path)
        except OSError:
            pass

    def listen_again(self) -> None:
        """Make its name anew where that is gone."""
        if self._listener.fileno() < 0:
            return
        if self._made != (0, 0) and _identity(self.path) == self._made:
            return
        paths.own_dir(os.path.dirname(self.path))
        again = listen(self.path)
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        self._listener = again
        self._made = _identity(self.path)
        again.setblocking(False)
        self._loop.add_reader(again.fileno(), self._accept)

    # -- connections

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        try:
            fds.check_peer(sock)
            if len(self.clients) >= MAX_CLIENTS:
                raise UntrustedInput("too many clients")
        except (PodshError, OSError):
            sock.close()
            return
        channel = Channel(self._loop, sock, self._frame, self._closed)
        channel.tag = Session()
        self.clients.add(channel)
        self._loop.call_later(HELLO_S, self._no_hello, channel)

    def _no_hello(self, channel: Channel) -> None:
        if not channel.tag.role and not channel.closed:
            self.clients.discard(channel)
            channel.close()

    def adopt(self, sock: socket.socket) -> Channel:
        """The connection to the portal that ordered this pod; no hello is needed on it."""
        channel = Channel(self._loop, sock, self._frame, self._closed)
        channel.tag = Session()
        channel.tag.role = "portal"
        self.clients.add(channel)
        self.portals[channel] = None
        return channel

    def notify(self, event: dict[str, Any]) -> None:
        """Tell the portal; without one the event is only in the pod's own records."""
        for portal in self.portals:
            portal.send(event)

    def _closed(self, channel: Channel, _error: Exception | None) -> None:
        self.clients.discard(channel)
        self.portals.pop(channel, None)
        session: Session = channel.tag
        self._leave(channel)
        program = session.program
        if program is not None and program.owner is channel and not session.detached:
            self.pod.owner_gone(program)

    def _leave(self, channel: Channel) -> None:
        self.pod.kept.leave(channel)
        for program in self.pod.programs.values():
            if program.terminal is not None:
                held = program.terminal.holder is channel
                program.terminal.leave(channel)
                if held and program.id == MAIN:
                    self.notify({"ev": "detached"})
        self.pod.requests.desk.nobody()

    # -- messages

    def _frame(self, channel: Channel, kind: int, payload: Any) -> None:
        session: Session = channel.tag
        try:
            if kind == DATA:
                terminal = self._held(channel)
                if terminal is not None:
                    terminal.write(payload)
            elif not session.role:
                self._hello(channel, payload)
            else:
                self._message(channel, payload)
        except UntrustedInput as exc:
            self._refuse(channel, exc)
        except PodshError as exc:
            answer: dict[str, Any] = {"error": exc.to_wire()}
            if kind != DATA and "id" in payload:
                answer["id"] = payload["id"]
            channel.send(answer)
        except messages.BAD_MESSAGE as exc:
            self._refuse(channel, UntrustedInput(f"bad message: {type(exc).__name__}"))
        except OSError as exc:
            error = LaunchFailed(os.strerror(exc.errno or 0), place=self.pod.jail.name)
            self._refuse(channel, error)

    def _refuse(self, channel: Channel, error: PodshError) -> None:
        channel.send({"error": error.to_wire()})
        channel.close()
        self._closed(channel, error)

    def _held(self, channel: Channel) -> Terminal | None:
        program = channel.tag.program
        program = program and (program.first or program)
        if program is None or program.terminal is None:
            return None
        return program.terminal if program.terminal.holder is channel else None

    def _hello(self, channel: Channel, message: dict[str, Any]) -> None:
        messages.check_hello(message)
        role = message.get("role")
        if role not in messages.MONITOR_ROLES:
            raise UntrustedInput("unknown role")
        channel.tag.role = role
        answer = messages.hello_answer(os.getpid())
        channel.send(answer | {"pod": self.pod.jail.name, "state": self.pod.state})
        if role == "portal":
            self.portals[channel] = None

    def _main_terminal(self) -> Terminal:
        main = self.pod.main
        if main is None or main.terminal is None or main.terminal.ended:
            raise UsageError("is not running", place=self.pod.jail.name)
        if self.pod.jail.plan.program.daemon:
            raise UsageError(
                "is a daemon, which has no terminal",
                place=self.pod.jail.name,
                hint=f"see: podsh logs {self.pod.jail.name}",
            )
        return main.terminal

    def _message(self, channel: Channel, message: dict[str, Any]) -> None:
        op = message.get("op")
        session: Session = channel.tag
        program = session.program
        if op in ("start", "exec"):
            # not who only sees its errors: without keys nobody gets to the console
            session.terminal = bool(message.get("person"))
        if op == "start" and session.role == "attach":
            stdio, size = _stdio(channel, message), _size(message)
            # without a terminal the client only waits for the end; others may attach meanwhile
            hold = bool(message.get("tty", True))
            started = self._started(channel, hold=hold)
            first = self._first(channel) if hold else None
            session.program = self.pod.start(stdio, size, channel, started, first)
        elif op == "attach" and session.role == "attach":
            self._attach(channel, message)
        elif op == "exec" and session.role == "exec":
            session.program = self.pod.execute(
                tuple(map(str, message["argv"])),
                {str(k): str(v) for k, v in message.get("env", {}).items()},
                message.get("cwd"),
                _stdio(channel, message),
                _size(message),
                channel,
                self._started(channel),
            )
        elif op == "watch" and session.role == "watch":
            self._watch(channel, message)
        elif op == "send" and session.role == "attach":
            self._send(channel, message)
        elif op == "away" and session.role == "exec":
            self._leave(channel)
            channel.send({"ev": "away"})
        elif op == "back" and session.role == "exec":
            self._back(channel, message)
        elif op == "size":
            terminal = self._held(channel)
            if terminal is not None:
                terminal.resize(*_size(message))
        elif op == "signal":
            if program is not None:
                group = bool(message.get("group", True))
                self.pod.send_signal(program, _signo(message), group=group)
        elif op == "eof":
            terminal = self._held(channel)
            if terminal is not None:
                terminal.hang_up()
        elif op == "detach":
            session.detached = True
            if program is not None and program.owner is channel:
                program.owner = None
            self._leave(channel)
            channel.send({"ev": "detached"})
            channel.finish()
        elif op == "root" and session.role == "files":
            self._root(channel)
        elif op == "logs" and session.role == "logs":
            self._logs(channel, message)
        elif session.role == "portal":
            self._order(channel, message)
        else:
            raise UntrustedInput(f"unknown message {op!r}")

    def _started(self, channel: Channel, *, hold: bool = True) -> Any:
        def told(result: Program | PodshError) -> None:
            if isinstance(result, PodshError):
                channel.send({"error": result.to_wire()})
                channel.finish()
                return
            channel.send({"ev": "started", "pid": result.pid})
            if channel.tag.detached:
                return  # before it had begun: it lives on
            if channel.closed:
                self.pod.owner_gone(result)
            elif hold and result.terminal is not None:
                result.terminal.hold(channel, replay=False)

        return told

    def _first(self, channel: Channel) -> Callable[[Program], None]:
        def told(script: Program) -> None:
            if script.terminal is not None and not channel.closed:
                script.terminal.hold(channel, replay=False)

        return told

    def _attach(self, channel: Channel, message: dict[str, Any]) -> None:
        terminal = self._main_terminal()
        assert self.pod.main is not None
        channel.tag.program = self.pod.main
        channel.tag.terminal = True
        size = _size(message)
        former = terminal.hold(channel, replay=bool(message.get("replay", True)))
        if former is not None and former is not channel:
            former.tag.detached = True
            if self.pod.main.owner is former:
                self.pod.main.owner = None
            former.send({"ev": "taken"})
            former.finish()
        channel.send({"ev": "attached"})
        if not terminal.resize(*size):
            terminal.redraw()
        self.notify({"ev": "attached"})

    def _root(self, channel: Channel) -> None:
        """What the pod sees, for who copies files: held by descriptor, as it is now."""
        homes = [entry.dst for entry in self.pod.jail.shown if entry.own]
        env = dict(self.pod.jail.plan.program.env)
        home = homes[0] if homes else env.get("HOME", "/")
        channel.send_fd({"home": home}, self.pod.requests.live.root)

    def _back(self, channel: Channel, message: dict[str, Any]) -> None:
        """Who was away from a program of its own looks at it again."""
        program = channel.tag.program
        if program is None or program.terminal is None or program.terminal.ended:
            return  # its end is told
        program.terminal.hold(channel, replay=True)
        if not program.terminal.resize(*_size(message)):
            program.terminal.redraw()

    def _watch(self, channel: Channel, message: dict[str, Any]) -> None:
        """Output only. replay: first what is there already, and the program is made to draw its
        screen where it has one; without it the pod cannot tell that somebody watches."""
        terminal = self._main_terminal()
        rows, cols = terminal.size
        channel.send({"ev": "watching", "rows": rows, "cols": cols})
        replay = bool(message.get("replay"))
        if not replay:
            channel.send_data(terminal.screen.modes())
        terminal.watch(channel, replay=replay)
        if replay and terminal.screen.alternate:
            terminal.redraw()

    def _send(self, channel: Channel, message: dict[str, Any]) -> None:
        """Keys, as if they were typed; ``moved`` where cursor keys are the program's own."""
        terminal = self._main_terminal()
        keys = message["moved"] if terminal.screen.on.get(1) else message["keys"]
        if not terminal.write(str(keys).encode("latin-1")):
            raise UsageError("does not read what is typed", place=self.pod.jail.name)
        channel.send({"ev": "sent"})

    def _logs(self, channel: Channel, message: dict[str, Any]) -> None:
        """follow: also what comes. start: from that place on, which is then told (``from``)."""
        start, stay = message.get("start"), bool(message.get("follow"))
        if self.pod.jail.plan.program.daemon:
            self.pod.kept.watch(self._loop)
        main = self.pod.main
        if main is not None and main.terminal is not None:
            rows, cols = main.terminal.size
            channel.send({"ev": "size", "rows": rows, "cols": cols})
        reader = Reader(channel, self.pod.kept, int(start or 0), stay=stay)
        reader.begin(told=start is not None)

    # -- orders of the portal

    def _order(self, channel: Channel, message: dict[str, Any]) -> None:
        op = message.get("op")
        answer: dict[str, Any] = {}
        if op == "start":
            size = _size(message)
            self.pod.start(Stdio((None, None, None)), size, None)
        elif op == "kill":
            self._kill(_signo(message))
        elif op == "listen":
            self.listen_again()
        elif op == "snapshot":
            answer = self.snapshot()
        elif op == "present":
            self.pod.requests.present = bool(message.get("here"))
            self.pod.requests.desk.nobody()
        elif op in requests.ORDERS:
            ident = message["id"]

            def told(outcome: PodshError | dict[str, Any]) -> None:
                if isinstance(outcome, PodshError):
                    channel.send({"id": ident, "error": outcome.to_wire()})
                else:
                    channel.send({"id": ident, "ok": outcome})

            requests.ORDERS[op](self.pod, message, told)
            return
        else:
            raise UntrustedInput(f"unknown order {op!r}")
        if "id" in message:
            channel.send({"id": message["id"], "ok": answer})

    def _kill(self, signo: int) -> None:
        pod = self.pod
        if pod.main is None:
            pod.end()
        elif signo == 9:
            pod.kill_all()
        else:
            pod.send_signal(pod.main, signo)

    def snapshot(self) -> dict[str, Any]:
        """The pod as ``ps`` shows it and an adopting portal needs it."""
        pod = self.pod
        main = pod.main
        return {
            "name": pod.jail.name,
            "state": pod.state,
            "pid": main.pid if main else 0,
            "init_pid": pod.jail.init_pid,
            "monitor_pid": os.getpid(),
            "profile": pod.jail.plan.profile,
            "argv": list(main.argv if main else pod.jail.plan.program.argv),
            "caps": caps_of(pod.jail.plan.inner),
            "started": pod.started,
            "attached": bool(main and main.terminal and main.terminal.holder),
            "programs": len(pod.programs),
            "network": pod.jail.network_shown(),
            **requests.snapshot(pod),
        }


def caps_of(inner: Inner | None) -> dict[str, Any] | None:
    """What its programs keep, for ``ps --json``."""
    if inner is None:
        return None
    return {"keep": list(inner.caps), "by": "files" if inner.by_files else "ambient"}


def _size(message: dict[str, Any]) -> tuple[int, int]:
    rows, cols = int(message.get("rows", 24)), int(message.get("cols", 80))
    if not (0 < rows < 65536 and 0 < cols < 65536):
        return (24, 80)
    return (rows, cols)


def _signo(message: dict[str, Any]) -> int:
    signo = int(message["signo"])
    if not 0 < signo <= 64:
        raise UsageError(f"no such signal: {signo}")
    return signo


def _stdio(channel: Channel, message: dict[str, Any]) -> Stdio:
    words = message.get("stdio", ["pty", "pty", "pty"])
    if len(words) != 3 or not set(words) <= {"pty", "fd", "null"}:
        raise UntrustedInput("bad stdio")
    passed = iter(channel.take_fds(words.count("fd")))
    found = [{"pty": None, "null": -1}[w] if w != "fd" else next(passed) for w in words]
    return Stdio((found[0], found[1], found[2]))
