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
from podsh.kernel import caps, seccomp
from podsh.operations import STANDARD, JailPlan, Program, Tmpfs, ops_from_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.filtering import Filter
    from podsh.jail.bound import Bound
    from podsh.monitor.network import Setup
    from podsh.operations import Inner, Op, Row
    from podsh.policy.state import State


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

    __slots__ = ("_habit", "generation", "habit", "init", "template_fd", "usual")

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
            except (LaunchFailed, OSError):
                # some of it is not there, or was replaced meanwhile: who asks for it is told
                self.habit = -1
                self.init.restart()
                self._attach(STANDARD)
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
        "filter",
        "generation",
        "init",
        "init_pid",
        "live",
        "masked",
        "name",
        "network",
        "own",
        "plan",
        "policy",
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
        rest = message["rests"].get(begun.habit)
        if rest is None:
            plan = JailPlan.from_wire(message["plan"])
        else:
            plan = JailPlan.from_wire({**message["plan"], "ops": rest}, usual.ops)
        self.plan = plan
        self.name = plan.name
        self.state_dir: str = message["state_dir"]
        self.remove: bool = message["rm"]
        self.policy: dict[str, Any] = message["policy"]
        self.state = begun.state(self.policy)
        try:
            if rest is None or not plan.network.own or not usual.holds():
                raise build.Conflict
            shown = usual.builder.more(plan.ops[len(usual.ops) :], init.prepared)
            self._build(usual.builder, shown, begun.template_fd)
        except (build.Conflict, orders.Replaced, orders.Ended):
            self._anew(begun.template_fd)
        finally:
            usual.close()
        self.spec = spec_of(plan.filter)
        self.filter = filter_of(plan.filter)
        self.network: Setup | None = None
        if plan.network.needs_setup:
            from podsh.monitor.network import Setup

            self.network = Setup(plan.network, self.init_pid, self.state_dir, given)

    def _anew(self, template_fd: int) -> None:
        """Build it by an init that has nothing of it yet; once more where somebody killed
        it, or a file of the host's was replaced while it was being attached."""
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
        self.init_pid = init.launch(template_fd, encode.plan(records), own_net, mounts)
        self.shown = [
            Shown(b.dst, b.src, b.object, b.is_dir, b.attrs, b.op.own) for b in builder.bounds
        ]
        self.own = [entry for entry in self.shown if entry.own]
        self.sockets = frozenset(b.object for b in builder.bounds if self._may_connect(b))
        self.masked = next(iter(builder.masks), None)

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
        data = encoded(program, stdio, size, self.filter, self.spec.listens, self.plan.inner)
        self.init.send_run(ident, data, stdio)


def spec_of(asked: Filter) -> seccomp.FilterSpec:
    """What the filter of a plan is made of; a trace has no lists, so that nothing is missing."""
    lists = not asked.trace
    return seccomp.FilterSpec(
        refuse_setid=asked.refuse_setid,
        ptrace=asked.ptrace,
        nesting=asked.nesting,
        new_filters=asked.new_filters,
        notify=asked.notify,
        trace=asked.trace,
        strict=asked.strict,
        # what the lists refuse is told of, by the monitor
        report=lists and bool(asked.allow or asked.block or asked.deny),
        allow=asked.allow if lists else None,
        block=asked.block if lists else (),
        deny=asked.deny if lists else (),
        abi=asked.abi,
        chroot="CAP_SYS_CHROOT" in asked.caps,
        packets=asked.packets,
        net_admin="CAP_NET_ADMIN" in asked.caps,
    )


def filter_of(asked: Filter) -> bytes:
    """The compiled filter: from the cache, or compiled now and kept there."""
    return seccomp.cached(spec_of(asked), os.path.join(paths.cache_dir(), "filters"))


def encoded(
    program: Program,
    stdio: tuple[int | None, int | None, int | None],
    size: tuple[int, int],
    code: bytes,
    listen: bool = False,
    inner: Inner | None = None,
) -> bytes:
    """``program`` as init reads it, with the filter ``code``.

    listen: the filter notifies. inner: what it keeps, if anything. Raises NotFound.
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
    )


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
