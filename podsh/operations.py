"""What a jail will be, as data: operations that describe themselves, and the JailPlan of them.

The operations stand in the order in which they are carried out; ``jail/build.py`` turns them
into descriptors and orders for init, ``--dry-run`` prints them. Pure; ``plan.py`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from podsh.filtering import Filter
from podsh.nets import Network

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Tmpfs:
    """A fresh tmpfs; ``size`` in bytes, ``mode`` as in chmod(2)."""

    tag: ClassVar[str] = "tmpfs"
    path: str
    mode: int
    size: int
    exec: bool = True

    def __str__(self) -> str:
        noexec = "" if self.exec else " noexec"
        return f"tmpfs    {self.path} mode {self.mode:04o} size {self.size // MIB}M{noexec}"


@dataclass(frozen=True, slots=True)
class Dir:
    tag: ClassVar[str] = "dir"
    path: str
    mode: int = 0o755

    def __str__(self) -> str:
        return f"dir      {self.path} mode {self.mode:04o}"


@dataclass(frozen=True, slots=True)
class Link:
    tag: ClassVar[str] = "link"
    target: str
    path: str

    def __str__(self) -> str:
        return f"link     {self.path} -> {self.target}"


@dataclass(frozen=True, slots=True)
class File:
    """A small private file, mounted over whatever is at ``path``. ``data``: its bytes, those that
    are no UTF-8 escaped (surrogateescape); ``random``: 32 hex digits of the monitor's instead."""

    tag: ClassVar[str] = "file"
    path: str
    data: str
    mode: int = 0o644
    random: bool = False

    def __str__(self) -> str:
        size = len(self.data.encode("utf-8", "surrogateescape"))
        return f"file     {self.path} mode {self.mode:04o}, {size} bytes"


@dataclass(frozen=True, slots=True)
class Bind:
    """A host object shown in the pod.

    ``dst`` None: at its own path, links on the way mirrored. ``own``: the pod's own directory
    below podsh's state, made by the monitor if missing; only the plan may name one. ``socket``:
    what is found must be one, and the pod may connect to it without a question.
    """

    tag: ClassVar[str] = "bind"
    src: str
    dst: str | None
    write: bool
    exec: bool
    suid: bool
    dev: bool
    optional: bool
    where: str
    own: bool = False
    within: str = ""  # what is found must be this or lie below it
    socket: bool = False

    def __str__(self) -> str:
        to = f" -> {self.dst}" if self.dst not in (None, self.src) else ""
        if self.socket:
            return f"socket   {self.src}{to} may be connected to  [{self.where}]"
        flags = ["rw" if self.write else "ro"]
        flags += [
            word
            for word, on in (
                ("noexec", not self.exec),
                ("nosuid", not self.suid),
                ("nodev", not self.dev),
            )
            if on
        ]
        note = " (if there)" if self.optional else ""
        return f"bind     {self.src}{to} {' '.join(flags)}{note}  [{self.where}]"


@dataclass(frozen=True, slots=True)
class Hide:
    """Paths (or patterns) masked below every bind, whoever asks for it: (pattern, rule)."""

    tag: ClassVar[str] = "hide"
    rules: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "\n".join(f"hide     {pattern}  [{where}]" for pattern, where in self.rules)


@dataclass(frozen=True, slots=True)
class Device:
    """A host device node, bound read-only (its driver still takes writes)."""

    tag: ClassVar[str] = "device"
    name: str

    def __str__(self) -> str:
        return f"device   /dev/{self.name}"


@dataclass(frozen=True, slots=True)
class Proc:
    """A fresh procfs, the dangerous parts masked or read-only as OCI runtimes do."""

    tag: ClassVar[str] = "proc"
    path: str = "/proc"

    def __str__(self) -> str:
        return f"proc     {self.path}, masked and read-only parts"


