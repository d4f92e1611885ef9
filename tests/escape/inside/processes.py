"""Other processes: PID 1, and those outside. facts: ``pid``, a process of the caller's outside."""

from __future__ import annotations

import ctypes
import os
import signal

from tools import call, facts

PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206


def kill_outside() -> bool:
    os.kill(facts["pid"], 0)
    return True


def signal_outside_by_pidfd() -> bool:
    fd = call("pidfd_open", facts["pid"], 0)
    call("pidfd_send_signal", fd, 0, None, 0)
    return True


def queue_signal_outside() -> bool:
    signal_info = (ctypes.c_int * 32)(0, 0, -1)  # SI_QUEUE
    call("rt_sigqueueinfo", facts["pid"], 0, signal_info)
    return True


def priority_of_outside() -> bool:
    return os.getpriority(os.PRIO_PROCESS, facts["pid"]) is not None


def limits_of_outside() -> bool:
    call("prlimit64", facts["pid"], 7, None, None)
    return True


def scheduler_of_outside() -> bool:
    os.sched_getaffinity(facts["pid"])
    return True


def see_outside() -> bool:
    return os.path.isdir(f"/proc/{facts['pid']}")


def trace_init() -> bool:
    call("ptrace", PTRACE_SEIZE, 1, 0, 0)
    return True


def trace_child() -> bool:
    """Tracing one's own child: refused by the filter, since a tracer can rewrite calls."""
    child = os.fork()
    if not child:
        signal.pause()
    try:
        call("ptrace", PTRACE_SEIZE, child, 0, 0)
        return True
    finally:
        os.kill(child, signal.SIGKILL)


def read_own_memory() -> bool:
    """process_vm_readv(2) at all."""
    return call("process_vm_readv", os.getpid(), None, 0, None, 0, 0) == 0


def write_own_memory() -> bool:
    return call("process_vm_writev", os.getpid(), None, 0, None, 0, 0) == 0


def steal_descriptor_of_init() -> bool:
    """pidfd_getfd(2): init holds the way to the monitor."""
    fd = call("pidfd_open", 1, 0)
    return call("pidfd_getfd", fd, 0, 0) >= 0


def compare_with_init() -> bool:
    return call("kcmp", os.getpid(), 1, 0, 0, 0) >= 0


def kill_init() -> bool:
    """SIGKILL from inside does nothing to a PID 1; outside, any process of one's own dies."""
    target = 1
    if not facts["inside"]:
        target = os.fork()
        if not target:
            signal.pause()
    os.kill(target, signal.SIGKILL)
    if target != 1:
        return os.WIFSIGNALED(os.waitpid(target, 0)[1])
    os.kill(target, signal.SIGTERM)
    os.kill(target, 0)
    return False


def capabilities() -> str:
    """Any capability in any set, bounding and ambient too."""
    with open("/proc/self/status") as stream:
        sets = dict(line.split() for line in stream if line.startswith("Cap"))
    return " ".join(name for name, value in sets.items() if int(value, 16))


def may_gain_privileges() -> bool:
    """no_new_privs is unset."""
    return not call("prctl", 39, 0, 0, 0, 0)  # PR_GET_NO_NEW_PRIVS


def unfiltered() -> bool:
    with open("/proc/self/status") as stream:
        modes = dict(line.split()[:2] for line in stream if line.startswith("Seccomp:"))
    return modes["Seccomp:"] != "2"


def become_somebody() -> bool:
    """Another uid, for root's pods above all: whole ranges are mapped there."""
    os.setresuid(12345, 12345, 12345)
    return True


def drop_groups() -> bool:
    """Groups that deny access are shed by setgroups(2)."""
    os.setgroups([])
    return True


def raise_priority() -> bool:
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 1)
    return True


def dump_core_to_host() -> bool:
    """A core_pattern pipe runs on the host as root: RLIMIT_CORE is 1, which stops it (core(5))."""
    import resource

    return resource.getrlimit(resource.RLIMIT_CORE) != (1, 1)


def ioperm() -> bool:
    return call("ioperm", 0x80, 1, 1) == 0


def iopl() -> bool:
    return call("iopl", 3) == 0
