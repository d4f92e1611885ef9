"""What was asked for: one line for each figure, with its limit, and what this run found."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.bench import overhead
from tests.bench.scale import BINDS, ENDS, PODS

if TYPE_CHECKING:
    from collections.abc import Callable

    Figures = dict[str, Any]


class Line(NamedTuple):
    """``found`` takes it from the figures of one caller (KeyError: not measured); ``least``: the
    limit is the least that it may be."""

    what: str
    unit: str
    limit: float
    found: Callable[[Figures], float]
    least: bool = False

    def meets(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit


def _median(*place: str) -> Callable[[Figures], float]:
    def found(figures: Figures) -> float:
        at: Any = figures
        for name in place:
            at = at[name]
        return float(at["median"])

    return found


def _ratio(part: tuple[str, ...], name: str, to: str) -> Callable[[Figures], float]:
    one, other = _median(*part, name), _median(*part, to)
    return lambda figures: one(figures) / other(figures)


def _program(name: str) -> Callable[[Figures], float]:
    return lambda figures: float(figures["overhead"]["programs"][name]["shim"])


OTHERS = ("bwrap", "firejail", "dtach", "tmux")
LAUNCH = ("launch",)
FIRST, LAST = f"launches 1-{ENDS}", f"launches {PODS - ENDS + 1}-{PODS}"
LINES = (
    Line(
        "launch one after the other, warm portal",
        "x bwrap",
        0.6,
        _ratio(LAUNCH, "podsh, warm portal, at once", "bwrap, at once"),
    ),
    Line(
        "launch, a standby is ready", "x bwrap", 0.4, _ratio(LAUNCH, "podsh, warm portal", "bwrap")
    ),
    Line("podsh run, whole process", "x firejail", 1.0, _ratio(LAUNCH, "podsh run", "firejail")),
    Line("podsh ps", "ms", 60, _median(*LAUNCH, "podsh ps")),
    Line("a Tab in a shell", "ms", 60, _median(*LAUNCH, "a Tab")),
    *(
        Line(f"{name}, with shim", "x without requests", most, _program(name))
        for name, most in overhead.LIMITS.items()
    ),
    Line("a call that is held and goes on", "µs", 8, lambda f: float(f["overhead"]["call_us"])),
    Line("missing, mounted, opened", "ms", 0.3, lambda f: float(f["overhead"]["miss_us"]) / 1e3),
    Line("that, 99 % of them", "ms", 2, lambda f: float(f["overhead"]["miss_99_us"]) / 1e3),
    Line(
        "plain output through attach",
        "x dtach",
        1.0,
        _ratio(("throughput", "plain"), "podsh attach", "dtach"),
        least=True,
    ),
    Line(
        "escape-dense output through attach",
        "x tmux",
        1.0,
        _ratio(("throughput", "escape-dense"), "podsh attach", "tmux"),
        least=True,
    ),
    Line(
        "a key's echo through attach, over a bare pty",
        "ms",
        1.0,
        lambda f: (
            _median("keys", "echo", "podsh attach")(f) - _median("keys", "echo", "bare pty")(f)
        ),
    ),
    Line(
        "Ctrl-] under the worst flood",
        "ms",
        50,
        lambda f: max(float(found["median"]) for found in f["keys"]["attention"].values()),
    ),
    Line("memory of an idle pod, PSS", "MiB", 4, lambda f: float(f["memory"]["pod"]) / 1024),
    Line(f"idle CPU of {PODS} pods", "% of a core", 1, _median("pods", "idle CPU, %")),
    Line(f"the last launches of {PODS} pods", "x the first", 1.2, _ratio(("pods",), LAST, FIRST)),
    Line(f"ps beside {PODS} pods", "ms", 100, _median("pods", "ps")),
    Line(f"launch with {BINDS:,} binds", "ms", 300, _median("binds", "podsh run")),
    Line("that, after a change of the profile", "ms", 300, _median("binds", "after a change")),
)


def _policy(name: str, count: int) -> Callable[[Figures], float]:
    return lambda figures: float(figures["policy"][name][str(count)])


# of no caller: in the bench's own process
ALONE = (
    Line(
        "the slowest decision, 10,000 profiles",
        "µs",
        10,
        lambda f: max(_policy(kind, 10_000)(f) for kind in f["policy"]["kinds"]),
    ),
    Line("loading 1,000 profiles", "ms", 1000, _policy("load (ms)", 1000)),
    Line("again, nothing changed", "ms", 30, _policy("nothing changed (ms)", 1000)),
)


def show(result: dict[str, Any], callers: list[str]) -> list[dict[str, Any]]:
    """Print the table; its lines as data."""
    print(f"\nAgainst what was asked for\n  {'':44}{'limit':>10}", end="")
    print("".join(f"{name:>10}" for name in callers))
    lines = []
    for line in (*LINES, *ALONE):
        places = [result.get(name, {}) for name in callers] if line in LINES else [result]
        values = [_value(line, figures) for figures in places]
        if all(value is None for value in values):
            continue
        missed = any(value is not None and not line.meets(value) for value in values)
        sign = ">=" if line.least else "<="
        print(f"  {line.what:44}{sign:>4}{line.limit:6g}", end="")
        print(
            "".join(f"{'-' if value is None else format(value, '.3g'):>10}" for value in values),
            end="",
        )
        print(
            " " * 10 * (len(callers) - len(values)) + f"  {line.unit}{'  MISSED' if missed else ''}"
        )
        found = dict(zip(callers, values, strict=True)) if line in LINES else {"alone": values[0]}
        lines.append(
            {"what": line.what, "unit": line.unit, "limit": line.limit, "least": line.least}
            | {"found": found, "missed": missed}
        )
    absent = [name for name in OTHERS if not shutil.which(name)]
    if absent:
        print(f"  not measured against: {', '.join(absent)} (not installed)")
    return lines


def _value(line: Line, figures: Figures) -> float | None:
    try:
        return line.found(figures)
    except KeyError:
        return None
