"""Mounts by descriptor: open_tree, mount_setattr, move_mount, openat2, and mountinfo.

One wrapper per system call under the kernel's own spelling, no policy. New descriptors are
plain integers, close-on-exec, and the caller's. Every failure is an OSError whose ``filename``
is the call with its arguments. Needs Linux 5.12.
"""

from __future__ import annotations

import os
import struct
from ctypes import c_char_p, c_int, c_size_t, c_uint

from podsh.kernel import uapi
from podsh.kernel.raw import system_call

_open_tree = system_call("open_tree", c_int, c_char_p, c_uint)
_move_mount = system_call("move_mount", c_int, c_char_p, c_int, c_char_p, c_uint)
_mount_setattr = system_call("mount_setattr", c_int, c_char_p, c_uint, c_char_p, c_size_t)
_fsopen = system_call("fsopen", c_char_p, c_uint)
_fsconfig = system_call("fsconfig", c_int, c_uint, c_char_p, c_char_p, c_int)
_fsmount = system_call("fsmount", c_int, c_uint, c_uint)
_openat2 = system_call("openat2", c_int, c_char_p, c_char_p, c_size_t)

# struct mount_attr { __u64 attr_set, attr_clr, propagation, userns_fd; }  <linux/mount.h>
_MOUNT_ATTR = struct.Struct("=4Q")
# attributes of a filesystem that only holds data
INERT = uapi.MOUNT_ATTR_NOSUID | uapi.MOUNT_ATTR_NODEV | uapi.MOUNT_ATTR_NOEXEC
# struct open_how { __u64 flags, mode, resolve; }  <linux/openat2.h>
_OPEN_HOW = struct.Struct("=3Q")


def _path(path: str | bytes) -> bytes:
    """As the kernel wants it. A NUL would silently name another object: ValueError."""
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("embedded null byte in path")
    return encoded


def open_tree(dirfd: int, path: str | bytes, flags: int) -> int:
    """man 2 open_tree. An O_PATH descriptor, of a detached copy with OPEN_TREE_CLONE."""
    return _open_tree(dirfd, _path(path), flags | os.O_CLOEXEC)


def clone_tree(fd: int, recursive: bool = True) -> int:
    """A detached copy of the mount at ``fd`` from that object down, with all its submounts
    unless ``recursive`` is false."""
    flags = uapi.OPEN_TREE_CLONE | uapi.AT_EMPTY_PATH
    return open_tree(fd, b"", flags | (uapi.AT_RECURSIVE if recursive else 0))


def mount_setattr(
    fd: int, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = True
) -> None:
    """man 2 mount_setattr on the mount at ``fd``: MOUNT_ATTR_* to set and to clear, and
    MS_PRIVATE, MS_SLAVE or MS_SHARED (0: as it is)."""
    flags = uapi.AT_EMPTY_PATH | (uapi.AT_RECURSIVE if recursive else 0)
    attr = _MOUNT_ATTR.pack(set_, clear, propagation, 0)
    _mount_setattr(fd, b"", flags, attr, len(attr))


def move_mount(
    from_dirfd: int, from_path: str | bytes, to_dirfd: int, to_path: str | bytes, flags: int
) -> None:
    """man 2 move_mount."""
    _move_mount(from_dirfd, _path(from_path), to_dirfd, _path(to_path), flags)


def attach(fd: int, to_fd: int) -> None:
    """Put the detached mount ``fd`` on the object that ``to_fd`` holds: no path is resolved."""
    flags = uapi.MOVE_MOUNT_F_EMPTY_PATH | uapi.MOVE_MOUNT_T_EMPTY_PATH
    _move_mount(fd, b"", to_fd, b"", flags)


def tmpfs(size_bytes: int, attributes: int) -> int:
    """A fresh detached tmpfs, by fsopen, fsconfig and fsmount: the descriptor of its root."""
    context = _fsopen(b"tmpfs", uapi.FSOPEN_CLOEXEC)
    try:
        size = str(size_bytes).encode()
        _fsconfig(context, uapi.FSCONFIG_SET_STRING, b"size", size, 0)
        _fsconfig(context, uapi.FSCONFIG_CMD_CREATE, None, None, 0)
        return _fsmount(context, uapi.FSMOUNT_CLOEXEC, attributes)
    finally:
        os.close(context)


