"""What whole commands load, with the portal running (tests/lint/test_weight.py: without)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lint.test_weight import CLIENT

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

COMMANDS = (
    ["ps"],
    ["ps", "--json"],
    ["events"],
    ["run", "--rm", "--", "true"],
    ["run", "--dry-run", "--", "true"],
)


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_nothing_heavy(argv: list[str], podsh: Podsh) -> None:
    python = str(podsh.command.parent / "python")
    done = podsh.outside(python, "-I", "-X", "importtime", "-m", "podsh", *argv)
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if line.startswith("import time:")]
    loaded = {line.rsplit("|", 1)[1].strip() for line in lines}
    assert "podsh.portal.client" in loaded
    assert not loaded & CLIENT
