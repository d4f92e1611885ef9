"""What a launch goes through, rehearsed: before monitors are forked, and in each standby."""

from __future__ import annotations

import marshal
import os
import socket
from types import SimpleNamespace
from typing import Any

from podsh.filtering import Filter
from podsh.jail import build, encode, known
from podsh.jail.generation import Generation
from podsh.jail.live import Live
from podsh.jail.orders import ACK, Message
from podsh.jail.resolve import find
from podsh.jail.wants import Want, drop
from podsh.kernel import fds
from podsh.monitor.filters import filter_of, spec_of
from podsh.monitor.kage import Asks, Kage
from podsh.monitor.launch import encoded
from podsh.monitor.listen import Listeners
from podsh.monitor.loop import Loop
from podsh.monitor.pod import Pod
from podsh.monitor.server import Server
from podsh.monitor.terminal import Terminal
from podsh.nets import Network
from podsh.operations import (
    STANDARD,
    Bind,
    Hide,
    Hostname,
    JailPlan,
    Program,
    Sysctl,
    Tmpfs,
)
from podsh.policy.access import Access
from podsh.policy.domain import Domain, Index
from podsh.policy.state import start_in
from podsh.wire.channel import Channel
from podsh.wire.framing import Decoder, encode_json

PATIENCE_S = 10.0


# CPython rewrites a function when it is called so often (QUICKENING_WARMUP_DELAY), then no more
TIMES = 8


def warm_up(misses: bool = False) -> None:
    """Go once through what a launch does; misses: and through what a pod's call for more does.

    In the zygote, so that monitors are forked with everything loaded and specialised; and again
    in each standby, since the pages that this touches are shared until then, and copying them
    is half of what a launch takes. Those for misses stay shared until there is one: most pods
    would have them for nothing.
    """
    plan = JailPlan(
        name="warm-up",
        profile="",
        ops=(
            Hostname("warm-up"),
            Sysctl("kernel/pid_max", "400"),
            Tmpfs("/tmp", 0o1777, 1 << 20),
            Bind("/usr", None, False, True, False, False, False, ""),
            Bind("/bin", None, False, True, False, False, True, ""),
            Bind("/nowhere/at/all", None, False, True, False, False, True, ""),
            Hide((("/nowhere/at/all", ""), ("/etc/shadow*", ""), ("/etc/passwd", ""))),
        ),
        network=Network("none"),
        filter=Filter(refuse_setid=os.getuid() == 0, notify=True),
        program=Program(("true",), (("A", "b"),), ("/",), rlimits=(("CORE", 1, 1),)),
    )
    plan = JailPlan.from_wire(marshal.loads(marshal.dumps(plan.to_wire())))
    with build.Builder(STANDARD) as builder:
        encode.plan(builder.shown(0)[0])
        encode.plan(builder.more(plan.ops, 0)[0])
        encode.plan(builder.hidden(0)[0])
    code = encoded(plan.program, (None, None, None), (24, 80), filter_of(plan.filter))
    fds.memfd(code).close()
    _rehearse_talk()
    _rehearse_pod(plan, misses)
    Decoder().feed(encode_json({"ev": "ready", "pid": 1, "argv": ["true"], "ts": 0.5}))


def _rehearse_talk() -> None:
    """A channel and a terminal in a loop, for ``warm_up``."""
    loop = Loop()
    ours, theirs = socket.socketpair()
    master, slave = os.openpty()
    channel = Channel(loop, ours, lambda *_: None, lambda *_: None)
    ended: list[Terminal] = []
    terminal = Terminal(loop, master, None, ended.append)
    theirs.sendall(encode_json({"op": "start"}))
    os.write(slave, b"x")
    os.close(slave)
    channel.send({"ev": "ready"})
    terminal.linger()
    loop.run(lambda: bool(ended), PATIENCE_S)
    channel.close()
    theirs.close()
    loop.close()


# what one domain shows, and what another shows beside: a file that every host has
_A, _B = (Access("/usr"),), (Access("/etc/passwd"),)


def _rehearse_pod(plan: JailPlan, misses: bool) -> None:
    """All that a live pod has in its monitor, made and let go of, for ``warm_up``."""
    loop = Loop()
    page = Generation()
    ours, theirs = socket.socketpair()
    init, init_end = socket.socketpair()
    asked, nobody = socket.socketpair()
    orders_sent: list[int] = []
    hands = SimpleNamespace(
        fileno=init.fileno,
        close=init.close,
        send_attach=lambda ident, *_: orders_sent.append(ident),
        send_hostname=lambda ident, _: orders_sent.append(ident),
    )
    jail: Any = SimpleNamespace(
        init=hands,
        init_pid=os.getpid(),
        generation=page,
        look=lambda: Live.of(os.getpid()),
        masked=None,
        name=plan.name,
        network_shown=plan.network.shown,
        ordered=False,
        parked=None,
        place=lambda dst, is_dir: None,
        plan=plan,
        policy={"confined": False, "grants": (), "unattended": "deny"},
        present=False,
        remove=True,
        shown=(),
        spec=spec_of(plan.filter),
        state=start_in(Index([Domain("a", _A), Domain("b", (*_A, *_B))])),
        state_dir="/nowhere",
    )
    pod = Pod(loop, jail, lambda event: None)
    nothing: Any = None
    asks = Asks(nothing, False, nothing, nothing, nothing, nothing, nothing)
    kage = Kage(loop, asked, os.getpid(), asks)
    server = Server(loop, pod, init_end, "/nowhere/at/all")
    server.adopt(ours)
    server.notify({"ev": "ready", **server.snapshot(), "state": "ready"})
    live = pod.requests.live
    Listeners(live).decide_by(nothing, nothing)
    for path in (b"/usr", b"/nowhere/at/all"):
        live.look(os.getpid(), os.fsdecode(path))
    found = find(_B[0].path) if misses else None
    if found is not None:
        want = Want(found.path, "read", found.fd, False, True, "", ())
        call: Any = SimpleNamespace(pid=os.getpid(), wants=[want], proceed=lambda: False)
        pod.requests.take(call)
        for ident in orders_sent:
            pod.requests.answer(Message(ACK, ident))
        drop(call.wants)
    known.forget()
    live.close()
    server.close()
    kage.close()
    for channel in server.clients:
        channel.close()
    pod.close()
    loop.close()
    page.close()
    for each in (theirs, init, init_end, asked, nobody):
        each.close()
