"""A pod's life as the portal sees it. Pure: a table of transitions, and the record it moves.

    building -> ready -> running -> exited
        |         |         `-----> lost      (its monitor died)
        |         `-> exited, failed, lost
        `-> failed, lost

Exited, failed and lost pods stay listed until ``rm``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podsh.kernel.cgroups import Group

BUILDING = "building"
READY = "ready"
RUNNING = "running"
EXITED = "exited"
FAILED = "failed"
LOST = "lost"
ENDED = frozenset((EXITED, FAILED, LOST))

# what a monitor tells beside; none of it moves the pod, any may come in any state
_BESIDE = frozenset(
    "attached detached grant revoke request merged denial gone transition note call oom".split()
)

# state -> {event: next state}; an event that is not here is a fault of the caller
TRANSITIONS: dict[str, dict[str, str]] = {
    BUILDING: {"ready": READY, "failed": FAILED, "lost": LOST},
    READY: {"start": RUNNING, "exit": EXITED, "failed": FAILED, "lost": LOST},
    RUNNING: {"exit": EXITED, "failed": FAILED, "lost": LOST},
    EXITED: {},
    FAILED: {},
    LOST: {},
}


class Pod:
    """One row of ``ps``. ``exit`` is the shell's exit code once the pod has ended, else None."""

    __slots__ = (
        "argv",
        "attached",
        "caps",
        "domain",
        "error",
        "exit",
        "group",
        "init_pid",
        "monitor_pid",
        "name",
        "named",
        "network",
        "notes",
        "pid",
        "profile",
        "remove",
        "requests",
        "signal",
        "socket",
        "started",
        "state",
        "state_dir",
    )

    def __init__(self, name: str, profile: str, state_dir: str, socket: str) -> None:
        self.name = name
        self.profile = profile
        self.domain = profile  # where it is now; the profile is where it began
        self.requests: set[int] = set()  # those that wait
        self.state = BUILDING
        self.state_dir = state_dir
        self.socket = socket
        self.argv: list[str] = []
        self.group: Group | None = None  # what limits its memory and cpu
        self.caps: dict[str, Any] | None = None  # {"keep": names, "by": "ambient" or "files"}
        self.network: dict[str, Any] = {}  # as of nets.Network.shown
        self.notes: list[str] = []
        self.named = False  # named by the person: its state directory is kept
        self.remove = False  # --rm
        self.pid = 0
        self.init_pid = 0
        self.monitor_pid = 0
        self.started = 0.0
        self.attached = False
        self.exit: int | None = None
        self.signal: int | None = None
        self.error: dict[str, str] | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def apply(self, event: dict[str, Any]) -> bool:
        """Move by an event of the pod's monitor; True where the state changed.

        Raises ValueError for an event that cannot happen in this state, changing nothing.
        """
        kind = event["ev"]
        if kind in _BESIDE:
            self._note(kind, event)
            return False
        following = TRANSITIONS[self.state].get(kind)
        if following is None:
            raise ValueError(f"event {kind} in state {self.state}")
        self.state = following
        if kind == "ready":
            self.take(event)
            self.state = following
        elif kind == "start":
            self.pid = int(event["pid"])
            self.argv = [str(word) for word in event["argv"]]
        else:
            self.pid = 0
            self.attached = False
            self.requests.clear()
            self.exit = int(event.get("code", 125))
            self.signal = event.get("signal")
            self.error = event.get("error")
        return True

    def _note(self, kind: str, event: dict[str, Any]) -> None:
        if kind in ("attached", "detached"):
            self.attached = kind == "attached"
        elif kind == "transition":
            self.domain = str(event["new"])
        elif kind == "request":
            self.requests.add(int(event["id"]))
        elif kind in ("grant", "denial", "gone") and event.get("id") is not None:
            self.requests.discard(int(event["id"]))

    def take(self, snapshot: dict[str, Any]) -> None:
        """Take over what a live monitor says of its pod (adoption, or its first word)."""
        self.state = snapshot["state"]
        self.pid = int(snapshot["pid"])
        self.init_pid = int(snapshot["init_pid"])
        self.monitor_pid = int(snapshot["monitor_pid"])
        self.profile = str(snapshot["profile"])
        self.domain = str(snapshot.get("domain") or self.profile)
        self.requests = {int(row["id"]) for row in snapshot.get("requests", ())}
        self.argv = [str(word) for word in snapshot["argv"]]
        self.caps = snapshot.get("caps")
        self.started = float(snapshot["started"])
        self.attached = bool(snapshot["attached"])
        self.network = dict(snapshot.get("network") or {})

    def row(self) -> dict[str, Any]:
        """The pod for ``ps --json`` and for clients."""
        return {
            "name": self.name,
            "state": self.state,
            "pid": self.pid or None,
            "init_pid": self.init_pid or None,
            "monitor_pid": self.monitor_pid or None,
            "profile": self.profile,
            "domain": self.domain,
            "waiting": len(self.requests),
            "argv": self.argv,
            "caps": self.caps,
            "started": self.started,
            "exit": self.exit,
            "signal": self.signal,
            "attached": self.attached,
            "network": self.network or None,
            "error": self.error,
            "state_dir": self.state_dir,
            "socket": None if self.ended else self.socket,
        }
