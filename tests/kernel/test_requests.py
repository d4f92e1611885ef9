"""The filter that notifies, interpreted: what is sent, what the cookie and the refusals keep."""

from __future__ import annotations

import functools
import random

import pytest

from podsh.kernel import seccomp, shim, syscalls
from podsh.kernel.pathcalls import CALLS
from podsh.kernel.seccomp import FilterSpec
from tests.kernel import bpf, test_seccomp

USER = FilterSpec(notify=True)
ROOT = FilterSpec(notify=True, refuse_setid=True)
OPEN = FilterSpec(notify=True, ptrace=True, nesting=True)
SPECS = {"user": USER, "root": ROOT, "open": OPEN}
ARCHES = tuple(syscalls.NAMES)
COOKIE = shim.COOKIE
AT_EMPTY_PATH = 0x1000

# issue 3 and design.md section 3, spelled out a second time on purpose
LISTED = """
    open openat openat2 creat stat lstat newfstatat statx access faccessat faccessat2 readlink
    readlinkat execve execveat chdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2
    link linkat symlink symlinkat truncate chmod fchmodat fchmodat2 chown lchown fchownat utime
    utimes futimesat utimensat mknod mknodat setxattr lsetxattr getxattr lgetxattr listxattr
    llistxattr removexattr lremovexattr setxattrat getxattrat listxattrat removexattrat
    file_getattr file_setattr inotify_add_watch statfs name_to_handle_at connect
""".split()
SIX_ARGUMENTS = {"setxattrat", "getxattrat"}
EMPTY_PATH = {"newfstatat": 3, "statx": 2}


@functools.cache
def code(spec: FilterSpec, arch: str) -> list[tuple[int, int, int, int]]:
    return bpf.decode(seccomp.build(spec, arch))


def action(spec: FilterSpec, arch: str, call: str, *args: int) -> int:
    number = syscalls.number(call, arch)
    return bpf.run(code(spec, arch), number, args, arch=syscalls.AUDIT_ARCH[arch]).action


def calls_of(arch: str) -> list[str]:
    """Those that libseccomp can compile here."""
    names = [call for call in LISTED if call in syscalls.NAMES[arch]]
    ceiling = test_seccomp.ceiling(arch)
    return [call for call in names if syscalls.number(call, arch) <= ceiling]


def expected(spec: FilterSpec, call: str, args: tuple[int, ...]) -> int:
    """By the meaning of the arguments; a refusal comes before everything."""
    if refused := test_seccomp.model(spec, call, args):
        return bpf.ERRNO | refused
    if call not in LISTED:
        return bpf.ALLOW
    if call in EMPTY_PATH and args[EMPTY_PATH[call]] & AT_EMPTY_PATH:
        return bpf.ALLOW
    if call == "connect" or call in SIX_ARGUMENTS:
        return bpf.NOTIFY
    return bpf.ALLOW if args[5] == COOKIE else bpf.NOTIFY


def test_the_table_is_whole() -> None:
    assert sorted(CALLS) == sorted(LISTED)
    for call, entry in CALLS.items():
        assert entry.cookie == (call != "connect" and call not in SIX_ARGUMENTS)
        assert entry.may_be_empty == (call in EMPTY_PATH)
    known = {name for names in syscalls.NAMES.values() for name in names}
    assert set(LISTED) <= known


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_bit_of_the_cookie(spec: FilterSpec, arch: str) -> None:
    for call in calls_of(arch):
        cookies = [COOKIE, 0, COOKIE & 0xFFFFFFFF, COOKIE >> 32 << 32, COOKIE ^ 0xFFFFFFFFFFFFFFFF]
        cookies += [COOKIE ^ 1 << bit for bit in range(64)]
        cookies += [COOKIE << 32 & 0xFFFFFFFFFFFFFFFF | COOKIE >> 32]  # halves swapped
        for cookie in cookies:
            args = (0, 0, 0, 0, 0, cookie)
            assert action(spec, arch, call, *args) == expected(spec, call, args), (call, cookie)


