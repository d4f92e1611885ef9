"""A podsh that the caller can execute: this checkout's, or an installed copy of it."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


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
        [os.path.realpath(sys.executable), "-m", "venv", str(directory)],
        check=True,
        capture_output=True,
    )
    site = next(directory.glob("lib/python3.*/site-packages"))
    for name in _closure("podsh"):
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = site / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file.locate(), target)
    wheel = build_wheel(directory)
    pip = [str(directory / "bin" / "python"), "-m", "pip"]
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


def _closure(name: str) -> set[str]:
    """What ``name`` needs at run time, without itself."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for line in importlib.metadata.requires(todo.pop()) or ():
            wanted = re.split(r"[ ;<>=!~\[(]", line, maxsplit=1)[0]
            if "extra ==" not in line and wanted not in found:
                try:
                    importlib.metadata.distribution(wanted)
                except importlib.metadata.PackageNotFoundError:
                    continue  # for another platform or Python
                found.add(wanted)
                todo.append(wanted)
    return found
