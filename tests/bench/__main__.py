"""``make bench``: launch, memory and terminal throughput of podsh against others, and what its
requests cost programs; as both callers.

    python -m tests.bench [PART...] [--rounds N] [--caller root|user]

``keys``: the echo of one, and how soon the attention key is obeyed under a flood of output.
``calls``: what lists of system calls cost a program, and a trace against strace.
``binds``, ``pods``, ``profiles``: many of each. ``policy``: a decision, by the number of profiles.

Prints tables (medians; the spread is the noise of this machine), at the end all figures that have
a limit, and writes bench.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import calls, keys, limits, memory, overhead, policy, scale, throughput
from tests.bench.launch import COMMANDS
from tests.helpers import callers, install, processes
from tests.helpers.runner import Podsh

PARTS = (
    "launch",
    "memory",
    "throughput",
    "keys",
    "overhead",
    "calls",
    "binds",
    "pods",
    "profiles",
    "policy",
)


def summary(values: list[float]) -> dict[str, float]:
    """Median, quartiles and extremes."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {
        "median": middle,
        "q1": low,
        "q3": high,
        "min": min(values),
        "max": max(values),
        "n": len(values),
    }


def table(title: str, times: dict[str, list[float]], unit: str, base: str) -> dict[str, Any]:
    """Print one table, with each contender's ratio to ``base``; the figures as data."""
    figures = {name: summary(values) for name, values in times.items() if values}
    print(f"\n{title}")
    print(f"  {'':22}{unit:>9}{'quartiles':>17}{'least':>8}  x {base}")
    for name, found in figures.items():
        ratio = found["median"] / figures[base]["median"]
        print(
            f"  {name:22}{found['median']:9.2f}{found['q1']:9.2f}-{found['q3']:<7.2f}"
            f"{found['min']:8.2f}  {ratio:5.2f}"
        )
    return figures


def launch(podsh: Podsh, rounds: int) -> dict[str, Any]:
    """Its own process: only the caller may talk to the caller's portal."""
    done = podsh.outside(
        sys.executable,
        *("-m", "tests.bench.launch", str(rounds), str(podsh.command)),
        cwd=install.ROOT,
        timeout=1800,
    )
    assert done.code == 0, done.err
    times = json.loads(done.out)
    commands = {name: times.pop(name) for name in COMMANDS if name in times}
    who = f"as {podsh.caller.name}, {rounds} rounds"
    found = table(f"Launch of /bin/true {who}", times, "ms", "bwrap")
    found |= table(f"Commands as whole processes {who}", commands, "ms", COMMANDS[0])
    if "firejail" in found:
        ratio = found["podsh run"]["median"] / found["firejail"]["median"]
        print(f"  podsh run is {ratio:.2f} x firejail --noprofile")
    else:
        print("  without firejail, which is not installed")
    return found


def idle(podsh: Podsh) -> dict[str, Any]:
    found = memory.measure(podsh)
    print(f"\nMemory of an idle pod as {podsh.caller.name} ({memory.PODS} pods of sleep), PSS")
    for name, kib in found.items():
        note = "  (once, for all pods)" if name in ("portal", "zygote", "standby") else ""
        print(f"  {name:22}{kib / 1024:9.2f} MiB{note}")
    return dict(found)


def terminal(podsh: Podsh, rounds: int) -> dict[str, Any]:
    size = throughput.SIZE // 1_000_000
    return {
        kind: table(
            f"cat of {size} MB, {kind}, as {podsh.caller.name}, {rounds} rounds",
            speeds,
            "MB/s",
            "tmux" if kind == "escape-dense" else "dtach",
        )
        for kind, speeds in throughput.measure(podsh, rounds).items()
    }


def typed(podsh: Podsh, rounds: int) -> dict[str, Any]:
    who = podsh.caller.name
    echo = keys.echo(podsh, rounds * 20)
    soon = keys.attention(podsh, rounds)
    return {
        "echo": table(f"Echo of a key, as {who}", echo, "ms", "bare pty"),
        "attention": table(f"The attention key under a flood, as {who}", soon, "ms", "plain"),
    }


