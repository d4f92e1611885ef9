"""The filter as a program: every known call, every rule, interpreted; no kernel needed."""

from __future__ import annotations

import errno
import functools
import random

import pytest

from podsh.kernel import seccomp, syscalls
from podsh.kernel.refusals import INT, outside
from podsh.kernel.seccomp import FilterSpec
from tests.kernel import bpf

PLAIN = FilterSpec()
ROOT = FilterSpec(refuse_setid=True)
OPEN = FilterSpec(ptrace=True, nesting=True)
STRICT = FilterSpec(refuse_setid=True, new_filters=False)
CAPABLE = FilterSpec(chroot=True, packets=True, net_admin=True)
SPECS = {"plain": PLAIN, "root": ROOT, "open": OPEN, "strict": STRICT, "capable": CAPABLE}
ARCHES = tuple(syscalls.NAMES)
I386, ARM = 0x40000003, 0x40000028
X32 = 0x40000000

EPERM, ENOSYS, EINVAL = errno.EPERM, errno.ENOSYS, errno.EINVAL
EAFNOSUPPORT, EPROTONOSUPPORT = errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT
ENOPROTOOPT = errno.ENOPROTOOPT

# design.md, "Default refusals", spelled out a second time on purpose
ALWAYS = dict.fromkeys(
    """bpf perf_event_open userfaultfd open_by_handle_at kexec_load kexec_file_load init_module
    finit_module delete_module reboot swapon swapoff acct quotactl quotactl_fd syslog vhangup
    fanotify_init settimeofday clock_settime adjtimex clock_adjtime iopl ioperm""".split(),
    EPERM,
) | dict.fromkeys(
    """add_key request_key keyctl io_uring_setup io_uring_enter io_uring_register clone3
    uselib""".split(),
    ENOSYS,
)
NESTING = dict.fromkeys("mount umount2 pivot_root chroot setns".split(), EPERM) | dict.fromkeys(
    """open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr open_tree_attr""".split(),
    ENOSYS,
)
PTRACE = dict.fromkeys("ptrace process_vm_readv process_vm_writev pidfd_getfd".split(), EPERM)


@functools.cache
def code(spec: FilterSpec, arch: str) -> list[tuple[int, int, int, int]]:
    return bpf.decode(seccomp.build(spec, arch))


def verdict(
    call: str | int, *args: int, spec: FilterSpec = PLAIN, arch: str = "x86_64"
) -> int | str:
    """The errno that the filter answers with, 0 for allowed, or ``killed``."""
    number = call if isinstance(call, int) else syscalls.number(call, arch)
    action = bpf.run(code(spec, arch), number, args, arch=syscalls.AUDIT_ARCH[arch]).action
    if action == bpf.KILL_PROCESS:
        return "killed"
    return 0 if action == bpf.ALLOW else action ^ bpf.ERRNO


def unconditional(spec: FilterSpec) -> dict[str, int]:
    refused = dict(ALWAYS)
    if not spec.nesting:
        refused |= NESTING
    if spec.chroot:
        refused.pop("chroot", None)
    if not spec.ptrace:
        refused |= PTRACE
    if not spec.new_filters:
        refused["seccomp"] = ENOSYS
    if spec.refuse_setid:
        refused["openat2"] = ENOSYS
    return refused


def ceiling(arch: str) -> int:
    """Above it libseccomp may not know calls of a machine that is not this one."""
    return 469 if arch == syscalls.native() else 450


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_call_with_harmless_arguments(spec: FilterSpec, arch: str) -> None:
    """With zeros for arguments only the refusals without conditions show, and socket families."""
    refused = unconditional(spec) | {"socket": EAFNOSUPPORT, "socketpair": EAFNOSUPPORT}
    wrong = {
        name: (found, refused.get(name, 0))
        for name, number in syscalls.NAMES[arch].items()
        if number <= ceiling(arch)
        and (found := verdict(number, spec=spec, arch=arch)) != refused.get(name, 0)
    }
    assert not wrong


def model(spec: FilterSpec, call: str, args: tuple[int, ...]) -> int:
    """What is to happen, from the meaning of the arguments as the kernel takes them."""
    low = [arg & INT for arg in args]
    if call in (refused := unconditional(spec)):
        return refused[call]
    setid = 0o6000 if spec.refuse_setid else 0
    match call:
        case "clone":
            return EPERM if not spec.nesting and low[0] & 0x7E020000 else 0
        case "unshare":
            return EPERM if not spec.nesting and low[0] & 0x7E020080 else 0
        case "ioctl":
            return EPERM if low[1] in (0x5412, 0x541C, 0x5423) else 0
        case "prctl":
            return EINVAL if not spec.new_filters and low[0] == 22 else 0
        case "setsockopt" | "getsockopt" if spec.net_admin:
            tables = (low[1], low[2]) in [(41, option) for option in (64, 65, 68, 69)]
            return ENOPROTOOPT if tables or (low[1] == 0 and low[2] >= 64) else 0
        case "socket" if low[0] == 17 and spec.packets:
            return 0
        case "socket" if low[0] not in (1, 2, 10, 16):
            return EAFNOSUPPORT
        case "socket" | "socketpair" if low[0] == 1:
            return EPROTONOSUPPORT if low[1] & 0xF in (2, 3) else 0
        case "socket" if low[0] == 16:
            return 0 if low[2] in (0, 15) else EPROTONOSUPPORT
        case "socket":
            return EPROTONOSUPPORT if low[2] == 262 else 0
        case "socketpair":
            return EAFNOSUPPORT
        case "chmod" | "fchmod" | "creat" | "mknod" | "mkdir":
            return EPERM if args[1] & setid else 0
        case "fchmodat" | "fchmodat2" | "mknodat" | "mkdirat":
            return EPERM if args[2] & setid else 0
        case "open":
            return EPERM if args[1] & 0o20000100 and args[2] & setid else 0
        case "openat":
            return EPERM if args[2] & 0o20000100 and args[3] & setid else 0
    return 0


