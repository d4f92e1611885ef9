from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.escape.yard import Yard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.helpers.callers import Caller
    from tests.helpers.processes import Watch
    from tests.helpers.runner import Podsh


@pytest.fixture(scope="session")
def yards(
    serving: Callable[[Caller], Podsh], ground: Path, watch: Watch
) -> Iterator[Callable[[Caller], Yard]]:
    """The yard of each caller, made for the first test that takes it."""
    made: dict[str, Yard] = {}
    with contextlib.ExitStack() as stack:

        def make(caller: Caller) -> Yard:
            if caller.name not in made:
                yard = Yard(serving(caller), ground, watch)
                made[caller.name] = stack.enter_context(yard)
                watch.rest()
            return made[caller.name]

        yield make
    watch.rest()


@pytest.fixture
def yard(yards: Callable[[Caller], Yard], caller: Caller) -> Yard:
    """What an escape would reach, for one caller."""
    return yards(caller)
