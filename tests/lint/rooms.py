"""The table of rooms: who may import whom, inside podsh and outside.

The first match in ``INSIDE`` and ``OUTSIDE`` counts, so a module's own line goes above its room's.
An entry ``"kernel"`` allows the whole room, ``"portal.client"`` that module alone. Every module may
import its own room, ``errors`` and ``paths`` (but the pure rooms: these list what they may).
"""

from __future__ import annotations

PURE = ("policy", "plan", "operations", "filtering", "nets", "errors", "paths", "globs")

INSIDE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("__main__", ("cli",)),
    ("cli", ("*",)),
    ("errors", ()),
    ("paths", ("errors",)),
    ("globs", ()),
    ("policy", ("errors", "globs")),
    # what calls and capabilities are called, and nothing of the kernel's own
    ("profiles", ("policy", "errors", "kernel.callnames", "kernel.syscalls", "kernel.caps")),
    ("filtering", ()),
    ("nets", ()),
    ("operations", ("filtering", "nets")),
    ("plan", ("operations", "filtering", "nets", "profiles.schema", "errors", "kernel.caps")),
    ("kernel", ()),
    ("native.hatch_build", ("commands.manual",)),
    ("native", ()),
    ("jail", ("operations", "kernel", "native", "globs")),
    ("monitor", ("jail", "policy", "kernel", "wire", "operations", "filtering", "nets")),
    ("portal.zygote", ("monitor", "operations", "profiles", "plan", "wire", "kernel")),
    (
        "portal",
        (
            "globs",
            "profiles",
            "policy",
            "plan",
            "operations",
            "filtering",
            "nets",
            "wire",
            "kernel",
        ),
    ),
    ("console", ("wire", "commands", "portal.client", "kernel.inotify")),
    ("commands.copying", ("kernel.mounts", "kernel.uapi")),
    (
        "commands",
        (
            "portal.client",
            "console.app",
            "console.asking",
            "console.attach",
            "console.chart",
            "console.complete",
            "console.dialog",
            "console.echo",
            "console.emulate",
            "console.events",
            "console.filter",
            "console.keynames",
            "console.keys",
            "console.notices",
            "console.outcome",
            "console.plain",
            "console.render",
            "console.stdio",
            "console.streams",
            "console.terminal",
            "console.text",
            "wire",
            "profiles",
            "kernel.probe",
            "kernel.syscalls",
            "plan",
        ),
    ),
    ("wire", ()),
)

# third-party and heavy standard modules: where alone they may be imported
OUTSIDE: dict[str, tuple[str, ...]] = {
    "prompt_toolkit": ("console",),
    "pyroute2": ("kernel.net",),
    "pyseccomp": ("kernel.seccomp",),
    "prctl": ("kernel",),
    "ptyprocess": ("monitor.terminal",),
    "pyte": ("console.emulate",),
    "tomlkit": ("profiles.save",),
    "hatchling": ("native.hatch_build",),
    "asyncio": ("portal", "console"),
}


def within(module: str, place: str) -> bool:
    """Whether ``module`` is ``place`` or lies in that room; ``*`` is everywhere."""
    return place == "*" or module == place or module.startswith(place + ".")


def allowed(module: str) -> tuple[str, ...]:
    """What ``module`` (without the leading ``podsh.``) may import of podsh beside its own room."""
    for place, rooms in INSIDE:
        if within(module, place):
            return rooms if place in PURE else (*rooms, "errors", "paths")
    raise KeyError(f"podsh/{module} is in no room of tests/lint/rooms.py")
