"""Which calls a pod may make at all: whitelist, blocked calls, blacklist, start-up set. Pure.

What is outside is refused before any other rule of the filter is looked at; what is inside still
meets the refusals of every pod (refusals.py) and may be a request (requests.py).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from podsh.kernel import bpf
from podsh.kernel.refusals import INT, Compare, Rule, refuse

if TYPE_CHECKING:
    from podsh.kernel.seccomp import FilterSpec

# Always allowed, so that a list needs to name only what the program itself does: what the kernel
# and init need to start a program and end it, and what every libc (glibc, musl; dynamic, static)
# does before main. clone3 is here because every pod gets ENOSYS for it, from which all know to
# go on to clone: it must not be what kills. Documented in profiles/README.md.
START_UP = frozenset(
    """
    execve exit exit_group rt_sigreturn restart_syscall close
    brk mmap munmap mprotect arch_prctl set_tid_address set_robust_list rseq prlimit64 getrandom
    open openat read readv pread64 fcntl fstat newfstatat access faccessat readlink readlinkat uname
    futex clone3
    """.split()
)
# init's last words: the listener, and why the program could not be executed (exec.c, STATUS_FD)
_INIT_SAYS = "sendmsg"
_STATUS_FD = Compare(0, INT, 3)
# without it no program starts
NEEDED = frozenset(("execve",))


def outside(call: str, spec: FilterSpec) -> bool:
    """Whether ``call`` is refused by the pod's own lists, whatever its arguments."""
    if call in spec.block or call in spec.deny:
        return True
    return spec.allow is not None and call not in spec.allow and call not in START_UP


def kills(call: str, spec: FilterSpec) -> bool:
    """Whether a call that is ``outside`` ends the process."""
    return spec.strict and call not in spec.block


def action(call: str, spec: FilterSpec) -> int | None:
    """SECCOMP_RET_* of a call that the pod's lists decide on alone, None for the others."""
    if spec.trace:
        return bpf.NOTIFY
    if not outside(call, spec):
        return None
    if spec.report:
        return bpf.NOTIFY
    return bpf.KILL_PROCESS if kills(call, spec) else refuse(errno.ENOSYS)


def rules(call: str, spec: FilterSpec) -> tuple[Rule, ...]:
    """What is left of a refused or reported call: sendmsg on the one descriptor that only init
    has. Nothing for the others."""
    found = action(call, spec)
    if call != _INIT_SAYS or found is None:
        return ()
    return Rule(call, bpf.ALLOW, (_STATUS_FD,)), Rule(call, found)
