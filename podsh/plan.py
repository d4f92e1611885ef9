"""What a jail will be, as data: Profile + request -> JailPlan. Pure: touches no file, no kernel.

A plan is a list of operations in the order in which they are carried out; each can describe
itself (``--dry-run``). ``jail/build.py`` turns it into descriptors and orders for init.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from podsh.errors import UsageError

if TYPE_CHECKING:
    from podsh.profiles.schema import Limits, Profile

MIB = 1 << 20
Net = Literal["none", "loop", "host"]


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
    """A small private file, mounted over whatever is at ``path``."""

    tag: ClassVar[str] = "file"
    path: str
    data: str
    mode: int = 0o644

    def __str__(self) -> str:
        return f"file     {self.path} mode {self.mode:04o}, {len(self.data)} bytes"


@dataclass(frozen=True, slots=True)
class Bind:
    """A host object shown in the pod.

    ``dst`` None: at its own path, links on the way mirrored. ``own``: the pod's own directory
    below podsh's state, made by the monitor if missing; only the plan may name one.
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

    def __str__(self) -> str:
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
        to = f" -> {self.dst}" if self.dst not in (None, self.src) else ""
        note = " (if there)" if self.optional else ""
        return f"bind     {self.src}{to} {' '.join(flags)}{note}  [{self.where}]"


@dataclass(frozen=True, slots=True)
class Hide:
    """A path (or pattern) masked below every bind, whoever asks for it."""

    tag: ClassVar[str] = "hide"
    pattern: str
    where: str

    def __str__(self) -> str:
        return f"hide     {self.pattern}  [{self.where}]"


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
class Sysctl:
    """A sysctl of the pod's own namespaces, ``name`` with slashes."""

    tag: ClassVar[str] = "sysctl"
    name: str
    value: str
    needed: bool = True

    def __str__(self) -> str:
        return f"sysctl   {self.name} = {self.value}" + ("" if self.needed else " (if there)")


Op = Tmpfs | Dir | Link | File | Bind | Hide | Device | Proc | Devpts | Hostname | Loopback | Sysctl
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
        Sysctl,
    )
}


@dataclass(frozen=True, slots=True)
class Filter:
    """What the system-call filter refuses beyond its fixed list."""

    refuse_setid: bool  # root's pods must not make setuid files
    ptrace: bool = False
    nesting: bool = False
    new_filters: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run in the pod. ``cwd``: candidates, the first that exists is taken."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: tuple[str, ...]
    cwd_must: bool = False
    procname: str | None = None
    umask: int = 0o022
    # (resource name of resource(3) without RLIMIT_, soft, hard)
    rlimits: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class JailPlan:
    """Everything the monitor needs to build a jail and run its program."""

    name: str
    profile: str
    ops: tuple[Op, ...]
    net: Net
    filter: Filter
    program: Program
    notes: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """The lines of ``--dry-run``, in the order in which they will be carried out."""
        namespaces = "user mnt pid ipc uts cgroup" + ("" if self.net == "host" else " net")
        lines = [f"pod      {self.name}, profile {self.profile}", f"new      {namespaces}"]
        lines += [str(op) for op in self.ops]
        lines.append("seal     / read-only; no capabilities; no_new_privs")
        extra = [
            word
            for word, on in (
                ("setuid and setgid bits", self.filter.refuse_setid),
                ("ptrace", not self.filter.ptrace),
                ("new namespaces", not self.filter.nesting),
                ("new filters", not self.filter.new_filters),
            )
            if on
        ]
        lines.append(f"filter   default refusals, foreign ABIs killed; also {', '.join(extra)}")
        lines += [
            f"limit    {name} {soft}" + ("" if soft == hard else f" (hard {hard})")
            for name, soft, hard in self.program.rlimits
        ]
        lines += [f"env      {key}={value}" for key, value in self.program.env]
        lines.append(f"cwd      {self.program.cwd[0]}")
        lines.append(f"run      {' '.join(self.program.argv)}")
        return lines

    def to_wire(self) -> dict[str, Any]:
        """JSON-able fields; operations as [tag, field, …], read back by ``from_wire``."""
        return {
            "name": self.name,
            "profile": self.profile,
            "ops": [[op.tag, *_values(op)] for op in self.ops],
            "net": self.net,
            "filter": _values(self.filter),
            "program": _values(self.program),
            "notes": self.notes,
        }

    @classmethod
    def from_wire(cls, fields: dict[str, Any]) -> JailPlan:
        """Rebuild what ``to_wire`` gave. The sender is podsh itself: no checks but types."""
        argv, env, cwd, cwd_must, procname, umask, rlimits = fields["program"]
        return cls(
            name=fields["name"],
            profile=fields["profile"],
            ops=tuple(_OPS[tag](*values) for tag, *values in fields["ops"]),
            net=fields["net"],
            filter=Filter(*fields["filter"]),
            program=Program(
                tuple(argv),
                tuple((key, value) for key, value in env),
                tuple(cwd),
                cwd_must,
                procname,
                umask,
                tuple((name, soft, hard) for name, soft, hard in rlimits),
            ),
            notes=tuple(fields["notes"]),
        )


