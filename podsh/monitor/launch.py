"""From the portal's launch message to a built jail: plan, filter, mounts, init."""

from __future__ import annotations

import marshal
import os
import resource
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh import paths
from podsh.errors import LaunchFailed, NotFound, PodshError
from podsh.jail import build, encode, orders
from podsh.jail.generation import Generation
from podsh.jail.grant import Shown
from podsh.jail.live import Live
from podsh.jail.resolve import below
from podsh.jail.usual import Usual
from podsh.kernel import caps
from podsh.monitor.filters import filter_of, spec_of
from podsh.monitor.parked import Parked
from podsh.operations import STANDARD, Bind, JailPlan, Program, Tmpfs, ops_from_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.jail.bound import Bound
    from podsh.monitor.network import Setup
    from podsh.operations import Inner, Op, Row
    from podsh.policy.state import State


# the program that a pod is for, among those that it runs
MAIN = 1
# files of the host's are replaced now and then, each in a moment
_TRIES = 5


class Habit(NamedTuple):
    """What most pods begin with: the portal's number for these operations, and they; and for the
    policy of the last pod, and the state that one with it begins in (None: not made)."""

    number: int
    rows: list[Row]
    policy: int
    state: State | None


class Begun:
    """What a standby has of a jail before it is asked for one. Owns init until a Jail does."""

    __slots__ = ("_habit", "generation", "habit", "init", "parked", "template_fd", "usual")

    def __init__(self, template_fd: int, habit: Habit) -> None:
        """Have namespaces made, and what most pods begin with attached; waits until it is.

        Raises LaunchFailed.
        """
        self.template_fd = template_fd
        self.init = orders.Init.spawn(paths.init_binary(), template_fd)
        try:
            self.generation = Generation()
            self._habit, self.habit = habit, habit.number
            try:
                self._attach(ops_from_wire(habit.rows))
                self.parked: Parked | None = Parked(self.init, self.usual.ops)
            except (LaunchFailed, OSError):
                # some of it is not there, or was replaced meanwhile: who asks for it is told
                self.habit = -1
                self.init.restart()
                self._attach(STANDARD)
                self.parked = None
        except BaseException:
            self.init.close()
            raise

    def state(self, policy: dict[str, Any]) -> State | None:
        """What a pod with ``policy`` begins in, if that was made already."""
        return self._habit.state if policy["number"] == self._habit.policy else None

    def _attach(self, ops: Sequence[Op]) -> None:
        self.usual = Usual(ops, self.generation)
        try:
            plan = encode.plan(self.usual.records)
            self.init.prepare(self.template_fd, plan, True, self.usual.mounts)
            self.init.settle()
            self.usual.attached()
        except BaseException:
            self.usual.close()
            raise


