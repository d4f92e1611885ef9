"""The jail of a pod's own X server: the profile ``base``, its display's socket, and no more."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from podsh.kernel import installed
from podsh.operations import OWN, Bind, File, JailPlan, Kage, Op, Shim
from podsh.plan import Facts, Request, make_plan
from podsh.portal import displays, xauthority
from podsh.profiles import schema

if TYPE_CHECKING:
    from podsh.portal.displays import Found, Nested

SIZE = "1280x800"
_AUTH = f"{OWN}/auth"
_WHERE = "--x11 nested"


def plan(found: Found, nested: Nested, base: schema.Profile, facts: Facts) -> JailPlan:
    """The plan of its jail. base: the profile of that name. facts: of the pod that it is for."""
    outer = found.display
    window = os.path.basename(nested.program) == installed.XEPHYR
    profile = schema.Profile(
        "x11",
        fs=schema.Fs(bind=base.fs.bind, home="tmp"),
        access=schema.Access(deny=base.access.deny),
        source=base.source,
    )
    # only a display that is not one of this machine's sockets takes a network
    net = "host" if window and outer is not None and outer.host else "none"
    request = Request(argv=tuple(_command(nested, window, facts.name)), net=net)
    # nobody is asked for anything; of the caller's variables none but those of every pod
    quiet = replace(facts, requests=False, cwd="/")
    made = make_plan(profile, request, quiet)
    ops: list[Op] = [op for op in made.ops if not isinstance(op, (Shim, Kage))]
    directory = displays.socket_directory(facts.state)
    ops.append(
        Bind(directory, displays.DIRECTORY, True, False, False, False, False, _WHERE, own=True)
    )
    ops.append(File(_AUTH, displays.text(xauthority.write([nested.cookie])), 0o600))
    made = replace(made, name=facts.name, ops=tuple(ops))
    if not window or outer is None:
        return made
    more: list[Op] = []
    if not outer.host:
        more.append(displays.connectable(outer.path, outer.path, _WHERE))
    entries = [found.entry] if found.entry is not None else []
    return displays.with_display(made, more, str(outer), entries, [])


def _command(nested: Nested, window: bool, pod: str) -> list[str]:
    command = [nested.program, str(nested.screen), "-displayfd", "1", "-auth", _AUTH]
    command += ["-noreset", "-nolisten", "tcp", "-nolisten", "local"]
    # shared memory is that of a pod, which is not the server's
    command += ["-extension", "MIT-SHM"]
    if window:
        return [*command, "-screen", SIZE, "-resizeable", "-title", f"pod {pod}"]
    return [*command, "-screen", "0", f"{SIZE}x24"]
