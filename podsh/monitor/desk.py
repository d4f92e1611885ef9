"""Where a pod's calls for more are decided: by its domains, by its profiles' rules, by a person.

All of it runs in the monitor's loop; the listeners' threads only bring calls here.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podsh.errors import PodshError, UsageError
from podsh.jail import grant, known
from podsh.jail.resolve import Found, find
from podsh.kernel.uapi import MOUNT_ATTR_RDONLY
from podsh.monitor import caller
from podsh.monitor.grants import Lay, attributes, destination
from podsh.monitor.request import Call, Request, Requests, next_id
from podsh.monitor.sockets import Sockets, is_abstract
from podsh.operations import Hide, hostname
from podsh.policy import access, engine, events
from podsh.policy.access import Access
from podsh.policy.state import Request as Asked
from podsh.policy.state import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podsh.jail.wants import Want
    from podsh.monitor.grants import Mounts, Told
    from podsh.monitor.loop import Loop
    from podsh.policy.access import Mode
    from podsh.policy.engine import Decision
    from podsh.policy.state import State

# how many different things may be asked for at a time
MAX_WAITING = 16
TICK_S = 0.1
MAX_REFUSED = 4096
# told again and again by a program in a loop: so many denials, then one line a second
DENIALS_AT_ONCE = 50


class Desk:
    """One pod's. ``told`` takes events; ``here`` says whether a person could decide now."""

    def __init__(
        self,
        pod: str,
        state: Callable[[], State],
        mounts: Mounts,
        told: Callable[[events.Event | dict[str, Any]], None],
        here: Callable[[], bool],
        loop: Loop,
    ) -> None:
        """state: makes the state that the pod starts with, when it is first needed."""
        self._pod = pod
        self._make_state = state
        self._state: State | None = None
        self._mounts = mounts
        self._told = told
        self._here = here
        self._loop = loop
        self._ticking = False
        self.requests = Requests(pod)
        self._told_full = 0.0
        # what a person refused: for the pod, or for one process (0: for all), by what and how
        self._refused: dict[tuple[caller.Process | None, str, str], None] = {}
        # what was denied because nobody was there to be asked: path and mode
        self.unasked: dict[tuple[str, str], None] = {}
        self._sockets = Sockets()
        # what is hidden below every grant, and whose rules that is by
        self._hiding: tuple[tuple[int, tuple[int, ...]], list[Hide]] | None = None
        self._denials = 0
        self._quiet_until = 0.0
        self.forget: Callable[[], None] = lambda: None  # what was seen there may be gone

    @property
    def state(self) -> State:
        if self._state is None:
            self._state = self._make_state()
        return self._state

    @property
    def known(self) -> State | None:
        """The state, if it was needed so far."""
        return self._state

    @property
    def waiting(self) -> list[Request]:
        return self.requests.waiting

    # -- calls

    def lacking(self, call: Call) -> None:
        """Decide about a held call, now or when a person has."""
        while call.wants:
            want = call.wants[0]
            if self._is_refused(call.pid, want.path, want.mode):
                break
            asked, before = Asked(want.path, want.mode), self.state
            if want.mode == "connect" and (hidden := self._hidden(want.path)):
                # nothing is mounted for it, which would find that out
                decision = engine.Decision("deny", Rule("access.deny", text=hidden))
            else:
                decision = self._step(asked)
            if want.mode == "connect" and decision.verdict == "allowed":
                if self._sockets.covers(want):
                    os.close(want.fd)
                    del call.wants[0]
                    continue
                decision = engine.Decision("ask", Rule("grant"))
            if decision.verdict == "ask":
                self._ask(call, want, decision)
                return
            if decision.verdict == "deny":
                self._deny(call, want, decision.rule)
                break
            moved = decision.verdict == "transition"
            move = (before, self.state, asked, decision) if moved else None
            self._show(call, want, self._missing(want, decision), move)
            return
        call.proceed()

    def _hidden(self, path: str) -> str:
        """What hides a socket, also where its path is another mount's; "": nothing."""
        hiding = None if is_abstract(path) else known.known(self._hides()).hiding(path)
        return hiding[0] if hiding else ""

    def _missing(self, want: Want, decision: Decision) -> tuple[Access, ...]:
        """What must be mounted so that ``want``, which is allowed, is there."""
        if any(access.contains(add.path, want.path) for add in decision.add):
            return decision.add
        # it came to the host after the pod, or a domain left behind had it hidden
        return (Access(want.path, self.state.at(want.path)), *decision.add)

    def _step(self, asked: Asked, try_only: bool = False) -> Decision:
        if is_abstract(asked.path):
            return self._sockets.decide(asked.path, self.state)
        state, decision = engine.step(self.state, asked)
        self._state = self.state if try_only else state
        return decision

    def _show(
        self,
        call: Call,
        want: Want,
        adds: Iterable[Access],
        move: tuple[State, State, Asked, Decision] | None,
    ) -> None:
        pid = call.pid

        def told(error: PodshError | None) -> None:
            os.close(want.fd)
            del call.wants[0]
            self.lacking(call)
            # the program goes on before anybody is told
            if move is not None:
                self._moved(*move, pid)
                self._look_again()
            if error is not None:
                self.note(f"cannot show {want.path}: {error.cause}")

        self._lay(adds, told, want)
        if move is not None:  # while that is being attached
            self._mounts.hostname(hostname(self.state.name))

    def _lay(self, adds: Iterable[Access], told: Told, want: Want | None = None) -> None:
        """Mount ``adds``; the object of ``want`` is taken as it is held."""
        lays: list[Lay] = []
        held: list[int] = []
        shown = self._mounts.shown()
        try:
            for path, perms, _ in adds:
                attrs = attributes(perms)
                there = shown.get(path)
                if there is not None and there.attrs == attrs and there.src == path:
                    if want is None or want.path != path:
                        continue
                if want is not None and want.path == path:
                    found = Found(want.fd, path, want.links)
                    asked, links = (want.asked if want.exists else ""), want.links
                else:
                    known = find(path)
                    if known is None or known.path != path:
                        if known is not None:
                            os.close(known.fd)
                        continue  # not there, or another object's name by now
                    held.append(known.fd)
                    found, asked, links = known, "", ()
                lays.append(Lay(found, path, attrs, asked, links))
            self._mounts.lay(lays, self._hides(), told)
        except PodshError as exc:
            told(exc)
        finally:
            for fd in held:
                os.close(fd)

    def _hides(self) -> list[Hide]:
        state = self.state
        now = (id(state.index), state.index.deniers(state.voices))
        if self._hiding is None or self._hiding[0] != now:
            hides = [Hide(tuple((text, "access.deny") for text in state.hiding()))]
            self._hiding = now, hides
        return self._hiding[1]

    def _moved(
        self, before: State, after: State, asked: Asked, decision: Decision, pid: int
    ) -> None:
        self._emit(
            events.Transition(
                pod=self._pod,
                ts=time.time(),
                pid=pid,
                old=before.name,
                new=after.name,
                path=asked.path,
                mode=asked.mode,
                add=decision.add,
                rule=decision.rule,
            )
        )

    def _look_again(self, but: Request | None = None) -> None:
        """After a move: what waits may be there by now, or lead elsewhere; it is asked anew."""
        for other in self.waiting:
            again = self._step(Asked(other.path, other.mode), try_only=True)
            if other is not but and (again.verdict, again.to) != ("ask", other.to):
                self._emit_fields("gone", id=other.id)
                self._decided(other, "gone", again=True)

    # -- denials

    def _deny(self, call: Call, want: Want, rule: Rule | None) -> None:
        now = time.time()
        if now >= self._quiet_until:
            self._denials += 1
            if self._denials > DENIALS_AT_ONCE:
                self._denials, self._quiet_until = 0, now + 1
            self._emit(
                events.Denied(
                    pod=self._pod, ts=now, pid=call.pid, path=want.path, mode=want.mode, rule=rule
                )
            )

    def _is_refused(self, pid: int, path: str, mode: str) -> bool:
        if not self._refused:
            return False
        if (None, path, mode) in self._refused:
            return True
        who = caller.process(pid)
        return who is not None and (who, path, mode) in self._refused

    # -- a person's

    def _ask(self, call: Call, want: Want, decision: Decision) -> None:
        request = self.requests.same(want)
        if request is not None and self.requests.has_room():
            request.join(call)
            if not request.count & (request.count - 1):  # at 2, 4, 8…: a storm is a few lines
                self._emit_fields("merged", id=request.id, count=request.count)
            return
        if not self._here():
            if len(self.unasked) < MAX_REFUSED:
                self.unasked[want.path, want.mode] = None
            self._deny(call, want, Rule("unattended"))
            call.proceed()
            return
        if len(self.waiting) >= MAX_WAITING or not self.requests.has_room():
            if time.monotonic() > self._told_full + 1:
                self._told_full = time.monotonic()
                self.note(f"{len(self.waiting)} requests wait: denied {want.mode} {want.path}")
            call.proceed()
            return
        request = Request(next_id(), self._pod, call, want, decision, self.state.name)
        self.requests.add(request)
        self._told(request.event())
        self._tick_later()

    def allow(self, ident: int, path: str, mode: Mode, scope: str, told: Told) -> None:
        """A person grants request ``ident``: its object, or a directory above it.

        Raises UsageError; what fails later is told.
        """
        request = self.requests.get(ident)
        request.check(path)
        if request.to and path == request.path:
            self._move(request, told)
            return
        perms = access.READ | access.EXEC | (access.WRITE if mode == "write" else 0)
        if mode == "connect":
            # nothing is mounted for it: the monitor connects to what it holds
            if not is_abstract(path):
                perms = access.READ | access.CONNECT
                self._state = engine.give(self.state, Access(path, perms))
            self._sockets.add(path, request.want.fd)
            self._granted(request, path, mode, scope)
            told(None)
            return
        before = self.state
        self._state = wider = engine.give(before, Access(path, perms))
        adds = (Access(path, wider.at(path)),)

        def laid(error: PodshError | None) -> None:
            if error is None:
                self._granted(request, path, mode, scope)
            else:
                self._not_given(wider, before, path)
            told(error)

        self._lay(adds, laid, request.want)

    def _move(self, request: Request, told: Told) -> None:
        """Yes to a transition that its profile asks about."""
        asked = Asked(request.path, request.mode)
        before = self.state
        self._state, decision = engine.step(before, asked, approved=True)
        if decision.verdict == "transition":
            # what is laid from here on is the new domain's, whether all of it can be or not
            self._mounts.hostname(hostname(self.state.name))
            self._moved(before, self.state, asked, decision, request.pid)
        elif decision.verdict != "allowed":
            raise UsageError("does not lead there any more", place=self.state.name)

        def laid(error: PodshError | None) -> None:
            if error is None:
                self._decided(request, "allowed")
            told(error)

        self._lay(self._missing(request.want, decision), laid, request.want)
        self._look_again(request)

    def _granted(self, request: Request, path: str, mode: Mode, scope: str) -> None:
        self._emit(request.granted(path, mode, scope))
        if scope == "once":
            caller.at_end(self._loop, request.processes(), lambda: self._once_over(path))
        self._decided(request, "allowed")
        self._settles_more(scope)

    def _settles_more(self, scope: str) -> None:
        """After a grant: what else waits for it."""
        for other in self.waiting:
            if self._step(Asked(other.path, other.mode), try_only=True).verdict == "allowed":
                self._emit(other.granted(other.path, other.mode, scope))
                self._decided(other, "allowed", again=True)

    def _once_over(self, path: str) -> None:
        self._ungrant(path)
        try:
            self._mounts.take(path, lambda error: None)
        except PodshError:
            return  # taken back already
        self.forget()
        self._emit(events.Revoked(pod=self._pod, ts=time.time(), path=path))

    def _not_given(self, wider: State, before: State, path: str) -> None:
        """A grant that could not be laid."""
        if self._state is wider:
            self._state = before
        else:
            self._ungrant(path)

    def _ungrant(self, path: str) -> None:
        grants = tuple(given for given in self.state.grants if given.path != path)
        self._state = replace(self.state, grants=grants)
        self._sockets.drop(path)

    def _decided(self, request: Request, state: str, again: bool = False) -> None:
        """Let all its calls go on; a call may lack more. again: they are decided about anew."""
        request.settle(state)
        calls, request.calls = request.calls, []
        for call in calls:
            if again:
                self.lacking(call)
            elif state == "allowed" and call.wants:
                if call.wants[0].mode != "connect":  # another may lie at the path by now
                    os.close(call.wants[0].fd)
                    del call.wants[0]
                self.lacking(call)
            else:
                call.proceed()

    def deny(self, ident: int, always: bool) -> None:
        """A person refuses it: for good, or for the processes that asked."""
        request = self.requests.get(ident)
        for who in [None] if always else request.processes():
            self._refused[who, request.path, request.mode] = None
        while len(self._refused) > MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        self._emit(request.denied())
        self._decided(request, "denied")

    def nobody(self) -> None:
        """Nobody is there any more who could decide."""
        if self._here():
            return
        for request in self.waiting:
            self.deny(request.id, always=False)

    # -- by hand

    def mount(self, src: str, dst: str | None, write: bool, told: Told) -> None:
        """Show a host path, unasked: at its own place it is a grant, elsewhere only shown."""
        if dst is not None:
            dst = destination(dst)
        found = grant.held(src)
        try:
            perms = access.READ | access.EXEC | (access.WRITE if write else 0)
            place = dst or found.path
            before = self.state
            wider = engine.give(before, Access(found.path, perms))
            if dst is None:
                self._state = wider

            def laid(error: PodshError | None) -> None:
                if error is not None:
                    self._not_given(wider, before, found.path)
                else:
                    mode: Mode = "write" if write else "read"
                    self._emit(
                        events.Granted(
                            pod=self._pod, ts=time.time(), path=place, mode=mode, scope="mount"
                        )
                    )
                    self._settles_more("mount")
                told(error)

            self._mounts.lay([Lay(found, place, grant.attributes(write))], self._hides(), laid)
        finally:
            os.close(found.fd)

    def revoke(self, path: str, told: Told) -> None:
        """Take the newest that was given at ``path`` back, with what lies on it."""
        if self._sockets.has(path):
            self._ungrant(path)
            self._revoked(path, told)(None)
            return
        taken = self._mounts.take(path, self._revoked(path, told))
        kept = {entry.dst: entry for entry in self._mounts.given() if entry.src == entry.dst}
        grants = []
        for given in self.state.grants:
            if given.path not in taken:
                grants.append(given)
            elif given.path in kept:
                # an older one shows again: what it gave counts, no more
                writes = not kept[given.path].attrs & MOUNT_ATTR_RDONLY
                perms = given.perms & ~access.WRITE | (access.WRITE if writes else 0)
                grants.append(given._replace(perms=perms))
        self._state = replace(self.state, grants=tuple(grants))
        self.forget()

    def _revoked(self, path: str, told: Told) -> Told:
        def done(error: PodshError | None) -> None:
            if error is None:
                self._emit(events.Revoked(pod=self._pod, ts=time.time(), path=path))
            told(error)

        return done

    # -- while calls wait

    def _tick_later(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """Calls whose callers died are dropped, those with a signal waiting are let go."""
        self._ticking = False
        for request in self.waiting:
            for call in list(request.calls):
                if not call.alive():
                    request.calls.remove(call)
                    call.interrupt()  # for nobody: it lets go of what it holds
                elif caller.signalled(call.pid):
                    request.calls.remove(call)
                    call.interrupt()
            if not request.calls and request.idle():
                request.settle("gone")
                self._emit_fields("gone", id=request.id)
        if self.waiting:
            self._tick_later()

    # -- telling

    def _emit(self, event: events.Event) -> None:
        self._told(event)

    def _emit_fields(self, kind: str, **fields: Any) -> None:
        head = {"v": events.VERSION, "ts": time.time(), "ev": kind, "pod": self._pod}
        self._told(head | fields)

    def note(self, text: str) -> None:
        """Tell a person something about the pod."""
        self._emit_fields("note", text=text)
