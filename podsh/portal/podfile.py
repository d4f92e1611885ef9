"""What a pod shows, as jettison's ``.pod`` grammar says it: for a whitelist that is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh.errors import UsageError
from podsh.nets import LINKS
from podsh.operations import Bind
from podsh.profiles import calls

if TYPE_CHECKING:
    from podsh.nets import Network
    from podsh.operations import JailPlan
    from podsh.profiles.schema import Profile


def lines(profile: Profile, plan: JailPlan, home: str) -> list[str]:
    """The lines of a file that shows what ``plan`` shows; without calls to be allowed.

    One that was a ``.pod`` file stays as it is. What the grammar cannot say becomes a comment.
    """
    if profile.dialect == "pod" and profile.source:
        try:
            with open(profile.source, encoding="utf-8", errors="surrogateescape") as file:
                return calls.without_calls(file.read())
        except OSError as exc:
            raise UsageError(os.strerror(exc.errno or 0), place=profile.source) from None
    found = [f"# what profile {ascii(profile.name)[1:-1]} shows; it denies nothing: see --dry-run"]
    for op in plan.ops:
        if isinstance(op, Bind) and not op.own and (not op.optional or os.path.lexists(op.src)):
            found.append(_bind(op, home))
    found += _network(plan.network)
    words = {
        "home_exec": profile.fs.home_exec,
        "tmp_exec": profile.fs.tmp_exec,
        "noproc": not profile.fs.proc,
        f"machine-id {profile.fs.machine_id or ''}".rstrip(): profile.fs.machine_id is not None,
        "x11": profile.x11.enabled,
    }
    found += [word for word, on in words.items() if on]
    found += [f"capability {name}" for name in profile.caps]
    return found


def _network(network: Network) -> list[str]:
    if network.mode == "host":
        return []  # as without a line
    if network.mode not in LINKS:
        return [f"newnet {network.mode}"]
    mac = [network.mac or "**:**:**:**:**:**"] if network.mode == "macvlan" else []
    return [" ".join(("newnet", network.mode, network.device, *mac, network.address))]


def _bind(op: Bind, home: str) -> str:
    flags = "r" + "".join(
        letter
        for letter, on in (("w", op.write), ("x", op.exec), ("s", op.suid), ("d", op.dev))
        if on
    )
    if not op.src.isprintable() or " " in op.src or "#" in op.src:
        return f"# cannot be named here: {op.src!a}"
    if op.dst in (None, op.src):
        return f"file {flags} {op.src}"
    if op.dst is not None and op.dst.startswith("/podhome") and op.src.startswith(home):
        below = op.src.removeprefix(home)
        if op.dst == f"/podhome{below}":
            return f"home {flags} {below or '/'}"
    return f"# at another place: {op.src!a} as {op.dst!a}"
