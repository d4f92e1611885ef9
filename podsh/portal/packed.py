"""A plan as monitors are sent it, and those of the last runs: who asks for the same gets the same,
but for the pod's name."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podsh.operations import JailPlan
    from podsh.portal.habit import Habit
    from podsh.profiles.schema import Profile

_KEPT = 4


class Packed:
    """``relative``: what is the pod's own has paths below its state's, which the monitor adds."""

    __slots__ = ("_fields", "_ops", "_rests", "_rows", "plan", "relative")

    def __init__(self, plan: JailPlan, *, relative: bool) -> None:
        self.plan = plan
        self.relative = relative
        self._fields = plan.to_wire()
        self._rows = self._fields.pop("ops")
        self._ops = marshal.dumps(self._rows)
        self._rests: tuple[int, dict[int, bytes]] = (-1, {})

    def sent(self, name: str, habit: Habit) -> dict[str, Any]:
        """The fields of a launch message for the pod of that name. ``habit`` learns of it."""
        if self._rests[0] != habit.number:
            rests = {at: marshal.dumps(rest) for at, rest in habit.rests(self._rows).items()}
            self._rests = (habit.number, rests)
        rests = self._rests[1]
        habit.learn(self._rows)
        fields = {**self._fields, "name": name}
        return {"plan": fields, "ops": self._ops, "rests": rests, "relative": self.relative}


class Likewise:
    """The last few, by what was asked for."""

    def __init__(self) -> None:
        self._kept: list[tuple[dict[str, Any], Profile, Packed]] = []

    def find(self, message: dict[str, Any], profile: Profile) -> Packed | None:
        """What an equal message gave, where its profile is the same object still."""
        asked = message | {"id": 0}
        for known, of, packed in self._kept:
            if of is profile and known == asked:
                return packed
        return None

    def keep(self, message: dict[str, Any], profile: Profile, packed: Packed) -> None:
        self._kept = [(message | {"id": 0}, profile, packed), *self._kept[: _KEPT - 1]]
