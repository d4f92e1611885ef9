"""What pods mostly begin with: learnt from the last ones, carried out by standbys beforehand.

Operations are rows here, as on the wire: (tag, field, …). Pure.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from podsh.operations import STANDARD, ops_to_wire, row_path, usual

Row = tuple[Any, ...]

RECENT = 4
# of a policy: what the state that a pod begins with is made of
POLICY = ("own", "domains", "hidden")


class Habit:
    """``number`` names the newest habit; standbys of the one before may still be there."""

    def __init__(self) -> None:
        self.number = 0
        self.rows: list[Row] = ops_to_wire(STANDARD)
        self._known = {0: frozenset(self.rows)}
        self._recent: deque[tuple[list[Row], frozenset[Row]]] = deque(maxlen=RECENT)
        self.policy: dict[str, Any] | None = None  # the last pod's
        self.policy_number = 0

    def learn(self, rows: list[Row]) -> bool:
        """A pod with these operations begins. True where the habit is another one now."""
        if self._recent and len(self._recent) == RECENT:
            if all(rows == before for before, _ in self._recent):
                return False
        mine = [row for row in rows if usual(row)]
        self._recent.append((rows, frozenset(mine)))
        common = frozenset.intersection(*(each for _, each in self._recent))
        # what lies across comes later in one of them, and all at or below it has to wait for that
        across = {row_path(row) for before, _ in self._recent for row in before} - {
            row_path(row) for row in common
        }
        common = frozenset(row for row in common if across.isdisjoint(_upwards(row_path(row))))
        if common == self._known[self.number]:
            return False
        self._known = {self.number: self._known[self.number], self.number + 1: common}
        self.number += 1
        self.rows = [row for row in mine if row in common]
        return True

    def decides(self, policy: dict[str, Any]) -> bool:
        """A pod that decides by ``policy`` begins. True where that is another one now."""
        mine = {key: policy[key] for key in POLICY}
        if mine == self.policy:
            return False
        self.policy = mine
        self.policy_number += 1
        return True

    def rests(self, rows: list[Row]) -> dict[int, list[Row]]:
        """For standbys of each habit that these operations contain: what is left to do."""
        found = {}
        for number, known in self._known.items():
            rest = [row for row in rows if row not in known]
            if len(rows) - len(rest) == len(known):
                found[number] = rest
        return found


def _upwards(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]
