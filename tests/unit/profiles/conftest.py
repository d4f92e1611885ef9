"""What the tests of profiles start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.profiles import places
from tests.helpers.profiles import Ground

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from podsh.profiles.schema import Profile


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr(places, "SYSTEM", str(tmp_path / "etc" / "profiles"))
    monkeypatch.setattr(places, "JETTISON", str(tmp_path / "etc" / "pods"))
    return Ground(tmp_path)


@pytest.fixture
def loads(ground: Ground) -> Callable[[str], Profile]:
    """The Profile that a text gives, as the user's profile ``t.toml``."""

    def load(text: str) -> Profile:
        return ground.load(ground.profile("t.toml", text))

    return load