def openat2(dirfd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """man 2 openat2. EAGAIN: a rename or mount raced with ``..``; the caller may try again."""
    how = _OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    return _openat2(dirfd, _path(path), how, len(how))


def number(fd: int) -> int:
    """Of the mount that ``fd`` lies on, as in mountinfo (man 5 proc_pid_fdinfo)."""
    with open(f"/proc/self/fdinfo/{fd}", "rb", buffering=0) as file:
        return int(file.readall().partition(b"mnt_id:")[2].split(None, 1)[0])


class Mount:
    """One line of /proc/PID/mountinfo (man 5 proc_pid_mountinfo), unescaped.

    ``root``: the part of the filesystem that is mounted; ``point``: where, as that process sees
    it; ``device``: of the filesystem; ``options``: of the mount; ``super_options``: of the
    filesystem; ``tags``: propagation, such as ``shared:1``.
    """

    __slots__ = (
        "device",
        "fstype",
        "id",
        "options",
        "parent",
        "point",
        "root",
        "source",
        "super_options",
        "tags",
    )

    def __init__(self, line: bytes) -> None:
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        self.id = int(fields[0])
        self.parent = int(fields[1])
        self.device = _device(fields)
        self.root = _unescape(fields[3])
        self.point = _unescape(fields[4])
        self.options = frozenset(fields[5].decode("ascii", "replace").split(","))
        self.tags = tuple(os.fsdecode(field) for field in fields[6:])
        fstype, source, *more = after.split(b" ")
        self.super_options = frozenset(os.fsdecode(b" ".join(more)).split(","))
        self.fstype = _unescape(fstype)
        self.source = _unescape(source)

    def __repr__(self) -> str:
        options = ",".join(sorted(self.options))
        return f"Mount({self.id} on {self.point!r}, {self.fstype}, {options})"


def _unescape(field: bytes) -> str:
    """Undo the kernel's ``\\ooo`` (it escapes space, tab, newline, backslash and ``#``)."""
    if b"\\" in field:
        head, *rest = field.split(b"\\")
        field = head + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in rest)
    return os.fsdecode(field)


# filesystems through which the kernel itself is ruled; the pod has a /proc and /dev of its own
KERNEL_TYPES = frozenset(
    b"proc sysfs cgroup cgroup2 nsfs debugfs tracefs securityfs bpf devtmpfs devpts configfs "
    b"efivarfs binfmt_misc pstore selinuxfs fusectl resctrl".split()
)


class Overview:
    """The mounts that this process sees, by one look that is quick for thousands.

    kernel: (point, type, st_dev) of the KERNEL_TYPES. repeated: of the other filesystems that are
    mounted more than once, by st_dev, the lines of their mounts, for ``Mount``.
    """

    __slots__ = ("kernel", "repeated")

    def __init__(self) -> None:
        with open("/proc/self/mountinfo", "rb", buffering=0) as file:
            data = file.readall()
        self.kernel: list[tuple[str, str, int]] = []
        others: dict[bytes, list[bytes]] = {}
        for line in data.split(b"\n"):
            fstype = line.partition(b" - ")[2].partition(b" ")[0]
            fields = line.split(b" ", 5)
            if fstype in KERNEL_TYPES:
                self.kernel.append((_unescape(fields[4]), fstype.decode("ascii"), _device(fields)))
            elif fstype:
                others.setdefault(fields[2], []).append(line)
        self.repeated = {
            _device(lines[0].split(b" ", 5)): lines for lines in others.values() if lines[1:]
        }


def _device(fields: list[bytes]) -> int:
    """st_dev of what is mounted, by the fields of a line of mountinfo."""
    major, _, minor = fields[2].partition(b":")
    return os.makedev(int(major), int(minor))


def kernel_mounts() -> list[tuple[str, str, int]]:
    """(point, type, st_dev) of the KERNEL_TYPES that this process sees."""
    return Overview().kernel


def listing(pid: int | str = "self") -> list[Mount]:
    """The mounts that a process sees, in the order in which the kernel lists them."""
    with open(f"/proc/{pid}/mountinfo", "rb") as file:
        # not splitlines(): a carriage return is not escaped
        return [Mount(line) for line in file.read().split(b"\n") if line]
