"""Groups of processes that are limited together: where podsh may make them, what they say.

cgroups(7) of version 2; and of version 1, where that has the controllers. A group is a directory
for each controller, in version 2 the same one for all. No policy.
"""

from __future__ import annotations

import os
import select
from typing import Any, NamedTuple

from podsh.kernel import mounts
from podsh.kernel.finding import as_root

# controller -> the file of its limit, in version 2 and in version 1
_LIMITS = {
    "memory": ("memory.max", "memory.limit_in_bytes"),
    "cpu": ("cpu.max", "cpu.cfs_quota_us"),
    "pids": ("pids.max", "pids.max"),
}
CONTROLLERS = frozenset(_LIMITS)
_PERIOD_US = 100_000  # of cpu.max; that of version 1 unless somebody changes it
_LEAST_US = 1000
# where processes go that are in a group which is to have groups below it
_LEAF = "podsh"


class Lacking(Exception):
    """There is no place for groups: why, and the command that mends it (may be "")."""

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.mend = mend


class Place(NamedTuple):
    """Where groups can be made: the directory for each controller that is there."""

    unified: bool
    directories: dict[str, str]


def place(wanted: frozenset[str], prepare: bool = True) -> Place:
    """The nearest group above this process that may have groups with ``wanted`` controllers;
    others are there if they can be. Raises Lacking.

    prepare: make it ready for that; else only look whether it can be.
    """
    unified = _unified(wanted, prepare)
    if isinstance(unified, Place):
        return unified
    split = _split(wanted)
    if split is not None:
        return split
    raise unified


def _own(hierarchy: str) -> str | None:
    """This process's group in a hierarchy: "" for version 2, else one that has this controller."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if hierarchy == controllers or (hierarchy and hierarchy in controllers.split(",")):
                return path
    return None


def _directory(mount: mounts.Mount, own: str) -> str | None:
    """A group's directory below a mount that may show only a part of the hierarchy."""
    root = "" if mount.root == "/" else mount.root
    if own != root and not own.startswith(f"{root}/"):
        return None
    return (mount.point + own[len(root) :]).rstrip("/")


# ---------------------------------------------------------------- version 2


def _unified(wanted: frozenset[str], prepare: bool) -> Place | Lacking:
    listed = (m for m in mounts.listing() if m.fstype == "cgroup2")
    # something else may lie on it
    mount = next((m for m in listed if os.path.exists(f"{m.point}/cgroup.procs")), None)
    own = _own("")
    directory = _directory(mount, own) if mount is not None and own is not None else None
    if mount is None or directory is None:
        return Lacking("cgroups of version 2 are not mounted", _mend())
    top = mount.point.rstrip("/")
    above = [directory]
    while above[-1] != top and above[-1].startswith(top):
        above.append(above[-1].rpartition("/")[0])
    missing = wanted - _words(f"{top}/cgroup.controllers")
    if missing:
        lacking = " and ".join(sorted(missing))
        if any(m.fstype == "cgroup" for m in mounts.listing()):
            return Lacking(f"cgroups of version 1 have {lacking}", _boot())
        return Lacking(f"this kernel or container has no {lacking} cgroups", "")
    ours = [d for d in above if _may_use(d)]
    usable = [d for d in ours if wanted <= _words(f"{d}/cgroup.controllers")]
    if ours and not usable:
        lacking = " and ".join(sorted(wanted - _words(f"{ours[0]}/cgroup.controllers")))
        return Lacking(f"{ours[0]} was not given {lacking}", _mend_controllers())
    # the nearest, so that the limits of all above hold
    for there in usable:
        if wanted <= _words(f"{there}/cgroup.subtree_control"):
            return _at(there)
        if not _busy(there):
            if not prepare:
                return Place(True, dict.fromkeys(sorted(wanted), there))
            if _enabled(there) >= wanted:
                return _at(there)
    if directory in usable and _delegated(directory):
        if not prepare:
            return Place(True, dict.fromkeys(sorted(wanted), directory))
        if _cleared(directory) and _enabled(directory) >= wanted:
            return _at(directory)
    return Lacking(f"{directory} is not podsh's to divide", _mend())


def _at(directory: str) -> Place:
    there = _words(f"{directory}/cgroup.subtree_control") & CONTROLLERS
    return Place(True, dict.fromkeys(sorted(there), directory))


def _may_use(directory: str) -> bool:
    """Whether groups may be made there, and processes moved from there into them."""
    files = (directory, f"{directory}/cgroup.procs")
    return all(os.access(path, os.W_OK) for path in files)


