"""What a process of podsh says about itself, by prctl(2) through python-prctl, typed."""

from __future__ import annotations

import os

import prctl


def set_name(name: str) -> None:
    """PR_SET_NAME: the calling thread's name in ps and /proc; at most 15 bytes, the rest is cut."""
    prctl.set_name(name)


def set_dumpable(on: bool) -> None:
    """PR_SET_DUMPABLE. Off: no core, no ptrace, and /proc/PID belongs to root."""
    prctl.set_dumpable(int(on))


def set_pdeathsig(signo: int) -> None:
    """PR_SET_PDEATHSIG: ``signo`` when the *thread* that made this process ends (0: none).

    Nothing comes if the parent was gone already: compare os.getppid() afterwards.
    """
    prctl.set_pdeathsig(signo)


def set_child_subreaper(on: bool = True) -> None:
    """PR_SET_CHILD_SUBREAPER: orphaned descendants become our children."""
    prctl.set_child_subreaper(int(on))


def set_no_new_privs() -> None:
    """PR_SET_NO_NEW_PRIVS: for good, and for every child."""
    prctl.set_no_new_privs(1)


def kernel_version() -> tuple[int, int]:
    """Major and minor of the running kernel; (0, 0) where its release says none."""
    parts = os.uname().release.split("-")[0].split(".")
    if len(parts) < 2 or not (parts[0].isdigit() and parts[1].isdigit()):
        return (0, 0)
    return (int(parts[0]), int(parts[1]))
