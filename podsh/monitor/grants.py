"""What a live pod has of the host: laid over what it had, listed, taken back."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

from podsh.errors import LaunchFailed, PodshError, UsageError
from podsh.jail import grant, orders
from podsh.jail.resolve import below
from podsh.kernel.uapi import MOUNT_ATTR_RDONLY
from podsh.monitor import layers
from podsh.monitor.layers import Layers
from podsh.policy import access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from podsh.jail.grant import Shown
    from podsh.jail.orders import Init
    from podsh.jail.resolve import Found
    from podsh.operations import Hide

    Told = Callable[[PodshError | None], None]

# ids of programs are below, see pod.py
FIRST_ORDER = 1 << 20
MAX_LAYERS = 4096
PATH_BYTES = 4096  # PATH_MAX, with its NUL


class Lay(NamedTuple):
    """To be laid over the pod: the held object, where, with which attributes of a mount.

    links: of the host, to be mirrored first; where the pod has no room for one, the object goes
    to ``asked`` instead.
    """

    found: Found
    dst: str
    attrs: int
    asked: str = ""
    links: tuple[tuple[str, str], ...] = ()


def destination(path: str) -> str:
    """``path``, where something is to be shown in a pod, as init takes it. Raises UsageError."""
    place = "/" + os.path.normpath(path).lstrip("/")
    if not path.startswith("/") or place == "/":
        raise UsageError("is not a path in the pod", place=path)
    if len(os.fsencode(place)) >= PATH_BYTES:
        raise UsageError(os.strerror(errno.ENAMETOOLONG), place=f"{place[:64]}...")
    return place


def attributes(perms: int) -> int:
    """The mount_setattr(2) attributes of what policy allows."""
    bits = (access.WRITE, access.EXEC, access.SUID, access.DEV)
    return grant.attributes(*(bool(perms & bit) for bit in bits))


class Mounts:
    """Orders init to attach and detach; ``told`` gets None, or the first thing that failed.

    Orders are carried out one after the other, so what is laid is laid in the order of calls.
    """

    def __init__(
        self,
        init: Init,
        shown: Iterable[Shown],
        place: Callable[[str, bool], None],
        more: Callable[[], None],
    ):
        """shown: what the pod was built with. place: makes a mount point in the pod's own home,
        where one is needed. more: called before anything is attached, and after."""
        self._init = init
        self._place = place
        self._more = more
        self._hostname = ""  # the last that was ordered
        self._next = FIRST_ORDER
        self._waiting: dict[int, Callable[[orders.Message], None]] = {}
        self._after: dict[int, list[Told]] = {}  # who waits for the answer to an order
        self._layers = Layers(shown)

    # -- what is there

    def shown(self) -> dict[str, Shown]:
        """All that the pod has, by place, as it is to be seen; not to be changed."""
        return self._layers.shown()

    def given(self) -> list[Shown]:
        """What it was given while it lived, and still has; the newest last."""
        return [layer.shown for layer in self._layers.given]

    # -- more

    def lay(self, lays: Sequence[Lay], hides: Iterable[Hide], told: Told) -> None:
        """Attach each, in this order. Raises what ``grant.assemble`` raises, before anything is
        attached. The held objects stay the caller's."""
        if len(self._layers.given) + len(lays) > MAX_LAYERS:
            raise UsageError("has been given too much already", hint="revoke something")
        steps: list[tuple[Lay, grant.Grant]] = []
        now = self.shown()
        try:
            for lay in lays:
                made = grant.assemble(lay.found, lay.dst, lay.attrs, hides, now.values())
                steps.append((lay, made))
                if len(lays) > 1:
                    now = {path: seen for path, seen in now.items() if not below(path, lay.dst)}
                    now |= {one.dst: one for one in (made.shown, *made.inner)}
        except BaseException:
            for _, made in steps:
                os.close(made.tree)
            raise
        if not steps:
            self._behind(told)
            return
        self._more()
        self._lay(steps, told)

    def _lay(self, steps: list[tuple[Lay, grant.Grant]], told: Told) -> None:
        if not steps:
            told(None)
            return
        (lay, made), rest = steps[0], steps[1:]

        def done(error: PodshError | None) -> None:
            os.close(made.tree)
            if error is None:
                self._lay(rest, told)
                return
            for _, other in rest:
                os.close(other.tree)
            told(error)

        self._links(lay, made, list(lay.links), done)

    def _links(self, lay: Lay, made: grant.Grant, links: list[tuple[str, str]], done: Told) -> None:
        """Mirror the links that lead there, then attach."""
        if not links:
            self._attach(made, made.shown, done)
            return
        (path, target), rest = links[0], links[1:]

        def answered(message: orders.Message) -> None:
            if message.kind == orders.ACK:
                self._links(lay, made, rest, done)
                return
            # below a bind the host decides, and it shows no link there: the name itself then
            self._attach(made, made.shown._replace(dst=lay.asked or lay.dst), done)

        self._init.send_link(self._id(answered), path, target)

    def _attach(self, made: grant.Grant, shown: Shown, done: Told) -> None:
        try:
            self._place(shown.dst, shown.is_dir)
        except OSError as exc:
            done(LaunchFailed(os.strerror(exc.errno or 0), place=f"make a place for {shown.dst}"))
            return
        if self._widens(made, shown):
            self._change(made, shown, done)
        else:
            self._cover(made, shown, done)

    def _cover(self, made: grant.Grant, shown: Shown, done: Told) -> None:
        def answered(message: orders.Message) -> None:
            if message.kind != orders.ACK:
                self._layers.failed(layer)
                done(_refused(message))
            else:
                self._more()
                done(None)

        self._init.send_attach(self._id(answered), shown.dst, not shown.is_dir, made.tree)
        # orders are carried out as they are sent: what comes next finds it there
        layer, steps = self._layers.lay(shown, made.inner, made.shown.dst)
        self._undo(steps, lambda error: None)

    def _widens(self, made: grant.Grant, shown: Shown) -> bool:
        """Whether the very mount that is there only becomes writable: that is done in place, so
        that who stands in it has it too."""
        if made.inner or made.masked:
            return False
        now = self.shown().get(shown.dst)
        return now is not None and now._replace(attrs=now.attrs & ~MOUNT_ATTR_RDONLY) == shown

    def _change(self, made: grant.Grant, shown: Shown, done: Told) -> None:
        def answered(message: orders.Message) -> None:
            if message.kind == orders.ACK:
                done(None)
                return
            # the host has it read-only, or the kernel does not allow it: laid over it
            self._layers.failed(layer)
            self._cover(made, shown, done)

        self._init.send_setattr(self._id(answered), shown.dst, 0, MOUNT_ATTR_RDONLY)
        layer = self._layers.widen(shown)

    # -- less

    def take(self, path: str, told: Told) -> list[str]:
        """Take the newest that was laid at ``path`` (in the pod, or on the host) away, with what
        was laid on it since: their places. What is open there stays open."""
        path = os.path.normpath(path)
        given = self._layers.given
        there = (layer for layer in reversed(given) if path in (layer.shown.dst, layer.shown.src))
        layer = next(there, None)
        if layer is None:
            every = ", ".join(one.shown.dst for one in given)
            raise UsageError(f"was not given to the pod (given: {every or 'nothing'})", place=path)
        taken, steps = self._layers.take(layer)
        self._undo(steps, told)
        return [one.shown.dst for one in taken]

    def _undo(self, steps: list[tuple[str, str]], told: Told) -> None:
        """Have all of it done, at once, and tell of the first that failed."""
        if not steps:
            told(None)
            return
        answers: list[PodshError | None] = []

        def answered(message: orders.Message) -> None:
            answers.append(None if message.kind == orders.ACK else orders.failure(message))
            if len(answers) == len(steps):
                told(next(filter(None, answers), None))

        for how, path in steps:
            ident = self._id(answered)
            if how == layers.DETACH:
                self._init.send_detach(ident, path)
            else:
                self._init.send_setattr(ident, path, MOUNT_ATTR_RDONLY, 0)

    # -- the other orders to a live pod

    def _behind(self, told: Told) -> None:
        """Once all that was ordered so far is done: answers come in the order of orders."""
        if self._waiting:
            self._after.setdefault(self._next, []).append(told)
        else:
            told(None)

    def hostname(self, name: str) -> None:
        """Change it; a name is no reason to fail."""
        if name == self._hostname:
            return
        self._hostname = name
        self._init.send_hostname(self._id(lambda message: None), name)

    def _id(self, answered: Callable[[orders.Message], None]) -> int:
        self._next += 1
        self._waiting[self._next] = answered
        return self._next

    def answer(self, message: orders.Message) -> bool:
        """An answer of init's; False if it is not about one of these orders."""
        waiting = self._waiting.pop(message.id, None)
        if waiting is None:
            return False
        waiting(message)
        for told in self._after.pop(message.id, ()):
            told(None)
        return True


def _refused(message: orders.Message) -> PodshError:
    """Why init could not attach, in words."""
    error = orders.failure(message)
    if message.step in ("open", "mkdir"):
        return UsageError(
            f"cannot be shown there: {error.cause}",
            place=message.path,
            hint="the pod sees the host's directory above it, read-only: mount that instead",
        )
    return error
