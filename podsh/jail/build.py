"""A plan made real: host objects held by descriptor, cloned, and init's records written.

Runs in the monitor, in U0/M0 (see design). Nothing of the jail is touched here: init attaches
what this sends. Paths are resolved once; what is mounted is what was found then.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from podsh import operations as p
from podsh import paths
from podsh.errors import LaunchFailed
from podsh.jail import encode
from podsh.jail.bound import Bound, clone
from podsh.jail.hidden import hidden_paths
from podsh.jail.resolve import Names, below, find
from podsh.kernel import mounts, process
from podsh.kernel.uapi import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from podsh.jail.generation import Generation

    Lot = tuple[list[Any], list[int]]

_ONTO_ITSELF = os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW


class Conflict(Exception):
    """What is asked for comes before, or lies across, what was attached already."""


class Builder:
    """Carries out what of a plan is the monitor's: lots of records and detached mounts.

    Owns every descriptor it opens, the mounts that it hands out too, until it is left as a
    context manager. Its methods raise LaunchFailed with the step, the path and the reason.
    """

    def __init__(self, ops: Sequence[p.Op], generation: Generation | None = None) -> None:
        """``generation``: of the pod, where ``ops`` has a Shim."""
        self.ops = ops
        self._generation = generation
        self.links: dict[str, str] = {}  # links of the host that the pod mirrors
        self.bounds: list[Bound] = []
        self.at: dict[str, Bound] = {}  # by destination
        self.masks: dict[str, bool] = {}  # what is hidden: whether it is a directory
        self.absent: list[str] = []  # optional sources that were not there
        self._taken: frozenset[str] = frozenset()  # by earlier lots, and all above it
        self._names = Names()
        self._overview: mounts.Overview | None = None
        self._held: list[int] = []
        self._trees: list[int] = []
        self._records: list[Any] = []
        self._mounts: list[int] = []
        self._first = 0

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close everything; what init has attached stays."""
        self.close_mounts()
        for fd in self._held:
            os.close(fd)
        self._held = []

    def close_mounts(self) -> None:
        """Those handed out so far; init has its own descriptors of them."""
        for fd in self._trees:
            os.close(fd)
        self._trees = []

    def shown(self, first_mount: int) -> Lot:
        """Everything that the pod sees: init's records, and the mounts that they count from
        ``first_mount`` on."""
        return self._lot(first_mount, self._show)

    def freeze(self) -> None:
        """Note where the first lot lies: done beforehand, ``more`` is quicker."""
        taken = [path for record in self._records if (path := encode.place(record))]
        self._taken = frozenset(above for path in (*taken, *self.at) for above in _upwards(path))

    def more(self, ops: Sequence[p.Op], first_mount: int) -> Lot:
        """The same for further operations. Raises Conflict where not the same jail would come of
        it as of all at once; nothing may have been done with what it gave then."""
        if not self._taken:
            self.freeze()
        self.ops = ops
        self._names = Names()  # since then names may have come
        return self._lot(first_mount, self._show)

    def hidden(self, first_mount: int) -> Lot:
        """What is masked below the binds of ``shown``, in the same form."""
        return self._lot(first_mount, self._hide)

    def _lot(self, first_mount: int, fill: Callable[[], None]) -> Lot:
        self._records, self._mounts, self._first = [], [], first_mount
        try:
            fill()
        except OSError as exc:
            place = str(exc.filename or "mount")
            raise LaunchFailed(os.strerror(exc.errno or 0), place=place) from None
        return self._records, self._mounts

    def _show(self) -> None:
        earlier, self.bounds = self.bounds, []
        links = dict(self.links)
        for op in self.ops:
            if isinstance(op, p.Bind):
                self._find(op)
        if self._taken and any(bound.dst in self._taken for bound in self.bounds):
            raise Conflict
        self._drop_repeated()
        simple: dict[type, Callable[[Any], None]] = {
            p.Tmpfs: self._tmpfs,
            p.Dir: lambda op: self._add(encode.directory(self._place(op.path), op.mode)),
            p.Link: lambda op: self._add(encode.link(op.target, self._place_link(op.path))),
            p.Device: self._device,
            p.Proc: lambda op: self._add(encode.proc(op.path)),
            p.Devpts: lambda op: self._add(encode.devpts(op.path, op.max)),
            p.Hostname: lambda op: self._add(encode.hostname(op.name)),
            p.Loopback: lambda _: self._add(encode.loopback()),
            p.Inner: lambda op: self._add(encode.inner(op.net)),
            p.Scope: lambda _: self._add(encode.scope()),
            p.Sysctl: self._sysctl,
            p.Shim: self._shim,
            p.Lines: lambda op: self._part(paths.lines_library(), op.library),
            p.Kage: self._kage,
        }
        for op in self.ops:
            if (carry_out := simple.get(type(op))) is not None:
                carry_out(op)
        for path, target in sorted(self.links.items() - links.items()):
            self._add(encode.link(target, path))
        self._check_order({bound.dst for bound in earlier})
        self.bounds.sort(key=lambda b: b.dst.split("/"))
        for bound in self.bounds:
            self._make_point(bound.dst, bound.is_dir)
            self._mount(clone(bound.fd, bound.attrs), bound.dst, not bound.is_dir, False)
        for op in self.ops:
            if isinstance(op, p.File):
                data = os.urandom(16).hex() + "\n" if op.random else op.data
                path = self._place(op.path)
                self._make_point(path, False)
                self._add(encode.file(path, op.mode, data.encode("utf-8", "surrogateescape")))
        self.bounds = sorted(earlier + self.bounds, key=lambda b: b.dst.split("/"))

    def _check_order(self, earlier: set[str]) -> None:
        """All but binds come before binds: what is to lie at, above or, but for a bind, below
        what is attached already would come too late."""
        for record in self._records if self._taken else ():
            path = encode.place(record)
            if path in self._taken or any(above in earlier for above in _upwards(path)):
                raise Conflict

    def _add(self, record: Any) -> None:
        self._records.append(record)

    def _mount(self, tree: int, path: str, is_file: bool, optional: bool) -> None:
        index = self._first + len(self._mounts)
        self._trees.append(tree)
        self._mounts.append(tree)
        self._add(encode.mount(index, path, is_file, optional))

    # -- sources

    def _find(self, op: p.Bind) -> None:
        if op.own and not op.socket:
            os.makedirs(op.src, mode=0o700, exist_ok=True)
        found = find(op.src, self._names if op.optional else None)
        if found is None:
            if op.optional:
                self.absent.append(op.src)
                return
            raise LaunchFailed(
                f"no such file or directory on the host: {op.src}",
                place=op.where,
                hint="create it, or mark the bind optional = true",
            )
        self._held.append(found.fd)
        if op.within and found.path != op.within and not below(found.path, op.within):
            raise LaunchFailed(
                f"{op.src} leads to {found.path}, out of {op.within}",
                place=op.where,
                hint="a profile of a project shows that project's files only",
            )
        status = os.fstat(found.fd)
        if op.socket and not stat.S_ISSOCK(status.st_mode):
            raise LaunchFailed(f"{op.src} is not a socket", place=op.where)
        fstype = next((kind for _, kind, dev in self._of_kernel() if dev == status.st_dev), "")
        if found.path == "/" or found.path.split("/", 2)[1] == "proc" or fstype == "proc":
            what = "a /proc" if found.path != "/" else "a root"
            raise LaunchFailed(
                f"{op.src} cannot be bound: the pod has {what} of its own",
                place=op.where,
                hint="take it out of the profile",
            )
        if fstype == "nsfs":
            raise LaunchFailed(
                f"{op.src} cannot be bound: it is a namespace",
                place=op.where,
                hint="take it out of the profile",
            )
        if op.dst is None:
            self.links.update(found.links)
            dst = found.path
        else:
            # the host's links on the way to the destination hold in the pod too
            there = find(op.dst)
            if there is not None:
                self._held.append(there.fd)
                self.links.update(there.links)
            dst = there.path if there is not None else op.dst
        of_kernel = fstype not in ("", "devtmpfs", "devpts")
        self.bounds.append(Bound(op, found, dst, status, of_kernel))

    def _look(self) -> mounts.Overview:
        if self._overview is None:
            self._overview = mounts.Overview()
        return self._overview

    def _of_kernel(self) -> list[tuple[str, str, int]]:
        return self._look().kernel

    def _drop_repeated(self) -> None:
        """One mount a place: binds that a link made the same are joined, and a bind that adds
        nothing to the one above it is left out."""
        for bound in self.bounds:
            old = self.at.get(bound.dst)
            if old is not None and old.src == bound.src:
                # the more that was asked for: a set bit of attrs is a refusal
                bound.attrs &= old.attrs
            self.at[bound.dst] = bound
        kept = [b for b in self.bounds if self.at[b.dst] is b]
        # a socket's own mount holds the very object that may be connected to
        self.bounds = [b for b in kept if b.op.socket or not self._adds_nothing(b)]

    def _above(self, dst: str) -> Bound | None:
        """The bind that ``dst`` lies below, the nearest one."""
        parent = dst
        while (cut := parent.rfind("/")) > 0:
            parent = parent[:cut]
            if parent in self.at:
                return self.at[parent]
        return None

    def _adds_nothing(self, bound: Bound) -> bool:
        above = self._above(bound.dst)
        if above is None or above.attrs != bound.attrs:
            return False
        return above.src + bound.dst[len(above.dst) :] == bound.src

    def _make_point(self, dst: str, is_dir: bool) -> None:
        """Where what is mounted lies in the pod's own home, that home needs a name for it."""
        home = self._above(dst)
        if home is None or not home.op.own:
            return
        try:
            make_point(home.fd, dst[len(home.dst) + 1 :], is_dir)
        except OSError as exc:
            place = f"make a place for {dst} in the pod's home"
            hint = "an earlier run left something else of that name there"
            raise LaunchFailed(os.strerror(exc.errno or 0), place=place, hint=hint) from None

    # -- places in the pod

    def _place(self, path: str) -> str:
        """``path`` as it is in the pod once its mirrored links are followed."""
        for _ in range(40):
            for link, target in self.links.items():
                if path == link or below(path, link):
                    joined = os.path.join(os.path.dirname(link), target)
                    path = os.path.normpath(joined + path[len(link) :])
                    break
            else:
                return path
        raise LaunchFailed("too many levels of links", place=f"place {path}")

    def _place_link(self, path: str) -> str:
        parent, name = os.path.split(path)
        return os.path.join(self._place(parent), name)

    def _sysctl(self, op: p.Sysctl) -> None:
        # before 6.14 there was one pid_max for the whole machine, and root's pod could write it
        if op.name != "kernel/pid_max" or process.kernel_version() >= (6, 14):
            self._add(encode.sysctl(op.name, op.value, op.needed))

    def _tmpfs(self, op: p.Tmpfs) -> None:
        if op.path == "/":
            self._add(encode.root(op.mode, op.size))
        else:
            self._add(encode.tmpfs(self._place(op.path), op.mode, op.size, not op.exec))

    def _device(self, op: p.Device) -> None:
        path = f"/dev/{op.name}"
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if not stat.S_ISCHR(os.fstat(fd).st_mode):
                raise LaunchFailed("is not a character device", place=path)
            attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
            self._mount(clone(fd, attrs, recursive=False), path, True, False)
        finally:
            os.close(fd)

    def _shim(self, op: p.Shim) -> None:
        self._part(paths.shim_library(), op.library)
        page = self._generation.mount() if self._generation is not None else None
        if page is not None:
            self._mount(page, op.page, True, False)

    def _kage(self, op: p.Kage) -> None:
        self._part(paths.init_binary(), op.program)
        self._add(encode.socket(op.socket))

    def _part(self, source: str, path: str) -> None:
        """A file of podsh's, by itself: what it lies in is hidden from every pod."""
        fd = os.open(source, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            attrs = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
            self._mount(clone(fd, attrs, recursive=False), path, True, False)
        finally:
            os.close(fd)

    # -- what no pod sees

    def _hide(self) -> None:
        masks = self.masks
        onto_itself: dict[str, tuple[Bound, str]] = {}
        taken = {bound.dst for bound in self.bounds}
        by_src: dict[str, list[Bound]] = {}
        for bound in self.bounds:
            by_src.setdefault(bound.src, []).append(bound)
        shown = {up: b for b in self.bounds if not b.op.own for up in _upwards(b.src)}
        hides = [op for op in self.ops if isinstance(op, p.Hide)]
        for path, is_dir, where in hidden_paths(hides, self._names, self._look()):
            if path in shown:
                raise LaunchFailed(
                    f"{shown[path].op.src} is hidden from every pod ({where})",
                    place=shown[path].op.where,
                    hint="take one of the two rules out",
                )
            for bound in _showing(path, by_src):
                if bound.op.own:
                    continue
                rest = path[len(bound.src) + 1 :]
                masks[f"{bound.dst}/{rest}"] = is_dir
                if not bound.attrs & MOUNT_ATTR_RDONLY:
                    # or the pod renames a parent of the mask and plants its own
                    parts = rest.split("/")[:-1]
                    for count in range(1, len(parts) + 1):
                        inner = "/".join(parts[:count])
                        dst = f"{bound.dst}/{inner}"
                        if dst not in taken:
                            onto_itself[dst] = (bound, inner)
        for point, fstype, _ in self._of_kernel():
            for bound in _showing(point, by_src) if fstype not in _DEVICES else ():
                if not bound.of_kernel:
                    masks[bound.dst + point[len(bound.src) :]] = os.path.isdir(point)
        for dst in sorted(onto_itself):
            bound, inner = onto_itself[dst]
            fd = mounts.openat2(
                bound.fd, inner, _ONTO_ITSELF, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
            )
            try:
                self._mount(clone(fd, bound.attrs), dst, False, True)
            finally:
                os.close(fd)
        for dst in sorted(masks):
            self._add(encode.mask(dst, masks[dst]))


def make_point(home_fd: int, rest: str, is_dir: bool) -> None:
    """Have something to mount on at ``rest`` in the pod's own home, with its parents.

    The pod writes there, also meanwhile: each step is taken from a descriptor, no link followed.
    Raises OSError where anything else is in the way.
    """
    parts = rest.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), rest)
    at = os.dup(home_fd)
    try:
        for part in parts if is_dir else parts[:-1]:
            try:
                os.mkdir(part, 0o700, dir_fd=at)
            except FileExistsError:
                pass
            inner = os.open(part, _ONTO_ITSELF, dir_fd=at)
            os.close(at)
            at = inner
        if not is_dir:
            try:
                # nothing that is there is opened for writing: it may be a fifo, or read-only
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
                os.close(os.open(parts[-1], flags, 0o600, dir_fd=at))
            except FileExistsError:
                if not stat.S_ISREG(os.lstat(parts[-1], dir_fd=at).st_mode):
                    raise
    finally:
        os.close(at)


def _upwards(path: str) -> Iterator[str]:
    """It and all directories above it, but not /."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _showing(path: str, by_src: dict[str, list[Bound]]) -> Iterator[Bound]:
    """The binds with ``path`` strictly below them."""
    for directory in _upwards(path.rpartition("/")[0]):
        yield from by_src.get(directory, ())


_DEVICES = ("devtmpfs", "devpts")


def kernel_below(
    path: str, of_kernel: Iterable[tuple[str, str, int]]
) -> Iterator[tuple[str, bool]]:
    """What of the kernel's own filesystems is mounted below ``path`` and goes into no pod: (path
    below it, is a directory). A clone of the tree brings them along, and uid 0 owns their files.

    /dev and what is in it may be bound: without ``dev`` its nodes are of no use.
    """
    for point, fstype, _ in of_kernel:
        if fstype not in _DEVICES and below(point, path):
            yield point[len(path.rstrip("/")) + 1 :], os.path.isdir(point)
