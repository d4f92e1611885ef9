"""The system-call filter, and its cache.

One program: first the few calls that the shim makes most; then a binary tree over the call's number
(bpf.py) that knows which calls there are and which the pod may make (whitelist.py), foreign ABIs
included; then, for calls whose arguments matter, refusals.py and requests.py compiled by
libseccomp.

A program is an array of ``struct sock_filter`` (<linux/filter.h>: u16 code, u8 jt, u8 jf, u32 k).
It is compiled by a process of its own, once for each kind of filter, and then read from the cache.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple

from podsh.errors import KernelLacks, PodshError, from_wire
from podsh.kernel import abis, bpf, callnames, helper, shim, syscalls, whitelist
from podsh.kernel.bpf import INSTRUCTION, MAX_INSTRUCTIONS
from podsh.kernel.fds import OwnedFd
from podsh.kernel.pathcalls import CALLS
from podsh.kernel.refusals import MAKINGS, OPENS, Compare, Equals, refusals, refuse
from podsh.kernel.requests import requests
from podsh.kernel.uapi import AT_EMPTY_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from podsh.kernel.refusals import Rule, Test

# raise it when the same rules would be compiled into another program: old caches are then missed
VERSION = 4
# nothing but making files is ever refused of these
_FREQUENT = ("newfstatat", "openat", "statx", "getxattr", "lgetxattr")

_DIGEST = 32  # a cached file is a SHA-256 and the program
_MAX_FILE = _DIGEST + MAX_INSTRUCTIONS * INSTRUCTION.size

LIBSECCOMP_HINT = "install libseccomp 2.5 or newer (Debian: apt install libseccomp2)"


class FilterSpec(NamedTuple):
    """What a pod's filter is to be, beyond the fixed refusals.

    ``refuse_setid``: no mode with a set-id bit. ``ptrace``, ``nesting``: allow these.
    ``new_filters``: programs may add filters of their own. ``notify``: calls with a path are sent
    to a listener, but for those with the shim's cookie.

    ``allow``: a whitelist of native names, None for all; ``deny``: a blacklist; what is outside of
    them is ENOSYS, or with ``strict`` kills the process. ``block``: ENOSYS in any case.
    ``report``: what these refuse is sent to the listener, which answers so. ``trace``: every call
    is sent, and nothing refused but what podsh does not know. ``abi``: foreign ABIs to be filtered
    alike instead of killed.

    For capabilities that programs keep: ``chroot``, ``packets``: allow chroot(2), AF_PACKET;
    ``net_admin``: refuse what the filter refused by its want, netfilter's tables.
    """

    refuse_setid: bool = False
    ptrace: bool = False
    nesting: bool = False
    new_filters: bool = True
    notify: bool = False
    report: bool = False
    trace: bool = False
    strict: bool = False
    allow: tuple[str, ...] | None = None
    block: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    abi: tuple[str, ...] = ()
    chroot: bool = False
    packets: bool = False
    net_admin: bool = False

    @property
    def listens(self) -> bool:
        """Whether the program has a listener, without which its calls are ENOSYS."""
        return self.notify or self.report or self.trace


# ---------------------------------------------------------------- the cache


def cached(spec: FilterSpec, directory: str) -> bytes:
    """The program for ``spec``: from memory, from ``directory``, or compiled and kept there.

    A file is believed only if it is a whole regular file of ours that nobody else can write.
    Where the directory cannot be written the program is compiled again by every process.
    """
    if spec in _programs:
        return _programs[spec]
    path = os.path.join(directory, f"{_key(spec)}.bpf")
    program = _read(path)
    if program is None:
        program = _compiled_elsewhere(spec)
        with contextlib.suppress(OSError):
            _write(path, program)
    _programs[spec] = program
    return program


_programs: dict[FilterSpec, bytes] = {}


@functools.cache
def libseccomp_version() -> tuple[int, int, int] | None:
    """The version of the libseccomp that this process would load; None if there is none."""
    import ctypes

    try:
        # const struct scmp_version *seccomp_version(void);  <seccomp.h>
        version = ctypes.CDLL("libseccomp.so.2").seccomp_version
    except (OSError, AttributeError):
        return None
    version.restype = ctypes.POINTER(ctypes.c_uint * 3)
    major, minor, micro = version().contents
    return major, minor, micro


def _key(spec: FilterSpec) -> str:
    """Names everything that the program depends on: its rules, the known calls, the compiler."""
    known = sorted(syscalls.NAMES.get(syscalls.native(), {}).items())
    foreign = [sorted(abis.NAMES[abi].items()) for abi in spec.abi if abi in abis.NAMES]
    lists = (*spec, sorted(whitelist.START_UP))
    parts = (VERSION, libseccomp_version(), syscalls.native(), known, foreign, _rules(spec), lists)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _rules(spec: FilterSpec) -> list[Rule]:
    return refusals(spec) + requests(spec)


def _read(path: str) -> bytes | None:
    try:
        # NONBLOCK: were it a fifo, the open would wait
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with OwnedFd(os.open(path, flags)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o022:
                return None
            if found.st_uid != os.geteuid() or found.st_size > _MAX_FILE:
                return None
            data = os.read(file.fileno(), _MAX_FILE)
    except OSError:
        return None
    digest, program = data[:_DIGEST], data[_DIGEST:]
    if not program or len(program) % INSTRUCTION.size:
        return None
    return program if hashlib.sha256(program).digest() == digest else None


def _write(path: str, program: bytes) -> None:
    """Atomically: a reader sees the whole file or none."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    scratch = f"{path}.{os.getpid()}"
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(hashlib.sha256(program).digest() + program)
        os.rename(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def _compiled_elsewhere(spec: FilterSpec) -> bytes:
    """``build`` in a process of its own: libseccomp and ctypes' search for it stay out of ours."""
    import subprocess

    done = subprocess.run(
        helper.command("podsh.kernel.seccomp", json.dumps(spec._asdict())),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=helper.ENVIRONMENT,
        timeout=60,
    )
    program = done.stdout
    if done.returncode == 0 and program and len(program) % INSTRUCTION.size == 0:
        return program
    last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    try:
        fields = json.loads(last)
    except ValueError:
        fields = {"kind": "KernelLacks", "cause": f"cannot be compiled: {last}", "place": "filter"}
    raise from_wire(fields)


def main(spec: str) -> None:
    """The compiling process: ``spec`` as JSON; the program, or an error's fields, go out."""
    try:
        fields = json.loads(spec)
        lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
        program = build(FilterSpec(**fields | lists))
    except PodshError as exc:
        sys.exit(json.dumps(exc.to_wire()))
    sys.stdout.buffer.write(program)


# ---------------------------------------------------------------- compiling


def build(spec: FilterSpec, arch: str | None = None) -> bytes:
    """Compile the filter, for this machine or for ``arch`` (``uname -m``).

    For another architecture libseccomp knows calls by name only: those that it does not know
    are ENOSYS there. Raises KernelLacks where libseccomp is missing, too old, or refuses.
    """
    arch = arch or syscalls.native()
    if arch not in syscalls.NAMES:
        raise KernelLacks(
            f"podsh has no system-call table for {arch}",
            place="filter",
            hint="podsh runs on x86_64 and aarch64",
        )
    numbers = syscalls.NAMES[arch]
    rules = [
        rule
        for rule in _rules(spec)
        if rule.call in numbers and whitelist.action(rule.call, spec) is None
    ]
    known = set(numbers.values())
    if arch != syscalls.native():
        known -= _untranslatable(arch)
        rules = [rule for rule in rules if numbers[rule.call] in known]
    first = [*_at_once(spec, arch, known), *_by_number(spec, arch, known)]
    program = bpf.encode(first) + _compile(rules, arch)
    if len(program) > MAX_INSTRUCTIONS * INSTRUCTION.size:
        raise KernelLacks(f"the filter is too long: {len(program) // 8} instructions")
    return program


def _untranslatable(arch: str) -> set[int]:
    """Numbers of the calls that libseccomp cannot name on this machine or on ``arch``."""
    pyseccomp = _load()
    audit = syscalls.AUDIT_ARCH[arch]
    return {
        number
        for name, number in syscalls.NAMES[arch].items()
        # pyseccomp gives libseccomp's -1 (unknown) back as if it were a number; other negative
        # ones stand for calls that this machine lacks, and are fine
        if pyseccomp.resolve_syscall(audit, name) != number
        or pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) == -1
    }


