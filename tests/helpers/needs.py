"""What a test needs of the machine: tried, and said where it is missing.

Locally such a test skips and says why; under PODSH_MUST_WORK=1 (.ci/run) it fails, but for what
that machine is known not to have.
"""

from __future__ import annotations

import functools
import os
import shutil

import pytest

# no network card to put a link on
OPTIONAL = frozenset(("ipvlan",))


def lacking(what: str, why: str) -> None:
    """End the test: ``what`` is not there."""
    message = f"needs {what}: {why}"
    if os.environ.get("PODSH_MUST_WORK") == "1" and what not in OPTIONAL:
        pytest.fail(message)
    pytest.skip(message)


@functools.cache
def _findings() -> dict[str, tuple[bool | None, str]]:
    from podsh.kernel import probe

    return {found.name: (found.ok, found.have) for found in probe.probe()}


def needs_kernel(feature: str) -> None:
    """``feature``: a name of ``podsh doctor``; a name that doctor does not know is a mistake."""
    found = _findings()
    assert feature in found, f"doctor knows {', '.join(found)}"
    ok, have = found[feature]
    if not ok:
        lacking(feature, have)


def needs_program(*programs: str) -> str:
    """The path of the first of ``programs`` that is installed."""
    for program in programs:
        if path := shutil.which(program, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"):
            return path
    lacking(" or ".join(programs), "not installed (.ci/packages.sh test)")
    raise AssertionError
