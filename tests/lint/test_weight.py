"""Import weight: what a start of podsh loads. Each name here costs the person time (in ms)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CLIENT = {
    "asyncio",  # 43
    "prompt_toolkit",  # 98
    "pyroute2",  # 220
    "pyseccomp",
    "dataclasses",  # 9, with inspect
    "subprocess",
    "typing",  # 4
    "podsh.monitor",
    "podsh.jail",
}
# of what stands between `podsh run` and its program: whatever Python has not loaded by itself
HOT = CLIENT | {"enum", "re", "json", "socket", "signal", "functools", "collections", "importlib"}
RESIDENT = {"pyroute2", "prompt_toolkit", "pyseccomp", "tomlkit"}
# by being there, or by what they do after a fork, each is memory of every pod
FORKED = RESIDENT | {"asyncio", "threading", "logging", "random", "subprocess"}

# what the command line runs through before a pod exists, by the module that starts it
COMMAND_LINES = (["--help"], ["--version"], ["help"], ["run", "--help"], ["ps", "--help"])
CLIENT_MODULES = ("podsh.cli", "podsh.portal.client", "podsh.console.attach")
HOT_MODULES = ("run", "attach", "dispatch", "context", "table.programs")
RESIDENT_MODULES = ("podsh.portal.zygote", "podsh.monitor.main", "podsh.portal.main")
FORKED_MODULES = RESIDENT_MODULES[:2]


def loaded(*arguments: str) -> set[str]:
    """The modules that ``python ARGUMENTS`` imports, from ``-X importtime``."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    times = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in times}


def heavy(modules: set[str], names: set[str]) -> list[str]:
    """Those of ``names`` that are among ``modules``, but for what a bare start loads anyway."""
    bare = loaded("-c", "pass")
    return sorted(name for name in names & modules if name not in bare)


@pytest.mark.parametrize("argv", COMMAND_LINES, ids=" ".join)
def test_command_line(argv: list[str]) -> None:
    assert not heavy(loaded("-m", "podsh", *argv), CLIENT)


@pytest.mark.parametrize("module", CLIENT_MODULES)
def test_client_modules(module: str) -> None:
    assert not heavy(loaded("-c", f"import {module}"), CLIENT)


def test_way_to_a_program() -> None:
    modules = [f"podsh.commands.{name}" for name in HOT_MODULES]
    modules += ["podsh.cli", *CLIENT_MODULES]
    found = loaded("-S", "-c", f"import {', '.join(modules)}")
    assert not sorted(name for name in HOT & found)


@pytest.mark.parametrize("module", FORKED_MODULES)
def test_forked_modules(module: str) -> None:
    assert not heavy(loaded("-c", f"import {module}"), FORKED)


@pytest.mark.parametrize("module", RESIDENT_MODULES)
def test_resident_modules(module: str) -> None:
    assert not heavy(loaded("-c", f"import {module}"), RESIDENT)