@dataclass(frozen=True, slots=True)
class Devpts:
    tag: ClassVar[str] = "devpts"
    path: str
    max: int

    def __str__(self) -> str:
        return f"devpts   {self.path} own instance, at most {self.max}"


@dataclass(frozen=True, slots=True)
class Hostname:
    tag: ClassVar[str] = "hostname"
    name: str

    def __str__(self) -> str:
        return f"hostname {self.name}"


@dataclass(frozen=True, slots=True)
class Loopback:
    tag: ClassVar[str] = "loopback"

    def __str__(self) -> str:
        return "net      loopback up"


@dataclass(frozen=True, slots=True)
class Scope:
    """Landlock's: who is in the pod reaches no abstract socket of others, and signals nobody."""

    tag: ClassVar[str] = "scope"

    def __str__(self) -> str:
        return "scope    abstract sockets and signals end at the pod (Landlock)"


@dataclass(frozen=True, slots=True)
class Inner:
    """Programs have a user namespace of their own, in which they keep ``caps``. What these are
    for is its: IPC, names, and with ``net`` the network; the mounts are not.

    by_files: they have them by being uid 0 and by file capabilities, else by the ambient set.
    """

    tag: ClassVar[str] = "inner"
    caps: tuple[str, ...]
    by_files: bool
    net: bool

    def __str__(self) -> str:
        over = f"over {'net ' if self.net else ''}ipc uts and the pod's users, not over mounts"
        how = "uid 0, and files on binds with s" if self.by_files else "ambient"
        return f"caps     {' '.join(self.caps)}, by: {how}; {over}"


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A sysctl of the pod's own namespaces, ``name`` with slashes."""

    tag: ClassVar[str] = "sysctl"
    name: str
    value: str
    needed: bool = True

    def __str__(self) -> str:
        return f"sysctl   {self.name} = {self.value}" + ("" if self.needed else " (if there)")


@dataclass(frozen=True, slots=True)
class Shim:
    """The library that programs preload, and its generation page."""

    tag: ClassVar[str] = "shim"
    library: str
    page: str

    def __str__(self) -> str:
        return f"shim     {self.library}, {self.page} ro"


@dataclass(frozen=True, slots=True)
class Lines:
    """The library by which programs write line by line into a pipe."""

    tag: ClassVar[str] = "lines"
    library: str

    def __str__(self) -> str:
        return f"lines    {self.library}"


@dataclass(frozen=True, slots=True)
class Kage:
    """The helper by which programs ask the monitor, and the socket that it asks on."""

    tag: ClassVar[str] = "kage"
    program: str
    socket: str

    def __str__(self) -> str:
        return f"kage     {self.program} ro, {self.socket} to the monitor"


Op = (
    Tmpfs
    | Dir
    | Link
    | File
    | Bind
    | Hide
    | Device
    | Proc
    | Devpts
    | Hostname
    | Loopback
    | Scope
    | Inner
    | Sysctl
    | Shim
    | Lines
    | Kage
)
_OPS: dict[str, type[Any]] = {
    op.tag: op
    for op in (
        Tmpfs,
        Dir,
        Link,
        File,
        Bind,
        Hide,
        Device,
        Proc,
        Devpts,
        Hostname,
        Loopback,
        Scope,
        Inner,
        Sysctl,
        Shim,
        Lines,
        Kage,
    )
}


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run in the pod. ``cwd``: candidates, the first that exists is taken.

    ``init``: a script of the pod that runs first. ``daemon``: without a terminal, and nobody's.
    ``log``: the host's file that keeps what it writes, "" for none.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: tuple[str, ...]
    cwd_must: bool = False
    procname: str | None = None
    umask: int = 0o022
    # (resource name of resource(3) without RLIMIT_, soft, hard)
    rlimits: tuple[tuple[str, int, int], ...] = ()
    init: str | None = None
    daemon: bool = False
    log: str = ""


