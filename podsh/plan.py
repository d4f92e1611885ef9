"""From a profile and what the person asked for to the plan of a jail. Pure: no file, no kernel."""

from __future__ import annotations

import functools
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podsh.errors import UsageError
from podsh.filtering import Filter
from podsh.kernel import caps
from podsh.nets import LINKS, MODES, Network
from podsh.operations import (
    DEFAULT_PTYS,
    DEFAULT_TMPFS,
    LINES,
    OWN,
    OWN_BIN,
    SHIM,
    Bind,
    Dir,
    File,
    Hide,
    Hostname,
    Inner,
    JailPlan,
    Link,
    Loopback,
    Op,
    Program,
    Scope,
    Sysctl,
    Tmpfs,
    hostname,
    system,
)

if TYPE_CHECKING:
    from podsh.profiles import schema
    from podsh.profiles.schema import Profile

# Every pod is bounded; a profile's [limits] raises or lowers these. Sizes in bytes.
DEFAULT_PROCESSES = 4096
DEFAULT_OPEN_FILES = 4096
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
    trace: bool = False
    env: tuple[tuple[str, str], ...] = ()
    home_mode: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan must know of the machine and the caller.

    ``state``: the pod's own state directory on the host. ``hide``: podsh's own paths.
    ``nofile``: the highest hard RLIMIT_NOFILE that a pod may have; ``rlimits`` and ``sysctls``: its
    share of what is counted for the user (portal/shares.py). ``requests``: calls can be
    held and asked about. ``scopes``: Landlock has them. ``resolvers``: a
    resolv.conf that holds outside of the host itself.
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
    rlimits: tuple[tuple[str, int], ...] = ()
    sysctls: tuple[tuple[str, int], ...] = ()
    requests: bool = True
    resolvers: str = ""
    scopes: bool = False


def refused_caps(profile: Profile, net: str | None = None) -> list[str]:
    """Why capabilities of the profile cannot be kept with that network mode, or with its own."""
    found = [(name, caps.refusal(name, net or profile.net.mode)) for name in profile.caps]
    return [f"{name}: {why}" for name, why in found if why]


