"""What the system-call filter refuses, as data: one Rule per refusal. Pure, loads nothing.

A call that no rule matches is allowed if it is known (syscalls.py), else ENOSYS. Two kinds of
refusal: EPERM where a program should hear that it may not, ENOSYS (or the errno of a kernel
built without the feature) where it should find another way by itself.

Arguments are compared under a mask, not as 64-bit numbers: the kernel takes an ``int`` from the
low 32 bits and ignores what a caller leaves above them. Rules of one call with different
actions must not overlap: libseccomp keeps whichever it likes.
"""

from __future__ import annotations

import errno
import termios
from typing import TYPE_CHECKING, NamedTuple

from podsh.kernel import uapi
from podsh.kernel.pathcalls import O_CREAT, O_TMPFILE_BIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podsh.kernel.seccomp import FilterSpec


class Compare(NamedTuple):
    """``arguments[argument] & mask == value``."""

    argument: int
    mask: int
    value: int


class Differs(NamedTuple):
    """``arguments[argument] != value``, all 64 bits of it."""

    argument: int
    value: int


class Equals(NamedTuple):
    """``arguments[argument] == value``, all 64 bits of it."""

    argument: int
    value: int


Test = Compare | Differs | Equals


class Rule(NamedTuple):
    """``action`` (SECCOMP_RET_*) for ``call`` where every test holds."""

    call: str
    action: int
    tests: tuple[Test, ...] = ()


INT = 0xFFFFFFFF

_DANGEROUS = """
    bpf perf_event_open userfaultfd open_by_handle_at
    kexec_load kexec_file_load init_module finit_module delete_module
    reboot swapon swapoff acct quotactl quotactl_fd syslog vhangup fanotify_init
    settimeofday clock_settime adjtimex clock_adjtime
    iopl ioperm
"""
_ABSENT = """
    add_key request_key keyctl
    io_uring_setup io_uring_enter io_uring_register
    clone3 uselib
"""
# what sandboxes inside a pod need, over namespaces of their own
_MOUNT = "mount umount2 pivot_root setns"
_MOUNT_API = "open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr open_tree_attr"
# reach into other processes, as ptrace does and by its permission
_PTRACE = "ptrace process_vm_readv process_vm_writev pidfd_getfd"

_NAMESPACES = (
    uapi.CLONE_NEWNS,
    uapi.CLONE_NEWCGROUP,
    uapi.CLONE_NEWUTS,
    uapi.CLONE_NEWIPC,
    uapi.CLONE_NEWUSER,
    uapi.CLONE_NEWPID,
    uapi.CLONE_NEWNET,
)

TIOCSTI = termios.TIOCSTI
TIOCLINUX = 0x541C  # <asm-generic/ioctls.h>: paste, on a virtual console
TIOCSETD = termios.TIOCSETD  # line disciplines load modules

PR_SET_SECCOMP = 22  # <linux/prctl.h>

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 1, 2, 10, 16, 17  # <bits/socket.h>
SOL_IP, SOL_IPV6 = 0, 41
IP6_TABLES = (64, 65, 68, 69)  # <linux/netfilter_ipv6/ip6_tables.h>
# SOCK_DGRAM is 2 and SOCK_RAW 3, which is the same for AF_UNIX; SOCK_TYPE_MASK is 0xf
_DGRAM_MASK, _DGRAM = 0xE, 2
NETLINK_ROUTE, NETLINK_KOBJECT_UEVENT = 0, 15  # <linux/netlink.h>
IPPROTO_MPTCP = 262  # <linux/in.h>

SETID_BITS = (0o4000, 0o2000)
MAKINGS = (O_CREAT, O_TMPFILE_BIT)  # flags of open(2) that make a file
# call -> index of its mode
MODES = {
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "creat": 1,
    "mknod": 1,
    "mknodat": 2,
    "mkdir": 1,
    "mkdirat": 2,
}
# call -> index of its flags; the mode follows, and counts only where a file may be made
OPENS = {"open": 1, "openat": 2}


def refuse(code: int) -> int:
    """SECCOMP_RET_ERRNO with ``code``, <linux/seccomp.h>."""
    return 0x00050000 | code