def _values(item: Any) -> list[Any]:
    """The fields of one of the dataclasses above, in their order."""
    return [getattr(item, name) for name in item.__slots__]


# ---------------------------------------------------------------- from profile to plan

# Every pod is bounded; a profile's [limits] raises or lowers these. Sizes in bytes.
DEFAULT_PROCESSES = 4096
DEFAULT_OPEN_FILES = 4096
DEFAULT_TMPFS = 1024 * MIB
DEFAULT_PTYS = 64
ROOT_TMPFS = 64 * MIB

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
# nothing else of the caller's environment goes in
ENV_PASSED = ("TERM", "LANG", "LANGUAGE", "TZ", "COLORTERM", "NO_COLOR")
ENV_PASSED_PREFIX = "LC_"
ENV_IDENTITY = ("USER", "LOGNAME", "SHELL", "PATH")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
ROOT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Request:
    """What the person asked for on the command line, over the profile. Paths are absolute."""

    argv: tuple[str, ...] = ()
    ro: tuple[str, ...] = ()
    rw: tuple[str, ...] = ()
    net: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    home_mode: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan must know of the machine and the caller.

    ``state``: the pod's own state directory on the host. ``hide``: podsh's own paths.
    ``nofile``: the highest hard RLIMIT_NOFILE that a pod may have.
    """

    name: str
    uid: int
    home: str
    cwd: str
    environ: tuple[tuple[str, str], ...]
    state: str
    hide: tuple[str, ...] = ()
    umask: int = 0o022
    nofile: int = DEFAULT_OPEN_FILES


def unenforced(profile: Profile, request: Request | None = None) -> list[str]:
    """Names of settings that this version reads but cannot yet carry out; a launch refuses them."""
    seccomp, access, limits = profile.seccomp, profile.access, profile.limits
    net = (request and request.net) or profile.net.mode
    asked = [
        ("[seccomp] allow", seccomp.allow is not None),
        ("[seccomp] block", bool(seccomp.block)),
        ("[seccomp] strict", seccomp.strict),
        ("[seccomp] blacklist", seccomp.blacklist),
        ("[seccomp] abi", seccomp.abi != ("native",)),
        ("[caps] keep", bool(profile.caps)),
        (f"[net] mode = {net}", net not in ("none", "loop", "host")),
        ("[net] log", profile.net.log is not None),
        ("[limits] memory", limits.memory is not None),
        ("[limits] cpu", limits.cpu is not None),
        ("[x11]", profile.x11.enabled or profile.x11.nested),
        ("[wayland]", profile.wayland.enabled or profile.wayland.nested),
        ("[run] init", profile.run.init is not None),
        ("cmdr", profile.run.cmdr is not None),
        ("[access] transition", access.transition is not None),
        ("[access] unlisted = ask", access.unlisted == "ask"),
        ("[access] ask", bool(access.ask)),
        ("[access] confined = false", not access.confined),
        ("[access] unattended = hold", access.unattended == "hold"),
    ]
    return [name for name, on in asked if on]


def make_plan(profile: Profile, request: Request, facts: Facts) -> JailPlan:
    """The plan for one pod. Raises UsageError for what cannot be, by name."""
    if missing := unenforced(profile, request):
        raise UsageError(
            f"not enforced by this version of podsh: {', '.join(missing)}",
            place=profile.source or profile.name,
            hint="take it out of the profile, or use a newer podsh",
        )
    argv = request.argv or profile.run.cmd
    if not argv:
        raise UsageError(
            "no program to run",
            place=profile.source or profile.name,
            hint="give one after --, or set [run] cmd in the profile",
        )
    asked_net = request.net or profile.net.mode
    net: Net = "loop" if asked_net == "loop" else "host" if asked_net == "host" else "none"
    home_mode = request.home_mode or profile.fs.home
    home = "/podhome" if home_mode == "podhome" else facts.home
    limits = profile.limits
    binds = _binds(profile, request)
    taken = {bind.dst or bind.src for bind in binds}

    ops: list[Op] = [
        Tmpfs("/", 0o755, ROOT_TMPFS),
        Hostname(hostname(profile.name)),
    ]
    if net == "loop":
        ops.append(Loopback())
    processes = limits.processes or DEFAULT_PROCESSES
    if not profile.seccomp.nesting:
        ops.append(Sysctl("user/max_user_namespaces", "0"))
    # below 301 the kernel refuses (kernel/pid.c: RESERVED_PIDS)
    ops.append(Sysctl("kernel/pid_max", str(max(processes, 301)), needed=False))
    ops += _system_dirs(profile, limits, taken)
    ops += _home(home_mode, home, profile, facts, taken)
    binds.sort(key=lambda bind: (bind.dst or bind.src).split("/"))
    ops += binds
    ops += [Hide(pattern.text, str(pattern.where)) for pattern in profile.access.deny]
    ops += [Hide(path, "podsh's own") for path in facts.hide]
    if profile.fs.machine_id is not None:
        # the monitor replaces an empty id by a random one
        ops.append(File("/etc/machine-id", profile.fs.machine_id, 0o444))

    return JailPlan(
        name=facts.name,
        profile=profile.name,
        ops=tuple(ops),
        net=net,
        filter=Filter(
            refuse_setid=facts.uid == 0,
            ptrace=profile.seccomp.ptrace,
            nesting=profile.seccomp.nesting,
            new_filters=profile.seccomp.new_filters,
        ),
        program=Program(
            argv=tuple(argv),
            env=environment(profile, request, facts, home),
            cwd=(profile.run.cwd,) if profile.run.cwd else (facts.cwd, home, "/"),
            cwd_must=profile.run.cwd is not None,
            procname=profile.run.procname,
            umask=facts.umask,
            rlimits=_rlimits(profile, facts, processes),
        ),
        notes=profile.notes,
    )


def environment(
    profile: Profile, request: Request, facts: Facts, home: str
) -> tuple[tuple[str, str], ...]:
    """The program's environment: a few of the caller's, the profile's, the command line's."""
    caller = dict(facts.environ)
    env: dict[str, str] = {}
    if not profile.run.clear_env:
        for key in (*ENV_PASSED, *ENV_IDENTITY):
            if key in caller:
                env[key] = caller[key]
        env |= {key: val for key, val in caller.items() if key.startswith(ENV_PASSED_PREFIX)}
        env.setdefault("PATH", ROOT_PATH if facts.uid == 0 else DEFAULT_PATH)
        env["HOME"] = home
    env |= dict(profile.run.env)
    env |= dict(request.env)
    return tuple(env.items())


def hostname(domain: str) -> str:
    """A domain's name made safe for sethostname(2): letters, digits, ``-``; at most 64 bytes."""
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in domain.replace("∩", "-n-"))
    return safe.strip("-")[:64] or "pod"


