"""Copying files where a pod may have made the names, and may change them meanwhile.

Everything is held by descriptor, and what lies below it is opened from there: a link is never
followed, nothing but regular files and directories is opened, and a directory that is swapped is
either the old one or the new one. As the person who copies: no more than they may is done.
"""

from __future__ import annotations

import errno
import itertools
import os
import posixpath
import stat

from podsh.errors import UsageError
from podsh.kernel import mounts
from podsh.kernel.uapi import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_O_PATH = os.O_PATH | os.O_CLOEXEC
_STRAIGHT = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
_CHUNK = 1 << 20
# a pod's directory may have any number of names
_MAX_LOOKED, _MAX_NAMES = 20_000, 400
_EXISTING = "is there, and is neither a file nor a directory"


class Place:
    """Somewhere below a directory that is held. Owns ``root``, a descriptor.

    path: below it, "" for itself. shown: what the person called it, for messages.
    """

    def __init__(self, root: int, path: str, shown: str) -> None:
        self.root = root
        self.path = path
        self.shown = shown

    def hold(self, path: str | None = None) -> int:
        """An O_PATH descriptor of what is there. OSError where nothing is; UsageError: a link."""
        path = self.path if path is None else path
        try:
            return mounts.openat2(
                self.root, path or ".", _O_PATH | os.O_NOFOLLOW, resolve=_STRAIGHT
            )
        except OSError as exc:
            if exc.errno in (errno.ELOOP, errno.EXDEV):
                raise UsageError(
                    "is a link, or lies behind one", place=self.shown, hint="name where it leads"
                ) from None
            raise OSError(exc.errno, os.strerror(exc.errno or 0), self.shown) from None

    def names(self, prefix: str) -> list[str]:
        """Of the directory that is there, those that begin so, of many the first; a dot is to be
        typed. Directories end in a slash, links are none. OSError, UsageError as ``hold``."""
        found = []
        with _held(self.hold()) as fd, _held(_reopened(fd, os.O_DIRECTORY)) as directory:
            with os.scandir(directory) as entries:
                for entry in itertools.islice(entries, _MAX_LOOKED):
                    if entry.name.startswith(prefix) and (entry.name[0] != "." or prefix):
                        is_dir = entry.is_dir(follow_symlinks=False)
                        found.append(entry.name + ("/" if is_dir else ""))
        return sorted(found)[:_MAX_NAMES]

    def close(self) -> None:
        os.close(self.root)


class Copy:
    """One copying. ``tell(path, cause)``: what was left out, and why; ``left_out`` counts."""

    def __init__(self, recursive: bool, tell: Callable[[str, str], None]) -> None:
        self.left_out = 0
        self._recursive = recursive
        self._tell = tell
        self._made: set[tuple[int, int]] = set()  # directories, not to be copied into themselves
        self._kernel: set[int] = set()  # devices of its own filesystems

    def run(self, source: Place, target: Place) -> None:
        """Copy what ``source`` is to ``target``: into that if it is a directory. UsageError and
        OSError for what stops all of it."""
        for name in ("proc", "sys"):
            try:
                with _held(source.hold(name)) as fd:
                    self._kernel.add(os.fstat(fd).st_dev)
            except (OSError, UsageError):
                pass
        with _held(source.hold()) as fd:
            found = os.fstat(fd)
            if os.fstat(source.root).st_dev in self._kernel:
                self._kernel = set()
            if stat.S_ISDIR(found.st_mode) and not self._recursive:
                raise UsageError("is a directory", place=source.shown, hint="copy it with -r")
            if not stat.S_ISDIR(found.st_mode) and not stat.S_ISREG(found.st_mode):
                raise UsageError(f"is {_kind(found.st_mode)}, not a file", place=source.shown)
            directory, name = self._destination(source, target)
            with _held(directory):
                try:
                    self._object(fd, directory, name, source.shown)
                except OSError as exc:
                    place = source.shown if exc.filename is None else target.shown
                    raise OSError(exc.errno, os.strerror(exc.errno or 0), place) from None

    def _destination(self, source: Place, target: Place) -> tuple[int, str]:
        """The directory, held, and the name in it that the copy gets."""
        try:
            there = target.hold()
        except OSError as exc:
            if exc.errno != errno.ENOENT or not target.path:
                raise
            parent, name = posixpath.split(target.path)
            return target.hold(parent), name
        mode = os.fstat(there).st_mode
        if stat.S_ISDIR(mode):
            name = posixpath.basename(source.path or posixpath.normpath(source.shown))
            if name in ("", ".", "..") or "/" in name:
                os.close(there)
                raise UsageError("has no name", place=source.shown, hint="name a new directory")
            return there, name
        os.close(there)
        if not stat.S_ISREG(mode) or not target.path:
            raise UsageError(_EXISTING, place=target.shown)
        parent, name = posixpath.split(target.path)
        return target.hold(parent), name

    # -- what is found

    def _object(self, fd: int, directory: int, name: str, shown: str) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            self._file(fd, directory, name)
        else:
            self._tree(fd, directory, name, shown)

    def _tree(self, fd: int, directory: int, name: str, shown: str) -> None:
        """A directory with all below it: a level at a time, each held open."""
        levels: list[_Level] = []
        try:
            levels.append(self._level(fd, directory, name, "", shown))
            while levels:
                level = levels[-1]
                entry = next(level.names, None)
                if entry is None:
                    levels.pop().close()
                    continue
                below = posixpath.join(level.below, entry)
                try:
                    inner = self._entry(level, entry, below, shown)
                    if inner is not None:
                        levels.append(inner)
                except UsageError as exc:
                    self._skip(shown, below, exc.cause)
                except OSError as exc:
                    deep = exc.errno == errno.EMFILE
                    why = "nested too deeply" if deep else os.strerror(exc.errno or 0)
                    self._skip(shown, below, why)
        finally:
            for level in levels:
                level.close()

    def _skip(self, shown: str, below: str, why: str) -> None:
        self.left_out += 1
        self._tell(posixpath.join(shown, below), why)

    def _entry(self, level: _Level, name: str, below: str, shown: str) -> _Level | None:
        """One name of a directory; a directory's own level, to go on with."""
        fd = mounts.openat2(level.source, name, _O_PATH | os.O_NOFOLLOW, resolve=RESOLVE_BENEATH)
        with _held(fd):
            found = os.fstat(fd)
            if stat.S_ISDIR(found.st_mode):
                if (found.st_dev, found.st_ino) in self._made:
                    self._skip(shown, below, "is what is being written")
                elif found.st_dev in self._kernel:
                    self._skip(shown, below, "is the kernel's")
                else:
                    return self._level(fd, level.target, name, below, shown)
            elif stat.S_ISREG(found.st_mode):
                self._file(fd, level.target, name)
            elif stat.S_ISLNK(found.st_mode):
                self._link(fd, level.target, name, below, shown)
            else:
                self._skip(shown, below, f"is {_kind(found.st_mode)}")
        return None

    def _level(self, fd: int, directory: int, name: str, below: str, shown: str) -> _Level:
        mode = stat.S_IMODE(os.fstat(fd).st_mode) & 0o777
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
            fresh = True
        except FileExistsError:
            fresh = False
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(name, flags, dir_fd=directory)
        try:
            found = os.fstat(target)
            self._made.add((found.st_dev, found.st_ino))
            source = _reopened(fd, os.O_DIRECTORY)
        except BaseException:
            os.close(target)
            raise
        return _Level(source, target, below, (mode & ~_umask()) | 0o700 if fresh else None)

    def _link(self, fd: int, directory: int, name: str, below: str, shown: str) -> None:
        """One within the tree is made again; what leads out of it is not."""
        leads = os.readlink("", dir_fd=fd)
        end = posixpath.normpath(posixpath.join(posixpath.dirname(below), leads))
        if leads.startswith("/") or end.startswith("../") or end == "..":
            self._skip(shown, below, f"is a link out of it, to {leads}")
            return
        os.symlink(leads, name, dir_fd=directory)

    def _file(self, fd: int, directory: int, name: str) -> None:
        """``fd`` is known to be a regular file: reopened, no other can be had."""
        source = _reopened(fd, os.O_NONBLOCK)
        with _held(source), _held(_target(source, directory, name)) as target:
            _copy_data(source, target)


