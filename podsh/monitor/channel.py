"""All of a pod's requests in one place: listeners, the desk, the mounts, the audit."""

from __future__ import annotations

import _thread
import errno
import marshal
import os
import traceback
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podsh.jail import grant, orders, whole
from podsh.jail.owned import Owned
from podsh.kernel import notify
from podsh.monitor.audit import Audit
from podsh.monitor.calls import Calls
from podsh.monitor.connect import Connect, Connector
from podsh.monitor.connecting import Connecting
from podsh.monitor.desk import Desk
from podsh.monitor.grants import Mounts
from podsh.monitor.listen import Listeners
from podsh.operations import Tmpfs
from podsh.policy import wire
from podsh.policy.access import Access
from podsh.policy.domain import Index
from podsh.policy.events import path_to_wire
from podsh.policy.state import State, start_as, start_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.jail.live import Live
    from podsh.kernel.notify import Notification
    from podsh.monitor.launch import Jail
    from podsh.monitor.loop import Loop
    from podsh.monitor.request import Call
    from podsh.policy.events import Event

PUBLISH_S = 0.05
# what nobody waits for is told so much later: a program that reached for one thing is likely to
# reach for more at once
TELL_S = 0.002
_AT_LEISURE = frozenset(("denial", "transition"))
_SOME = 3
# events that the pod's audit keeps
_KEPT = frozenset(
    ("request", "grant", "denial", "gone", "transition", "revoke", "note", "call", "oom")
)


def state_of(policy: dict[str, Any]) -> State:
    """What a pod with a policy of the portal's begins in, without what the command line gave."""
    read: dict[int, Any] = {}
    domains = marshal.loads(policy["domains"])
    index = Index([wire.from_wire(fields, read) for fields in domains])
    if policy["own"] is None:
        state = start_in(index, policy["hidden"])
    else:
        state = start_as(index, wire.from_wire(marshal.loads(policy["own"])), policy["hidden"])
    index.widened(state.candidates, state.candidates)  # keeps what the first decision needs
    return state


