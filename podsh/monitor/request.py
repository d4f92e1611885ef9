"""One thing that a pod asks a person for, and the calls that wait for it."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from podsh import paths
from podsh.errors import UsageError
from podsh.jail.resolve import below
from podsh.monitor import caller
from podsh.monitor.sockets import is_abstract
from podsh.policy import events
from podsh.policy.events import path_to_wire, rule_to_wire

if TYPE_CHECKING:
    from podsh.jail.wants import Want
    from podsh.policy.access import Mode
    from podsh.policy.engine import Decision

# a call that was interrupted by a signal is often made again at once
IDLE_S = 1.0
KEPT = 64
MAX_CALLS = 512
MAX_PROCESSES = 512


def next_id() -> int:
    """A number that no request of this user has had: counted in the runtime directory, since pods
    outlive the portal. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(os.path.join(paths.runtime_dir(), "requests"), flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        number = int(os.pread(fd, 32, 0) or b"0") + 1
        os.pwrite(fd, b"%d" % number, 0)
        return number
    finally:
        os.close(fd)


class Call(Protocol):
    """A call that lacks something; ``wants``: what is still to be decided."""

    pid: int
    wants: list[Want]

    def proceed(self) -> bool:
        """Let it go on; False where nobody waits for it any more."""

    def interrupt(self) -> bool:
        """Let it end for a signal."""

    def alive(self) -> bool:
        """Whether somebody waits for it."""


class Request:
    """``state``: waiting, allowed, denied, gone. Holds the object until then.

    ``mode`` and ``path``: what would be granted; see ``Want`` for the rest.
    """

    def __init__(
        self, ident: int, pod: str, call: Call, want: Want, decision: Decision, domain: str
    ) -> None:
        self.id = ident
        self.pod = pod
        self.pid = call.pid
        self.path = want.path
        self.mode = want.mode
        self.want = want._replace(fd=os.dup(want.fd))
        self.calls: list[Call] = [call]
        self.count = 1
        self.state = "waiting"
        self.to = decision.to
        self.rule = decision.rule
        self.domain = domain
        self.ts = time.time()
        self.argv = caller.argv(call.pid)
        self.parent = caller.parent(call.pid)
        self._processes: dict[caller.Process, None] = {}
        self._seen = time.monotonic()
        self._remember(call)

    def _remember(self, call: Call) -> None:
        self._seen = time.monotonic()
        who = caller.process(call.pid)
        if who is not None:
            self._processes[who] = None
        if len(self._processes) > MAX_PROCESSES:
            # a program may ask by one short-lived process after the other
            alive = [one for one in self._processes if caller.process(one.pid) == one]
            self._processes = dict.fromkeys(alive[-MAX_PROCESSES // 2 :])

    def join(self, call: Call) -> None:
        """The same is asked for once more."""
        self.calls.append(call)
        self.count += 1
        self._remember(call)

    def processes(self) -> list[caller.Process]:
        """Who has asked."""
        return list(self._processes)

    def idle(self) -> bool:
        """Whether nobody has waited for a while."""
        if self.calls:
            self._seen = time.monotonic()
        return time.monotonic() - self._seen > IDLE_S

    def check(self, path: str) -> None:
        """Whether ``path`` may be granted for it: the object, or a directory above it that is not
        the home or above that. Raises UsageError."""
        if self.mode == "connect":
            self._check_socket(path)
            return
        if path == self.path:
            now = os.readlink(f"/proc/self/fd/{self.want.fd}")
            if now != path:
                raise UsageError(
                    "is no longer what was asked for: it was renamed or replaced",
                    place=path,
                    hint=f"deny {self.id}; the program may ask again",
                )
            return
        if not below(self.path, path):
            raise UsageError(f"is not a directory above {self.path}", place=path)
        home = os.path.realpath(os.path.expanduser("~"))
        if path == home or below(home, path):
            raise UsageError("is too wide to be granted by a request", place=path)

    def _check_socket(self, path: str) -> None:
        """Sockets are granted one by one, and as they were seen."""
        if path != self.path:
            raise UsageError("a socket is granted by its own path", place=path)
        if is_abstract(path):
            return
        try:
            same = os.path.samestat(os.lstat(path), os.fstat(self.want.fd))
        except OSError:
            same = False
        if not same:
            raise UsageError(
                "is no longer what was asked for: it was renamed or replaced",
                place=path,
                hint=f"deny {self.id}; the program may ask again",
            )

    def settle(self, state: str) -> None:
        """It is decided, or nobody asks any more."""
        self.state = state
        os.close(self.want.fd)

    def granted(self, path: str, mode: Mode, scope: str) -> events.Granted:
        """That it was, with this path; now."""
        return events.Granted(
            pod=self.pod,
            ts=time.time(),
            pid=self.pid,
            path=path,
            mode=mode,
            scope=scope,
            id=self.id,
        )

    def denied(self) -> events.Denied:
        """That it was, by a person; now."""
        return events.Denied(
            pod=self.pod,
            ts=time.time(),
            pid=self.pid,
            path=self.path,
            mode=self.mode,
            id=self.id,
        )

    def _fields(self) -> dict[str, Any]:
        kind = "socket" if self.mode == "connect" else "directory" if self.want.is_dir else "file"
        found: dict[str, Any] = {
            "id": self.id,
            "pod": self.pod,
            "op": self.mode,
            "mode": self.mode,
            **path_to_wire(self.path),
            "object": kind,
            "exists": self.want.exists,
            "pid": self.pid,
            "argv": [_shown(word) for word in self.argv],
            "parent": [self.parent[0], _shown(self.parent[1])],
            "to": self.to,
            "domain": self.domain,
            "link": _shown(self.want.asked),
            "ts": self.ts,
        }
        if self.rule is not None:
            found["rule"] = rule_to_wire(self.rule)
        return found

    def event(self) -> dict[str, Any]:
        """As ``events`` tells that it was made."""
        return {"v": 1, "ev": "request", **self._fields()}

    def row(self) -> dict[str, Any]:
        """As ``requests`` lists it."""
        return {**self._fields(), "state": self.state, "count": self.count}


class Requests:
    """Those of one pod that wait, and the last that were decided."""

    def __init__(self, pod: str) -> None:
        self._pod = pod
        self._all: dict[int, Request] = {}

    @property
    def waiting(self) -> list[Request]:
        return [request for request in self._all.values() if request.state == "waiting"]

    def has_room(self) -> bool:
        """Whether one more call may wait: each holds a descriptor here."""
        return sum(len(request.calls) for request in self.waiting) < MAX_CALLS

    def same(self, want: Want) -> Request | None:
        """The one that waits for just that."""
        for request in self.waiting:
            if request.path == want.path and request.mode == want.mode:
                return request
        return None

    def add(self, request: Request) -> None:
        self._all[request.id] = request
        decided = [ident for ident, one in self._all.items() if one.state != "waiting"]
        for ident in decided[:-KEPT]:
            del self._all[ident]

    def get(self, ident: int) -> Request:
        """The one of that number, which waits. Raises UsageError."""
        request = self._all.get(ident)
        if request is None:
            raise UsageError(f"no request {ident}", place=self._pod)
        if request.state != "waiting":
            raise UsageError(f"request {ident}: {request.state} already", place=self._pod)
        return request

    def rows(self, all_of_them: bool = False) -> list[dict[str, Any]]:
        """As ``requests`` lists them: the waiting ones, or the decided ones too."""
        shown = self._all.values() if all_of_them else self.waiting
        return [request.row() for request in shown]


def _shown(text: str) -> str:
    """JSON has no bytes that are not UTF-8: shown as U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
