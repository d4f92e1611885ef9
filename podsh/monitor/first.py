"""A script of the pod that runs before its program: the launch goes on once it has succeeded."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING

from podsh.errors import LaunchFailed, PodshError

if TYPE_CHECKING:
    from podsh.operations import Program as Asked

# of its last line, so much is told
MAX_SAID = 200
_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)", re.DOTALL)


def of(program: Asked) -> Asked:
    """What runs first: the script, with all that the program has but its arguments."""
    assert program.init is not None
    return dataclasses.replace(program, argv=(program.init,), procname=None, daemon=False)


def stdio(program: tuple[int | None, ...]) -> tuple[int | None, int | None, int | None]:
    """Its input is the terminal where that is the program's; what it writes goes there anyway, so
    that the program's pipes get nothing but the program's."""
    return (None if program[0] is None else -1, None, None)


def trouble(script: str, status: int, written: bytes) -> LaunchFailed | None:
    """What is to be told of its end; None where it has succeeded. ``status``: as of waitpid."""
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return None
    how = f"was ended by signal {-code}" if code < 0 else f"failed with {code}"
    said = last_line(written)
    return LaunchFailed(
        f"the init script {how}" + (f": {said}" if said else ""),
        place=script,
        hint="the program was not started",
    )


def not_started(script: str, error: PodshError) -> LaunchFailed:
    """The same for one that could not be executed."""
    cause = error.cause.removeprefix(f"{script}: ")
    return LaunchFailed(f"the init script: {cause}", place=script, hint=error.hint)


def last_line(written: bytes) -> str:
    """The last line with something in it, made one that can be shown; bounded."""
    for line in reversed(_ESCAPES.sub(b"", written).replace(b"\r", b"\n").split(b"\n")):
        if said := line.decode("utf-8", "replace").strip():
            return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in said[:MAX_SAID])
    return ""
