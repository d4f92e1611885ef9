"""Whitelists, blacklists and foreign ABIs as programs, interpreted; against a model of its own."""

from __future__ import annotations

import errno
import functools
import random

import pytest

from podsh.kernel import abis, callnames, seccomp, syscalls, whitelist
from podsh.kernel.seccomp import FilterSpec
from tests.kernel import bpf, test_requests, test_seccomp

ARCHES = tuple(syscalls.NAMES)
# the documented set, spelled out a second time on purpose
START_UP = """execve exit exit_group rt_sigreturn restart_syscall close brk mmap munmap mprotect
    arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom open openat read pread64
    readv fcntl fstat newfstatat access faccessat readlink readlinkat uname
    futex clone3""".split()
LIST = """write ioctl futex clone wait4 getpid openat2 socket connect prctl mount chmod fchmodat
    statx pipe2 dup3 kill unlinkat rt_sigaction rt_sigprocmask getdents64""".split()
NAMES = tuple(LIST)
ENOSYS = bpf.ERRNO | errno.ENOSYS

SPECS = {
    "list": FilterSpec(allow=NAMES),
    "root": FilterSpec(allow=NAMES, refuse_setid=True, new_filters=False),
    "notify": FilterSpec(allow=NAMES, notify=True, refuse_setid=True),
    "strict": FilterSpec(allow=NAMES, strict=True, block=("getpid", "kill", "uname")),
    "report": FilterSpec(allow=NAMES, strict=True, report=True, notify=True, block=("write",)),
    "deny": FilterSpec(deny=("getpid", "sendmsg"), ptrace=True),
    "deny strict": FilterSpec(deny=("getpid", "sendmsg"), strict=True, block=("uname",)),
    "block": FilterSpec(block=("getpid", "uname"), strict=True, notify=True),
    "none": FilterSpec(allow=()),
}


@functools.cache
def code(spec: FilterSpec, arch: str) -> list[tuple[int, int, int, int]]:
    return bpf.decode(seccomp.build(spec, arch))


def action(spec: FilterSpec, arch: str, call: str, *args: int) -> int:
    number = syscalls.number(call, arch)
    return bpf.run(code(spec, arch), number, args, arch=syscalls.AUDIT_ARCH[arch]).action


def expected(spec: FilterSpec, call: str, args: tuple[int, ...]) -> int:
    blocked = call in spec.block
    denied = call in spec.deny or (
        spec.allow is not None and call not in spec.allow and call not in START_UP
    )
    if not blocked and not denied:
        if spec.notify:
            return test_requests.expected(spec, call, args)
        refused = test_seccomp.model(spec, call, args)
        return bpf.ERRNO | refused if refused else bpf.ALLOW
    if call == "sendmsg" and args[0] & 0xFFFFFFFF == 3:
        return bpf.ALLOW
    if spec.report:
        return bpf.NOTIFY
    return bpf.KILL_PROCESS if denied and not blocked and spec.strict else ENOSYS


def test_the_start_up_set_is_the_documented_one() -> None:
    assert frozenset(START_UP) == whitelist.START_UP
    everywhere = set(syscalls.NAMES["x86_64"]) | set(syscalls.NAMES["aarch64"])
    assert everywhere >= whitelist.START_UP


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_call(spec: FilterSpec, arch: str) -> None:
    rng = random.Random(f"{spec}{arch}")
    calls = [name for name, nr in syscalls.NAMES[arch].items() if nr <= test_seccomp.ceiling(arch)]
    for call in calls:
        for _ in range(12):
            args = tuple(
                rng.choice(test_seccomp.INTERESTING) | rng.choice((0, rng.getrandbits(32))) << 32
                for _ in range(6)
            )
            shown = (call, [hex(arg) for arg in args])
            assert action(spec, arch, call, *args) == expected(spec, call, args), shown


@pytest.mark.parametrize("arch", ARCHES)
def test_unknown_numbers_are_enosys_and_foreign_abis_killed(arch: str) -> None:
    known = set(syscalls.NAMES[arch].values())
    for spec in SPECS.values():
        for number in (*range(1100), 1 << 20, 0x3FFFFFFF):
            found = bpf.run(code(spec, arch), number, arch=syscalls.AUDIT_ARCH[arch]).action
            assert number in known or found == ENOSYS, number
        for foreign in (0x40000003, 0x40000028, 0, 0xFFFFFFFF):
            assert bpf.run(code(spec, arch), 39, arch=foreign).action == bpf.KILL_PROCESS
    if arch == "x86_64":
        x32 = bpf.run(code(SPECS["list"], arch), abis.X32_BIT | 1, arch=0xC000003E)
        assert x32.action == bpf.KILL_PROCESS