def refusals(spec: FilterSpec) -> list[Rule]:
    """Every refusal of a pod with ``spec``; calls that an architecture lacks are named as well."""
    rules = [Rule(call, refuse(errno.EPERM)) for call in _DANGEROUS.split()]
    rules += [Rule(call, refuse(errno.ENOSYS)) for call in _ABSENT.split()]
    if not spec.nesting:
        rules += [Rule(call, refuse(errno.EPERM)) for call in _MOUNT.split()]
        if not spec.chroot:
            rules.append(Rule("chroot", refuse(errno.EPERM)))
        rules += [Rule(call, refuse(errno.ENOSYS)) for call in _MOUNT_API.split()]
        rules += _flags("clone", 0, _NAMESPACES)
        rules += _flags("unshare", 0, (*_NAMESPACES, uapi.CLONE_NEWTIME))
    if not spec.ptrace:
        rules += [Rule(call, refuse(errno.EPERM)) for call in _PTRACE.split()]
    if not spec.new_filters:
        # as a kernel without seccomp answers
        rules.append(Rule("seccomp", refuse(errno.ENOSYS)))
        option = Compare(0, INT, PR_SET_SECCOMP)
        rules.append(Rule("prctl", refuse(errno.EINVAL), (option,)))
    for request in (TIOCSTI, TIOCLINUX, TIOCSETD):
        rules.append(Rule("ioctl", refuse(errno.EPERM), (Compare(1, INT, request),)))
    rules += _sockets(spec.packets)
    if spec.net_admin:
        rules += _tables()
    if spec.refuse_setid:
        rules += _setid()
    return rules


def _flags(call: str, index: int, bits: tuple[int, ...]) -> Iterator[Rule]:
    """EPERM where any of ``bits`` is set."""
    for bit in bits:
        yield Rule(call, refuse(errno.EPERM), (Compare(index, bit, bit),))


def _sockets(packets: bool) -> Iterator[Rule]:
    """Families and protocols: what is not listed is not there."""
    families = (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, *((AF_PACKET,) if packets else ()))
    for mask, value in outside(families):
        yield Rule("socket", refuse(errno.EAFNOSUPPORT), (Compare(0, mask, value),))
    netlink = Compare(0, INT, AF_NETLINK)
    for mask, value in outside((NETLINK_ROUTE, NETLINK_KOBJECT_UEVENT)):
        yield Rule("socket", refuse(errno.EPROTONOSUPPORT), (netlink, Compare(2, mask, value)))
    for family in (AF_INET, AF_INET6):
        tests = (Compare(0, INT, family), Compare(2, INT, IPPROTO_MPTCP))
        yield Rule("socket", refuse(errno.EPROTONOSUPPORT), tests)
    for mask, value in outside((AF_UNIX,)):
        yield Rule("socketpair", refuse(errno.EAFNOSUPPORT), (Compare(0, mask, value),))
    # a datagram names its receiver in memory, where a filter cannot look: it would reach a socket
    # without a connect(2). One of a pair does so too. Streams ignore such names.
    datagrams = (Compare(0, INT, AF_UNIX), Compare(1, _DGRAM_MASK, _DGRAM))
    for call in ("socket", "socketpair"):
        yield Rule(call, refuse(errno.EPROTONOSUPPORT), datagrams)


def _tables() -> Iterator[Rule]:
    """iptables, arptables, ebtables, IPVS: options of sockets from 64 on. nftables' and all newer
    ones have netlink families of their own, which are not there."""
    for call in ("setsockopt", "getsockopt"):
        for bit in range(6, 32):
            tests = (Compare(1, INT, SOL_IP), Compare(2, 1 << bit, 1 << bit))
            yield Rule(call, refuse(errno.ENOPROTOOPT), tests)
        for option in IP6_TABLES:
            tests = (Compare(1, INT, SOL_IPV6), Compare(2, INT, option))
            yield Rule(call, refuse(errno.ENOPROTOOPT), tests)


def _setid() -> Iterator[Rule]:
    """No mode with S_ISUID or S_ISGID, wherever a call takes one."""
    for call, index in MODES.items():
        yield from _flags(call, index, SETID_BITS)
    for call, index in OPENS.items():
        for making in MAKINGS:
            for bit in SETID_BITS:
                tests = (Compare(index, making, making), Compare(index + 1, bit, bit))
                yield Rule(call, refuse(errno.EPERM), tests)
    # its mode lies in memory, where a filter cannot look
    yield Rule("openat2", refuse(errno.ENOSYS))


def outside(allowed: tuple[int, ...]) -> list[tuple[int, int]]:
    """The 32-bit numbers that are not ``allowed``, as (mask, value) blocks that do not overlap.

    A block is every number with the same leading bits, as a routing table's prefixes: libseccomp
    knows neither "not in" nor two comparisons of one argument.
    """
    blocks = []
    todo = [(0, 32)]  # first number of the block, bits that are free in it
    while todo:
        first, free = todo.pop()
        inside = [number for number in allowed if number >> free == first >> free]
        if not inside:
            blocks.append((INT >> free << free, first))
        elif free:
            todo += [(first, free - 1), (first | 1 << free - 1, free - 1)]
    return blocks
