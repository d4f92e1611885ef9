"""What an idle pod costs: proportional set sizes (PSS) of all that is there because of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers import processes

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

PODS = 20
# for the last one to be idle too: its monitor gives memory back after a second (monitor/main.py)
IDLE_S = 2.0


def pss_kib(pid: int) -> int:
    """PSS of a process (smaps_rollup of proc(5)); podsh's own are readable to root alone."""
    for line in Path("/proc", str(pid), "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise AssertionError(line)


def measure(podsh: Podsh) -> dict[str, float]:
    """KiB: of one pod by part, the sum, and of what is there once for all pods."""
    names = [f"idle{number}" for number in range(PODS)]
    for name in names:
        done = podsh.run("run", "-d", "-n", name, "--", "sleep", "1000")
        assert done.code == 0, done.err
    time.sleep(IDLE_S)
    try:
        rows = {str(row["name"]): row for row in podsh.ps()}
        every = processes.processes()
        inits = [int(rows[name]["init_pid"]) for name in names]
        monitors = [every[pid].parent for pid in inits]
        programs = [pid for pid, process in every.items() if process.parent in inits]
        zygote = every[monitors[0]].parent
        portal = every[zygote].parent
        standby = [
            process.pid
            for process in processes.below(zygote)
            if process.parent == zygote and process.pid not in monitors
        ]
        found = {
            "monitor": sum(map(pss_kib, monitors)) / PODS,
            "init": sum(map(pss_kib, inits)) / PODS,
            "program": sum(map(pss_kib, programs)) / PODS,
        }
        found["pod"] = sum(found.values())
        found["portal"] = pss_kib(portal)
        found["zygote"] = pss_kib(zygote)
        found["standby"] = sum(map(pss_kib, standby))
        return found
    finally:
        podsh.forget_pods()
