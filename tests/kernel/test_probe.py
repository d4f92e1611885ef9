"""doctor: what it finds here, and what it says of machines that lack something."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh import paths
from podsh.commands.doctor import report, verdict
from podsh.errors import UsageError
from podsh.kernel import cgroups, finding, mounts, probe, seccomp, settings
from tests.helpers import processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.kernel.probe import Finding
    from tests.helpers.callers import Caller

NEEDED = """kernel architecture init libseccomp runtime-directory user-namespaces
    nested-user-namespaces mount-api openat2 fresh-proc seccomp-filter""".split()
ALL = {
    *("openat2", "seccomp_filter", "notification", "wait_killable", "sync_wake_up"),
    *("mount_api", "detached_nesting", "overlay", "nested", "fresh_proc", "pid_max"),
    *("macvlan", "ipvlan", "packet_rules"),
}
MENDED = dict.fromkeys(ALL, "")


def by_name(found: list[Finding]) -> dict[str, Finding]:
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def test_here_as_both_callers(command: Path, caller: Caller, ground: Path) -> None:
    """The suite runs, so podsh works here: nothing that it needs may be lacking."""
    home = ground / f"doctor-{caller.name}"
    home.mkdir()
    caller.own(home)
    env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PATH": "/usr/bin:/bin"}
    before, limit = processes.Traces.now(), finding.sysctl("kernel/pid_max")

    def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(command), "doctor", *arguments],
            capture_output=True,
            text=True,
            env=env,
            cwd="/",
            timeout=60,
            **caller.popen(),
        )

    done = doctor("--json")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["name"] for line in lines if not line["ok"]}.isdisjoint(NEEDED)
    assert not [line for line in lines if line["needed"]]
    assert {"have", "means", "mend"} <= set(lines[0])
    assert last["portal_pid"] is None
    assert last["works"] is True

    text = doctor()
    assert text.returncode == 0
    assert text.stdout.splitlines()[-1].startswith("podsh works here")

    assert not processes.settle(before)
    assert finding.sysctl("kernel/pid_max") == limit


def test_without_the_init_an_interpreter_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = by_name(probe.probe())
    monkeypatch.setattr(paths, "init_binary", lambda: "/nowhere/podsh-init")
    found = by_name(probe.probe())
    assert found["init"].ok is False
    assert found["init"].mend.startswith(("make -C", "pip install"))
    differing = [name for name in whole if found[name].ok != whole[name].ok]
    assert differing == ["init"]


def test_without_user_namespaces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    init = tmp_path / "podsh-init"
    init.write_text(
        "#!/bin/sh\necho 'podsh-init: enter: unshare: Permission denied' >&2\nexit 125\n"
    )
    init.chmod(0o755)
    monkeypatch.setattr(paths, "init_binary", lambda: str(init))
    found = by_name(probe.probe())
    assert found["user-namespaces"].ok is False
    assert "Permission denied" in found["user-namespaces"].have
    assert found["user-namespaces"].mend
    # the reason is given once; what needs none was tried all the same
    assert found["mount-api"].ok is None
    assert found["seccomp-filter"].ok is True
    assert verdict(list(found.values())) == (
        "podsh does not work here until this is mended: user-namespaces."
    )


@pytest.mark.parametrize("attempt", sorted(ALL))
def test_each_attempt_has_a_finding(attempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_tries", lambda: (MENDED | {attempt: "call: Some reason"}, ""))
    bad = [each for each in probe.probe() if each.have == "call: Some reason"]
    assert len(bad) == 1
    assert bad[0].ok is (False if bad[0].name in NEEDED else None)
    assert bad[0].mend
    assert bad[0].means


def test_a_machine_without_a_table() -> None:
    """Every call that libc does not wrap is missing there; doctor says so instead of failing."""
    code = (
        "import os, types\n"
        "os.uname = lambda: types.SimpleNamespace(machine='riscv64', release='6.18.0')\n"
        "from podsh.kernel import mounts, probe\n"
        "print({f.name for f in probe._machine() if f.ok is False}, probe._landlock().have)\n"
    )
    root = str(Path(paths.package_dir()).parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert done.stdout == "{'architecture'} Function not implemented\n", done.stderr


def test_all_attempts_are_made_and_judged() -> None:
    from podsh.kernel import tries

    assert {action.__name__ for action in (*tries.ANYWHERE, *tries.NAMESPACED)} == ALL


def test_an_old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """There root can write the host's pid_max from inside: not the pod's own limit."""
    old = types.SimpleNamespace(release="5.10.0-28-amd64", machine="x86_64")
    monkeypatch.setattr(os, "uname", lambda: old)
    monkeypatch.setattr(probe, "_tries", lambda: (MENDED, ""))
    found = by_name(probe.probe())
    assert found["kernel"].ok is False
    assert found["pid-max"].ok is None
    assert "6.14" in found["pid-max"].mend


SYSCTLS: list[tuple[str, str, bool, str, bool | None]] = [
    # name of the sysctl, value, whether namespaces work, name of the finding, verdict
    ("kernel/unprivileged_userns_clone", "1", True, "unprivileged-userns-clone", True),
    ("user/max_user_namespaces", "0", False, "max-user-namespaces", False),
    ("user/max_user_namespaces", "20", True, "max-user-namespaces", None),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", False, "apparmor-userns", False),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", True, "apparmor-userns", True),
    ("kernel/apparmor_restrict_unprivileged_userns", "0", False, "apparmor-userns", True),
    ("kernel/yama/ptrace_scope", "2", True, "process-memory", True),
    ("kernel/yama/ptrace_scope", "3", True, "process-memory", None),
    ("dev/tty/legacy_tiocsti", "0", True, "tiocsti-off", True),
    ("dev/tty/legacy_tiocsti", "1", True, "tiocsti-off", None),
    ("kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P", True, "core-pattern", True),
]


@pytest.mark.parametrize(("name", "value", "works", "about", "ok"), SYSCTLS)
def test_sysctls(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    works: bool,
    about: str,
    ok: bool | None,
) -> None:
    real = finding.sysctl
    monkeypatch.setattr(settings, "sysctl", lambda asked: value if asked == name else real(asked))
    found = by_name([*settings.namespace_settings(works), *settings.process_settings()])[about]
    assert found.ok is ok
    assert bool(found.mend) is (ok is not True)


def test_userns_clone_off_matters_to_ordinary_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "sysctl", lambda _: "0")
    for euid, ok in ((0, True), (1000, False)):
        monkeypatch.setattr(os, "geteuid", lambda euid=euid: euid)
        found = by_name(settings.namespace_settings(False))["unprivileged-userns-clone"]
        assert found.ok is ok
    assert found.mend == (
        "echo 'kernel.unprivileged_userns_clone = 1' | sudo tee -a /etc/sysctl.d/60-podsh.conf"
        " && sudo sysctl -p /etc/sysctl.d/60-podsh.conf"
    )


@pytest.mark.parametrize(
    ("folder", "written"),
    [
        ("/opt/podsh", "/opt/podsh"),
        ("/home/a b/it's", "/home/a b/it's"),
        ('/srv/we"ird*[x]{y}', '/srv/we\\"ird\\*\\[x\\]\\{y\\}'),
    ],
)
def test_the_apparmor_command_writes_the_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str, written: str
) -> None:
    """Run as it is printed, with stand-ins for what it calls."""
    monkeypatch.setattr(paths, "init_binary", lambda: f"{folder}/native/podsh-init")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    log = tmp_path / "log"
    for name, body in (
        ("sudo", '"$@"'),
        ("tee", f'echo "tee $1" >>{log}; cat >>{log}'),
        ("apparmor_parser", f'echo "parser $*" >>{log}'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["sh", "-c", settings.apparmor_rule()], env=env, check=True)
    assert log.read_text().splitlines() == [
        "tee /etc/apparmor.d/podsh-init",
        "abi <abi/4.0>,",
        "include <tunables/global>",
        f'profile podsh-init "{written}/native/podsh-init" flags=(unconfined) {{',
        "  userns,",
        "}",
        "parser -r /etc/apparmor.d/podsh-init",
    ]
    assert shlex.split(settings.apparmor_rule())


def mountinfo(*lines: str) -> Callable[[], list[mounts.Mount]]:
    return lambda: [mounts.Mount(line.encode()) for line in lines]


def test_cgroup_and_root_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    v2 = f"30 1 0:9 / {tmp_path} rw - cgroup2 cgroup2 rw"
    root = "1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw"
    monkeypatch.setattr(mounts, "listing", mountinfo(root, v2))
    monkeypatch.setattr(cgroups, "_own", lambda hierarchy: None if hierarchy else "/own")
    place = tmp_path / "own"
    place.mkdir()
    for directory in (tmp_path, place):
        (directory / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (directory / "cgroup.procs").write_text("")
    found = by_name(settings.process_settings())
    assert found["cgroup-delegation"].ok is True
    assert found["shared-root"].ok is True

    assert found["cgroup-delegation"].have == str(place)

    (tmp_path / "cgroup.controllers").write_text("\n")
    v1 = "31 1 0:10 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    monkeypatch.setattr(mounts, "listing", mountinfo(root.replace("shared:1 ", ""), v2, v1))
    found = by_name(settings.process_settings())
    assert found["cgroup-delegation"].ok is None
    assert found["cgroup-delegation"].mend.startswith("boot with")
    assert found["shared-root"].ok is None


def test_podsh_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_tries", lambda: (MENDED, ""))
    monkeypatch.setattr(seccomp, "libseccomp_version", lambda: (2, 4, 9))
    monkeypatch.setattr(paths, "runtime_dir", lambda: "/run/" + "x" * 80)
    found = by_name(probe.probe())
    assert found["libseccomp"].ok is False
    assert found["libseccomp"].mend == seccomp.LIBSECCOMP_HINT
    assert found["runtime-directory"].ok is False

    def refused() -> str:
        raise UsageError("belongs to uid 5", place="/tmp/x", hint="remove it")

    monkeypatch.setattr(seccomp, "libseccomp_version", lambda: None)
    monkeypatch.setattr(paths, "runtime_dir", refused)
    found = by_name(probe.probe())
    assert found["libseccomp"].have == "not found"
    assert found["runtime-directory"].have == "/tmp/x: belongs to uid 5; remove it"
    assert found["runtime-directory"].mend == "remove it"


def test_report() -> None:
    found = [
        finding.Finding("a", True, "works", "for this"),
        finding.Finding("long-name", None, "no\x1b[31m", "without, slower", "do this"),
        finding.Finding("b", False, "gone", "for all", ""),
    ]
    assert report(found) == [
        "ok       a          works",
        "lacking  long-name  no\\e[31m",
        "           without, slower",
        "           mend: do this",
        "needed   b          gone",
        "           for all",
    ]
    assert verdict(found) == "podsh does not work here until this is mended: b."
    assert verdict(found[:2]) == "podsh works here; lacking: long-name."
    assert verdict(found[:1]) == "podsh works here, with everything it can use."
