"""The pods of one user: the zygote that forks their monitors, the connections to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

from podsh import paths
from podsh.errors import Disconnected, LaunchFailed, PodshError, UsageError, from_wire
from podsh.kernel.address import Address
from podsh.kernel.cgroups import Group
from podsh.portal import bounds, launch, records, revive
from podsh.portal.pods import BUILDING, FAILED, LOST, READY, Pod
from podsh.portal.shred import Shred
from podsh.portal.standbys import LAST_WORDS_S, Standbys
from podsh.wire import messages
from podsh.wire.channel import Channel
from podsh.wire.framing import JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from podsh.portal.networks import Given
    from podsh.portal.packed import Packed

ADOPT_S = 5.0
# how soon consoles follow from one portal to the next
COME_BACK_S = 3.0
ASK_S = 10.0
# ended pods without a name of the person's own are kept up to so many
KEEP_UNNAMED = 100
# requests, decided ones too, of which it is known whose they are
KEEP_ASKED = 4096
# state directories that are being removed; no pod is called so
_DOOMED = ".removed-"


class Fleet:
    """All pods, live and ended; ``on_event(event)`` is told of everything that happens."""

    def __init__(self, on_event: Callable[[dict[str, Any]], None]) -> None:
        self.pods: dict[str, Pod] = {}
        self._on_event = on_event
        self._channels: dict[str, Channel] = {}
        self._answers: dict[int, tuple[Channel, asyncio.Future[dict[str, Any]]]] = {}
        self._orders = 0
        # whose requests are, by their numbers
        self.asked: dict[int, str] = {}
        self._here = False
        self._changed: dict[str, list[asyncio.Future[None]]] = {}
        self._loop = asyncio.get_running_loop()
        self.standbys = Standbys()
        self._removals: set[asyncio.Task[None]] = set()
        # how pods ended that are removed: who waits may come late
        self.gone: dict[str, Pod] = {}

    # -- launching

    async def launch(self, pod: Pod, packed: Packed, message: dict[str, Any], given: Given) -> None:
        """Have a monitor build the pod; returns once it is ready, or running where it starts
        by itself. Raises what the launch failed with. given: what its network takes; it
        is closed."""
        try:
            ours, theirs = self._prepare(pod)
        except BaseException:
            given.close()
            if pod.group is not None:
                pod.group.remove()
            raise
        self.pods[pod.name] = pod
        pod.started = time.time()
        self._connect(pod.name, ours)
        message["present"] = self._here
        try:
            await self.standbys.send(pod.name, packed, message, theirs, given.fds)
        finally:
            theirs.close()
            given.close()
        wanted = {BUILDING, READY} if message["detach"] else {BUILDING}
        while pod.state in wanted:
            await self.change(pod.name)
        if pod.error is not None:
            raise from_wire(pod.error)
        if pod.state == LOST:
            raise LaunchFailed("its monitor ended", place=pod.name, hint="see the portal's log")

    def _prepare(self, pod: Pod) -> tuple[socket.socket, socket.socket]:
        """What there has to be before a pod is one: its directories, a connection."""
        self.standbys.start()
        try:
            os.mkdir(pod.state_dir, 0o700)
        except OSError:
            paths.own_dir(pod.state_dir)
            records.forget(pod.state_dir)
        paths.own_dir(os.path.dirname(pod.socket))
        return socket.socketpair()

    def _connect(self, name: str, sock: socket.socket) -> None:
        channel = Channel(self._loop, sock, self._frame, self._closed)
        channel.tag = name
        self._channels[name] = channel

    def _frame(self, channel: Channel, kind: int, payload: Any) -> None:
        if kind == JSON and "id" in payload and "ev" not in payload:
            asked, answer = self._answers.get(payload["id"], (None, None))
            if answer is not None and asked is channel and not answer.done():
                answer.set_result(payload)
        elif kind == JSON and "ev" in payload:
            try:
                self._apply(channel.tag, payload)
            except messages.BAD_MESSAGE as exc:
                print(f"pod {channel.tag}: {exc}", file=sys.stderr)

    def _closed(self, channel: Channel, _error: Exception | None) -> None:
        name = channel.tag
        if self._channels.get(name) is channel:
            del self._channels[name]
            pod = self.pods.get(name)
            if pod is not None and pod.state == BUILDING:
                self._loop.call_later(2 * LAST_WORDS_S, self._not_built, pod)
            elif pod is not None and not pod.ended:
                self._mark_lost(pod)
        for asked, answer in self._answers.values():
            if asked is channel and not answer.done():  # what it was asked as it went
                answer.set_exception(UsageError("has ended", place=name))

    def _not_built(self, pod: Pod) -> None:
        """Nobody has it: its monitor has ended, or the zygote before it had one."""
        trouble = self.standbys.trouble
        if trouble is None or trouble[0] < pod.started:
            self._mark_lost(pod)
            return
        error = trouble[1].to_wire()
        records.write_exit(pod.state_dir, {"state": FAILED, "exit": 125, "error": error})
        self._apply(pod.name, {"ev": "failed", "code": 125, "error": error})

    def _mark_lost(self, pod: Pod) -> None:
        try:
            os.unlink(pod.socket)
        except OSError:
            pass
        records.write_exit(pod.state_dir, {"state": LOST, "exit": 125})
        self._apply(pod.name, {"ev": "lost", "code": 125})

    def _apply(self, name: str, event: dict[str, Any]) -> None:
        pod = self.pods.get(name)
        if pod is None:
            return
        if pod.apply(event) and pod.ended:
            self._ended(pod)
        if event["ev"] == "request":
            self._learn(pod)
        self._on_event({"ts": time.time(), "pod": name, "profile": pod.profile, **event})
        for future in self._changed.pop(name, ()):
            if not future.done():
                future.set_result(None)

    def _learn(self, pod: Pod) -> None:
        for ident in pod.requests:
            self.asked[ident] = pod.name
        while len(self.asked) > KEEP_ASKED:
            del self.asked[next(iter(self.asked))]

    def _ended(self, pod: Pod) -> None:
        if pod.group is not None:
            self._keep(bounds.remove(pod.group))
            pod.group = None
        if pod.remove:
            self.remove_soon(pod.name)
            return
        unnamed = [p for p in self.pods.values() if p.ended and not p.named]
        unnamed.sort(key=lambda p: p.started)
        for old in unnamed[: max(len(unnamed) - KEEP_UNNAMED, 0)]:
            self.remove_soon(old.name)

    def change(self, name: str) -> asyncio.Future[None]:
        """Done when next something happens to that pod."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._changed.setdefault(name, []).append(future)
        return future

    # -- adoption

    async def adopt(self) -> None:
        """Find the pods of an earlier portal: live ones are taken over, ended ones are listed."""
        base = os.path.join(paths.state_dir(), "pods")
        try:
            names = sorted(os.listdir(base))
        except FileNotFoundError:
            return
        for name in names:
            if name.startswith(_DOOMED):  # its removal was cut short
                shred = Shred.named(name.rpartition("-")[2])
                self._keep(asyncio.to_thread(records.remove_tree, f"{base}/{name}", shred))
        await asyncio.gather(*(self._adopt(name, os.path.join(base, name)) for name in names))
        listening = os.path.dirname(launch.socket_path("any"))
        with contextlib.suppress(FileNotFoundError):
            for name in set(os.listdir(listening)).difference(self.pods):
                path = os.path.join(listening, name)
                await self._adopt_unwritten(name, path, os.path.join(base, name))

    async def _adopt(self, name: str, state_dir: str) -> None:
        meta = records.read(state_dir, "meta.json")
        if meta is None or meta.get("name") != name:
            return
        pod = Pod(name, str(meta.get("profile", "")), state_dir, str(meta.get("socket", "")))
        pod.named = bool(meta.get("named"))
        pod.remove = bool(meta.get("rm"))
        pod.argv = [str(word) for word in meta.get("argv", ())]
        pod.started = float(meta.get("started", 0.0))
        if isinstance(meta.get("group"), dict):
            pod.group = Group.from_wire(meta["group"])
        ended = records.read(state_dir, "exit.json")
        self.pods[name] = pod
        if ended is None:
            try:
                snapshot, channel = await self._reach(pod, int(meta.get("monitor_pid", 0)))
            except (FileNotFoundError, ConnectionRefusedError):
                self._mark_lost(pod)  # nobody listens there
                return
            except (OSError, PodshError, TimeoutError) as exc:
                # somebody does, but busy: not ours to declare dead, a later portal may reach it
                print(f"pod {name}: its monitor does not answer: {exc}", file=sys.stderr)
                pod.state, pod.exit = LOST, 125
                return
            self._adopted(pod, snapshot, channel)
            return
        if pod.group is not None:
            pod.group.remove()
            pod.group = None
        pod.state = str(ended.get("state", LOST))
        pod.exit = int(ended.get("exit", 125))
        pod.signal = ended.get("signal")
        pod.error = ended.get("error")

    async def _reach(self, pod: Pod, monitor_pid: int) -> tuple[dict[str, Any], Channel]:
        """``_ask``, also where the socket's name is gone but not who listens there."""
        end = time.monotonic() + ADOPT_S
        while True:
            try:
                return await self._ask(pod.socket)
            except (FileNotFoundError, ConnectionRefusedError):
                if not revive.wake(monitor_pid, f"podsh: {pod.name}"):
                    raise
                if time.monotonic() > end:
                    raise TimeoutError("it makes no socket") from None
                # it makes its socket in a moment; where that will lie may be to be made, too
                await asyncio.sleep(0.01)

    async def _adopt_unwritten(self, name: str, path: str, state_dir: str) -> None:
        """A pod of which nothing could be written down (a full disk); its monitor listens."""
        pod = Pod(name, "", state_dir, path)
        pod.named = True  # if it was, its home is the person's
        try:
            snapshot, channel = await self._ask(path)
        except (FileNotFoundError, ConnectionRefusedError):
            os.unlink(path)
        except (OSError, PodshError, TimeoutError) as exc:
            print(f"pod {name}: its monitor does not answer: {exc}", file=sys.stderr)
        else:
            self.pods[name] = pod
            self._adopted(pod, snapshot, channel)

    def _adopted(self, pod: Pod, snapshot: dict[str, Any], channel: Channel) -> None:
        pod.take(snapshot)
        self._learn(pod)
        channel.tag = pod.name
        channel.rebind(self._frame, self._closed)
        self._channels[pod.name] = channel
        # a console that the portal of before had comes back soon: until then its word counts
        self._loop.call_later(0.0 if self._here else COME_BACK_S, self._tell_present, pod.name)
        self._on_event({"ev": "adopted", "ts": time.time(), "pod": pod.name, "pid": pod.pid})

    async def _ask(self, path: str) -> tuple[dict[str, Any], Channel]:
        """Say hello to a live monitor and ask what its pod is."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.setblocking(False)
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()

        def frame(_: Channel, kind: int, payload: Any) -> None:
            if kind == JSON and "ok" in payload and not answer.done():
                answer.set_result(payload["ok"])
            elif kind == JSON and "error" in payload and not answer.done():
                answer.set_exception(from_wire(payload["error"]))

        def closed(_: Channel, error: Exception | None) -> None:
            if not answer.done():
                answer.set_exception(error or Disconnected("the monitor closed"))

        try:
            with Address(path) as address:
                await asyncio.wait_for(self._loop.sock_connect(sock, address), ADOPT_S)
        except BaseException:
            sock.close()
            raise
        channel = Channel(self._loop, sock, frame, closed)
        channel.send(messages.hello(messages.PORTAL))
        channel.send({"op": "snapshot", "id": 1})
        try:
            return await asyncio.wait_for(answer, ADOPT_S), channel
        except BaseException:
            channel.close()
            raise

    # -- orders

    def get(self, name: str) -> Pod:
        pod = self.pods.get(name)
        if pod is None:
            import difflib

            near = difflib.get_close_matches(name, self.pods, 1)
            hint = f"did you mean {near[0]}?" if near else "see: podsh ps"
            raise UsageError(f"no pod called {ascii(name)[1:-1]}", hint=hint)
        return pod

    def request(self, pod: Pod) -> dict[str, Any]:
        """What the person asked for when the pod was started, as its monitor wrote it down."""
        request = self.meta(pod).get("request")
        return request if isinstance(request, dict) else {}

    def meta(self, pod: Pod) -> dict[str, Any]:
        """What the monitor of the pod of that name, or of an earlier one, wrote down."""
        return records.read(pod.state_dir, "meta.json") or {}

    def order(self, name: str, op: str, **fields: Any) -> None:
        """Send a word to a pod's monitor; a pod that has just ended is no error."""
        channel = self._channels.get(name)
        if channel is not None:
            channel.send({"op": op, **fields})

    async def ask(self, name: str, op: str, **fields: Any) -> dict[str, Any]:
        """Send a word to a live pod's monitor and wait for its answer; raises the error in it."""
        pod = self.get(name)
        channel = self._channels.get(name)
        if pod.ended or channel is None:
            raise UsageError("has ended", place=name)
        self._orders += 1
        ident = self._orders
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        self._answers[ident] = channel, answer
        channel.send({"op": op, "id": ident, **fields})
        try:
            async with asyncio.timeout(ASK_S):
                message = await answer
        except TimeoutError:
            raise Disconnected("its monitor does not answer", place=name) from None
        finally:
            self._answers.pop(ident, None)
        if "error" in message:
            raise from_wire(message["error"])
        found: dict[str, Any] = message["ok"]
        return found

    def _tell_present(self, name: str) -> None:
        self.order(name, "present", here=self._here)

    def present(self, here: bool) -> None:
        """Whether some console is open, told to every monitor: a person may be asked then."""
        if here == self._here:
            return
        self._here = here
        for name in self._channels:
            self.order(name, "present", here=here)

    def remove_soon(self, name: str) -> None:
        self._keep(self.remove(name))

    def _keep(self, removal: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(removal)
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def remove(self, name: str, shred: Shred | None = None) -> None:
        """Forget an ended pod and delete its state directory, the files overwritten first."""
        pod = self.get(name)
        if not pod.ended:
            raise UsageError("is running", place=name, hint=f"end it first: podsh kill {name}")
        del self.pods[name]
        self.gone.pop(name, None)
        self.gone[name] = pod
        if len(self.gone) > KEEP_UNNAMED:
            del self.gone[next(iter(self.gone))]
        # at once out of the way: a new pod of that name makes its own
        doomed = os.path.join(
            os.path.dirname(pod.state_dir), _DOOMED + f"{secrets.token_hex(8)}-{shred or ''}"
        )
        try:
            os.rename(pod.state_dir, doomed)
        except FileNotFoundError:
            pass
        else:
            await asyncio.to_thread(records.remove_tree, doomed, shred)
        self._on_event({"ev": "removed", "ts": time.time(), "pod": name})

    async def settle(self) -> None:
        """Wait for removals under way."""
        if self._removals:
            await asyncio.gather(*self._removals, return_exceptions=True)

    def listen_again(self) -> None:
        """Have every monitor make its socket anew, where its name is gone."""
        for name in self._channels:
            self.order(name, "listen")

    def disconnect(self) -> None:
        """Leave all live pods to themselves."""
        for channel in list(self._channels.values()):
            channel.close()
        self._channels.clear()
