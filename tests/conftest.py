"""The ground under the tests: the two callers, podsh with directories of its own, nothing left.

``podsh`` is the fixture of tests that use the product: one portal per caller serves them all, and
each test is checked for what it leaves behind. ``make_podsh`` gives a portal of the test's own.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import callers, install, processes
from tests.helpers.runner import Podsh
from tests.helpers.wires import There, Wires

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers.callers import Caller


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--minutes", type=float, default=5.0, help="of each soak at random (make soak ARGS=…)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take longest come first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def watch() -> processes.Watch:
    """What is there between tests; also makes the suite the parent of all orphans."""
    processes.adopt_orphans()
    return processes.Watch()


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A directory that every user can enter; short, for the sockets below it."""
    path = Path(tempfile.mkdtemp(prefix=processes.GROUND))
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


@pytest.fixture(params=callers.names())
def caller(request: pytest.FixtureRequest) -> Caller:
    """root and an ordinary user; the latter alone where the suite is not root's."""
    return callers.caller(request.param)


@pytest.fixture(scope="session")
def serving(
    ground: Path, command: Path, watch: processes.Watch
) -> Iterator[Callable[[Caller], Podsh]]:
    """The podsh of each caller, its portal running from the first test that takes it."""
    before = processes.Traces.now()
    running: dict[str, Podsh] = {}

    def serve(caller: Caller) -> Podsh:
        if caller.name not in running:
            podsh = Podsh(command, caller, ground / caller.name)
            done = podsh.pod("true")
            assert done.code == 0, f"podsh does not run as {caller.name}: {done.err}"
            podsh.forget_pods()
            running[caller.name] = podsh
            watch.rest(podsh.runtime)
        return running[caller.name]

    yield serve
    for podsh in running.values():
        podsh.close()
    left = processes.settle(before, *watch.directories)
    assert not left, f"left behind by the portals:\n{left}"


@pytest.fixture
def podsh(
    serving: Callable[[Caller], Podsh], caller: Caller, watch: processes.Watch
) -> Iterator[Podsh]:
    """podsh as one of the callers. Fails a test that leaves a pod, process, mount or socket."""
    served = serving(caller)
    yield served
    live = served.forget_pods()
    served.forget_profiles()
    left = watch.left()
    assert not live, f"pods left running: {', '.join(live)}"
    assert not left, f"left behind:\n{left}"


@pytest.fixture(scope="session")
def wires(watch: processes.Watch, serving: object) -> Iterator[Wires]:
    """A host with an outside, where ``there`` is. Ends before ``serving``, which looks for what is
    left behind by then."""
    if "root" not in callers.names():
        pytest.skip("root makes the networks of these tests")
    with Wires() as made:
        watch.rest()
        yield made


@pytest.fixture(scope="session")
def places(
    wires: Wires, ground: Path, command: Path, watch: processes.Watch
) -> Iterator[Callable[[Caller], There]]:
    """podsh at the host of the wires, of each caller."""
    made: dict[str, There] = {}

    def make(caller: Caller) -> There:
        if caller.name not in made:
            made[caller.name] = There(wires, command, caller, ground / f"there-{caller.name}")
            done = made[caller.name].pod("true")
            assert done.code == 0, done.err
            made[caller.name].forget_pods()
            watch.rest(made[caller.name].runtime)
        return made[caller.name]

    yield make
    for podsh in made.values():
        podsh.close()


@pytest.fixture
def there(
    places: Callable[[Caller], There], caller: Caller, watch: processes.Watch
) -> Iterator[There]:
    """podsh there as one of the callers, checked as ``podsh`` is."""
    served = places(caller)
    yield served
    served.forget_pods()
    left = watch.left()
    assert not left, f"left behind:\n{left}"


@pytest.fixture
def make_podsh(
    ground: Path, command: Path, caller: Caller, watch: processes.Watch
) -> Iterator[Callable[[], Podsh]]:
    """Makes a podsh with directories and a portal of its own; all ended after the test."""
    made: list[Podsh] = []

    def make() -> Podsh:
        base = Path(tempfile.mkdtemp(prefix="own-", dir=ground))
        base.chmod(0o711)
        made.append(Podsh(command, caller, base / "p"))
        return made[-1]

    yield make
    for podsh in made:
        podsh.close()
    left = watch.left()
    sockets = [str(path) for podsh in made for path in podsh.runtime.rglob("*") if path.is_socket()]
    assert not left, f"left behind:\n{left}"
    assert not sockets
