"""What the tests of the portal start from: a small host, and profiles about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.profiles import places
from tests.helpers.world import World

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    root = tmp_path / "w"
    root.mkdir()
    monkeypatch.setattr(places, "SYSTEM", str(root / "etc" / "profiles"))
    monkeypatch.setattr(places, "JETTISON", str(root / "etc" / "pods"))
    for name in ("RUNTIME_DIR", "STATE_HOME", "CONFIG_HOME", "CACHE_HOME"):
        monkeypatch.setenv(f"XDG_{name}", str(root / "xdg" / name))
    return World(root)