def _compile(rules: Iterable[Rule], arch: str) -> bytes:
    """libseccomp's program for ``rules``: foreign architectures are killed, the rest allowed."""
    pyseccomp = _load()
    native = arch == syscalls.native()
    try:
        program = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
        # a binary tree instead of one comparison after the other
        program.set_attr(pyseccomp.Attr.CTL_OPTIMIZE, 2)
        if not native:
            program.add_arch(syscalls.AUDIT_ARCH[arch])
            program.remove_arch(pyseccomp.Arch.NATIVE)
        for rule in rules:
            # by number here: calls newer than libseccomp have no name in it
            call = (
                syscalls.number(rule.call)
                if native
                else pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, rule.call)
            )
            tests = [
                pyseccomp.Arg(test.argument, pyseccomp.MASKED_EQ, test.mask, test.value)
                if isinstance(test, Compare)
                else pyseccomp.Arg(test.argument, pyseccomp.NE, test.value)
                for test in rule.tests
            ]
            program.add_rule_exactly(rule.action, call, *tests)
        return _exported(program)
    except OSError as exc:
        raise KernelLacks(
            f"libseccomp cannot build the filter: {exc.strerror}",
            place="filter",
            hint=LIBSECCOMP_HINT,
        ) from None


def _load() -> Any:
    """pyseccomp. Raises KernelLacks where there is no libseccomp for it."""
    try:
        import pyseccomp
    except (RuntimeError, OSError) as exc:
        raise KernelLacks(
            f"libseccomp cannot be loaded: {exc}", place="filter", hint=LIBSECCOMP_HINT
        ) from None
    return pyseccomp


