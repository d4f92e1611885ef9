"""The monitor process: waits as a standby, becomes one pod's monitor, ends with it."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from podsh.errors import LaunchFailed
from podsh.jail import whole
from podsh.kernel import process
from podsh.monitor import rehearsal
from podsh.monitor.kage import Asks, Kage
from podsh.monitor.launch import Begun, Jail, describe, read_message
from podsh.monitor.loop import Loop
from podsh.monitor.pod import FLUSH_S, Pod, Stdio, write_json
from podsh.monitor.server import Server, listen
from podsh.monitor.touch import Touch
from podsh.operations import Hide
from podsh.wire.framing import encode_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.kernel.pages import Pages
    from podsh.monitor.bounds import Bounds
    from podsh.monitor.launch import Habit
    from podsh.monitor.xserver import XServer
    from podsh.wire.channel import Channel

# of a launch message: itself, the connection to the portal, what the pod's network takes
MAX_FDS = 128
# a foreground client that never comes for its pod
START_S = 10.0
SETTLE_S = 0.01
# after so long without anything to do, memory is given back
REST_S = 1.0


def standby(
    requests: socket.socket,
    template_fd: int,
    habit: Habit,
    pages: Pages | None,
    taken: Callable[[], None],
) -> None:
    """Wait for a launch message, then be that pod's monitor until it ends. Returns at the end.

    ``requests``: the socket that all standby monitors read from; a message comes with the
    memfd of its fields, one end of the connection to the portal, and what its network takes.
    ``habit``: what most pods begin with. ``pages``: as the
    zygote had them. ``taken()`` tells the zygote.
    """
    # whatever can be done before anybody waits: the namespaces are made; and no collection of
    # garbage gets between a launch and its answer
    gc.disable()
    begun: Begun | None = None
    trouble: Exception | None = None
    for _ in range(2):  # an init that somebody killed is no reason to fail
        try:
            begun, trouble = Begun(template_fd, habit), None
            rehearsal.warm_up()
            break
        except Exception as exc:
            trouble = exc  # told to whoever wants a pod; ending now would only fork the next one
    data, received = _ordered(requests, begun)
    if not data:
        if begun is not None:
            begun.init.close()
        return
    requests.close()
    portal = socket.socket(fileno=received[1])
    message = read_message(received[0])
    os.close(received[0])
    process.set_name(f"podsh: {message['plan']['name']}")
    try:
        if trouble is not None or begun is None:
            taken()
            raise trouble or LaunchFailed("no init")
        _live(begun, message, received[2:], portal, pages, taken)
    except Exception as exc:
        # reported where a person looks; the pod ends with this process
        _report(portal, message, exc)
        raise


def _ordered(requests: socket.socket, begun: Begun | None) -> tuple[bytes, list[int]]:
    """The next launch message; empty at the portal's end, and where the jail's init has ended."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    if begun is not None:
        poll.register(begun.init.fileno(), 0)  # its hang-up
    while True:
        if any(fd != requests.fileno() for fd, _ in poll.poll()):
            return b"", []
        try:
            flags = socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
            data, received, _, _ = socket.recv_fds(requests, 64, MAX_FDS, flags)
        except BlockingIOError:
            continue  # another standby was quicker
        return data, received


def _report(portal: socket.socket, message: dict[str, Any], exc: BaseException) -> None:
    fields = {"state": "failed", "exit": 125, "error": describe(exc), "ts": time.time()}
    write_json(os.path.join(message["state_dir"], "exit.json"), fields)
    try:
        portal.setblocking(True)
        portal.sendall(encode_json({"ev": "failed", "code": 125, "error": describe(exc)}))
    except OSError:
        pass


