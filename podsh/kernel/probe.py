"""What this machine allows: every feature that podsh uses, tried, with what its lack means.

``probe()`` is what ``podsh doctor`` prints. Attempts that need namespaces or filters run in a
process made for them (``tries.py``); this one only reads, and makes calls that change nothing.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess

from podsh import paths
from podsh.errors import PodshError
from podsh.kernel import (
    fds,
    helper,
    installed,
    landlock,
    netsettings,
    process,
    seccomp,
    settings,
    syscalls,
    uapi,
)
from podsh.kernel.finding import Finding as Finding
from podsh.kernel.finding import as_root, newer_kernel

_OLDEST = (5, 12)
_PID_MAX_SINCE = (6, 14)
_LIBSECCOMP_OLDEST = (2, 5, 0)
_TRIES_TIMEOUT_S = 60
# sun_path of unix(7) without its NUL, and the longest name that podsh puts into the directory
_ADDRESS_BYTES, _SOCKET_NAME_BYTES = 107, 44

_NOT_TRIED = "not tried: there is no user namespace"


def probe() -> list[Finding]:
    """Try everything; takes about a fifth of a second."""
    results, said = _tries()
    return [
        *_machine(),
        *_podsh(),
        Finding(
            "user-namespaces",
            not said,
            said or "works",
            "every pod is made of them",
            _namespaces_mend() if said else "",
        ),
        *settings.namespace_settings(not said),
        *(_judge(results, *row) for row in _TRIED),
        _pid_max(results),
        _landlock(),
        _peer_pidfd(),
        *settings.process_settings(),
        *installed.findings(),
        *netsettings.network_settings(),
    ]


# attempt in tries.py, name, whether podsh cannot work without, what it means, what mends it
_TRIED = (
    (
        "nested",
        "nested-user-namespaces",
        True,
        "a pod's namespace lies in podsh's own",
        "raise what limits them: user.max_user_namespaces, or the container around podsh",
    ),
    (
        "mount_api",
        "mount-api",
        True,
        "binds and grants are clones of mounts",
        newer_kernel("5.12"),
    ),
    (
        "openat2",
        "openat2",
        True,
        "paths are held without following links",
        newer_kernel("5.6"),
    ),
    (
        "detached_nesting",
        "detached-nesting",
        False,
        "a grant over others comes at once; without, in steps",
        newer_kernel("6.15"),
    ),
    (
        "overlay",
        "overlay",
        False,
        "names can be added below a read-only bind; without, such a grant is refused",
        newer_kernel("5.11"),
    ),
    (
        "fresh_proc",
        "fresh-proc",
        True,
        "a pod's /proc; the kernel wants a host's /proc of which nothing is covered",
        "in a container: docker run --security-opt systempaths=unconfined …",
    ),
    (
        "seccomp_filter",
        "seccomp-filter",
        True,
        "refuses dangerous system calls in pods",
        "boot a kernel with CONFIG_SECCOMP_FILTER",
    ),
    (
        "notification",
        "seccomp-notification",
        False,
        "tells which paths a program misses; without, there are no requests",
        newer_kernel("5.5"),
    ),
    (
        "wait_killable",
        "wait-killable",
        False,
        "requests can wait for an answer; without, what is to be asked is denied at once",
        newer_kernel("5.19"),
    ),
    (
        "sync_wake_up",
        "sync-wake-up",
        False,
        "requests are fast; without, slow in programs that the shim does not reach",
        newer_kernel("6.6"),
    ),
    (
        "macvlan",
        "macvlan",
        False,
        "newnet macvlan: links of pods' own on a network device, for root",
        as_root("{sudo}modprobe macvlan"),
    ),
    (
        "ipvlan",
        "ipvlan",
        False,
        "newnet ipvlan: the same with the device's hardware address",
        as_root("{sudo}modprobe ipvlan"),
    ),
    (
        "packet_rules",
        "packet-rules",
        False,
        "--net user: they keep pods from the host's loopback; without, it is refused",
        as_root("{sudo}modprobe nf_tables"),
    ),
)


def _judge(
    results: dict[str, str], attempt: str, name: str, needed: bool, means: str, mend: str
) -> Finding:
    said = results.get(attempt, _NOT_TRIED)
    if not said:
        return Finding(name, True, "works", means)
    # what could not be tried is no second reason
    lacking = False if needed and attempt in results else None
    return Finding(name, lacking, said, means, mend)


def _tries() -> tuple[dict[str, str], str]:
    """What ``tries.py`` found, and why there is no user namespace (empty: there is one)."""
    said = ""
    init = paths.init_binary()
    if os.access(init, os.X_OK):
        command = helper.command("podsh.kernel.tries", "entered")
        found, said = _run([init, "enter", "10", "--", *command])
        if found:
            return found, ""
    else:
        found, said = _run(helper.command("podsh.kernel.tries", "alone"))
        if found and not found["alone"]:
            return found, ""
        said = found.get("alone", said)
    found, _ = _run(helper.command("podsh.kernel.tries", "outside"))
    return found, said or "none"


def _run(command: list[str]) -> tuple[dict[str, str], str]:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=helper.ENVIRONMENT,
            timeout=_TRIES_TIMEOUT_S,
        )
        found: dict[str, str] = json.loads(done.stdout)
        return found, ""
    except subprocess.TimeoutExpired:
        return {}, "it does not come back"
    except OSError as exc:
        return {}, str(exc)
    except ValueError:
        return {}, done.stderr.strip().rpartition("\n")[2]


def _machine() -> list[Finding]:
    release, machine = os.uname().release, os.uname().machine
    version = process.kernel_version()
    new = version >= _OLDEST
    known = machine in syscalls.NAMES
    return [
        Finding(
            "kernel",
            new,
            f"Linux {release}",
            "5.12 is the oldest that podsh runs on, 6.15 has everything",
            "" if new else newer_kernel("6.15"),
        ),
        Finding("architecture", known, machine, "podsh knows the system calls of it"),
    ]


def _namespaces_mend() -> str:
    """The settings have their own; what is left is a container around podsh, or the kernel."""
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        options = "seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"
        return f"docker run {' '.join(f'--security-opt {each}' for each in options)} …"
    return "what max-user-namespaces, unprivileged-userns-clone or apparmor-userns name below"


def _podsh() -> list[Finding]:
    binary = paths.init_binary()
    built = os.access(binary, os.X_OK)
    checkout = os.path.dirname(paths.package_dir())
    build = (
        f"make -C {shlex.quote(checkout)} setup"
        if os.path.isfile(os.path.join(checkout, "Makefile"))
        else "pip install --force-reinstall podsh"
    )
    version = seccomp.libseccomp_version()
    new = version is not None and version >= _LIBSECCOMP_OLDEST
    return [
        Finding(
            "init",
            built,
            binary if built else f"{binary} is not there or cannot be executed",
            "makes namespaces, and is PID 1 of every pod",
            "" if built else build,
        ),
        Finding(
            "libseccomp",
            new,
            "not found" if version is None else ".".join(map(str, version)),
            "compiles the filters; 2.5 is the oldest",
            "" if new else seccomp.LIBSECCOMP_HINT,
        ),
        _runtime_directory(),
    ]


def _runtime_directory() -> Finding:
    name, means = "runtime-directory", "podsh's sockets, for you alone"
    try:
        path = paths.runtime_dir()
    except PodshError as exc:
        return Finding(name, False, str(exc), means, exc.hint)
    if len(os.fsencode(path)) + _SOCKET_NAME_BYTES > _ADDRESS_BYTES:
        mend = "set XDG_RUNTIME_DIR to a directory with a shorter path"
        return Finding(name, False, f"{path} is too long for sockets", means, mend)
    return Finding(name, True, path, means)


def _pid_max(results: dict[str, str]) -> Finding:
    name, means = (
        "pid-max",
        "limits a pod's processes; without, RLIMIT_NPROC does, but not for root's pods",
    )
    said = results.get("pid_max", _NOT_TRIED)
    # before, it is the host's, and root can write that from inside
    if not said and process.kernel_version() < _PID_MAX_SINCE:
        said = "kernel.pid_max is the whole machine's"
    return Finding(
        name,
        None if said else True,
        said or "every pid namespace has its own",
        means,
        newer_kernel("6.14") if said else "",
    )


def _landlock() -> Finding:
    try:
        abi = landlock.abi()
        have = f"ABI {abi}"
    except OSError as exc:
        abi, have = 0, str(exc.strerror)
    scopes = abi >= landlock.SCOPES
    return Finding(
        "landlock",
        True if scopes else None,
        have,
        "ABI 6 keeps pods that have the host's network from its abstract sockets",
        "" if scopes else newer_kernel("6.12") + ", with landlock in its lsm= list",
    )


def _peer_pidfd() -> Finding:
    name, means = (
        "peer-pidfd",
        "a client is known beyond doubt; without, by its number, which can be taken again",
    )
    left, right = socket.socketpair()
    with left, right:
        try:
            fds.OwnedFd(left.getsockopt(socket.SOL_SOCKET, uapi.SO_PEERPIDFD)).close()
        except OSError as exc:
            return Finding(name, None, str(exc.strerror), means, newer_kernel("6.5"))
    return Finding(name, True, "SO_PEERPIDFD", means)
