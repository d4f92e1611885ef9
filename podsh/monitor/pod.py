"""A live pod: its init, its programs and their terminals, from start to exit. One per monitor."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.errors import LaunchFailed, NotExecutable, NotFound, PodshError, UsageError
from podsh.jail import orders
from podsh.monitor.channel import Channel as Requests
from podsh.monitor.launch import MAIN
from podsh.monitor.logs import Kept, Log
from podsh.monitor.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.monitor.launch import Jail
    from podsh.monitor.loop import Loop
    from podsh.monitor.output import Both, Output
    from podsh.wire.channel import Channel

# after a hang-up programs have so long to end by themselves
GRACE_S = 0.5
# a client that takes nothing at all for so long loses the rest
FLUSH_S = 10.0
# until init is tried again that had no room for an order
LATE_S = 0.005
# how many programs may run side by side by exec
MAX_PROGRAMS = 256
_ENOENT = frozenset((2, 20))  # ENOENT, ENOTDIR


class Stdio(NamedTuple):
    """Descriptors for 0, 1, 2 (-1: the pod's own /dev/null; None: the pod's terminal)."""

    fds: tuple[int | None, int | None, int | None]

    def close(self) -> None:
        for fd in self.fds:
            if fd is not None and fd >= 0:
                os.close(fd)


class Program:
    """One program that podsh started in the pod: the main one, or one by ``exec``."""

    __slots__ = (
        "argv",
        "early",
        "first",
        "id",
        "on_ended",
        "on_started",
        "owner",
        "pid",
        "size",
        "status",
        "terminal",
    )

    def __init__(
        self, ident: int, argv: tuple[str, ...], size: tuple[int, int], owner: Channel | None
    ) -> None:
        self.id = ident
        self.argv = argv
        self.size = size
        self.owner = owner  # its end ends the program
        self.pid = 0
        # signals that came before init had said that it runs: (number, whole group)
        self.early: list[tuple[int, bool]] = []
        self.status: int | None = None  # raw wait status
        self.terminal: Terminal | None = None
        self.on_started: Callable[[Program | PodshError], None] | None = None
        # instead of what is told of its end otherwise
        self.on_ended: Callable[[Program], None] | None = None
        self.first: Program | None = None  # what runs before it, as long as that does


def exit_code(status: int) -> tuple[int, int | None]:
    """(shell exit code, signal or None) of a raw wait status."""
    code = os.waitstatus_to_exitcode(status)
    return (128 - code, -code) if code < 0 else (code, None)


class Pod:
    """State of the one pod; ``notify`` carries events to the portal."""

    def __init__(self, loop: Loop, jail: Jail, notify: Callable[[dict[str, Any]], None]) -> None:
        self.jail = jail
        self.notify = notify
        self.requests = Requests(loop, jail, notify, self.has_terminal)
        self.state = "ready"
        self.started = time.time()
        self.programs: dict[int, Program] = {}
        self.main: Program | None = None
        self.done = False  # its main program has ended, or never will begin
        # signals that init has no room for: (program, number, group)
        self._late: dict[tuple[int, int, int], None] = {}
        # called before the end of the main program is told
        self.ending: Callable[[], None] = lambda: None
        self.output: Output | None = None  # what is kept of the main program's
        self.kept = Kept(os.path.join(jail.state_dir, "log"))
        self._ids = MAIN
        self._loop = loop
        self._loop.add_reader(jail.init.fileno(), self._from_init)

    def has_terminal(self) -> bool:
        """Whether somebody sits at a terminal of it, who could decide."""
        terminals = (program.terminal for program in self.programs.values())
        holders = (terminal.holder for terminal in terminals if terminal is not None)
        return any(holder is not None and holder.tag.terminal for holder in holders)

    # -- starting

    def start(
        self,
        stdio: Stdio,
        size: tuple[int, int],
        owner: Channel | None,
        on_started: Callable[[Program | PodshError], None] | None = None,
        on_first: Callable[[Program], None] | None = None,
    ) -> Program:
        """Start the main program; before it, if there is one, its init script: ``on_first`` is
        told of that."""
        if self.main is not None:
            stdio.close()
            raise UsageError("already started", place=self.jail.name)
        program = self.jail.plan.program
        entry = Program(MAIN, program.argv, size, owner)
        entry.on_started = on_started
        try:
            if program.daemon or program.log:
                from podsh.monitor.output import Output

                self.output = Output(program, self.jail.state_dir, self.kept)
            if program.init is not None:
                self._run_first(entry, program, stdio, on_first)
            else:
                self._run(entry, program, stdio)
        except LaunchFailed as exc:
            stdio.close()
            self.programs[MAIN] = entry
            self._loop.call_soon(self._fail, entry, exc)
        self.main = entry
        return entry

    def _run_first(
        self,
        entry: Program,
        program: Any,
        stdio: Stdio,
        on_first: Callable[[Program], None] | None,
    ) -> None:
        """Run the init script, then ``program`` as ``entry``, or fail as that one."""
        from podsh.monitor import first

        self._ids += 1
        script = entry.first = Program(self._ids, (program.init,), entry.size, None)

        def started(result: Program | PodshError) -> None:
            if isinstance(result, PodshError):
                entry.first = None
                stdio.close()
                self._fail(entry, first.not_started(program.init, result))
            elif on_first is not None:
                on_first(result)

        def ended(script: Program) -> None:
            assert script.status is not None
            assert script.terminal is not None
            entry.first = None
            error = first.trouble(program.init, script.status, script.terminal.screen.kept())
            try:
                if error is None:
                    self._run(entry, program, stdio)
                    return
                stdio.close()
            except OSError as exc:
                error = LaunchFailed(os.strerror(exc.errno or 0), place="start")
            except LaunchFailed as exc:
                error = exc
            self.programs[MAIN] = entry
            self._fail(entry, error)

        script.on_started = started
        script.on_ended = ended
        self._run(script, first.of(program), Stdio(first.stdio(stdio.fds)))
        self.programs[MAIN] = entry

    def execute(
        self,
        argv: tuple[str, ...],
        env: dict[str, str],
        cwd: str | None,
        stdio: Stdio,
        size: tuple[int, int],
        owner: Channel | None,
        on_started: Callable[[Program | PodshError], None],
    ) -> Program:
        """Start one more program, with the main one's environment and bounds."""
        if self.state != "running" or len(self.programs) >= MAX_PROGRAMS:
            stdio.close()
            cause = "is not running" if self.state != "running" else "has too many programs"
            raise UsageError(f"pod {cause}", place=self.jail.name)
        import dataclasses

        first = self.jail.plan.program
        program = dataclasses.replace(
            first,
            argv=argv,
            env=tuple((dict(first.env) | env).items()),
            cwd=(cwd,) if cwd else first.cwd,
            cwd_must=cwd is not None,
            procname=None,
            daemon=False,
        )
        self._ids += 1
        entry = Program(self._ids, argv, size, owner)
        entry.on_started = on_started
        self._run(entry, program, stdio)
        return entry

    def _run(self, entry: Program, program: Any, stdio: Stdio) -> None:
        """Order init to start it. Closes ``stdio``."""
        self.programs[entry.id] = entry
        keep = self.output if entry.id == MAIN else None
        try:
            fds = stdio.fds if keep is None else keep.redirected(stdio.fds)
            if entry.id != MAIN or not self.jail.ordered:
                self.jail.run(entry.id, program, fds, entry.size)
        except BaseException:
            del self.programs[entry.id]
            raise
        finally:
            stdio.close()
            if keep is not None:
                keep.given()

    # -- init's messages

    def _from_init(self) -> None:
        while True:
            try:
                message = self.jail.init.receive()
            except BlockingIOError:
                return
            except OSError:
                message = None
            if message is None:
                self._init_gone()
                return
            program = self.programs.get(message.id)
            if self.requests.answer(message):
                continue
            if message.kind == orders.STARTED and program is not None and message.fds:
                self._started(program, message.fds[0], message.pid)
            elif message.kind == orders.STARTED and program is not None:
                # no descriptor was left for its terminal, and without one it cannot go on
                self.send_signal(program, signal.SIGKILL, group=True)
                lost = orders.Message(orders.FAILED, message.id, errno=errno.EMFILE, step="recvmsg")
                self._failed(program, lost)
            elif message.kind == orders.FAILED and program is not None and program.pid == 0:
                self._failed(program, message)
            elif message.kind == orders.EXITED and program is not None:
                self._exited(program, message.status, message.others)
            else:
                for fd in message.fds:
                    os.close(fd)

    def _started(self, program: Program, master: int, pid: int) -> None:
        program.pid = pid
        main = program.id == MAIN
        log = self._log(program)
        program.terminal = Terminal(
            self._loop, master, log, lambda _: self._terminal_ended(program), program.size
        )
        if main:
            self.state = "running"
            self.notify({"ev": "start", "pid": pid, "argv": list(program.argv)})
        if program.on_started is not None:
            program.on_started(program)
        for signo, group in program.early:
            self.send_signal(program, signo, group=group)

    def _log(self, program: Program) -> Log | Both | None:
        """Where what a program writes on its terminal is kept: the main one's, and of what runs
        before that."""
        before = program.on_ended is not None
        if program.id != MAIN and not before:
            return None
        fresh = before or self.jail.plan.program.init is None
        if self.output is not None:
            # a daemon writes by a process of its own, and nothing on its terminal
            return None if self.jail.plan.program.daemon and not before else self.output.log(fresh)
        return Log(self.kept, fresh)

    def _failed(self, program: Program, message: orders.Message) -> None:
        self._fail(program, run_error(program.argv[0], message))

    def _fail(self, program: Program, error: LaunchFailed) -> None:
        """It will not run."""
        del self.programs[program.id]
        if program.id == MAIN:
            self.state = "failed"
            code = {NotFound: 127, NotExecutable: 126}.get(type(error), 125)
            self._record({"state": "failed", "exit": code, "error": error.to_wire()})
            self.notify({"ev": "failed", "code": code, "error": error.to_wire()})
            self.done = True
        if program.on_started is not None:
            program.on_started(error)

    def _exited(self, program: Program, status: int, others: bool) -> None:
        program.status = status
        if program.id == MAIN and others:
            # what it left behind ends with it; then its terminal reads as closed
            self.kill_all()
        assert program.terminal is not None
        if program.terminal.ended:
            self._finished(program)
        else:
            program.terminal.linger(killed=os.WIFSIGNALED(status))

    def _terminal_ended(self, program: Program) -> None:
        if program.status is not None:
            self._finished(program)

    def _finished(self, program: Program) -> None:
        assert program.status is not None
        if program.id == MAIN and self.output is not None:
            # who is told of the end finds all that was written
            if not self.output.settled(self._loop, self._finished, program):
                return
        if self.programs.pop(program.id, None) is None:
            return
        if program.on_ended is not None:
            program.on_ended(program)
            return
        self.requests.tell_all()
        code, signo = exit_code(program.status)
        message = {"ev": "exit", "code": code, "signal": signo}
        assert program.terminal is not None
        if program.id == MAIN:
            self.state = "exited"
            self.jail.drain()
            self.ending()
            # written first: who is told may remove the pod at once; the portal before its clients,
            # who may ask it for a pod of the same name at once
            if self.jail.plan.program.daemon:
                self.kept.look()
            self.kept.rest()
            logged = {"logged": self.kept.total}
            size = {"size": program.terminal.size}
            self._record({"state": "exited", "exit": code, "signal": signo, **logged, **size})
            if (counts := self.requests.ending()) is not None:
                write_json(os.path.join(self.jail.state_dir, "calls.json"), counts)
            self.notify({**message, "seconds": round(time.time() - self.started, 3)})
            self.done = True
            message |= self.requests.denied()
            self.kept.finish(message)
        owner = program.owner
        if owner is not None and owner.tag.role == "exec" and owner is not program.terminal.holder:
            owner.send_data(program.terminal.screen.replay())  # it was away
        viewers = {program.terminal.holder, program.owner, *program.terminal.watchers}
        for viewer in viewers:
            if viewer is not None:
                viewer.send(message)
                viewer.finish()

    def _init_gone(self) -> None:
        """PID 1 is dead: somebody killed it from outside, and the pod with it."""
        self._loop.remove_reader(self.jail.init.fileno())
        for program in list(self.programs.values()):
            if program.status is None:
                program.status = signal.SIGKILL
            if program.terminal is not None:
                program.terminal.close()
                self._finished(program)
        if self.main is None or (self.main.pid == 0 and not self.done):
            self.state = "failed"
            self._record({"state": "failed", "exit": 125})
            self.notify({"ev": "failed", "code": 125})
            self.done = True
        self.done |= MAIN not in self.programs

    def _record(self, fields: dict[str, Any]) -> None:
        """The exit, on disk for a portal that comes later; --rm leaves nothing to find."""
        if self.jail.remove:
            return
        write_json(os.path.join(self.jail.state_dir, "exit.json"), fields | {"ts": time.time()})

    # -- ending

    def send_signal(self, program: Program, signo: int, *, group: bool = False) -> None:
        """Signal a program, or its terminal's foreground group; kept until it runs."""
        program = program.first or program
        if program.pid == 0:
            program.early = [*program.early[:15], (signo, group)]
            return
        self._order_signal(program.id, signo, 1 if group else 0)

    def kill_all(self) -> None:
        self._order_signal(MAIN, signal.SIGKILL, 2)

    def _order_signal(self, ident: int, signo: int, group: int) -> None:
        """In order, and never waiting for init, which may be waiting for us to read its answers.

        What has to wait is kept once, as the kernel keeps a pending signal once.
        """
        first = not self._late
        self._late[ident, signo, group] = None
        if first:
            self._send_late()

    def _send_late(self) -> None:
        while self._late:
            order = next(iter(self._late))
            try:
                self.jail.init.send_signal(*order)
            except BlockingIOError:
                self._loop.call_later(LATE_S, self._send_late)
                return
            except OSError:
                pass  # init is gone, and says so by its end
            del self._late[order]

    def owner_gone(self, program: Program) -> None:
        """The client that the program belonged to died: hang up, then kill."""
        program.owner = None
        if program.status is not None or program.id not in self.programs:
            return
        if program.pid:
            self.send_signal(program, signal.SIGHUP, group=True)
            self.send_signal(program, signal.SIGCONT, group=True)
        self._loop.call_later(GRACE_S, self._kill, program)

    def _kill(self, program: Program) -> None:
        if program.id in self.programs and program.status is None:
            if program.id == MAIN:
                self.kill_all()
            else:
                self.send_signal(program, signal.SIGKILL, group=True)
                self.send_signal(program, signal.SIGKILL)

    def close(self) -> None:
        """Let go of init: it ends, and with it whatever is left of the pod."""
        self._loop.remove_reader(self.jail.init.fileno())
        if self.output is not None:
            self.output.close()
        self.kept.close(self._loop)
        self.requests.close()
        self.jail.init.close()

    def end(self, code: int = 128 + signal.SIGKILL) -> None:
        """End a pod whose program never started."""
        if self.main is None and not self.done:
            self.state = "exited"
            self._record({"state": "exited", "exit": code, "signal": None})
            self.notify({"ev": "exit", "code": code, "signal": None, "seconds": 0})
            self.done = True


def run_error(name: str, message: orders.Message) -> LaunchFailed:
    """A FAILED answer to RUN in the words of a person."""
    reason = os.strerror(message.errno)
    if message.step == "execve":
        if message.errno in _ENOENT:
            return NotFound(
                f"{name}: not found in the pod",
                hint="bind what it needs (--ro PATH), or use a profile that has it",
            )
        return NotExecutable(
            f"{name}: {reason}", hint="is it executable, on a noexec bind, or for another ABI?"
        )
    return LaunchFailed(reason, place=f"{message.step} {message.path}".strip())


def write_json(path: str, fields: dict[str, Any]) -> None:
    """Write a small file whole or not at all; a full disk must not end the pod."""
    temporary = path + ".new"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps(fields))
        os.replace(temporary, path)
    except OSError:
        pass
