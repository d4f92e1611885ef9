"""A podsh that the caller can execute: this checkout's, or an installed copy of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# of the environment that runs the tests: podsh itself, and large tools
NOT_COPIED = ("podsh*", "_editable*", "__pycache__", "pip*", "mypy*", "hypothesis*", "ruff*")


def reachable(path: Path) -> bool:
    """Whether every user may enter all directories down to ``path``, and read it."""
    real = path.resolve()
    return all(parent.stat().st_mode & 0o001 for parent in real.parents) and bool(
        real.stat().st_mode & 0o004
    )


def checkout_is_reachable() -> bool:
    """Whether an ordinary user can run podsh right from this checkout."""
    return all(reachable(path) for path in (ROOT / "podsh" / "cli.py", Path(sys.executable)))


def install_copy(directory: Path) -> Path:
    """Install podsh, not editable, into a new virtual environment; the path of its ``podsh``.

    For a checkout below a directory that only its owner may enter. Without a package index: the
    dependencies are copied from the environment that runs the tests.
    """
    subprocess.run(
        [os.path.realpath(sys.executable), "-m", "venv", "--without-pip", str(directory)],
        check=True,
        capture_output=True,
    )
    site = next(directory.glob("lib/python3.*/site-packages"))
    own = Path(sysconfig.get_path("purelib"))
    shutil.copytree(own, site, ignore=shutil.ignore_patterns(*NOT_COPIED), dirs_exist_ok=True)
    wheel = build_wheel(directory)
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin" / "python")]
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)], check=True)
    return directory / "bin" / "podsh"


def build_wheel(directory: Path) -> Path:
    """Build podsh's wheel into ``directory``, with the build backend of this environment."""
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "-w", str(directory), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(directory.glob("podsh-*.whl"))
