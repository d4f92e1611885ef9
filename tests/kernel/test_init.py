"""The native init in the kernel, as root and as an ordinary user; the scenes are in ``init/``.

Each scene runs inside ``podsh-init enter``, as a monitor does, and makes real pods.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh.native import build
from tests.helpers import processes
from tests.kernel.init import (
    scenes_build,
    scenes_caps,
    scenes_listen,
    scenes_park,
    scenes_run,
    scenes_scope,
)

if TYPE_CHECKING:
    from tests.helpers.callers import Caller

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "podsh" / "native"
# what the scenes import; copied, since an ordinary user may not reach a checkout
PARTS = ("podsh/__init__.py", "podsh/errors.py", "podsh/jail", "podsh/kernel", "tests/kernel/init")
PYTHON = os.path.join(sys.base_exec_prefix, "bin", "python3")
ALL = [
    *scenes_build.SCENES,
    *scenes_run.SCENES,
    *scenes_listen.SCENES,
    *scenes_park.SCENES,
    *scenes_scope.SCENES,
    *scenes_caps.SCENES,
]
SCENES = [scene.__name__ for scene in ALL]


@pytest.fixture(scope="module")
def kit(ground: Path) -> Path:
    """The scenes and both builds of init, where every user can read them."""
    kit = ground / "init"
    for part in PARTS:
        source, target = ROOT / part, kit / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    for asan in (False, True):
        shutil.copy(build.build(str(NATIVE), asan=asan), kit)
    for path in (kit, *kit.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent == kit else 0o644)
    return kit


def enter(
    kit: Path, caller: Caller, *command: str, binary: str = "podsh-init"
) -> subprocess.CompletedProcess[str]:
    """Run a command inside ``podsh-init enter``; fails if it leaves a process or a mount."""
    before = processes.Traces.now()
    init = str(kit / binary)
    done = subprocess.run(
        [init, "enter", "9", "--", *command],
        capture_output=True,
        text=True,
        cwd=kit,
        env={"PODSH_INIT": init, "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin:/bin"},
        timeout=100,
        check=False,
        **caller.popen(),
    )
    left = processes.settle(before)
    assert not left, f"left behind:\n{left}"
    return done


@pytest.mark.parametrize("scene", SCENES)
def test_scene(kit: Path, caller: Caller, scene: str) -> None:
    done = enter(kit, caller, PYTHON, "-m", "tests.kernel.init", scene)
    assert done.returncode == 0, done.stderr


def test_all_scenes_with_sanitizers(kit: Path, caller: Caller) -> None:
    done = enter(kit, caller, PYTHON, "-m", "tests.kernel.init", binary="podsh-init-asan")
    assert done.returncode == 0, done.stderr
    assert "Sanitizer" not in done.stderr
    assert "runtime error" not in done.stderr


def test_enter(kit: Path, caller: Caller) -> None:
    """The program is who it was, in its own namespaces, with all capabilities and its directory."""
    code = (
        "import os, sys\n"
        "status = dict(l.split(':\\t', 1) for l in open('/proc/self/status') if ':\\t' in l)\n"
        "print(os.getuid(), os.getgid(), os.getcwd(), status['CapEff'] == status['CapAmb'],\n"
        "      int(status['CapEff'], 16) > 0, sorted(map(int, os.listdir('/proc/self/fd')))[:5])\n"
        "print(*(os.readlink(f'/proc/self/ns/{n}') for n in ('user', 'mnt', 'pid')))\n"
        "print(os.readlink('/proc/self/fd/9'))\n"
        "shared = [l for l in open('/proc/self/mountinfo') if ' shared:' in l]\n"
        "print(len(shared))\n"
    )
    done = enter(kit, caller, PYTHON, "-I", "-c", code)
    assert done.returncode == 0, done.stderr
    who, spaces, template, shared = done.stdout.splitlines()
    assert who == f"{caller.uid} {caller.gid} {kit} True True [0, 1, 2, 3, 9]"
    ours = [os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt", "pid")]
    user, mnt, pid = spaces.split()
    assert user != ours[0]
    assert mnt != ours[1]
    assert pid == ours[2]
    assert template.startswith("mnt:[")
    assert template not in (mnt, ours[1])
    assert shared == "0"


def test_enter_failures(kit: Path, caller: Caller) -> None:
    done = enter(kit, caller, "/no/such/program")
    assert done.returncode == 125
    assert done.stderr == "podsh-init: enter: execv /no/such/program: No such file or directory\n"


def test_enter_where_namespaces_are_refused(kit: Path, caller: Caller) -> None:
    """Within ``enter``, where no more user namespaces are allowed: the step and the reason."""
    init = str(kit / "podsh-init")
    script = f"echo 0 >/proc/sys/user/max_user_namespaces; exec {init} enter 9 -- /bin/true"
    done = enter(kit, caller, "/bin/sh", "-c", script)
    assert done.returncode == 125
    assert done.stderr == (
        "podsh-init: enter: unshare user and mount namespace: No space left on device\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [(), ("jail",), ("jail", "x"), ("enter", "9", "--"), ("enter", "1", "--", "/bin/true"), ("x",)],
)
def test_usage(kit: Path, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [kit / "podsh-init", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "not to be run by hand" in done.stderr


def test_jail_without_monitor(kit: Path) -> None:
    """The control socket is closed before anything was said: a quiet end."""
    done = subprocess.run([kit / "podsh-init", "jail", "0"], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 125


def test_static(kit: Path) -> None:
    """No interpreter, no library: it runs wherever the kernel does."""
    data = (kit / "podsh-init").read_bytes()
    assert data[:4] == b"\x7fELF"
    assert b"ld-linux" not in data[:4096]
    assert len(data) < 2_000_000