def _busy(directory: str) -> bool:
    """Whether its processes forbid groups with controllers below it; the topmost of all may."""
    topmost = not os.path.exists(f"{directory}/cgroup.type")
    return not topmost and bool(_words(f"{directory}/cgroup.procs"))


def _delegated(directory: str) -> bool:
    """Whether the group was handed over: to this user, or by systemd with Delegate=."""
    for name in ("user.delegate", "trusted.delegate"):
        try:
            if os.getxattr(directory, name) == b"1":
                return True
        except OSError:
            continue
    return os.geteuid() != 0 and os.stat(directory).st_uid == os.geteuid()


def _cleared(directory: str) -> bool:
    """Move its processes into one group below it."""
    leaf = f"{directory}/{_LEAF}"
    try:
        os.makedirs(leaf, exist_ok=True)
        for pid in _words(f"{directory}/cgroup.procs"):
            try:
                _write(f"{leaf}/cgroup.procs", pid)
            except ProcessLookupError:
                continue
    except OSError:
        return False
    return True


def _enabled(directory: str) -> set[str]:
    """Let groups below have what is there; what they have then."""
    for name in _words(f"{directory}/cgroup.controllers") & CONTROLLERS:
        try:
            _write(f"{directory}/cgroup.subtree_control", f"+{name}")
        except OSError:
            continue
    return _words(f"{directory}/cgroup.subtree_control")


def _boot() -> str:
    systemd = os.path.isdir("/run/systemd/system")
    return f"boot with {'systemd.unified_cgroup_hierarchy=1' if systemd else 'cgroup_no_v1=all'}"


def _mend_controllers() -> str:
    """systemd gives a user's groups memory and pids, and cpu only where it is told so."""
    if not os.path.isdir("/run/systemd/system"):
        return "have the group above give them: echo '+memory +cpu +pids' to its subtree_control"
    directory = "/etc/systemd/system/user@.service.d"
    steps = (
        f"{{sudo}}mkdir -p {directory}",
        f"printf '[Service]\\nDelegate=cpu memory pids\\n' | {{sudo}}tee {directory}/60-podsh.conf",
        "{sudo}systemctl daemon-reload",
    )
    return as_root(" && ".join(steps)) + "; then log in again"


def _mend() -> str:
    if os.path.isdir("/run/systemd/system"):
        user = "" if os.geteuid() == 0 else "--user "
        return f"podsh shutdown; systemd-run {user}--scope -p Delegate=yes podsh"
    return "start podsh in a group of its own, which has no other processes"


# ---------------------------------------------------------------- version 1


def _split(wanted: frozenset[str]) -> Place | None:
    """In version 1 any group may be divided by who owns its directory."""
    found: dict[str, str] = {}
    listed = [mount for mount in mounts.listing() if mount.fstype == "cgroup"]
    for name in (*sorted(CONTROLLERS), "cpuacct"):
        mount = next((m for m in listed if name in m.super_options), None)
        own = _own(name)
        there = _directory(mount, own) if mount is not None and own is not None else None
        if there is not None and os.access(there, os.W_OK):
            found[name] = there
    return Place(False, found) if wanted <= found.keys() else None


# ---------------------------------------------------------------- a group


class Limits(NamedTuple):
    """What a group may use; None: any amount. ``cpu``: cores."""

    memory_bytes: int | None = None
    cpu: float | None = None
    processes: int | None = None

    def needs(self) -> frozenset[str]:
        """The controllers without which they cannot be."""
        asked = {"memory": self.memory_bytes, "cpu": self.cpu}
        return frozenset(name for name, value in asked.items() if value is not None)


