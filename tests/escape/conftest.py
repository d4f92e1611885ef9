from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Podsh


@pytest.fixture(scope="session")
def yard(served: Podsh, ground: Path) -> Iterator[Yard]:
    """What an escape would reach, for one caller."""
    with Yard(served, ground) as made:
        yield made