@pytest.mark.parametrize("call", [call for call in LISTED if CALLS[call].cookie])
def test_the_cookie_counts_in_no_other_argument(call: str) -> None:
    args = [COOKIE & ~AT_EMPTY_PATH] * 5
    assert action(USER, "x86_64", call, *args, 0) == bpf.NOTIFY


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_arguments_of_every_kind(spec: FilterSpec, arch: str) -> None:
    """Against the model, with what refusals and flags look at, and garbage above 32 bits."""
    rng = random.Random(f"{spec}{arch}")
    makings = (0, 0o100, 0o20000000, 0o20000100, 0o101, 0o20000002)
    modes = (0o644, 0o4755, 0o2755, 0o6777, 0o4000, 0o2000)
    others = ["socket", "ioctl", "clone", "unshare", "fchmod", "read", "mmap", "fstat", "bpf"]
    for call in calls_of(arch) + others:
        for _ in range(400):
            args = [rng.choice(test_seccomp.INTERESTING) for _ in range(6)]
            if rng.random() < 0.5:
                at = rng.choice((1, 2))
                args[at : at + 2] = rng.choice(makings), rng.choice(modes)
            if rng.random() < 0.3:
                args[rng.choice((2, 3))] |= AT_EMPTY_PATH
            args = [arg | rng.choice((0, rng.getrandbits(32))) << 32 for arg in args]
            if rng.random() < 0.7:
                args[5] = COOKIE ^ rng.choice((0, 1 << rng.randrange(64)))
            given = tuple(args)
            shown = (call, [hex(arg) for arg in args])
            assert action(spec, arch, call, *given) == expected(spec, call, given), shown


@pytest.mark.parametrize("arch", ARCHES)
def test_refusals_whatever_the_cookie(arch: str) -> None:
    for cookie in (0, COOKIE):
        at = (0, 0, 0o4755, 0, 0, cookie)
        assert action(ROOT, arch, "fchmodat", *at) == bpf.ERRNO | 1
        made = (0, 0, 0o100, 0o2755, 0, cookie)
        assert action(ROOT, arch, "openat", *made) == bpf.ERRNO | 1
        assert action(ROOT, arch, "openat2", *at) == bpf.ERRNO | 38
        assert action(USER, arch, "mount", *at) == bpf.ERRNO | 1
    assert action(USER, arch, "openat2", 0) == bpf.NOTIFY


def test_foreign_abis_stay_killed() -> None:
    program = code(USER, "x86_64")
    for nr in (*range(500), 0x40000000 | 257, 0x40000002):
        for arch in (0x40000003, 0x40000028) if nr < 500 else (syscalls.AUDIT_ARCH["x86_64"],):
            found = bpf.run(program, nr, (0, 0, 0, 0, 0, COOKIE), arch=arch)
            assert found.action == bpf.KILL_PROCESS


def test_unlisted_calls_are_as_without() -> None:
    plain = bpf.decode(seccomp.build(FilterSpec()))
    for name, number in syscalls.NAMES[syscalls.native()].items():
        if name in LISTED:
            continue
        arch = syscalls.AUDIT_ARCH[syscalls.native()]
        sent, without = (
            bpf.run(which, number, arch=arch) for which in (code(USER, syscalls.native()), plain)
        )
        assert (sent.action, sent.loads) == (without.action, without.loads), name


def test_off_by_default() -> None:
    assert not FilterSpec().notify
    assert bpf.NOTIFY not in {k for op, *_, k in bpf.decode(seccomp.build(FilterSpec())) if op == 6}


def test_instructions_stay_few() -> None:
    arch = syscalls.AUDIT_ARCH["x86_64"]
    given = (0, 0, 0o2000000, 0, 0, COOKIE)
    steps = {
        (name, call): bpf.run(code(spec, "x86_64"), syscalls.number(call), given, arch=arch).steps
        for name, spec in SPECS.items()
        for call in ("openat", "newfstatat", "execve", "connect")
    }
    slow = {key: count for key, count in steps.items() if count > (50 if key[0] == "root" else 40)}
    assert not slow
    assert len(code(ROOT, "x86_64")) <= 900
