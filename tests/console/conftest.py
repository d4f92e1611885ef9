"""A portal to talk to, in directories of the test's own."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console.portal import Portal

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run tests that are coroutines, each in a loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Own XDG directories; short, for the socket's name."""
    with tempfile.TemporaryDirectory(prefix="pc-", dir="/tmp") as base:
        for kind in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME", "CACHE_HOME"):
            monkeypatch.setenv(f"XDG_{kind}", base)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.delenv("ACCESSIBLE", raising=False)
        yield Path(base)


@pytest.fixture
def portal(places: Path) -> Iterator[Portal]:
    """A portal that knows two pods, one of them live."""
    with Portal(places) as portal:
        yield portal