CONDITIONAL = """clone unshare ioctl prctl socket socketpair chmod fchmod creat mknod mkdir
    fchmodat fchmodat2 mknodat mkdirat open openat read mmap newfstatat setsockopt
    getsockopt""".split()
INTERESTING = (
    *(0, 1, 2, 3, 4, 9, 10, 11, 15, 16, 17, 22, 38, 40, 44, 262, INT, INT - 1, 1 << 31),
    *(0x5412, 0x541C, 0x5423, 0x5401, 0x11, 0x7F, 41, 64, 65, 66, 69, 70, 80, 1152),
    *(1 << bit for bit in range(5, 32)),
    *(0o4755, 0o2755, 0o6777, 0o755, 0o1777, 0o101, 0o20200000, 0o20200002, 0o102, 0o2000000),
)


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_arguments_with_garbage_above_32_bits(spec: FilterSpec, arch: str) -> None:
    rng = random.Random(f"{spec}{arch}")
    calls = [name for name in CONDITIONAL if name in syscalls.NAMES[arch]]
    calls = [name for name in calls if syscalls.number(name, arch) <= ceiling(arch)]
    for call in calls:
        for _ in range(1500):
            args = tuple(
                rng.choice(INTERESTING) | rng.choice((0, 0, INT, rng.getrandbits(32))) << 32
                for _ in range(6)
            )
            found = verdict(call, *args, spec=spec, arch=arch)
            shown = [hex(arg) for arg in args]
            assert found == model(spec, call, args), (call, shown)


@pytest.mark.parametrize("arch", ARCHES)
def test_unknown_numbers_are_enosys(arch: str) -> None:
    known = set(syscalls.NAMES[arch].values())
    numbers = [*range(1200), *(1 << bit for bit in range(11, 30)), 0x3FFFFFFF]
    allowed = [nr for nr in numbers if nr not in known and verdict(nr, arch=arch) != ENOSYS]
    assert not allowed


def test_x32_is_killed() -> None:
    low = [X32 | nr for nr in (*range(1200), 0x3FFFFFFE)]
    assert {verdict(nr) for nr in low} == {"killed"}
    assert {verdict(0x80000000 | nr) for nr in range(600)} == {"killed"}
    assert verdict(-1) == 0  # a tracer's "skip it"; the kernel knows no such call


@pytest.mark.parametrize("foreign", [I386, ARM, 0xC00000B7, 0, 0xFFFFFFFF])
def test_foreign_architecture_is_killed(foreign: int) -> None:
    program = code(PLAIN, "x86_64")
    actions = {bpf.run(program, nr, arch=foreign).action for nr in (*range(1200), X32, 0xFFFFFFFF)}
    assert actions == {bpf.KILL_PROCESS}


@pytest.mark.parametrize("allowed", [(1,), (0, 15), (1, 2, 10, 16), (0,), (INT,), ()])
def test_outside(allowed: tuple[int, ...]) -> None:
    """The blocks cover every other number exactly once."""
    blocks = outside(allowed)
    assert sum((mask ^ INT) + 1 for mask, _ in blocks) == (1 << 32) - len(allowed)
    for number in (*range(64), 262, *(1 << bit for bit in range(32)), INT, *allowed):
        hits = [number & mask == value for mask, value in blocks]
        assert sum(hits) == (number not in allowed)


@pytest.mark.parametrize(
    "call", ["read", "write", "mmap", "futex", "getpid", "close", "execve", "newfstatat"]
)
def test_frequent_calls_look_at_no_argument(call: str) -> None:
    """Then the kernel (5.11) keeps the answer in a bitmap and never runs the filter for them."""
    for spec in SPECS.values():
        for arch in ARCHES:
            number = syscalls.number(call, arch)
            found = bpf.run(code(spec, arch), number, arch=syscalls.AUDIT_ARCH[arch])
            assert found.action == bpf.ALLOW
            assert found.loads <= {0, 4}


def test_instructions_stay_few() -> None:
    """The tree works: one comparison after the other took 357 steps for openat."""
    arch = syscalls.AUDIT_ARCH["x86_64"]
    steps = {
        call: bpf.run(code(ROOT, "x86_64"), syscalls.number(call), args, arch=arch).steps
        for call, args in (("openat", (0, 0, 0o2000000, 0)), ("ioctl", (0, 0x5401)))
    }
    assert steps["openat"] <= 40
    assert steps["ioctl"] <= 40
    assert len(code(STRICT, "x86_64")) <= 700