class Group:
    """One group: a directory for each controller."""

    def __init__(self, unified: bool, directories: dict[str, str]) -> None:
        self.unified = unified
        self.directories = directories

    @classmethod
    def make(cls, at: Place, name: str, limits: Limits) -> Group:
        """A new one with its limits. OSError; nothing is left then."""
        group = cls(at.unified, {key: f"{path}/{name}" for key, path in at.directories.items()})
        try:
            for directory in dict.fromkeys(group.directories.values()):
                os.mkdir(directory)
            group._limit(limits)
        except BaseException:
            group.remove()
            raise
        return group

    @classmethod
    def from_wire(cls, fields: dict[str, Any]) -> Group:
        return cls(bool(fields["unified"]), {str(k): str(v) for k, v in fields["at"].items()})

    def to_wire(self) -> dict[str, Any]:
        return {"unified": self.unified, "at": self.directories}

    def _limit(self, limits: Limits) -> None:
        if limits.memory_bytes is not None:
            self._set("memory", str(limits.memory_bytes))
            try:
                # else what is too much would go into swap, without any limit
                swap = "memory.swap.max" if self.unified else "memory.memsw.limit_in_bytes"
                size = "0" if self.unified else str(limits.memory_bytes)
                _write(f"{self.directories['memory']}/{swap}", size)
            except OSError:
                pass  # there is no swap to be had
        if limits.cpu is not None:
            quota = max(int(limits.cpu * _PERIOD_US), _LEAST_US)
            self._set("cpu", f"{quota} {_PERIOD_US}" if self.unified else str(quota))
        if limits.processes is not None and "pids" in self.directories:
            self._set("pids", str(limits.processes))

    def _set(self, controller: str, value: str) -> None:
        name = _LIMITS[controller][not self.unified]
        _write(f"{self.directories[controller]}/{name}", value)

    def enter(self, pid: int) -> None:
        """Put a process into it; those that it makes from now on are in it, too. OSError."""
        for directory in dict.fromkeys(self.directories.values()):
            _write(f"{directory}/cgroup.procs", str(pid))

    def remove(self) -> bool:
        """Take it away; False while processes are in it."""
        gone = True
        for directory in dict.fromkeys(self.directories.values()):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone

    # -- what it says

    def usage(self) -> dict[str, int | float | None]:
        """``memory``, ``memory_limit`` (bytes), ``cpu_seconds``, ``cpu_limit`` (cores), ``pids``,
        ``pids_limit``, ``oom_kills``. None: not known, or no limit."""
        return {
            "memory": self._number("memory", "memory.current", "memory.usage_in_bytes"),
            "memory_limit": self._number("memory", *_LIMITS["memory"]),
            "cpu_seconds": self._cpu_seconds(),
            "cpu_limit": self._cpu_limit(),
            "pids": self._number("pids", "pids.current", "pids.current"),
            "pids_limit": self._number("pids", *_LIMITS["pids"]),
            "oom_kills": self.oom_kills(),
        }

    def oom_kills(self) -> int:
        """How many processes were killed because there was no memory for them."""
        return self._key("memory", self._oom_file, "oom_kill") or 0

    @property
    def _oom_file(self) -> str:
        return "memory.events" if self.unified else "memory.oom_control"

    def watch_oom(self) -> tuple[int, int]:
        """A descriptor of the caller's, and the event of poll(2) that says: look at ``oom_kills``
        again, and call ``seen``. OSError."""
        directory = self.directories["memory"]
        fd = os.open(f"{directory}/{self._oom_file}", os.O_RDONLY | os.O_CLOEXEC)
        if self.unified:
            return fd, select.POLLPRI
        try:
            event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            _write(f"{directory}/cgroup.event_control", f"{event} {fd}")
        finally:
            os.close(fd)
        return event, select.POLLIN

    def seen(self, fd: int) -> None:
        """Take from ``watch_oom``'s descriptor what it told of."""
        try:
            if self.unified:
                os.pread(fd, 4096, 0)
            else:
                os.eventfd_read(fd)
        except OSError:
            pass

    def _number(self, controller: str, new: str, old: str) -> int | None:
        text = self._text(controller, new if self.unified else old)
        # version 1 says the largest number that it has for none
        return int(text) if text.isdecimal() and int(text) < 1 << 62 else None

    def _cpu_seconds(self) -> float | None:
        if self.unified:
            used = self._key("cpu", "cpu.stat", "usage_usec")
            return None if used is None else used / 1e6
        text = self._text("cpuacct", "cpuacct.usage")
        return int(text) / 1e9 if text.isdecimal() else None

    def _cpu_limit(self) -> float | None:
        if self.unified:
            quota, _, period = self._text("cpu", "cpu.max").partition(" ")
        else:
            quota = self._text("cpu", "cpu.cfs_quota_us")
            period = self._text("cpu", "cpu.cfs_period_us")
        if not (quota.isdecimal() and period.isdecimal() and int(period)):
            return None
        return int(quota) / int(period)

    def _key(self, controller: str, file: str, key: str) -> int | None:
        for line in self._text(controller, file).splitlines():
            name, _, value = line.partition(" ")
            if name == key and value.isdecimal():
                return int(value)
        return None

    def _text(self, controller: str, file: str) -> str:
        """A file's text, "" where there is none."""
        directory = self.directories.get(controller)
        if directory is None:
            return ""
        try:
            with open(f"{directory}/{file}", encoding="ascii") as opened:
                return opened.read().strip()
        except OSError:
            return ""


def _words(path: str) -> set[str]:
    try:
        with open(path, encoding="ascii") as file:
            return set(file.read().split())
    except OSError:
        return set()


def _write(path: str, text: str) -> None:
    """The kernel takes each of these by one write."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
