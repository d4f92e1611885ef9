"""The one ``Profile`` type behind every profile file, TOML or .pod. Pure data, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

HomeMode = Literal["private", "podhome", "tmp", "host"]
NetMode = Literal["none", "loop", "host", "ipvlan", "macvlan", "user"]


@dataclass(frozen=True, slots=True)
class Where:
    """The line that a setting came from; ``line`` 0 means the command line or a default."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Bind:
    """One host path shown in the pod. ``path`` and ``dst`` are absolute, expanded, normalised."""

    path: str
    where: Where
    dst: str | None = None  # None: at the same path
    write: bool = False
    exec: bool = True
    suid: bool = False
    dev: bool = False
    optional: bool = False  # skipped where the host has no such path
    # a project's own profile: what is found at the launch must lie below this (no links in it)
    within: str = ""


@dataclass(frozen=True, slots=True)
class Fs:
    """``[fs]``: what of the host is seen, and what the pod's own directories are like."""

    bind: tuple[Bind, ...] = ()
    home: HomeMode = "private"
    home_exec: bool = True
    tmp_exec: bool = True
    proc: bool = True
    # None: nothing done; "" : a fresh random one; else 32 hex digits
    machine_id: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """``[run]``: the program and its surroundings."""

    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    clear_env: bool = False
    cwd: str | None = None
    procname: str | None = None
    stack: int | None = None  # bytes
    init: str | None = None
    daemon: bool = False
    logoutput: bool = False
    cmdr: str | None = None  # a script of the user's cmdrs directory


@dataclass(frozen=True, slots=True)
class Seccomp:
    """``[seccomp]``: names in the order of the file (first lines are checked first)."""

    allow: tuple[str, ...] | None = None  # None: no whitelist asked for
    block: tuple[str, ...] = ()
    strict: bool = False
    blacklist: bool = False
    abi: tuple[str, ...] = ("native",)
    new_filters: bool = True
    ptrace: bool = False
    nesting: bool = False


@dataclass(frozen=True, slots=True)
class Net:
    """``[net]``"""

    mode: NetMode = "none"
    device: str | None = None
    address: str | None = None
    mac: str | None = None
    log: tuple[int, int] | None = None  # size in MB, count of files


@dataclass(frozen=True, slots=True)
class Limits:
    """``[limits]``: None means podsh's default (see plan.DEFAULT_LIMITS). Sizes in bytes."""

    processes: int | None = None
    open_files: int | None = None
    memory: int | None = None
    cpu: float | None = None  # cores
    file_size: int | None = None
    tmpfs: int | None = None
    ptys: int | None = None
    stack: int | None = None


@dataclass(frozen=True, slots=True)
class Display:
    """``[x11]`` and ``[wayland]``"""

    enabled: bool = False
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path pattern of ``[access]``: absolute; ``*`` and ``?`` match within one component."""

    text: str
    where: Where


@dataclass(frozen=True, slots=True)
class Access:
    """``[access]``: what happens when the pod reaches further."""

    domain: bool = True
    transition: Literal["auto", "ask"] | None = None
    unlisted: Literal["ask", "deny"] | None = None
    ask: tuple[Pattern, ...] = ()
    deny: tuple[Pattern, ...] = ()
    shim: bool = True
    confined: bool = True
    unattended: Literal["deny", "hold"] | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile with its ``extends`` already merged in, every path expanded."""

    name: str
    description: str = ""
    extends: tuple[str, ...] = ()
    fs: Fs = field(default_factory=Fs)
    run: Run = field(default_factory=Run)
    seccomp: Seccomp = field(default_factory=Seccomp)
    net: Net = field(default_factory=Net)
    caps: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    x11: Display = field(default_factory=Display)
    wayland: Display = field(default_factory=Display)
    access: Access = field(default_factory=Access)
    source: str = ""  # the file it was read from
    dialect: Literal["toml", "pod"] = "toml"
    # what the reader changed or ignored and a person should know, each "file:line: …"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What ``~``, ``$VAR`` and ``{cwd}`` expand to. ``cwd`` is the caller's, absolute."""

    home: str
    cwd: str
    environ: tuple[tuple[str, str], ...] = ()
