"""What a decision costs, by the number of domains: the policy alone, in this process.

    python -m tests.bench.policy

Domains share a base and have directories of their own; paths are six components deep.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from podsh.policy.access import Access
from podsh.policy.domain import Domain, Index
from podsh.policy.engine import step
from podsh.policy.patterns import Pattern
from podsh.policy.state import Request, start

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = (1, 100, 1000, 10_000)
BASE = tuple(Access.of(f"/{top}") for top in ("usr", "bin", "lib", "lib64", "opt/tools")) + tuple(
    Access.of(f"/etc/file{number}") for number in range(40)
)
SECRETS = tuple(Pattern(f"/home/u/.secret{number}") for number in range(50)) + tuple(
    Pattern(f"/home/u/{glob}") for glob in (".*_history", ".config/chrome*", ".authinfo*")
)


def domain(number: int) -> Domain:
    """One of many: the base, and a project of its own with a read-only part."""
    project = f"/home/u/clients/client{number}"
    own = (
        Access.of(project, True),
        Access.of(f"{project}/.git"),
        Access.of("/home/u/.cache", True),
    )
    return Domain(f"client{number}", BASE + own, deny=SECRETS)


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
    """µs by kind of decision, with ``count`` domains; ``load`` and ``start`` in ms."""
    domains = [domain(number) for number in range(count)]
    begin = time.perf_counter()
    index = Index(domains)
    load = time.perf_counter() - begin
    begin = time.perf_counter()
    state = start(index, Request("/usr/bin/bash"))
    assert state
    state.effective()
    began = time.perf_counter() - begin
    last = f"/home/u/clients/client{count - 1}"
    moved = step(state, Request(f"{last}/x"))[0]
    asked = {
        "read, allowed": (state, Request("/usr/share/doc/tool/examples/x")),
        "write, allowed": (state, Request("/home/u/.cache/a/b/c", "write")),
        "deny": (state, Request("/home/u/.secret49/a/b/c")),
        "nobody's: ask": (state, Request("/home/u/other/a/b/c")),
        "narrowed, write": (moved, Request(f"{last}/src/x", "write")),
    }
    found = {
        name: micros(lambda state=state, request=request: step(state, request))
        for name, (state, request) in asked.items()
    }

    def move() -> None:
        index._meets.pop(moved.candidates, None)
        step(state, Request(f"{last}/x"))

    if count > 1:
        found["transition"] = micros(move, 20, 5)
    return found | {"load (ms)": load * 1e3, "start (ms)": began * 1e3}


def main() -> None:
    columns = {count: measure(count) for count in COUNTS}
    print(f"\nA decision, µs, by the number of domains\n  {'':20}", end="")
    print("".join(f"{count:>10,}" for count in COUNTS))
    for name in columns[COUNTS[-1]]:
        print(f"  {name:20}", end="")
        print("".join(f"{found.get(name, float('nan')):10.2f}" for found in columns.values()))


if __name__ == "__main__":
    main()