def _live(
    begun: Begun,
    message: dict[str, Any],
    given: list[int],
    portal: socket.socket,
    pages: Pages | None,
    taken: Callable[[], None],
) -> None:
    xserver: XServer | None = None
    bounds: Bounds | None = None
    try:
        try:
            if message["xserver"] is not None:
                from podsh.monitor.xserver import XServer

                # first: its socket is one of what the pod is shown
                xserver = XServer(message["xserver"], begun.template_fd, message["group"])
            jail = Jail(begun, message, given)
        finally:
            for fd in given:
                os.close(fd)
        if message["group"] is not None:
            from podsh.monitor.bounds import Bounds

            bounds = Bounds(message["group"], jail.init_pid)
    except Exception as exc:
        taken()
        if xserver is not None:
            xserver.close()
        begun.init.close()
        _write_meta(message)
        _report(portal, message, exc)
        return
    loop = Loop()
    server: Server
    settled = announced = False

    def settle() -> None:
        """What can wait until nobody waits: most programs of a moment end before it."""
        nonlocal settled
        if settled:
            return
        settled = True
        announce()
        taken()
        gc.enable()
        if not (message["rm"] and pod.done):
            _write_meta(message)
        if jail.plan.filter.notify and not pod.done:
            whole.publish(jail.generation, jail.init_pid)

    def notify(event: dict[str, Any]) -> None:
        if event["ev"] in ("exit", "failed"):
            server.close()  # before the name may be another pod's
            if not message["rm"]:
                settle()
        announce()
        server.notify(event)

    def announce() -> None:
        nonlocal announced
        if not announced:
            announced = True
            server.notify({"ev": "ready", **server.snapshot(), "state": "ready"})

    def rest() -> None:
        if pages is not None and not pod.requests.works():
            pages.give_back()

    pod = Pod(loop, jail, notify)
    if xserver is not None:
        xserver.watch(loop, pod.requests.desk.note)
    if bounds is not None:
        bounds.watch(loop, pod.requests.tell)
        pod.ending = bounds.look
    kage = Kage(loop, jail.listener(), jail.init_pid, _asks(pod))
    if message["detach"]:
        pod.start(Stdio((None, None, None)), (message["rows"], message["cols"]), None)
    server = Server(loop, pod, listen(message["socket"]), message["socket"])
    server.adopt(portal)
    if not message["detach"]:
        announce()  # else with what comes next: one wake-up of the portal less
    loop.add_signal_handler(signal.SIGTERM, pod.kill_all)
    loop.add_signal_handler(signal.SIGUSR1, server.listen_again)
    loop.call_later(SETTLE_S, settle)
    loop.at_rest(REST_S, rest)
    if not message["detach"]:
        loop.call_later(START_S, pod.end)
    if jail.network is not None:
        jail.network.watch(loop, notify)
    loop.run(lambda: pod.done)
    if jail.network is not None:
        jail.network.unwatch(loop)
    settle()
    server.close()
    kage.close()
    _flush(loop, server.clients)
    pod.close()
    if xserver is not None:
        xserver.close()
    _reap(jail.init_pid)
    if jail.network is not None:
        jail.network.close()
    if bounds is not None:
        bounds.close(loop)
    loop.close()


def _asks(pod: Pod) -> Asks:
    """What programs of the pod may ask for by kage."""
    requests = pod.requests
    planned = [op for op in pod.jail.plan.ops if isinstance(op, Hide)]

    def touch(
        pid: int, path: str, write: bool, alive: Callable[[], bool], decided: Callable[[], None]
    ) -> Touch:
        return Touch(requests.live, pid, path, write, alive, decided)

    def shown() -> dict[str, str | None]:
        found = requests.mounts.shown()
        return {dst: None if entry.own else entry.src for dst, entry in found.items()}

    def hides() -> list[Hide]:
        state = requests.desk.state
        return [*planned, Hide(tuple((text, "access.deny") for text in state.hiding()))]

    return Asks(
        domain=lambda: requests.desk.state.name,
        confined=pod.jail.policy["confined"],
        touch=touch,
        take=requests.take,
        mount=requests.desk.mount,
        shown=shown,
        hides=hides,
    )


def _flush(loop: Loop, clients: set[Channel]) -> None:
    """Until they were given everything, are gone, or none took anything for so long."""

    def queued() -> int:
        return sum(client.queued for client in clients)

    while before := queued():
        loop.run(lambda: queued() < before, FLUSH_S)
        if queued() >= before:
            return


def _reap(pid: int) -> None:
    """PID 1 ends when its socket closes; wait so that nothing of the pod is left after us."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def _write_meta(message: dict[str, Any]) -> None:
    """What a portal that adopts the pod, or lists it once it has ended, has to know."""
    plan = message["plan"]
    fields = {
        "name": plan["name"],
        "profile": plan["profile"],
        "argv": plan["program"][0],
        "started": time.time(),
        "socket": message["socket"],
        "named": message["named"],
        "rm": message["rm"],
        "source": message["source"],
        "request": message["request"],
        "monitor_pid": os.getpid(),
        "home": message["home"],
        "group": message["group"],
    }
    write_json(os.path.join(message["state_dir"], "meta.json"), fields)