class Jail:
    """A built jail whose init waits for programs. Owns the connection to init, and the page."""

    __slots__ = (
        "_at_once",
        "_size",
        "filter",
        "generation",
        "init",
        "init_pid",
        "live",
        "masked",
        "name",
        "network",
        "ordered",
        "own",
        "parked",
        "plan",
        "policy",
        "present",
        "remove",
        "shown",
        "sockets",
        "spec",
        "state",
        "state_dir",
    )

    def __init__(
        self,
        begun: Begun,
        message: dict[str, Any],
        given: Sequence[int] = (),
    ) -> None:
        """Build what ``message`` describes; raises LaunchFailed with step, path and reason.

        given: descriptors for its network, see ``Setup``; they stay the caller's.
        """
        self.init = init = begun.init
        self.generation = begun.generation
        usual = begun.usual
        # the message stays, and these are large
        rest, ops = message.pop("rests").get(begun.habit), message.pop("ops")
        rows = marshal.loads(ops if rest is None else rest)
        del ops
        if message["relative"]:
            rows = of_pod(rows, message["state_dir"])
        before = () if rest is None else usual.ops
        plan = JailPlan.from_wire({**message["plan"], "ops": rows}, before)
        self.plan = plan
        self.name = plan.name
        self.state_dir: str = message["state_dir"]
        self.remove: bool = message["rm"]
        self.present: bool = message["present"]
        self._at_once: bool = message["detach"] and message["group"] is None
        self._size: tuple[int, int] = (message["rows"], message["cols"])
        self.policy: dict[str, Any] = message["policy"]
        self.state = begun.state(self.policy)
        self.spec = spec_of(plan.filter)
        self.filter = filter_of(plan.filter)
        self.parked = begun.parked
        new = plan.ops[len(usual.ops) :]
        if self.parked is not None and not self.parked.fits(self.spec, message["group"], new):
            self._unpark()
        try:
            if rest is None or not plan.network.own or not usual.holds():
                raise build.Conflict
            shown = usual.builder.more(new, init.prepared)
            self._build(usual.builder, shown, begun.template_fd)
        except (build.Conflict, orders.Replaced, orders.Ended):
            self._anew(begun.template_fd)
        finally:
            usual.close()
        self.network: Setup | None = None
        if plan.network.needs_setup:
            from podsh.monitor.network import Setup

            self.network = Setup(plan.network, self.init_pid, self.state_dir, given)

    def _anew(self, template_fd: int) -> None:
        """Build it by an init that has nothing of it yet; once more where somebody killed
        it, or a file of the host's was replaced while it was being attached."""
        self._unpark()
        for left in reversed(range(_TRIES)):
            self.init.restart()
            try:
                with build.Builder(self.plan.ops, self.generation) as builder:
                    self._build(builder, builder.shown(0), template_fd)
                return
            except (orders.Replaced, orders.Ended):
                if not left:
                    raise

    def _build(self, builder: build.Builder, shown: build.Lot, template_fd: int) -> None:
        init, own_net = self.init, self.plan.network.own
        records, mounts = shown
        # init attaches the binds while the paths to hide are looked for
        init.prepare(template_fd, encode.plan(records), own_net, mounts)
        records, mounts = builder.hidden(init.prepared)
        init.begin(template_fd, encode.plan(records), own_net, mounts)
        self.ordered = self._order()
        self.shown = [
            Shown(b.dst, b.src, b.object, b.is_dir, b.attrs, b.op.own) for b in builder.bounds
        ]
        self.own = [entry for entry in self.shown if entry.own]
        self.sockets = frozenset(b.object for b in builder.bounds if self._may_connect(b))
        self.masked = next(iter(builder.masks), None)
        self.init_pid = init.ready()

    def _order(self) -> bool:
        """Order the program with the jail, where nobody comes for it and nothing comes before."""
        program = self.plan.program
        before = program.daemon or program.log or program.init or self.plan.network.needs_setup
        if before or not self._at_once or not self.init.pid:
            return False
        try:
            self.run(MAIN, program, (None, None, None), self._size)
        except PodshError:
            return False  # told by who orders it then
        return True

    def _unpark(self) -> None:
        """The program will be another process than the one that waits."""
        if self.parked is not None:
            self.parked.listeners.abandon()
            self.parked = None

    def _may_connect(self, bound: Bound) -> bool:
        """Whether it is a socket that the pod may connect to without a question: one that was
        named itself, by who started it. What a project's own profile names, or a domain in a pod
        started by command, is asked for as any other."""
        op = bound.op
        named = not op.within and (not op.optional or self.policy["own"] is not None)
        return bound.is_socket and (op.socket or named)

    def look(self) -> Live:
        """The pod as its programs see it; the caller's to close."""
        spec = self.spec
        live = Live.of(self.init_pid, spec.nesting or spec.chroot)
        if self.masked is not None:
            live.masks |= live.device(self.masked)
        for op in self.plan.ops:
            if isinstance(op, Tmpfs):
                live.own |= live.device(op.path)
        return live

    def place(self, dst: str, is_dir: bool) -> None:
        """Make a mount point in the pod's own home, where ``dst`` lies in one. OSError."""
        homes = [entry for entry in self.own if below(dst, entry.dst)]
        if not homes or any(below(dst, e.dst) and not e.own for e in self.shown):
            return
        home = os.open(homes[-1].src, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            build.make_point(home, dst[len(homes[-1].dst) + 1 :], is_dir)
        finally:
            os.close(home)

    def network_shown(self) -> dict[str, Any]:
        """What ``ps`` shows of its network, with the hardware address that it got."""
        fields = self.plan.network.shown()
        if self.network is not None and "mac" in fields:
            fields["mac"] = self.network.mac
        return fields

    def drain(self) -> None:
        """Wait until the log of its traffic has all of it."""
        if self.network is not None:
            self.network.drain()

    def listener(self) -> socket.socket:
        """The socket in the pod that kage asks on: the caller's. Raises LaunchFailed."""
        fd = self.init.take_listener()
        if fd < 0:
            raise LaunchFailed("its socket was not handed over", place="kage")
        return socket.socket(fileno=fd)

    def run(
        self,
        ident: int,
        program: Program,
        stdio: tuple[int | None, int | None, int | None],
        size: tuple[int, int],
    ) -> None:
        """Order init to start ``program``; the answer comes as a message."""
        data = encoded(
            program,
            stdio,
            size,
            self.filter,
            self.spec.listens,
            self.plan.inner,
            fresh=self.parked is None,
        )
        self.init.send_run(ident, data, stdio)


def encoded(
    program: Program,
    stdio: tuple[int | None, int | None, int | None],
    size: tuple[int, int],
    code: bytes,
    listen: bool = False,
    inner: Inner | None = None,
    fresh: bool = True,
) -> bytes:
    """``program`` as init reads it, with the filter ``code``.

    listen: the filter notifies. inner: what it keeps, if anything. fresh: by a new process.
    Raises NotFound.
    """
    if not program.argv:
        raise NotFound("nothing to run", place="arguments")  # init takes it for a fault of ours
    return encode.program(
        argv=program.argv,
        env=[f"{key}={value}" for key, value in program.env],
        cwd=program.cwd,
        cwd_must=program.cwd_must,
        procname=program.procname or "",
        rows=size[0],
        cols=size[1],
        umask=program.umask,
        rlimits=[
            (getattr(resource, f"RLIMIT_{name}"), soft, hard)
            for name, soft, hard in program.rlimits
        ],
        stdio=stdio,
        keep_caps=caps.mask(*inner.caps) if inner else 0,
        no_new_privs=not (inner and inner.by_files),
        filter=code,
        listen=listen,
        terminal=not program.daemon,
        fresh=fresh,
    )


_SRC, _OWN = (1 + Bind.__slots__.index(name) for name in ("src", "own"))


def of_pod(rows: list[Row], state: str) -> list[Row]:
    """Operations on the wire with what is the pod's own below ``state``."""
    return [
        (*row[:_SRC], state + row[_SRC], *row[_SRC + 1 :])
        if row[0] == Bind.tag and row[_OWN]
        else row
        for row in rows
    ]


def read_message(fd: int) -> Any:
    """The launch message, in a memfd since plans may be larger than a datagram.

    In marshal's format: it comes from the portal that started our zygote, the same podsh, and
    is read ten times faster than JSON.
    """
    return marshal.loads(os.pread(fd, os.fstat(fd).st_size, 0))


def describe(exc: BaseException) -> dict[str, str]:
    """Any failure of a launch as an error for the wire."""
    if isinstance(exc, PodshError):
        return exc.to_wire()
    return LaunchFailed(f"{type(exc).__name__}: {exc}", place="monitor").to_wire()
