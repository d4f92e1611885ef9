"""The system-call filter: refusals.py and requests.py compiled by libseccomp, and its cache.

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
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple

from podsh.errors import KernelLacks, PodshError, from_wire
from podsh.kernel import helper, syscalls
from podsh.kernel.fds import OwnedFd
from podsh.kernel.refusals import Compare, refusals, refuse
from podsh.kernel.requests import requests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from podsh.kernel.refusals import Rule

# raise it when the same rules would be compiled into another program: old caches are then missed
VERSION = 1

INSTRUCTION = struct.Struct("=HBBI")
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS, <linux/bpf_common.h>
_DIGEST = 32  # a cached file is a SHA-256 and the program
_MAX_FILE = _DIGEST + MAX_INSTRUCTIONS * INSTRUCTION.size

# <linux/bpf_common.h>
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K
_JUMP_GREATER_EQUAL = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
# offsets in struct seccomp_data, <linux/seccomp.h>
_NR, _ARCH = 0, 4

LIBSECCOMP_HINT = "install libseccomp 2.5 or newer (Debian: apt install libseccomp2)"

X32_BIT = 0x40000000  # __X32_SYSCALL_BIT, <asm/unistd.h>


class FilterSpec(NamedTuple):
    """What a pod's filter is to be, beyond the fixed refusals.

    ``refuse_setid``: no mode with a set-id bit. ``ptrace``, ``nesting``: allow these.
    ``new_filters``: programs may add filters of their own. ``notify``: calls with a path are sent
    to a listener, but for those with the shim's cookie.
    """

    refuse_setid: bool = False
    ptrace: bool = False
    nesting: bool = False
    new_filters: bool = True
    notify: bool = False


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
    known = sorted(syscalls.NAMES.get(syscalls.native(), {}).values())
    parts = (VERSION, libseccomp_version(), syscalls.native(), known, _rules(spec))
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
        program = build(FilterSpec(**json.loads(spec)))
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
    rules = [rule for rule in _rules(spec) if rule.call in numbers]
    known = set(numbers.values())
    if arch != syscalls.native():
        known -= _untranslatable(arch)
        rules = [rule for rule in rules if numbers[rule.call] in known]
    program = _prologue(arch, known) + _compile(rules, arch)
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


def _prologue(arch: str, known: set[int]) -> bytes:
    """Runs first: ENOSYS for call numbers of ``arch`` that are not ``known``.

    A foreign architecture and x32 numbers go on to libseccomp's part, which kills.
    """
    # (code, k, where to jump if true, if false): "" is the next instruction
    code: list[tuple[int, int, str, str]] = [
        (_LOAD, _ARCH, "", ""),
        (_JUMP_EQUAL, syscalls.AUDIT_ARCH[arch], "", "rest"),
        (_LOAD, _NR, "", ""),
    ]
    if arch == "x86_64":
        code.append((_JUMP_GREATER_EQUAL, X32_BIT, "rest", ""))
    for first, last in reversed(_runs(known)):
        code.append((_JUMP_GREATER, last, "unknown", "" if first else "rest"))
        if first:
            code.append((_JUMP_GREATER_EQUAL, first, "rest", ""))
    labels = {"unknown": len(code), "rest": len(code) + 1}
    code.append((_RETURN, refuse(errno.ENOSYS), "", ""))

    def offset(at: int, label: str) -> int:
        return labels[label] - at - 1 if label else 0

    return b"".join(
        INSTRUCTION.pack(what, offset(at, yes), offset(at, no), k)
        for at, (what, k, yes, no) in enumerate(code)
    )


def _runs(numbers: set[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as (first, last), ascending."""
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