def make_plan(profile: Profile, request: Request, facts: Facts) -> JailPlan:
    """The plan for one pod. Raises UsageError for what cannot be, by name."""
    argv = request.argv or profile.run.cmd
    if not argv:
        raise UsageError(
            "no program to run",
            place=profile.source or profile.name,
            hint="give one after --, or set [run] cmd in the profile",
        )
    network = _network(profile, request)
    refused = refused_caps(profile, network.mode)
    if refused:
        raise UsageError(
            f"capabilities are refused: {'; '.join(refused)}",
            place=profile.source or profile.name,
            hint="take them out, or give the pod a network of its own: --net loop",
        )
    home_mode = request.home_mode or profile.fs.home
    home = "/podhome" if home_mode == "podhome" else facts.home
    if home == "/":
        raise UsageError(
            "the home directory is /, where the pod has a root of its own",
            place="HOME",
            hint="set HOME to another directory, or give --home podhome",
        )
    run = profile.run
    if request.trace and run.daemon:
        raise UsageError("a daemon cannot be traced", hint="leave out one of the two")
    limits = profile.limits
    binds = _binds(profile, request)
    taken = {bind.dst or bind.src for bind in binds}
    for bind in binds:
        if f"{posixpath.normpath(bind.dst or bind.src)}/".lstrip("/").startswith(f"{OWN[1:]}/"):
            raise UsageError(f"{OWN} is podsh's own in every pod", place=bind.where)

    ops: list[Op] = [
        *system(
            limits.tmpfs or DEFAULT_TMPFS,
            limits.ptys or DEFAULT_PTYS,
            profile.fs.tmp_exec,
            profile.fs.proc,
        ),
    ]
    if profile.caps:
        # only root's ids are more than one, and files with capabilities are for the others
        by_files = facts.uid == 0 and any(bind.suid for bind in binds)
        ops.append(Inner(profile.caps, by_files, network.own))
    ops.append(Hostname(hostname(profile.name)))
    if network.mode not in ("none", "host"):
        ops.append(Loopback())
    if network.mode == "host" and facts.scopes:
        ops.append(Scope())
    if _keeps_lines(profile):
        ops.append(LINES)
    processes = limits.processes or DEFAULT_PROCESSES
    if not profile.seccomp.nesting:
        ops.append(Sysctl("user/max_user_namespaces", "0"))
    # below 301 the kernel refuses (kernel/pid.c: RESERVED_PIDS)
    ops.append(Sysctl("kernel/pid_max", str(max(processes, 301)), needed=False))
    ops += [Sysctl(name, str(value), needed=False) for name, value in facts.sysctls]
    ops += _common_dirs(profile, taken | {home})
    ops += _home(home_mode, home, profile, facts, taken)
    binds.sort(key=lambda bind: (bind.dst or bind.src).split("/"))
    ops += binds
    hidden = [(pattern.text, str(pattern.where)) for pattern in profile.access.deny]
    ops.append(Hide((*hidden, *((path, "podsh's own") for path in facts.hide))))
    if network.mode == "user" and facts.resolvers:
        ops.append(File("/etc/resolv.conf", facts.resolvers, 0o444))
    if profile.fs.machine_id is not None:
        given = profile.fs.machine_id
        ops.append(File("/etc/machine-id", given, 0o444, random=not given))

    return JailPlan(
        name=facts.name,
        profile=profile.name,
        memory=limits.memory,
        cpu=limits.cpu,
        processes=processes,
        ops=tuple(ops),
        network=network,
        filter=_filter(profile, request, facts, network.mode),
        program=Program(
            argv=tuple(argv),
            env=environment(profile, request, facts, home),
            cwd=(profile.run.cwd,) if profile.run.cwd else (facts.cwd, home, "/"),
            cwd_must=profile.run.cwd is not None,
            procname=profile.run.procname,
            umask=facts.umask,
            rlimits=_rlimits(profile, facts, processes),
            init=_init(run.init, home, facts.home) if run.init else None,
            daemon=run.daemon,
        ),
        notes=profile.notes,
    )


def _network(profile: Profile, request: Request) -> Network:
    """The command line's mode over the profile's; what is said of a device goes with its mode."""
    net = profile.net
    mode = request.net or net.mode
    if mode not in MODES:
        raise UsageError(f"--net {mode!a} is none of {', '.join(MODES)}")
    if mode in LINKS and mode != net.mode:
        raise UsageError(
            f"--net {mode} names no device and address",
            hint=f'write a profile with [net] mode = "{mode}", device and address',
        )
    if net.log is not None and mode == "host":
        raise UsageError(
            "the host's own traffic would be logged: the pod has no network of its own",
            place=profile.source or profile.name,
            hint="give it one: newnet loop, or --net user",
        )
    if mode not in LINKS:
        return Network(mode, log=net.log)
    return Network(mode, net.device or "", net.address or "", net.mac, net.log)