@dataclass(frozen=True, slots=True)
class JailPlan:
    """Everything the monitor needs to build a jail and run its program."""

    name: str
    profile: str
    ops: tuple[Op, ...]
    network: Network
    filter: Filter
    program: Program
    notes: tuple[str, ...] = ()
    # of all that runs in it, by a cgroup: bytes, cores, how many; the portal's to see to
    memory: int | None = None
    cpu: float | None = None
    processes: int | None = None

    def describe(self) -> list[str]:
        """The lines of ``--dry-run``, in the order in which they will be carried out."""
        namespaces = "user mnt pid ipc uts cgroup" + (" net" if self.network.own else "")
        lines = [f"pod      {self.name}, profile {self.profile}", f"new      {namespaces}"]
        for op in self.ops:
            lines += str(op).split("\n")
        lines += self.network.describe()
        inner = self.inner
        capless = "" if inner else "; no capabilities"
        sealed = "" if inner and inner.by_files else "; no_new_privs"
        lines.append(f"seal     / read-only{capless}{sealed}")
        lines += self.filter.describe()
        lines += [
            f"limit    {name} {soft}" + ("" if soft == hard else f" (hard {hard})")
            for name, soft, hard in self.program.rlimits
        ]
        lines += [f"limit    memory {self.memory} bytes (cgroup)"] if self.memory else []
        lines += [f"limit    cpu {self.cpu:g} cores (cgroup)"] if self.cpu else []
        lines += [f"env      {key}={value}" for key, value in self.program.env]
        lines.append(f"cwd      {self.program.cwd[0]}")
        if self.program.daemon:
            lines.append("daemon   without a terminal, goes on alone")
        if self.program.log:
            lines.append(f"output   {self.program.log}, line by line")
        if self.program.init:
            lines.append(f"init     {self.program.init}")
        lines.append(f"run      {' '.join(self.program.argv)}")
        return lines

    @property
    def inner(self) -> Inner | None:
        """By what its programs keep capabilities; None: they have none."""
        return next((op for op in self.ops if isinstance(op, Inner)), None)

    def twins(self) -> frozenset[str]:
        """The abstract addresses that name the same servers as the sockets that the pod is given:
        X clients try them first."""
        binds = (op for op in self.ops if isinstance(op, Bind) and op.socket)
        return frozenset(op.dst or op.src for op in binds)

    def of_pod(self, name: str, state: str) -> JailPlan:
        """This plan for the pod of that name: what is its own lies below ``state``."""
        ops = [
            replace(op, src=state + op.src) if isinstance(op, Bind) and op.own else op
            for op in self.ops
        ]
        return replace(self, name=name, ops=tuple(ops))

    def to_wire(self) -> dict[str, Any]:
        """Plain fields; operations as [tag, field, …], read back by ``from_wire``."""
        return {
            "name": self.name,
            "profile": self.profile,
            "ops": ops_to_wire(self.ops),
            "network": self.network.to_wire(),
            "filter": _values(self.filter),
            "program": _values(self.program),
            "notes": self.notes,
            "bounds": (self.memory, self.cpu, self.processes),
        }

    @classmethod
    def from_wire(cls, fields: dict[str, Any], before: tuple[Op, ...] = ()) -> JailPlan:
        """Rebuild what ``to_wire`` gave, through marshal. The sender is podsh itself.

        before: operations that were left out of the fields.
        """
        argv, env, cwd, cwd_must, procname, umask, rlimits, *more = fields["program"]
        return cls(
            name=fields["name"],
            profile=fields["profile"],
            ops=(*before, *ops_from_wire(fields["ops"])),
            network=Network.from_wire(fields["network"]),
            filter=Filter(*fields["filter"]),
            program=Program(
                tuple(argv),
                tuple((key, value) for key, value in env),
                tuple(cwd),
                cwd_must,
                procname,
                umask,
                tuple((name, soft, hard) for name, soft, hard in rlimits),
                *more,
            ),
            notes=tuple(fields["notes"]),
            **dict(zip(("memory", "cpu", "processes"), fields["bounds"], strict=True)),
        )


