"""What a live pod has of the host: laid over what it had, listed, taken back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from podsh.errors import LaunchFailed, PodshError, UsageError
from podsh.jail import grant, orders
from podsh.jail.resolve import below
from podsh.kernel.uapi import MOUNT_ATTR_RDONLY
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


def attributes(perms: int) -> int:
    """The mount_setattr(2) attributes of what policy allows."""
    bits = (access.WRITE, access.EXEC, access.SUID, access.DEV)
    return grant.attributes(*(bool(perms & bit) for bit in bits))


class Layer:
    """One thing laid: what is shown by it, and what it brought along of what it covered."""

    __slots__ = ("changed", "gone", "inner", "shown")

    def __init__(self, shown: Shown, inner: tuple[Shown, ...], changed: bool = False) -> None:
        self.shown = shown
        self.inner = inner
        self.changed = changed  # the mount below it was made writable in place
        self.gone = False  # taken back while another covered it


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
        where one is needed. more: called before anything is attached."""
        self._init = init
        self._place = place
        self._more = more
        self._next = FIRST_ORDER
        self._waiting: dict[int, Callable[[orders.Message], None]] = {}
        self._first = tuple(shown)
        self.layers: list[Layer] = []
        self._now: dict[str, Shown] | None = None  # what they come to, unless one has gone

    # -- what is there

    def shown(self) -> dict[str, Shown]:
        """All that the pod has, by place, the newest of each; not to be changed."""
        if self._now is None:
            self._now = {entry.dst: entry for entry in self._first}
            for layer in self.layers:
                if not layer.gone:
                    self._now = _under(self._now, layer)
        return self._now

    def _laid(self, layer: Layer) -> None:
        now = self.shown()
        self.layers.append(layer)
        self._now = _under(now, layer)

    # -- more

    def lay(self, lays: Sequence[Lay], hides: Iterable[Hide], told: Told) -> None:
        """Attach each, in this order. Raises what ``grant.assemble`` raises, before anything is
        attached. The held objects stay the caller's."""
        if len(self.layers) + len(lays) > MAX_LAYERS:
            raise UsageError("has been given too much already", hint="revoke something")
        steps: list[tuple[Lay, grant.Grant]] = []
        now = self.shown()
        try:
            for lay in lays:
                made = grant.assemble(lay.found, lay.dst, lay.attrs, hides, now.values())
                steps.append((lay, made))
                if len(lays) > 1:
                    now = _under(now, Layer(made.shown, made.inner))
        except BaseException:
            for _, made in steps:
                os.close(made.tree)
            raise
        if steps:
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
            return

        def answered(message: orders.Message) -> None:
            if message.kind != orders.ACK:
                done(_refused(message))
                return
            self._laid(Layer(shown, made.inner))
            done(None)

        ident = self._id(answered)
        self._init.send_attach(ident, shown.dst, not shown.is_dir, made.tree)

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
                self._laid(Layer(shown, (), changed=True))
                done(None)
                return
            # the host has it read-only, or the kernel does not allow it: laid over it
            self._init.send_attach(self._id(attached), shown.dst, not shown.is_dir, made.tree)

        def attached(message: orders.Message) -> None:
            if message.kind != orders.ACK:
                done(_refused(message))
                return
            self._laid(Layer(shown, ()))
            done(None)

        self._init.send_setattr(self._id(answered), shown.dst, 0, MOUNT_ATTR_RDONLY)

    # -- less

    def take(self, path: str, told: Told) -> list[str]:
        """Take the newest that was laid at ``path`` (in the pod, or on the host) away, with what
        was laid on it since: their places. What is open there stays open."""
        path = os.path.normpath(path)
        at = next(
            (
                at
                for at in range(len(self.layers) - 1, -1, -1)
                if not self.layers[at].gone
                and path in (self.layers[at].shown.dst, self.layers[at].shown.src)
            ),
            None,
        )
        if at is None:
            given = ", ".join(layer.shown.dst for layer in self.layers if not layer.gone)
            raise UsageError(f"was not given to the pod (given: {given or 'nothing'})", place=path)
        layer = self.layers[at]
        self._now = None
        dst = layer.shown.dst
        over = [later for later in self.layers[at + 1 :] if below(dst, later.shown.dst)]
        if over:
            # it is covered: what the cover brought along of it goes now, the rest with the cover
            layer.gone = True
            copies = [later for later in over if dst in {entry.dst for entry in later.inner}]
            for later in copies:
                later.inner = tuple(entry for entry in later.inner if entry.dst != dst)
            self._undo([("detach", dst)] if copies else [], told)
            return [dst]
        taken = [layer]
        if not layer.changed:
            taken += [later for later in self.layers[at + 1 :] if below(later.shown.dst, dst)]
        steps = [("restore" if layer.changed else "detach", dst)]
        # what it had covered and was taken back meanwhile shows again: no longer
        stale = [
            earlier
            for earlier in self.layers[:at]
            if earlier.gone and below(earlier.shown.dst, dst)
        ]
        steps += [("detach", earlier.shown.dst) for earlier in reversed(stale)]
        self.layers = [kept for kept in self.layers if kept not in taken and kept not in stale]
        self._undo(steps, told)
        return [kept.shown.dst for kept in taken if not kept.gone]

    def _undo(self, steps: list[tuple[str, str]], told: Told) -> None:
        if not steps:
            told(None)
            return
        (how, path), rest = steps[0], steps[1:]

        def answered(message: orders.Message) -> None:
            if message.kind == orders.ACK:
                self._undo(rest, told)
            else:
                told(orders.failure(message))

        ident = self._id(answered)
        if how == "detach":
            self._init.send_detach(ident, path)
        else:
            self._init.send_setattr(ident, path, MOUNT_ATTR_RDONLY, 0)

    # -- the other orders to a live pod

    def hostname(self, name: str) -> None:
        """Change it; a name is no reason to fail."""
        self._init.send_hostname(self._id(lambda message: None), name)

    def _id(self, answered: Callable[[orders.Message], None]) -> int:
        self._next += 1
        self._waiting[self._next] = answered
        return self._next

    def answer(self, message: orders.Message) -> bool:
        """An answer of init's; False if it is not about one of these orders."""
        waiting = self._waiting.pop(message.id, None)
        if waiting is not None:
            waiting(message)
        return waiting is not None


def _under(found: dict[str, Shown], layer: Layer) -> dict[str, Shown]:
    """What is seen of ``found`` once ``layer`` is laid over it, and that."""
    dst = layer.shown.dst
    kept = {entry.dst: entry for entry in layer.inner}
    below_it = f"{dst.rstrip('/')}/"
    seen = {
        path: kept.get(path, entry)
        for path, entry in found.items()
        if not path.startswith(below_it) or path in kept
    }
    seen[dst] = layer.shown
    return seen


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