def _filter(profile: Profile, request: Request, facts: Facts, net: str) -> Filter:
    """The calls under the names that the profile gives them; a trace lets all by."""
    seccomp = profile.seccomp
    return Filter(
        refuse_setid=facts.uid == 0,
        ptrace=seccomp.ptrace,
        nesting=seccomp.nesting,
        new_filters=seccomp.new_filters,
        notify=facts.requests,
        # an empty list is none: everything but the refusals of every pod
        allow=seccomp.allow or None,
        block=seccomp.block,
        strict=seccomp.strict,
        abi=tuple(abi for abi in seccomp.abi if abi != "native"),
        trace=request.trace,
        where=profile.source or profile.name,
        form=profile.dialect,
        caps=profile.caps,
        packets=caps.opens_packets(profile.caps, net),
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
        env.setdefault("PATH", _default_path(facts.uid))
        env["HOME"] = home
    env |= dict(profile.run.env)
    env |= dict(request.env)
    if "PATH" in env:
        env["PATH"] = _appended(env["PATH"], OWN_BIN)
    if facts.requests and _preloads(profile, request):
        # after the program's own; a list of ld.so's takes spaces and colons
        env["LD_PRELOAD"] = _appended(env.get("LD_PRELOAD", ""), SHIM.library)
        # AddressSanitizer wants to be the first library, and would end the program
        env["ASAN_OPTIONS"] = _appended(env.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0")
    if _keeps_lines(profile):
        env["LD_PRELOAD"] = _appended(env.get("LD_PRELOAD", ""), LINES.library)
        env.setdefault("PYTHONUNBUFFERED", "1")  # Python has buffers of its own
    return tuple(env.items())


def _keeps_lines(profile: Profile) -> bool:
    """Whether what the program writes goes into a file, through a pipe."""
    return (profile.run.daemon or profile.run.logoutput) and set(profile.seccomp.abi) <= {"native"}


def _init(script: str, home: str, outside: str) -> str:
    """The init script's path in the pod: below its home, if it is not absolute or named by ~."""
    if home != outside and script.startswith(f"{outside}/"):
        script = script[len(outside) + 1 :]
    return posixpath.normpath(posixpath.join(home, script))


def _preloads(profile: Profile, request: Request) -> bool:
    """Whether programs get the shim. It makes calls of its own choice, which a list of calls need
    not have on it and a trace would tell of; and ld.so of a foreign ABI complains of it."""
    seccomp = profile.seccomp
    lists = seccomp.allow or seccomp.block or seccomp.blacklist or request.trace
    # who may read everything opens placeholders too, which then would never be asked for
    reads_all = not {"CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"}.isdisjoint(profile.caps)
    usable = not lists and not reads_all and set(seccomp.abi) <= {"native"}
    return profile.access.shim and usable


def _appended(items: str, item: str) -> str:
    return f"{items}:{item}" if items else item


def search_path(profile: Profile, environ: tuple[tuple[str, str], ...], uid: int) -> str:
    """PATH in a pod of the profile where the command line does not give it."""
    caller = () if profile.run.clear_env else environ
    return dict((*caller, *profile.run.env)).get("PATH", _default_path(uid))


def _default_path(uid: int) -> str:
    return ROOT_PATH if uid == 0 else DEFAULT_PATH


@functools.lru_cache(maxsize=64)
def _profile_binds(binds: tuple[schema.Bind, ...]) -> dict[str, Bind]:
    return {
        bind.dst or bind.path: Bind(
            bind.path,
            bind.dst if bind.dst != bind.path else None,
            bind.write,
            bind.exec,
            bind.suid,
            bind.dev,
            bind.optional,
            str(bind.where),
            within=bind.within,
        )
        for bind in binds
    }


def _binds(profile: Profile, request: Request) -> list[Bind]:
    binds = dict(_profile_binds(profile.fs.bind))
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


def _common_dirs(profile: Profile, taken: set[str]) -> list[Op]:
    ops: list[Op] = []
    if "/tmp" not in taken:
        size = profile.limits.tmpfs or DEFAULT_TMPFS
        ops.append(Tmpfs("/tmp", 0o1777, size, profile.fs.tmp_exec))
    ops += [Dir(path) for path in ("/run", "/var") if path not in taken]
    if not taken & {"/var", "/var/tmp"}:
        if any(path.startswith("/var/tmp/") for path in taken):
            # a link has no room for what is shown below it
            size = profile.limits.tmpfs or DEFAULT_TMPFS
            ops.append(Tmpfs("/var/tmp", 0o1777, size, profile.fs.tmp_exec))
        else:
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
        *((name, limit, limit) for name, limit in facts.rlimits),
    ]
    if limits.file_size is not None:
        found.append(("FSIZE", limits.file_size, limits.file_size))
    stack = profile.run.stack or limits.stack
    if stack is not None:
        found.append(("STACK", stack, stack))
    return tuple(found)
