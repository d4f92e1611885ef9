"""What a live pod has been given by hand: attached by init, listed, taken back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from podsh.errors import PodshError, UsageError
from podsh.jail import grant, orders
from podsh.operations import Hide

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.monitor.launch import Jail

    Told = Callable[[PodshError | None], None]

# ids of programs are below, see pod.py
FIRST_ORDER = 1 << 20
MAX_GRANTS = 1024


class Grants:
    """Orders init to attach and detach; ``told`` is called with None, or with what went wrong."""

    def __init__(self, jail: Jail) -> None:
        self._jail = jail
        self._next = FIRST_ORDER
        self._waiting: dict[int, Callable[[orders.Message], None]] = {}
        # (path in the pod, path on the host, writable), the newest last
        self.held: list[tuple[str, str, bool]] = []

    def add(self, src: str, dst: str | None, write: bool, told: Told) -> None:
        """Show a host path in the pod. Raises what ``grant.assemble`` raises."""
        if len(self.held) >= MAX_GRANTS:
            raise UsageError("has been given too much already", place=self._jail.name)
        if dst is not None and (not dst.startswith("/") or os.path.normpath(dst) == "/"):
            raise UsageError("is not a path in the pod", place=dst)
        hides = [op for op in self._jail.plan.ops if isinstance(op, Hide)]
        made = grant.assemble(src, os.path.normpath(dst) if dst else None, write, hides)

        def answered(message: orders.Message) -> None:
            if message.kind == orders.ACK:
                self.held.append((made.dst, made.src, write))
                told(None)
                return
            told(orders.failure(message))

        try:
            self._jail.init.send_attach(self._id(answered), made.dst, not made.is_dir, made.tree)
        finally:
            os.close(made.tree)

    def revoke(self, path: str, told: Told) -> None:
        """Take the newest grant at ``path`` (in the pod, or on the host) away again. What is open
        there stays open."""
        path = os.path.normpath(path)
        entry = next((g for g in reversed(self.held) if path in g[:2]), None)
        if entry is None:
            held = ", ".join(dst for dst, _, _ in self.held) or "nothing"
            raise UsageError(f"was not given to the pod (given: {held})", place=path)

        def answered(message: orders.Message) -> None:
            if message.kind == orders.ACK:
                if entry in self.held:
                    self.held.remove(entry)
                told(None)
                return
            told(orders.failure(message))

        self._jail.init.send_detach(self._id(answered), entry[0])

    def _id(self, answered: Callable[[orders.Message], None]) -> int:
        self._next += 1
        self._waiting[self._next] = answered
        return self._next

    def answer(self, message: orders.Message) -> bool:
        """An answer of init's; False if it is not about a grant."""
        waiting = self._waiting.pop(message.id, None)
        if waiting is not None:
            waiting(message)
        return waiting is not None

    def rows(self) -> list[dict[str, Any]]:
        return [{"path": dst, "src": src, "write": write} for dst, src, write in self.held]