def requests(podsh: Podsh, rounds: int) -> dict[str, Any]:
    return overhead.show(overhead.measure(podsh, rounds), podsh.caller.name, rounds)


def listed() -> dict[str, Any]:
    """Not by caller: the loops run outside of any pod."""
    return {
        loop: table(f"{loop}: one call under a filter", times, "ns", "no filter")
        for loop, times in calls.loops().items()
    }


def traced(podsh: Podsh, rounds: int) -> dict[str, Any]:
    return {
        title: table(f"{title}, as {podsh.caller.name}", times, "ms", "in a pod")
        for title, times in calls.traces(podsh, rounds).items()
    }


def binds(podsh: Podsh, rounds: int) -> dict[str, Any]:
    title = f"/bin/true with {scale.BINDS:,} binds, as {podsh.caller.name}"
    return table(title, scale.binds(podsh, rounds), "ms", "podsh run")


def pods(podsh: Podsh) -> dict[str, Any]:
    found = scale.pods(podsh)
    cpu = found.pop("idle CPU, %")
    figures = table(f"{scale.PODS} pods, as {podsh.caller.name}", found, "ms", next(iter(found)))
    print(f"  all of them idle: {cpu[0]:.3f} % of a core")
    return figures | {"idle CPU, %": summary(cpu)}


def profiles(podsh: Podsh, rounds: int) -> dict[str, Any]:
    title = f"Commands, by the number of profiles, as {podsh.caller.name}"
    return table(title, scale.with_profiles(podsh, rounds), "ms", "run, 1")


def decisions() -> dict[str, Any]:
    """Not by caller: in this process."""
    found = policy.show({count: policy.measure(count) for count in policy.COUNTS})
    return {**found, "kinds": list(policy.KINDS)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=100, help="of launch; others take less")
    parser.add_argument("--caller", choices=callers.names(), help="default: both")
    parser.add_argument("--output", type=Path, default=install.ROOT / "bench.json")
    options = parser.parse_args()
    parts = options.parts or PARTS
    few = max(3, options.rounds // 20)
    begun = time.monotonic()
    result: dict[str, Any] = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    print(f"kernel {result['kernel']}, {result['cores']} cores, load {result['load']:.2f}")
    processes.adopt_orphans()
    if "calls" in parts:
        result["calls"] = listed()
    if "policy" in parts:
        result["policy"] = decisions()
    measured = [options.caller] if options.caller else callers.names()
    for name in measured:
        if name == "user" and os.getuid() == 0 and not install.checkout_is_reachable():
            print("\nas user: not measured, the checkout is below a directory closed to others")
            continue
        with tempfile.TemporaryDirectory(prefix="pt-bench-") as directory:
            Path(directory).chmod(0o711)
            command = install.ROOT / ".venv" / "bin" / "podsh"
            podsh = Podsh(command, callers.caller(name), Path(directory) / name)
            found = result[name] = {}
            try:
                if "launch" in parts:
                    found["launch"] = launch(podsh, options.rounds)
                if "memory" in parts and os.getuid() == 0:
                    found["memory"] = idle(podsh)
                elif "memory" in parts:
                    print("\nmemory: not measured, only root can read it of podsh's processes")
                if "throughput" in parts:
                    found["throughput"] = terminal(podsh, few)
                if "keys" in parts:
                    found["keys"] = typed(podsh, max(5, few))
                if "overhead" in parts:
                    found["overhead"] = requests(podsh, max(21, options.rounds // 5))
                if "calls" in parts:
                    found["traces"] = traced(podsh, few)
                if "binds" in parts:
                    found["binds"] = binds(podsh, max(7, few))
                if "profiles" in parts:
                    found["profiles"] = profiles(podsh, max(7, few))
                if "pods" in parts:
                    found["pods"] = pods(podsh)
            finally:
                podsh.close()
    result["limits"] = limits.show(result, measured)
    result["minutes"] = (time.monotonic() - begun) / 60
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{result['minutes']:.1f} minutes; written: {options.output}")


if __name__ == "__main__":
    main()