@pytest.mark.parametrize("call", ["write", "getpid", "mmap", "futex", "execve"])
def test_allowed_calls_look_at_no_argument(call: str) -> None:
    """Then the kernel keeps the answer in a bitmap, and the order of the list costs nothing."""
    for arch in ARCHES:
        number = syscalls.number(call, arch)
        found = bpf.run(code(SPECS["list"], arch), number, arch=syscalls.AUDIT_ARCH[arch])
        assert (found.action, found.loads <= {0, 4}) == (bpf.ALLOW, True)


def test_a_long_list_takes_few_steps() -> None:
    names = tuple(sorted(syscalls.NAMES["x86_64"]))[::2]
    spec = FilterSpec(allow=names, notify=True, report=True)
    steps = [
        bpf.run(code(spec, "x86_64"), number, arch=0xC000003E).steps
        for number in syscalls.NAMES["x86_64"].values()
    ]
    # most of them taken once for each program: the kernel keeps what looks at no argument
    assert sorted(steps)[len(steps) // 2] <= 36
    assert len(code(spec, "x86_64")) <= 1200


# ---------------------------------------------------------------- foreign ABIs


def foreign(spec: FilterSpec, abi: str, call: str, *args: int) -> int:
    number = abis.NAMES[abi][call]
    program = code(spec._replace(abi=("i386", "x32")), "x86_64")
    return bpf.run(program, number, args, arch=abis.AUDIT_ARCH[abi]).action


@pytest.mark.parametrize("abi", ["i386", "x32"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_foreign_calls_get_what_the_native_ones_get(spec: FilterSpec, abi: str) -> None:
    rng = random.Random(f"{spec}{abi}")
    for call in abis.NAMES[abi]:
        natives = callnames.natives(call, "x86_64")
        for _ in range(6):
            given = [rng.choice(test_seccomp.INTERESTING) for _ in range(5)]
            args = (*given, 0)
            found = foreign(spec, abi, call, *args)
            if not natives or call == "socketcall":
                assert found == ENOSYS, call
            elif len(natives) == 1:
                # init is native: only there sendmsg has an exception
                native = 4 if natives == ("sendmsg",) else given[0]
                wanted = expected(spec, natives[0], (native, *args[1:]))
                assert found == wanted, (call, natives, args)


def test_names_of_the_foreign_tables() -> None:
    assert abis.NAMES["i386"]["stat64"] == 195
    assert abis.NAMES["i386"]["openat"] == 295
    assert abis.NAMES["i386"]["mseal"] == 462
    assert abis.NAMES["x32"]["execve"] == 0x40000208
    assert abis.names_of(0x40000003, 195) == ("stat",)
    assert abis.names_of(0x40000003, 7) == ("wait4",)
    assert len(abis.names_of(0x40000003, 117)) == 12  # ipc
    assert abis.names_of(0xC000003E, 59) == ("execve",)
    assert abis.names_of(0xC000003E, 0x40000208) == ("execve",)
    assert abis.names_of(0xC000003E, 4000) == ()
    assert abis.abi_of(0x40000003, 195) == "i386"
    assert abis.abi_of(0xC000003E, 0x40000208) == "x32"
    assert abis.abi_of(0xC000003E, 59) == "native"


def test_unknown_foreign_numbers_are_enosys() -> None:
    program = code(FilterSpec(abi=("i386", "x32")), "x86_64")
    known = set(abis.NAMES["i386"].values())
    for number in range(1000):
        found = bpf.run(program, number, arch=0x40000003).action
        assert number in known or found == ENOSYS
    own = (13, 16, 59)  # at 512 and above in x32
    for number in (*own, 512 + 40, 0x3FFFFFFF):
        assert bpf.run(program, abis.X32_BIT | number, arch=0xC000003E).action == ENOSYS
    assert bpf.run(program, 1, arch=0x40000028).action == bpf.KILL_PROCESS


# ---------------------------------------------------------------- tracing


def test_a_trace_sends_everything_but_inits_own_word() -> None:
    spec = FilterSpec(trace=True, allow=("read",), block=("write",))
    for arch in ARCHES:
        for call, number in syscalls.NAMES[arch].items():
            if number > test_seccomp.ceiling(arch):
                continue
            wanted = bpf.ALLOW if call == "sendmsg" else bpf.NOTIFY
            assert action(spec, arch, call, 3, 0, 0, 0, 0, test_requests.COOKIE) == wanted
        assert action(spec, arch, "sendmsg", 4) == bpf.NOTIFY
        assert bpf.run(code(spec, arch), 777, arch=syscalls.AUDIT_ARCH[arch]).action == ENOSYS
