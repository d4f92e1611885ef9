"""What is mounted on what in a live pod, as far as it is the host's. Pure.

The kernel's rules: a path leads into what was mounted on it last; a mount goes with all that is
mounted on it. What is to be taken away can only be reached while nothing covers it: until then it
is remembered, and goes as soon as it shows again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podsh.jail.resolve import below
from podsh.kernel.uapi import MOUNT_ATTR_RDONLY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podsh.jail.grant import Shown

# how something is taken away: DETACH what is at a path, or make it READ_ONLY again
DETACH, READ_ONLY = "detach", "read-only"


class Layer:
    """Something given to the pod. ``changed``: what was there already was made writable."""

    __slots__ = ("changed", "shown")

    def __init__(self, shown: Shown, changed: bool = False) -> None:
        self.shown = shown
        self.changed = changed


class _Mount:
    """One mount. ``of``: what gave it, None for what the pod was built with; of a copy, what gave
    the first. ``wide``: what made it writable."""

    __slots__ = ("dead", "narrow", "of", "on", "shown", "under", "wide")

    def __init__(self, shown: Shown, of: Layer | None, wide: Layer | None, on: _Mount | None):
        self.shown = shown
        self.of = of
        self.wide = wide
        self.on = on
        self.under: dict[str, _Mount] = {}  # mounted on it, by place
        self.dead = False  # to be detached
        self.narrow = False  # to be made read-only

    def all(self) -> Iterator[_Mount]:
        yield self
        for mount in self.under.values():
            yield from mount.all()

    def lives(self) -> bool:
        """Whether it is not to be detached, nor goes with what it is on: that goes as soon as it
        is seen, which is never before what covers it at its very place has gone."""
        mount, place = self, ""
        while not mount.dead or mount.shown.dst == place:
            if mount.on is None:
                return True
            mount, place = mount.on, mount.shown.dst
        return False


class Layers:
    """All mounts of the host's in one pod, and what of them was given while it lived."""

    def __init__(self, first: Iterable[Shown]) -> None:
        self.given: list[Layer] = []  # in that order
        self._root: dict[str, _Mount] = {}
        for shown in sorted(first, key=lambda shown: shown.dst.split("/")):
            self._mount(shown, None, None)
        self._now: dict[str, Shown] | None = None

    # -- what there is

    def shown(self) -> dict[str, Shown]:
        """What is to be seen, by place; not to be changed."""
        if self._now is None:
            every = [mount for top in self._root.values() for mount in top.all()]
            self._now = {
                mount.shown.dst: mount.shown
                for mount in every
                if mount.lives() and self._at(mount.shown.dst) is mount
            }
        return self._now

    def _at(self, path: str) -> _Mount | None:
        """What a walk to ``path`` ends in: the mount that lies there, or has it."""
        found, under = None, self._root
        while True:
            end = 1
            while (end := path.find("/", end)) > 0:
                if path[:end] in under:
                    break
                end += 1
            place = path if end < 0 else path[:end]
            if place not in under:
                return found
            found = under[place]
            under = found.under

    def _mount(self, shown: Shown, of: Layer | None, wide: Layer | None) -> _Mount:
        on = self._at(shown.dst)
        mount = _Mount(shown, of, wide, on)
        (self._root if on is None else on.under)[shown.dst] = mount
        return mount

    # -- more

    def lay(
        self, shown: Shown, inner: Iterable[Shown], at: str
    ) -> tuple[Layer, list[tuple[str, str]]]:
        """``shown`` is attached, with ``inner`` on it: what was there, or below ``at``, once more.
        What of that was taken meanwhile is to be undone, as by ``take``."""
        now = self.shown()
        layer = Layer(shown)
        self.given.append(layer)
        carried = []
        for entry in inner:
            place = shown.dst + entry.dst[len(at) :]
            carried.append((entry._replace(dst=place), entry.dst, self._at(entry.dst)))
        self._mount(shown, layer, None)
        for copy, path, before in carried:
            if before is not None and before.shown.dst == path and before.lives():
                self._mount(copy, before.of, before.wide)
            else:
                self._mount(copy, None, None).dead = True
        for path in [path for path in now if below(path, shown.dst)]:
            del now[path]
        now |= {shown.dst: shown} | {copy.dst: copy for copy, _, _ in carried}
        steps = self._settle()
        if steps:
            self._now = None
        return layer, steps

    def widen(self, shown: Shown) -> Layer:
        """What is at the place of ``shown`` is made writable, and is that now."""
        mount = self._at(shown.dst)
        assert mount is not None
        layer = Layer(shown, changed=True)
        self.given.append(layer)
        mount.wide, mount.shown = layer, shown
        self.shown()[shown.dst] = shown
        return layer

    def failed(self, layer: Layer) -> None:
        """The last of these did not happen after all."""
        if layer in self.given:
            self.given.remove(layer)
        self._now = None
        for mount in self._every():
            if mount.wide is layer:
                mount.wide, mount.shown = None, _read_only(mount.shown)
            if mount.of is layer:
                (self._root if mount.on is None else mount.on.under).pop(mount.shown.dst, None)

    # -- less

    def take(self, layer: Layer) -> tuple[list[Layer], list[tuple[str, str]]]:
        """Take ``layer`` away: what was given and is no more, and what is to be done for it now,
        as (how, place)."""
        before = self.given
        for mount in self._every():
            if layer.changed and mount.wide is layer:
                mount.wide, mount.narrow = None, True
                mount.shown = _read_only(mount.shown)
            elif mount.of is layer:
                mount.dead = True
        steps = self._settle()
        living: set[Layer | None] = set()
        for mount in self._every():
            if mount.lives():
                living |= {mount.of, mount.wide}
        self.given = [one for one in before if one in living]
        self._now = None
        return [one for one in before if one not in living], steps

    def _every(self) -> list[_Mount]:
        return [mount for top in self._root.values() for mount in top.all()]

    def _settle(self) -> list[tuple[str, str]]:
        """Do all that can be reached."""
        steps: list[tuple[str, str]] = []
        again = True
        while again:
            again = False
            for mount in self._every():
                place = mount.shown.dst
                if not (mount.dead or mount.narrow) or self._at(place) is not mount:
                    continue
                if mount.dead:
                    del (self._root if mount.on is None else mount.on.under)[place]
                    steps.append((DETACH, place))
                else:
                    mount.narrow = False
                    steps.append((READ_ONLY, place))
                again = True
                break
        return steps


def _read_only(shown: Shown) -> Shown:
    return shown._replace(attrs=shown.attrs | MOUNT_ATTR_RDONLY)
