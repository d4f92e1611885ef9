"""Settings of this machine that bear on pods: sysctls, limits, cgroups, propagation. Only read."""

from __future__ import annotations

import os
import resource
import shlex

from podsh import paths
from podsh.kernel import cgroups, mounts
from podsh.kernel.finding import Finding, as_root, newer_kernel, set_sysctl, sysctl

_FILES_WANTED = 8192
_NAMESPACES_WANTED = 100


def namespace_settings(works: bool) -> list[Finding]:
    """What forbids user namespaces. ``works``: podsh has just made one."""
    found = []
    clone = sysctl("kernel/unprivileged_userns_clone")
    off = clone == "0" and os.geteuid() != 0
    found.append(
        Finding(
            "unprivileged-userns-clone",
            not off,
            "no such setting" if clone is None else f"kernel.unprivileged_userns_clone = {clone}",
            "lets ordinary users make namespaces",
            set_sysctl("kernel/unprivileged_userns_clone", "1") if off else "",
        )
    )
    limit = sysctl("user/max_user_namespaces")
    most = int(limit or 0)
    enough = True if most >= _NAMESPACES_WANTED else None if most else False
    found.append(
        Finding(
            "max-user-namespaces",
            enough,
            "no such setting" if limit is None else f"user.max_user_namespaces = {limit}",
            "every pod takes one, podsh itself one",
            "" if enough else set_sysctl("user/max_user_namespaces", "15000"),
        )
    )
    found.append(_apparmor(works))
    return found


def _apparmor(works: bool) -> Finding:
    means = "where it is on, a rule must name podsh-init, or pods cannot be made"
    value = sysctl("kernel/apparmor_restrict_unprivileged_userns")
    if value in (None, "0"):
        have = "no such setting" if value is None else "off"
        return Finding("apparmor-userns", True, have, means)
    if works:
        have = "on; root may anyway" if os.geteuid() == 0 else "on, and podsh-init may"
        return Finding("apparmor-userns", True, have, means)
    return Finding("apparmor-userns", False, "on, and podsh-init may not", means, apparmor_rule())


def apparmor_rule() -> str:
    """The command that installs the AppArmor profile which lets podsh-init make namespaces.

    As distributions write it for their browsers: ``unconfined`` but for the one permission
    (apparmor.d(5), Ubuntu 24.04's restriction of unprivileged user namespaces).
    """
    binary = os.path.realpath(paths.init_binary())
    # AppArmor's own wildcards and quotes, escaped for it
    path = "".join(f"\\{char}" if char in '\\"*?[]{}' else char for char in binary)
    lines = (
        "abi <abi/4.0>,",
        "include <tunables/global>",
        f'profile podsh-init "{path}" flags=(unconfined) {{',
        "  userns,",
        "}",
    )
    text = " ".join(shlex.quote(line) for line in lines)
    file = "/etc/apparmor.d/podsh-init"
    return as_root(
        f"printf '%s\\n' {text} | {{sudo}}tee {file} && {{sudo}}apparmor_parser -r {file}"
    )


def process_settings() -> list[Finding]:
    """Limits, sysctls and identity that bear on the processes of pods."""
    return [_ids(), _files(), _yama(), _core_pattern(), _tiocsti(), _cgroup(), _root_mount()]


def _ids() -> Finding:
    ruid, euid, _ = os.getresuid()
    with open("/proc/self/uid_map", encoding="ascii") as file:
        mapped = sum(int(line.split()[2]) for line in file)
    whose = "" if mapped == 0xFFFFFFFF else f", in a user namespace of {mapped} ids"
    groups = len(set(os.getgroups()) - {os.getegid()})
    also = f", {groups} more groups" if groups else ""
    means = (
        "its pods have every id of this namespace"
        if euid == 0
        else "its pods have these two ids; files of others show as nobody's"
    )
    return Finding(
        "ids",
        True if ruid == euid else False,
        f"uid {euid}, gid {os.getegid()}{also}{whose}",
        means,
        "" if ruid == euid else "run podsh without a setuid wrapper",
    )


def _files() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= _FILES_WANTED
    line = f"* hard nofile {_FILES_WANTED * 8}"
    file = "/etc/security/limits.d/60-podsh.conf"
    return Finding(
        "open-files",
        True if enough else None,
        f"RLIMIT_NOFILE up to {hard}",
        "a pod may have less than half as many open files",
        "" if enough else as_root(f"echo '{line}' | {{sudo}}tee {file}; then log in again"),
    )


def _yama() -> Finding:
    scope = sysctl("kernel/yama/ptrace_scope")
    readable = scope in (None, "0", "1", "2")
    return Finding(
        "process-memory",
        True if readable else None,
        "no Yama" if scope is None else f"kernel.yama.ptrace_scope = {scope}",
        "podsh reads which paths a program misses; without, there are no requests",
        # 3 can be left only by a boot
        "" if readable else set_sysctl("kernel/yama/ptrace_scope", "1") + "; then reboot",
    )


def _core_pattern() -> Finding:
    pattern = sysctl("kernel/core_pattern") or ""
    program = pattern.removeprefix("|").split(" ")[0]
    return Finding(
        "core-pattern",
        True,
        f"a pipe to {program}" if pattern.startswith("|") else f"files called {pattern}",
        "pods dump no core, into a pipe neither: their RLIMIT_CORE is 1",
    )


def _tiocsti() -> Finding:
    value = sysctl("dev/tty/legacy_tiocsti")
    off = value == "0"
    return Finding(
        "tiocsti-off",
        True if off else None,
        "always on in this kernel" if value is None else f"dev.tty.legacy_tiocsti = {value}",
        "typing on another's terminal; in pods the filter refuses it anyway",
        ""
        if off
        else newer_kernel("6.2")
        if value is None
        else set_sysctl("dev/tty/legacy_tiocsti", "0"),
    )


def _cgroup() -> Finding:
    name = "cgroup-delegation"
    means = "limits memory and cpu; without, a profile that asks for that is refused"
    try:
        found = cgroups.place(cgroups.CONTROLLERS, prepare=False)
    except cgroups.Lacking as exc:
        return Finding(name, None, exc.why, means, exc.mend)
    places = " ".join(dict.fromkeys(found.directories.values()))
    return Finding(name, True, places if found.unified else f"version 1: {places}", means)


def _root_mount() -> Finding:
    root = next((m for m in reversed(mounts.listing()) if m.point == "/"), None)
    shared = root is not None and any(tag.startswith("shared:") for tag in root.tags)
    return Finding(
        "shared-root",
        True if shared else None,
        "/ is shared" if shared else "/ is private",
        "mounts made later reach running pods; where it is private, only pods started after them",
        "" if shared else as_root("{sudo}mount --make-rshared /"),
    )