class _Level:
    """One directory being copied. Owns both descriptors, and the names still to come."""

    def __init__(self, source: int, target: int, below: str, mode: int | None) -> None:
        self.source = source
        self.target = target
        self.below = below
        self._mode = mode
        self._found = os.scandir(source)
        self.names: Iterator[str] = (entry.name for entry in self._found)

    def close(self) -> None:
        """Its mode comes last: it may be one that lets nobody write."""
        self._found.close()
        if self._mode is not None:
            os.fchmod(self.target, self._mode)
        os.close(self.source)
        os.close(self.target)


class _held:
    """A descriptor, closed at the end."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> int:
        return self.fd

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _reopened(fd: int, flags: int) -> int:
    """What ``fd`` holds, to be read. OSError without a filename."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | flags)
    except OSError as exc:
        raise OSError(exc.errno, os.strerror(exc.errno or 0)) from None


def _target(source: int, directory: int, name: str) -> int:
    """The file to write: new, or one that is there, which is emptied. Never through a link."""
    mode = stat.S_IMODE(os.fstat(source).st_mode) & 0o777
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, mode, dir_fd=directory)
    except FileExistsError:
        pass
    with _held(os.open(name, _O_PATH | os.O_NOFOLLOW, dir_fd=directory)) as there:
        found, own = os.fstat(there), os.fstat(source)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{_kind(found.st_mode)} is in its place", place=name)
        if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
            raise UsageError("is the same file", place=name)
        flags = os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{there}", flags)


def _copy_data(source: int, target: int) -> None:
    """All of it; holes stay holes, so that a file is no larger than what is in it."""
    at = 0
    while True:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                break  # nothing but a hole is left
            if exc.errno != errno.EINVAL:
                raise
            start = at  # a filesystem that knows no holes
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        try:
            at = os.lseek(source, start, os.SEEK_HOLE)
            os.lseek(source, start, os.SEEK_SET)
        except OSError:
            at = -1
        if not _run(source, target, at - start if at >= 0 else None) or at < 0:
            break
    size = max(os.fstat(source).st_size, os.lseek(target, 0, os.SEEK_CUR))
    os.ftruncate(target, size)


def _run(source: int, target: int, length: int | None) -> bool:
    """One stretch of data; None: to the end. False at the end of the file."""
    while length is None or length > 0:
        data = os.read(source, _CHUNK if length is None else min(_CHUNK, length))
        if not data:
            return False
        if length is not None:
            length -= len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
    return True


def _umask() -> int:
    now = os.umask(0o077)
    os.umask(now)
    return now


def _kind(mode: int) -> str:
    for test, word in (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISFIFO, "a fifo"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISDIR, "a directory"),
    ):
        if test(mode):
            return word
    return "a device"
