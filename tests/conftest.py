"""The ground under the tests: the two callers, podsh with directories of its own, nothing left.

``podsh`` is the fixture of tests that use the product: one portal per caller serves them all, and
each test is checked for what it leaves behind. ``make_podsh`` gives a portal of the test's own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import callers, install, processes
from tests.helpers.runner import Podsh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers.callers import Caller


@pytest.fixture(scope="session", autouse=True)
def _subreaper() -> None:
    processes.adopt_orphans()


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A directory that every user can enter; short, for the sockets below it."""
    path = Path(tempfile.mkdtemp(prefix=processes.ground_prefix(os.getpid())))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def command(ground: Path) -> Path:
    """The podsh that both callers can execute."""
    own = install.ROOT / ".venv" / "bin" / "podsh"
    if own.exists() and (callers.names() == ["user"] or install.checkout_is_reachable()):
        return own
    return install.install_copy(ground / "venv")


@pytest.fixture(scope="session", params=callers.names())
def caller(request: pytest.FixtureRequest) -> Caller:
    """root and an ordinary user; the latter alone where the suite is not root's."""
    return callers.caller(request.param)


@pytest.fixture(scope="session")
def served(ground: Path, command: Path, caller: Caller) -> Iterator[Podsh]:
    """One caller's podsh with its portal running; tests take ``podsh`` instead."""
    before = processes.Traces.now()
    podsh = Podsh(command, caller, ground / caller.name)
    done = podsh.pod("true")
    assert done.code == 0, f"podsh does not run as {caller.name}: {done.err}"
    podsh.forget_pods()
    yield podsh
    podsh.close()
    left = processes.settle(before, podsh.runtime)
    assert not left, f"left behind by the portal:\n{left}"


@pytest.fixture
def podsh(served: Podsh) -> Iterator[Podsh]:
    """podsh as one of the callers. Fails a test that leaves a pod, process, mount or socket."""
    before = processes.Traces.now(served.runtime)
    yield served
    live = served.forget_pods()
    left = processes.settle(before, served.runtime)
    assert not live, f"pods left running: {', '.join(live)}"
    assert not left, f"left behind:\n{left}"


@pytest.fixture
def make_podsh(ground: Path, command: Path, caller: Caller) -> Iterator[Callable[[], Podsh]]:
    """Makes a podsh with directories and a portal of its own; all ended after the test."""
    before = processes.Traces.now()
    made: list[Podsh] = []

    def make() -> Podsh:
        base = Path(tempfile.mkdtemp(prefix="own-", dir=ground))
        base.chmod(0o711)
        made.append(Podsh(command, caller, base / "p"))
        return made[-1]

    yield make
    for podsh in made:
        podsh.close()
    left = processes.settle(before, *(podsh.runtime for podsh in made))
    assert not left, f"left behind:\n{left}"
