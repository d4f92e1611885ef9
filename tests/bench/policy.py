"""What a decision costs, by the number of profiles, and what loading them does.

    python -m tests.bench.policy

Files through the portal's own loader, in this process. Each profile builds on ``base`` and has a
project of its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from podsh.policy.engine import step
from podsh.policy.state import Request, start
from podsh.portal.domains import Domains
from podsh.profiles.find import Library
from podsh.profiles.schema import Context
from tests.bench.scale import project_profile

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = (1, 100, 1000, 10_000)
# what is found in a directory that has only just changed is looked up again
SETTLE_S = 0.1


def micros(call: Callable[[], object], rounds: int = 2000, repeats: int = 7) -> float:
    """µs of one call: the median of some repeats."""
    found = []
    for _ in range(repeats):
        begin = time.perf_counter()
        for _ in range(rounds):
            call()
        found.append((time.perf_counter() - begin) / rounds * 1e6)
    return sorted(found)[repeats // 2]


def measure(count: int) -> dict[str, float]:
    """µs by kind of decision, with ``count`` profiles; what is said to be in ms, in ms."""
    with tempfile.TemporaryDirectory(prefix="pt-bench-") as directory:
        home = os.path.join(directory, "home")
        profiles = Path(directory, "config", "profiles")
        profiles.mkdir(parents=True)
        for number in range(count):
            project = f"{home}/clients/client{number}"
            os.makedirs(f"{project}/docs")
            (profiles / f"client{number}.toml").write_text(project_profile(project))
        os.makedirs(f"{home}/other")
        time.sleep(SETTLE_S)
        return _measure(count, home, profiles)


def _measure(count: int, home: str, profiles: Path) -> dict[str, float]:
    ctx = Context(home, "/", tuple(os.environ.items()))
    domains = Domains(Library(str(profiles.parent), ctx))

    def load_ms() -> float:
        begin = time.perf_counter()
        loaded = domains.load(ctx)
        assert len(loaded.known) >= count, loaded.broken
        return (time.perf_counter() - begin) * 1e3

    found = {"load (ms)": load_ms()}
    load_ms()  # directories that had only just changed
    found["nothing changed (ms)"] = min(load_ms() for _ in range(5))
    with (profiles / "client0.toml").open("a") as file:
        file.write("\n# changed\n")
    found["one changed (ms)"] = load_ms()
    index = domains.load(ctx).all

    begin = time.perf_counter()
    state = start(index, Request(domains.paths.real("/usr/bin/bash")[0]))
    assert state is not None
    assert state.candidates.bit_count() >= count
    state.effective()
    found["start (ms)"] = (time.perf_counter() - begin) * 1e3
    last = f"{home}/clients/client{count - 1}"
    moved = step(state, Request(f"{last}/x"))[0]
    decisions = {
        "read, allowed": (state, Request("/usr/share/doc/tool/examples/x")),
        "deny": (state, Request(f"{home}/.ssh/id")),
        "nobody's: ask": (state, Request(f"{home}/other/a/b/c")),
        "narrowed, write": (moved, Request(f"{last}/src/a/x", "write")),
        "narrowed, read-only": (moved, Request(f"{last}/docs/a/x")),
    }
    for name, (where, request) in decisions.items():
        found[name] = micros(lambda where=where, request=request: step(where, request))

    def move() -> None:
        index._meets.pop(moved.candidates, None)
        step(state, Request(f"{last}/x"))

    if count > 1:
        found["transition"] = micros(move, 20, 5)
    return found


KINDS = ("read, allowed", "deny", "nobody's: ask", "narrowed, write", "narrowed, read-only")


def show(columns: dict[int, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Print the table; the figures by what, and number of profiles."""
    print(f"\nA decision, µs, and loading, by the number of profiles\n  {'':22}", end="")
    print("".join(f"{count:>10,}" for count in columns))
    names = list(columns[COUNTS[-1]])
    for name in names:
        print(f"  {name:22}", end="")
        print("".join(f"{found.get(name, float('nan')):10.2f}" for found in columns.values()))
    return {
        name: {str(count): found[name] for count, found in columns.items() if name in found}
        for name in names
    }


def main() -> None:
    show({count: measure(count) for count in COUNTS})


if __name__ == "__main__":
    main()
