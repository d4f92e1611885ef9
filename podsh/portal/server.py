"""The portal's socket: clients, their calls, and the events that they follow."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import traceback
from typing import TYPE_CHECKING, Any

from podsh import paths
from podsh.errors import PodshError, TimedOut, UntrustedInput, UsageError
from podsh.portal import bounds, chart, launch, networks, podfile, records
from podsh.portal.decisions import Decisions, path_of
from podsh.portal.domains import Domains
from podsh.portal.door import Door
from podsh.portal.fleet import Fleet
from podsh.portal.journal import Journal, Wanted
from podsh.portal.packed import Likewise, Packed
from podsh.portal.pods import BUILDING, LOST, READY, Pod
from podsh.portal.shred import MAX_PASSES, Shred
from podsh.profiles import find
from podsh.wire import messages
from podsh.wire.channel import Channel
from podsh.wire.framing import JSON

if TYPE_CHECKING:
    import socket

    from podsh.operations import JailPlan
    from podsh.profiles.schema import Context, Profile

# kill of a whole pod: so long for its program to end by itself
TERM_S = 2.0
MAX_WAIT_S = 366 * 86400.0


# what of a run is written down, for ``profile new --from POD``
_REQUEST = ("profiles", "ro", "rw", "net", "env", "home_mode", "x11", "wayland")


class Portal:
    """Serves one listening socket until stopped."""

    def __init__(self, listener: socket.socket) -> None:
        self.stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._door = Door(listener, self._loop, self._enter)
        self._journal = Journal(lambda follower: self._closed(follower, None))
        self._remembered = False
        self._fleet = Fleet(self._journal.add)
        self._clients: set[Channel] = set()
        # pods that a foreground client has not started yet: its end is theirs
        self._promised: dict[Channel, list[Pod]] = {}
        # followers of events at which a person sits, who may be asked
        self._consoles: set[Channel] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._library = find.Library(paths.config_dir())
        self._domains = Domains(self._library)
        self._likewise = Likewise()
        self._decisions = Decisions(self._fleet, self._library, self._domains)

    async def open(self) -> None:
        """Adopt what is running, start the zygote, listen."""
        for path in paths.own_paths()[:4]:
            paths.own_dir(path)  # hidden from pods, so they have to be there
        try:
            self._fleet.standbys.start()
        except PodshError as exc:
            os.write(2, f"{exc}\n".encode())  # the first launch says it again
        await self._fleet.adopt()
        self._door.open()

    def listen_at(self, listener: socket.socket) -> None:
        """Go on at this one: the name of the other is gone."""
        self._door.move(listener)
        self._fleet.listen_again()

    def stop(self) -> None:
        self.stopped.set()

    async def close(self) -> None:
        """Stop serving; live pods go on, ended ones without a name of their own are forgotten."""
        try:
            os.unlink(os.path.join(paths.runtime_dir(), "portal.sock"))
        except OSError:
            pass
        self._door.close()
        self._fleet.disconnect()
        for pod in list(self._fleet.pods.values()):
            if pod.ended and not pod.named:
                self._fleet.remove_soon(pod.name)
        await self._fleet.settle()
        self._fleet.standbys.stop()
        await self._fleet.standbys.bury()
        for client in list(self._clients):
            client.send(messages.BYE)
        for client in list(self._clients):
            await _flush(client, 1.0)
            client.close()

    # -- connections

    def _enter(self, sock: socket.socket) -> None:
        channel = Channel(self._loop, sock, self._frame, self._closed)
        channel.tag = False  # no hello yet
        self._clients.add(channel)

    def _closed(self, channel: Channel, _error: Exception | None) -> None:
        self._clients.discard(channel)
        self._journal.leave(channel)
        self._consoles.discard(channel)
        self._fleet.present(bool(self._consoles))
        for pod in self._promised.pop(channel, ()):
            if pod.state in (BUILDING, READY):
                self._fleet.order(pod.name, "kill", signo=int(signal.SIGKILL))

    def _frame(self, channel: Channel, kind: int, payload: Any) -> None:
        if not channel.tag:
            try:
                if kind != JSON:
                    raise UntrustedInput("the first frame is no hello")
                messages.check_hello(payload)
                channel.tag = True
                channel.send(messages.hello_answer(os.getpid()))
            except PodshError as exc:
                answer = messages.hello_answer(os.getpid())
                channel.send(answer | {"error": exc.to_wire()})
                channel.finish()
            return
        if kind == JSON:
            task = self._loop.create_task(self._call(channel, payload))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    async def _call(self, channel: Channel, message: dict[str, Any]) -> None:
        ident = message.get("id")
        operation = _OPERATIONS.get(str(message.get("op")))
        try:
            if operation is None:
                raise UsageError(
                    f"the portal does not know {message.get('op')!a}",
                    hint="it may be older: podsh shutdown, then try again",
                )
            answer = await operation(self, channel, message)
            if answer is not None:
                channel.send({"id": ident, "ok": answer})
        except PodshError as exc:
            channel.send({"id": ident, "error": exc.to_wire()})
        except messages.BAD_MESSAGE as exc:
            error = UsageError(f"bad message: {type(exc).__name__}: {exc}", place="portal")
            channel.send({"id": ident, "error": error.to_wire()})
        except OSError as exc:
            error = UsageError(str(exc.strerror), place=str(exc.filename or "portal"))
            channel.send({"id": ident, "error": error.to_wire()})
        except Exception as exc:
            traceback.print_exc()  # our own fault; who asked must not wait for ever
            own = PodshError(f"{type(exc).__name__}: {exc}", place="portal", hint="see its log")
            channel.send({"id": ident, "error": own.to_wire()})

    # -- events

    async def follow(self, channel: Channel, message: dict[str, Any]) -> None:
        """events: answer, replay the kept ones if asked, then everything that comes."""
        wanted = Wanted.of(message)
        last = message.get("last")
        follows = bool(message.get("follow", True))
        if message.get("since") == "start":
            await self._remember()
        for name in wanted.pods:
            if not (follows or self._journal.knows(name)):
                self._fleet.get(name)  # says what is meant, where there is none
        channel.send({"id": message.get("id"), "ok": {}})
        if message.get("since") == "start":
            for event in self._journal.past(wanted, None if last is None else int(last)):
                channel.send(event)
        channel.send({"ev": "live"})
        if channel.closed or not follows:
            return
        self._journal.follow(channel, wanted)
        if message.get("console"):
            self._consoles.add(channel)
            self._fleet.present(True)

    async def _remember(self) -> None:
        """What pods wrote down before this portal was there, once somebody wants to know."""
        if not self._remembered:
            self._remembered = True
            pods = [(pod.name, pod.state_dir) for pod in self._fleet.pods.values()]
            begun = self._journal.begun
            self._journal.add_past(await asyncio.to_thread(records.past, pods, begun))

    # -- pods

    async def run(self, client: Channel, message: dict[str, Any]) -> dict[str, Any]:
        ctx = launch.context(message)
        start = launch.start(self._domains, self._library, message, ctx)
        profile = start.profile
        shown = await launch.displays_of(profile, message, ctx)
        fleet = self._fleet
        name = launch.choose_name(message, profile, fleet.pods)
        packed = self._likewise.find(message, profile)
        plan = packed.plan if packed else launch.plan(message, profile, name, ctx, shown)
        xserver = launch.xserver(message, self._library, name, ctx, shown)
        old = fleet.pods.get(name)
        if old is not None and not old.ended:
            raise UsageError(
                "is already running", place=name, hint="attach to it, or give another name with -n"
            )
        pod = Pod(name, profile.name, launch.state_dir(name), launch.socket_path(name))
        source = profile.source if profile.dialect == "pod" else ""
        if message.get("name") is None and source:
            self._owns_state(pod, source)
        pod.named = message.get("name") is not None or bool(source)
        pod.remove = bool(message.get("rm"))
        pod.argv = list(plan.program.argv)
        plan, given = networks.settled(plan, profile, fleet.pods.values(), pod.state_dir)
        pod.network = plan.network.shown()
        detach = bool(message.get("detach")) or plan.program.daemon
        if not detach:
            promised = [p for p in self._promised.get(client, ()) if not p.ended]
            self._promised[client] = [*promised, pod]
        request = {key: message.get(key) for key in _REQUEST}
        with given:  # which the launch closes once the monitor has it
            pod.group = bounds.group_for(plan)
            if packed is None and pod.group is None:
                packed = self._packed(message, profile, ctx, plan)
            await fleet.launch(
                pod,
                packed or Packed(plan, relative=False),
                {
                    "xserver": launch.xserver_fields(xserver, pod.state_dir),
                    "state_dir": pod.state_dir,
                    "socket": pod.socket,
                    "detach": detach,
                    "named": pod.named,
                    "source": source,
                    "home": launch.own_home(plan),
                    "group": pod.group.to_wire() if pod.group else None,
                    "rm": pod.remove,
                    "rows": int(message.get("rows", 24)),
                    "cols": int(message.get("cols", 80)),
                    "request": request,
                    "policy": start.policy,
                },
                given,
            )
        notes = [*start.notes, *plan.notes]
        if plan.program.log:
            notes.append(f"what it writes is kept in {plan.program.log}")
        return {**pod.row(), "daemon": plan.program.daemon, "notes": notes}

    def _packed(
        self, message: dict[str, Any], profile: Profile, ctx: Context, plan: JailPlan
    ) -> Packed:
        """The plan as it is sent; kept where the next pod's would differ in its name alone."""
        common = launch.common(message, profile, ctx, plan)
        if common is None:
            return Packed(plan, relative=False)
        packed = Packed(common, relative=True)
        self._likewise.keep(message, profile, packed)
        return packed

    def _owns_state(self, pod: Pod, source: str) -> None:
        """A pod file names its pod's state; another file of that name must not get at it."""
        before = self._fleet.meta(pod)
        if before and before.get("source") != source:
            owner = before.get("source") or "a pod started with -n"
            raise UsageError(
                f"the state of that name belongs to {owner}",
                place=pod.name,
                hint=f"give another name with -n, or remove it: podsh rm {pod.name}",
            )

    async def plan(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        ctx = launch.context(message)
        start = launch.start(self._domains, self._library, message, ctx)
        shown = await launch.displays_of(start.profile, message, ctx)
        name = launch.choose_name(message, start.profile, self._fleet.pods)
        plan = launch.plan(message, start.profile, name, ctx, shown)
        pods = self._fleet.pods.values()
        plan = networks.foretold(plan, start.profile, pods, launch.state_dir(name))
        lines = plan.describe()
        if xserver := launch.xserver(message, self._library, name, ctx, shown):
            lines += ["", "its X server, in a jail of its own:", *xserver.describe()]
        return {"lines": lines, "notes": [*start.notes, *plan.notes]}

    async def pod_file(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        """A pod that a ``run`` would start, as the lines of a ``.pod`` file."""
        ctx = launch.context(message)
        profile = launch.start(self._domains, self._library, message, ctx).profile
        shown = await launch.displays_of(profile, message, ctx)
        name = launch.choose_name(message, profile, self._fleet.pods)
        plan = launch.plan(message, profile, name, ctx, shown)
        return {
            "lines": podfile.lines(profile, plan, ctx.home),
            "argv": list(plan.program.argv),
            "named": profile.dialect == "pod" or message.get("name") is not None,
        }

    async def ps(self, _: Channel, __: dict[str, Any]) -> dict[str, Any]:
        pods = self._fleet.pods.values()
        return {
            "pods": [
                {**pod.row(), "usage": pod.group.usage() if pod.group else None} for pod in pods
            ]
        }

    async def pod(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        pod = self._fleet.get(str(message["name"]))
        log = os.path.join(pod.state_dir, "log")
        return {**pod.row(), "log": log, "home": self._fleet.meta(pod).get("home")}

    async def kill(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        pod = self._fleet.get(str(message["name"]))
        if pod.ended:
            raise UsageError("has already ended", place=pod.name)
        signo = message.get("signal")
        if signo is not None:
            self._fleet.order(pod.name, "kill", signo=int(signo))
        else:
            self._fleet.order(pod.name, "kill", signo=int(signal.SIGTERM))
            self._loop.call_later(TERM_S, self._kill_hard, pod)
        return {}

    def _kill_hard(self, pod: Pod) -> None:
        if not pod.ended:
            self._fleet.order(pod.name, "kill", signo=int(signal.SIGKILL))

    async def rm(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        shred = None
        if passes := int(message.get("passes", 0)):
            if not 0 < passes <= MAX_PASSES:
                hint = f"at most {MAX_PASSES}"
                raise UsageError(f"{passes} passes are too many", place="rm", hint=hint)
            shred = Shred(passes, bool(message.get("random")))
        await self._fleet.remove(str(message["name"]), shred)
        return {"notes": shred.notes() if shred else []}

    async def wait(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("what") == "request":
            return await self._decisions.wait(message)
        name = str(message["name"])
        pod = self._fleet.pods.get(name) or self._fleet.gone.get(name) or self._fleet.get(name)
        limit = message.get("timeout_s")
        try:
            async with asyncio.timeout(None if limit is None else min(float(limit), MAX_WAIT_S)):
                while not pod.ended:
                    await self._fleet.change(pod.name)
        except TimeoutError:
            raise TimedOut("is still running", place=pod.name) from None
        return {"exit": pod.exit, "signal": pod.signal, "state": pod.state}

    async def mount(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        fields = {key: message.get(key) for key in ("src", "dst", "write")}
        return await self._fleet.ask(str(message["name"]), "mount", **fields)

    async def revoke(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        return await self._fleet.ask(str(message["name"]), "revoke", path=str(message["path"]))

    async def requests(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        return await self._decisions.requests(message)

    async def allow(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        return await self._decisions.allow(message)

    async def save_targets(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        return await self._decisions.save_targets(message)

    async def deny(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        return await self._decisions.deny(message)

    async def why(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        return await self._decisions.why(message)

    async def graph(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        return await chart.draw(self._fleet, self._library, self._domains, message)

    async def shutdown(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        fleet = self._fleet
        live = [pod for pod in fleet.pods.values() if not pod.ended]
        if message.get("kill"):
            for pod in live:
                fleet.order(pod.name, "kill", signo=int(signal.SIGKILL))
            try:
                async with asyncio.timeout(10.0):
                    for pod in live:
                        while not pod.ended:
                            await fleet.change(pod.name)
            except TimeoutError:
                left = ", ".join(pod.name for pod in live if not pod.ended)
                raise TimedOut(f"still running: {left}", place="shutdown") from None
            live = []
        self._loop.call_soon(self.stop)
        return {"left_running": [pod.name for pod in live]}

    # -- profiles and the rest

    async def profiles(self, _: Channel, __: dict[str, Any]) -> dict[str, Any]:
        return {
            "profiles": [
                {"name": name, "path": str(path), "description": description}
                for name, path, description in self._library.names()
            ]
        }

    async def profile(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        ctx = launch.context(message)
        return dataclasses.asdict(self._library.load(str(message["name"]), ctx))

    async def from_pod(self, _: Channel, message: dict[str, Any]) -> dict[str, Any]:
        """What ``profile new --from POD`` writes: the pod's profiles and what was added."""
        pod = self._fleet.get(str(message["pod"]))
        request = self._fleet.request(pod)
        extends = request.get("profiles") or [find.BASE]
        net = request.get("net")
        binds = [{"path": path, "write": False} for path in request.get("ro") or ()]
        binds += [{"path": path, "write": True} for path in request.get("rw") or ()]
        found = {} if pod.ended else await self._fleet.ask(pod.name, "domain")
        if found and not request.get("profiles") and len(found["candidates"]) == 1:
            # started by command, it has that domain's files, and what that denies; no more
            extends = [str(found["candidates"][0])]
            net = net or self._library.load(find.BASE).net.mode
            given = found["grants"]
            binds += [
                {"path": path_of(row), "write": row["mode"].startswith("write")} for row in given
            ]
        elif found:
            given = (await self._fleet.ask(pod.name, "snapshot"))["grants"]
            binds += [{"path": row["src"], "write": row["write"]} for row in given]
        return {
            "home_mode": request.get("home_mode"),
            "extends": extends,
            "binds": binds,
            "net": net,
            "x11": request.get("x11"),
            "wayland": bool(request.get("wayland")),
            "env": request.get("env") or {},
            "cmd": pod.argv,
        }

    async def status(self, _: Channel, __: dict[str, Any]) -> dict[str, Any]:
        pods = [pod for pod in self._fleet.pods.values() if not pod.ended]
        lost = [pod.name for pod in self._fleet.pods.values() if pod.state == LOST]
        return {
            "pid": os.getpid(),
            "version": messages.VERSION,
            "pods": len(pods),
            "lost": lost,
            "zygote": self._fleet.standbys.pid,
        }


async def _flush(client: Channel, patience_s: float) -> None:
    """Wait until it was given everything, is gone, or took nothing for so long."""
    drained = asyncio.Event()
    client.on_drain = lambda _: drained.set()
    while (queued := client.queued) and not client.closed:
        try:
            async with asyncio.timeout(patience_s):
                await drained.wait()
        except TimeoutError:
            if client.queued == queued:
                return


_OPERATIONS: dict[str, Any] = {
    "events": Portal.follow,
    "run": Portal.run,
    "plan": Portal.plan,
    "pod_file": Portal.pod_file,
    "ps": Portal.ps,
    "pod": Portal.pod,
    "kill": Portal.kill,
    "rm": Portal.rm,
    "wait": Portal.wait,
    "mount": Portal.mount,
    "revoke": Portal.revoke,
    "requests": Portal.requests,
    "allow": Portal.allow,
    "save_targets": Portal.save_targets,
    "deny": Portal.deny,
    "why": Portal.why,
    "graph": Portal.graph,
    "shutdown": Portal.shutdown,
    "profiles": Portal.profiles,
    "profile": Portal.profile,
    "from_pod": Portal.from_pod,
    "status": Portal.status,
}