def hostname(domain: str) -> str:
    """A domain's name made safe for sethostname(2): letters, digits, ``-``; at most 64 bytes."""
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in domain.replace("∩", "-n-"))
    return safe.strip("-")[:64] or "pod"


# Every pod is bounded; a profile's [limits] raises or lowers these. Sizes in bytes.
DEFAULT_TMPFS = 1024 * MIB
DEFAULT_PTYS = 64
ROOT_TMPFS = 64 * MIB
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# podsh's own in every pod. No $LIB in the path of the library: musl takes it for a name, and ld.so
# of a foreign ABI complains of whatever it does not find.
OWN = "/.podsh"
SHIM = Shim(f"{OWN}/shim.so", f"{OWN}/gen")
LINES = Lines(f"{OWN}/lines.so")
OWN_BIN = f"{OWN}/bin"
KAGE = Kage(f"{OWN_BIN}/kage", f"{OWN}/kage.sock")


def system(tmpfs_size: int, ptys: int, shm_exec: bool, proc: bool) -> tuple[Op, ...]:
    """The directories that are every pod's own; a plan begins with them."""
    ops: list[Op] = [Tmpfs("/", 0o755, ROOT_TMPFS), Dir("/dev")]
    ops += [Device(name) for name in DEVICES]
    ops += [
        Link("/proc/self/fd", "/dev/fd"),
        Link("/proc/self/fd/0", "/dev/stdin"),
        Link("/proc/self/fd/1", "/dev/stdout"),
        Link("/proc/self/fd/2", "/dev/stderr"),
        Link("pts/ptmx", "/dev/ptmx"),
        Devpts("/dev/pts", ptys),
        Tmpfs("/dev/shm", 0o1777, tmpfs_size, shm_exec),
        Dir(OWN),
        SHIM,
        Dir(OWN_BIN),
        KAGE,
    ]
    if proc:
        ops.append(Proc())
    return tuple(ops)


# what a standby makes before anybody asks for a pod
STANDARD = system(DEFAULT_TMPFS, DEFAULT_PTYS, True, True)


Row = tuple[Any, ...]  # an operation on the wire: (tag, field, …)


def usual(row: Row) -> bool:
    """Whether a standby may carry it out for whatever pod comes."""
    if row[0] == Sysctl.tag:
        return str(row[1]).startswith(_SHARES)
    return row[0] in _USUAL or (row[0] == Bind.tag and not any(row[at] for at in _PARTICULAR))


_USUAL = frozenset(op.tag for op in (Tmpfs, Dir, Link, Device, Proc, Devpts, Shim, Kage, Scope))
_SHARES = "user/max_inotify_"  # the same for every pod
_PARTICULAR = [1 + Bind.__slots__.index(name) for name in ("dst", "write", "own", "within")]
_DST = _PARTICULAR[0]


def row_path(row: Row) -> str:
    """Where in the pod, as far as the plan knows; "" for what is nowhere."""
    if row[0] == Bind.tag:
        return str(row[_DST] or row[1])
    if row[0] == Device.tag:
        return f"/dev/{row[1]}"
    if row[0] == Link.tag:
        return str(row[2])
    return str(row[1]) if row[0] in (Tmpfs.tag, Dir.tag, Proc.tag, Devpts.tag, File.tag) else ""


def ops_to_wire(ops: tuple[Op, ...]) -> list[Row]:
    """Each as (tag, field, …)."""
    return [(op.tag, *_values(op)) for op in ops]


def ops_from_wire(rows: list[Row]) -> tuple[Op, ...]:
    """Rebuild what ``ops_to_wire`` gave."""
    return tuple(_OPS[tag](*values) for tag, *values in rows)


def _values(item: Any) -> list[Any]:
    """The fields of one of the dataclasses above, in their order."""
    return [getattr(item, name) for name in item.__slots__]
