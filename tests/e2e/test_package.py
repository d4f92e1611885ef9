"""The package as people install it: a wheel for this platform with all that it needs."""

from __future__ import annotations

import contextlib
import os
import signal
import sysconfig
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_life import portal_pid
from tests.helpers import install, processes
from tests.helpers.needs import needs_program
from tests.helpers.runner import Podsh

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.callers import Caller
    from tests.helpers.processes import Watch

BUILT = ("podsh-init", "podsh-lines.so", "podsh-monitor.so", "podsh-shim.so")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(ground: Path) -> Path:
    return install.install_copy(ground / "installed")


def test_wheel(wheel: Path) -> None:
    """Any Python 3, this platform; the compiled parts, profiles, completions; no sources of C."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.endswith(f"-py3-none-{platform}.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
    for name in BUILT:
        assert modes[f"podsh/native/{name}"] & 0o111 == 0o111
    for kind in ("profiles", "completions"):
        shipped = {path.name for path in (install.ROOT / kind).iterdir()}
        inside = {name for name in names if name.startswith(f"podsh/share/{kind}/")}
        assert {name.rsplit("/", 1)[1] for name in inside} == shipped != set()
    native = {name for name in names if name.startswith("podsh/native/")}
    assert native == {f"podsh/native/{name}" for name in ("__init__.py", *BUILT)}
    assert not [name for name in names if not name.startswith(("podsh/", "podsh-"))]
    shared = {name.partition(".data/data/")[2] for name in names} - {""}
    assert shared == {
        "share/bash-completion/completions/podsh",
        "share/zsh/site-functions/_podsh",
        "share/fish/vendor_completions.d/podsh.fish",
        "share/man/man1/podsh.1",
        "share/man/man5/podsh.profile.5",
        "share/man/man5/podsh.pod.5",
    }


def test_installed(installed: Path, ground: Path, caller: Caller, watch: Watch) -> None:
    """From a wheel, away from the checkout: it finds what it ships, and runs pods."""
    podsh = Podsh(installed, caller, ground / f"installed-{caller.name}")
    with contextlib.closing(podsh):
        listed = podsh.run("profile", "list").out
        shipped = {path.stem for path in (install.ROOT / "profiles").glob("*.toml")}
        assert {line.split()[0] for line in listed.splitlines()[1:]} >= shipped
        assert podsh.pod("echo", "here").out == "here\n"
        # man looks beside the programs of PATH
        path = {"PATH": f"{installed.parent}:{podsh.env['PATH']}", "MANPAGER": "cat"}
        for page, words in (("podsh", "--dry-run"), ("podsh.profile", "machine_id")):
            shown = podsh.outside(needs_program("man"), page, env=path)
            assert words in shown.out, shown.err
        upgraded(podsh, installed)
    assert not watch.left()


def upgraded(podsh: Podsh, installed: Path) -> None:
    """Other files under a live portal: its zygote goes on; a new one would be of another podsh,
    which is said in words, and nobody is harmed."""
    package = next(installed.parents[1].glob("lib/python3.*/site-packages/podsh"))
    podsh.run("run", "-d", "-n", "live", "--", "sleep", "1000")
    changed = package / "jail" / "encode.py"
    before = changed.stat()
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert podsh.pod("true").code == 0
    portal = portal_pid(podsh)
    (zygote,) = (p for p in processes.below(portal) if p.parent == portal)
    os.kill(zygote.pid, signal.SIGKILL)
    for _ in range(2):
        done = podsh.pod("true")
        assert (done.code, done.out) == (125, ""), done
        assert "the running portal: podsh's files are not those that it began with" in done.err
        assert "podsh shutdown (pods stay)" in done.err
    assert podsh.run("exec", "live", "--", "echo", "in").out == "in\n"
    assert podsh.run("shutdown").code == 0
    assert podsh.pod("true").code == 0
    assert podsh.run("exec", "live", "--", "echo", "in").out == "in\n"
    podsh.run("kill", "-s", "KILL", "live")
    podsh.wait_state("live", "exited")