def _exported(program: Any) -> bytes:
    with open(os.memfd_create("filter"), "rb") as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()


def _at_once(spec: FilterSpec, arch: str, known: set[int]) -> bpf.Piece:
    """Runs first: what the shim calls most is decided by a few instructions, refusals included."""
    numbers = syscalls.NAMES[arch]
    calls: dict[int, list[tuple[Test, ...]]] = {}
    for name in _FREQUENT if spec.notify else ():
        number, entry = numbers.get(name, -1), CALLS[name]
        if number not in known or whitelist.action(name, spec) is not None:
            continue
        cookie = Equals(shim.COOKIE_ARGUMENT, shim.COOKIE)
        if spec.refuse_setid and name in OPENS:
            calls[number] = [(Compare(OPENS[name], sum(MAKINGS), 0), cookie)]
        else:
            calls[number] = [(cookie,)]
        if entry.may_be_empty and entry.flags is not None:
            # fstat(2), to glibc
            calls[number].append((Compare(entry.flags, AT_EMPTY_PATH, AT_EMPTY_PATH),))
    return bpf.at_once(syscalls.AUDIT_ARCH[arch], calls) if calls else []


def _by_number(spec: FilterSpec, arch: str, known: set[int]) -> bpf.Piece:
    """Runs next. Ends with a verdict, or runs on into libseccomp's part: for calls that the
    lists let by, and for foreign ABIs that the pod may not use, which it kills.
    """
    verdicts: dict[int, int] = {}
    rules: dict[int, tuple[Rule, ...]] = {}
    for name, number in syscalls.NAMES[arch].items():
        if number not in known:
            continue
        rules[number] = whitelist.rules(name, spec)
        action = whitelist.action(name, spec)
        if action is not None and not rules[number]:
            verdicts[number] = action
            del rules[number]
    native = bpf.by_number(verdicts, refuse(errno.ENOSYS), rules)
    foreign: dict[str, bpf.Piece] = {}
    for abi in abis.FOREIGN[arch]:
        if abi in spec.abi:
            foreign[abi] = _foreign(spec, abi, arch)
    code = native
    if arch == "x86_64":
        # x32: the same architecture, numbers with a mark
        beyond = foreign.pop("x32", [])
        over = bpf.skip(len(beyond))
        first = bpf.skip(len(native) + len(over))
        code = [(bpf.LOAD, 0, 0, bpf.NR), (bpf.JUMP_GREATER_EQUAL, 0, len(first), abis.X32_BIT)]
        code += [*first, *native, *over, *beyond]
    others: bpf.Piece = []
    for abi, piece in foreign.items():
        others += [*bpf.unless_equal(abis.AUDIT_ARCH[abi], len(piece)), *piece]
    code += bpf.skip(len(others))
    check = bpf.unless_equal(syscalls.AUDIT_ARCH[arch], len(code))
    return [(bpf.LOAD, 0, 0, bpf.ARCH), *check, *code, *others]


def _foreign(spec: FilterSpec, abi: str, arch: str) -> bpf.Piece:
    """The whole filter of a foreign ABI: its calls by what they are natively.

    One that is nothing native is ENOSYS, and socketcall, whose arguments no filter sees.
    """
    ruled: dict[str, list[Rule]] = {}
    for rule in _rules(spec):
        ruled.setdefault(rule.call, []).append(rule)
    verdicts: dict[int, int] = {}
    rules: dict[int, tuple[Rule, ...]] = {}
    for name, number in abis.NAMES[abi].items():
        natives = callnames.natives(name, arch)
        if not natives or name == "socketcall":
            continue
        actions = [found for call in natives if (found := whitelist.action(call, spec)) is not None]
        own = tuple(rule for call in natives for rule in ruled.get(call, ()))
        if actions:
            verdicts[number] = actions[0]
        elif own:
            rules[number] = own
        else:
            verdicts[number] = bpf.ALLOW
    return [*bpf.by_number(verdicts, refuse(errno.ENOSYS), rules), *bpf.ret(bpf.ALLOW)]