def _binds(profile: Profile, request: Request) -> list[Bind]:
    binds = {
        bind.dst or bind.path: Bind(
            bind.path,
            bind.dst if bind.dst != bind.path else None,
            bind.write,
            bind.exec,
            bind.suid,
            bind.dev,
            bind.optional,
            str(bind.where),
        )
        for bind in profile.fs.bind
    }
    for path, write in [(p, False) for p in request.ro] + [(p, True) for p in request.rw]:
        path = posixpath.normpath(path)
        option = "--rw" if write else "--ro"
        if path in ("/", "//"):
            raise UsageError(f"{option} / is refused", hint="name a directory below it")
        old = binds.get(path)
        binds[path] = Bind(
            path,
            None,
            write,
            old.exec if old else True,
            old.suid if old else False,
            old.dev if old else False,
            False,
            option,
        )
    return list(binds.values())


def _system_dirs(profile: Profile, limits: Limits, taken: set[str]) -> list[Op]:
    tmpfs_size = limits.tmpfs or DEFAULT_TMPFS
    ops: list[Op] = [Dir("/dev")]
    ops += [Device(name) for name in DEVICES]
    ops += [
        Link("/proc/self/fd", "/dev/fd"),
        Link("/proc/self/fd/0", "/dev/stdin"),
        Link("/proc/self/fd/1", "/dev/stdout"),
        Link("/proc/self/fd/2", "/dev/stderr"),
        Link("pts/ptmx", "/dev/ptmx"),
        Devpts("/dev/pts", limits.ptys or DEFAULT_PTYS),
        Tmpfs("/dev/shm", 0o1777, tmpfs_size, profile.fs.tmp_exec),
    ]
    if profile.fs.proc:
        ops.append(Proc())
    if "/tmp" not in taken:
        ops.append(Tmpfs("/tmp", 0o1777, tmpfs_size, profile.fs.tmp_exec))
    ops += [Dir(path) for path in ("/run", "/var") if path not in taken]
    if not taken & {"/var", "/var/tmp"}:
        ops.append(Link("/tmp", "/var/tmp"))
    return ops


def _home(mode: str, home: str, profile: Profile, facts: Facts, taken: set[str]) -> list[Op]:
    if home in taken:
        return []  # the profile binds something there itself
    if mode == "tmp":
        size = profile.limits.tmpfs or DEFAULT_TMPFS
        return [Tmpfs(home, 0o700, size, profile.fs.home_exec)]
    own = mode != "host"
    src = f"{facts.state}/{'podhome' if mode == 'podhome' else 'home'}" if own else home
    where = f"[fs] home = {mode}"
    return [Bind(src, home, True, profile.fs.home_exec, False, False, False, where, own)]


def _rlimits(profile: Profile, facts: Facts, processes: int) -> tuple[tuple[str, int, int], ...]:
    limits = profile.limits
    files = min(limits.open_files or DEFAULT_OPEN_FILES, facts.nofile)
    found = [
        ("NPROC", processes, processes),
        ("NOFILE", min(1024, files) if limits.open_files is None else files, files),
        # 0 would not stop a core_pattern pipe; 1 does (man 5 core)
        ("CORE", 1, 1),
    ]
    if limits.file_size is not None:
        found.append(("FSIZE", limits.file_size, limits.file_size))
    stack = profile.run.stack or limits.stack
    if stack is not None:
        found.append(("STACK", stack, stack))
    return tuple(found)
