"""The same view of the host by other means: what podsh plans, in bubblewrap's words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh import operations as p
from podsh.portal import displays, launch
from podsh.portal.domains import Domains
from podsh.profiles import find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def request(argv: list[str], environ: Mapping[str, str]) -> dict[str, object]:
    """The portal's ``run`` as the command line sends it, in the background."""
    return {
        "argv": argv,
        "profiles": [],
        "name": None,
        "detach": True,
        "rm": False,
        "cwd": "/",
        "environ": dict(environ),
        "umask": 0o022,
        "ro": [],
        "rw": [],
        "net": None,
        "env": {},
        "home_mode": None,
        "rows": 24,
        "cols": 80,
    }


def plan(argv: list[str], environ: Mapping[str, str], profiles: Sequence[str] = ()) -> p.JailPlan:
    """What podsh would build for ``podsh run -- ARGV``, or with these profiles."""
    message = request(argv, environ) | {"profiles": list(profiles)}
    ctx = launch.context(message)
    library = find.Library(os.path.join(environ["XDG_CONFIG_HOME"], "podsh"))
    start = launch.start(Domains(library), library, message, ctx)
    return launch.plan(message, start.profile, "bench", ctx, displays.Found())


def bwrap(made: p.JailPlan) -> list[str]:
    """bubblewrap's command for the plan: same namespaces, mounts, masks, environment."""
    command = ["bwrap", "--unshare-all", "--unshare-user", "--as-pid-1", "--die-with-parent"]
    command += ["--new-session", "--clearenv", "--cap-drop", "ALL", "--dev", "/dev"]
    for key, value in made.program.env:
        # there is no shim: ld.so would look for it in vain, and say so
        if key not in ("LD_PRELOAD", "ASAN_OPTIONS"):
            command += ["--setenv", key, value]
    for op in made.ops:
        command += _words(op)
    return [*command, "--", *made.program.argv]


def _words(op: p.Op) -> Iterator[str]:
    match op:
        case p.Tmpfs(path=path) if path not in ("/", "/dev/shm"):
            yield from ("--tmpfs", path)
        case p.Dir(path=path) if path != "/dev":
            yield from ("--dir", path)
        case p.Link(target=target, path=path) if not path.startswith("/dev"):
            yield from ("--symlink", target, path)
        case p.Proc(path=path):
            yield from ("--proc", path)
        case p.Hostname(name=name):
            yield from ("--hostname", name)
        case p.Bind(own=True):
            yield from ("--tmpfs", op.dst or op.src)
        case p.Bind(src=src) if os.path.islink(src):
            yield from ("--symlink", os.readlink(src), src)
        case p.Bind(src=src) if os.path.exists(src):
            yield from ("--bind" if op.write else "--ro-bind", src, op.dst or src)
        case _:
            pass  # devices come with --dev; limits and the rest bubblewrap does not have