class Channel:
    """One pod's. ``notify`` takes events to the portal; ``terminal``: somebody is attached."""

    def __init__(
        self,
        loop: Loop,
        jail: Jail,
        notify: Callable[[dict[str, Any]], None],
        terminal: Callable[[], bool],
    ) -> None:
        self._jail = jail
        self._notify = notify
        self._terminal = terminal
        self._loop = loop
        self._killable = True
        self.present = jail.present  # a console is open
        self.mounts = Mounts(jail.init, jail.shown, jail.place, self._more)
        self.desk = Desk(jail.name, self._state, self.mounts, self._told, self.here, loop)
        self.desk.forget = self._forget
        self._live: Live | None = None
        self._listeners: Listeners | None = None
        self._connector: Connector | None = None
        self._owned: Owned | None = None
        self._calls: Calls | None = None
        self._refused: deque[dict[str, Any]] = deque()  # calls, not yet told of
        if jail.spec.report or jail.spec.trace:
            self._calls = Calls(jail.plan.filter, jail.spec, self._call)
        if jail.parked is not None:
            # what the program asks for is here before the program is
            self._killable = jail.parked.killable
            self._begin(jail.parked.listeners, jail.parked.connector)
        self._publishing = False
        self._untold: deque[Event | dict[str, Any]] = deque()
        self._telling = False
        self._audit = Audit(os.path.join(jail.state_dir, "audit.jsonl"))

    def here(self) -> bool:
        """Whether a request may wait: a person could decide, or it was said so."""
        if not self._killable:
            return False  # before Linux 5.19 a signal would make it fail, again and again
        return self.present or self._terminal() or self._jail.policy["unattended"] == "hold"

    def _state(self) -> State:
        state = self._jail.state or state_of(self._jail.policy)
        shown = tuple(Access(path, perms) for path, perms in self._jail.policy["grants"])
        return replace(state, grants=shown)

    def answer(self, message: orders.Message) -> bool:
        """A message of init's; False if it is about something else."""
        if message.kind == orders.LISTENER:
            self._listen(message)
            return True
        return self.mounts.answer(message)

    def _listen(self, message: orders.Message) -> None:
        if not message.fds:
            return  # none was left for it: its calls fail as of a kernel without them
        if self._listeners is None:
            self._begin(Listeners(self.live, self._calls), Connector(self.live.root))
            assert self._listeners is not None
        self._killable = message.killable
        self._listeners.listen(message.fds[0])

    def _begin(self, listeners: Listeners, connector: Connector) -> None:
        self._listeners, self._connector, self._live = listeners, connector, listeners.live
        connector.decide_by(self._is_own, self._connecting, self._jail.plan.twins())
        listeners.decide_by(self._lacking, self._connect)
        self._loop.add_reader(listeners.misses(), self._missed)

    @property
    def live(self) -> Live:
        """The pod as its programs see it."""
        if self._live is None:
            self._live = self._jail.look()
        return self._live

    def _lacking(self, call: Call) -> None:
        """In a listener's thread."""
        self._loop.call_soon_threadsafe(self.take, call)

    def _missed(self) -> None:
        """A call that lacks something plain came past the listener's thread."""
        assert self._listeners is not None
        held = self._listeners.missed()
        if held is not None:
            self.take(held)

    def _more(self) -> None:
        """Something is about to be attached, or was: nothing that a program knows of what is
        missing holds any more."""
        self._jail.generation.bump()
        device = grant.mask_device()
        if device is not None and self._listeners is not None:
            self._listeners.hide(device)

    def take(self, call: Call) -> None:
        """Decide about a call; whatever happens, it does not wait for ever."""
        try:
            self.desk.lacking(call)
        except Exception:
            traceback.print_exc()  # the portal's log
            call.proceed()

    def _connect(self, listener: int, note: Notification) -> bool:
        """In a listener's thread: a connect(2)."""
        assert self._connector is not None
        try:
            return self._connector.handle(listener, note)
        except Exception:
            traceback.print_exc()  # the portal's log; the thread goes on, the connect never does
            notify.refuse(listener, note.id, errno.EACCES)
            return False

    def _is_own(self, fd: int) -> bool:
        """In a listener's thread: whether a socket's file is on a filesystem of the pod's, or one
        that its plan has given it by name."""
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) in self._jail.sockets:
            return True  # its number is nobody else's while it is mounted
        if self._owned is None:
            places = {op.path for op in self._jail.plan.ops if isinstance(op, Tmpfs)}
            shown = tuple(self.mounts.shown().values())
            self._owned = Owned(self._jail.init_pid, places, shown)
        return self._owned.has(fd)

    def _connecting(self, connect: Connect) -> None:
        """In a listener's thread: a socket that is not the pod's."""
        assert self._connector is not None
        self._lacking(Connecting(self._connector, connect))

    def _call(self, event: dict[str, Any]) -> None:
        """In a listener's thread: a call was refused, or ended its process."""
        self._refused.append({"pod": self._jail.name, **event})
        self._loop.call_soon_threadsafe(self._tell_refused)

    def _tell_refused(self) -> None:
        while self._refused:
            self._told(self._refused.popleft())

    def ending(self) -> dict[str, int] | None:
        """The main program has ended, which is told next: what came before it is told now. How
        often each call was made in a pod that is traced, None in others."""
        self._tell_refused()
        if self._calls is None or not self._calls.trace:
            return None
        return self._calls.total()

    def _forget(self) -> None:
        if self._listeners is not None:
            self._listeners.forget()
        # the next mount may get the number of one that is gone
        self._jail.generation.publish(())
        self.publish_later()

    def publish_later(self) -> None:
        """Tell programs, in a moment and once for many changes, which mounts need no questions."""
        if not self._publishing:
            self._publishing = True
            self._loop.call_later(PUBLISH_S, self._publish)

    def _publish(self) -> None:
        self._publishing = False
        whole.publish(self._jail.generation, self._jail.init_pid)

    def tell(self, event: dict[str, Any]) -> None:
        """An event of the pod's that is about no request."""
        self._told({"pod": self._jail.name, **event})

    def _told(self, event: Event | dict[str, Any]) -> None:
        kind = event["ev"] if isinstance(event, dict) else event.ev
        if kind in ("grant", "transition"):
            self._jail.generation.bump()
            self.publish_later()
        self._untold.append(event)
        if kind not in _AT_LEISURE:
            self.tell_all()
        elif not self._telling:
            self._telling = True
            self._loop.call_later(TELL_S, self.tell_all)

    def tell_all(self) -> None:
        """Now, in the order in which it happened."""
        self._telling = False
        while self._untold:
            first = self._untold.popleft()
            event = first if isinstance(first, dict) else first.to_wire()
            if event["ev"] in _KEPT:
                self._audit.write(event)
            self._notify(event)

    @property
    def calls(self) -> int:
        """How many were held so far, for a moment or longer."""
        return self._listeners.count if self._listeners is not None else 0

    def works(self) -> bool:
        """Whether threads are at work, beside those that wait for calls."""
        waiting = len(self._listeners.served) if self._listeners is not None else 0
        return _thread._count() > waiting

    def denied(self) -> dict[str, Any]:
        """For the end of a program: what nobody could be asked about, the first few by name."""
        found = self.desk.unasked
        if not found:
            return {}
        some = [{"mode": mode, **path_to_wire(path)} for path, mode in list(found)[:_SOME]]
        return {"denied": {"count": len(found), "some": some}}

    def close(self) -> None:
        if self._connector is not None:
            self._connector.close()
        self.tell_all()
        self._audit.close()
