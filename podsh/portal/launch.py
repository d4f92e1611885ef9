"""From a client's ``run`` to a launch message for a monitor: names, profiles, facts, plan."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import resource
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh import paths
from podsh.errors import UsageError
from podsh.kernel import landlock
from podsh.operations import Bind
from podsh.plan import Facts, Request, make_plan
from podsh.policy.access import Access
from podsh.portal import bycommand, calls, displays, nested, networks, shares
from podsh.profiles import find
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from collections.abc import Container

    from podsh.operations import JailPlan
    from podsh.portal.domains import Domains, Known, Loaded
    from podsh.profiles.schema import Profile

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def context(message: dict[str, Any]) -> Context:
    """What paths in profiles expand to, from the caller's surroundings."""
    environ = {str(key): str(value) for key, value in message.get("environ", {}).items()}
    if path := _seen_by_pods(environ.pop("PATH", "")):
        environ["PATH"] = path
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        home = pwd.getpwuid(os.getuid()).pw_dir
    home = os.path.normpath(home)
    cwd = str(message.get("cwd", "/"))
    return Context(home, cwd if cwd.startswith("/") else "/", tuple(environ.items()))


def _seen_by_pods(path: str) -> str:
    """PATH without podsh's own virtual environment: no pod has it, and its python3 would come
    before the one that the pod has."""
    own = tuple(f"{place}/" for place in paths.own_paths())
    return ":".join(
        place for place in path.split(":") if not f"{os.path.normpath(place)}/".startswith(own)
    )


class Start(NamedTuple):
    """What a pod starts as. ``policy``: what its monitor decides by (see ``policy`` below)."""

    profile: Profile
    policy: dict[str, Any]
    notes: tuple[str, ...] = ()


class ByProfile(NamedTuple):
    """A pod started by profile: that, and the domains that it may become."""

    profile: Profile
    own: Known
    others: list[Known]


def start(domains: Domains, library: find.Library, message: dict[str, Any], ctx: Context) -> Start:
    """By profile (several are joined into their union), or by the command alone."""
    notes: tuple[str, ...] = ()
    loaded = domains.load(ctx)
    if not message.get("profiles"):
        notes = tuple(f"no domain until it is mended: {reason}" for reason in loaded.broken)
        begun = bycommand.begin(domains, loaded, message, ctx)
        if begun is not None:
            known, profile = begun
            return Start(profile, policy(None, known, domains, profile, message), notes)
    profile, own, others = by_profile(domains, library, message, ctx, loaded)
    return Start(profile, policy(own, others, domains, profile, message), notes)


def by_profile(
    domains: Domains,
    library: find.Library,
    message: dict[str, Any],
    ctx: Context,
    loaded: Loaded | None = None,
) -> ByProfile:
    """The profiles of the message as one; without any, ``base``. loaded: as things are now."""
    loaded = loaded or domains.load(ctx)
    names = message.get("profiles") or (find.BASE,)
    own_file = bool(message.get("own"))
    profiles = [library.load(str(name), ctx, own=own_file) for name in names]
    profile = profiles[0] if len(profiles) == 1 else find.union(profiles)
    own = domains.of(profile, loaded.base)
    return ByProfile(profile, own, domains.covering(loaded, own))


def policy(
    own: Known | None,
    others: list[Known],
    domains: Domains,
    profile: Profile,
    message: dict[str, Any],
) -> dict[str, Any]:
    """What a monitor decides by: see ``monitor/desk.py``.

    own: the profile that the pod was started with; None: by command. others: the candidates, or
    the domains that it may move to. Both as ``Domains.packed`` has them. grants: what the command
    line showed beside.
    """
    shown = [(path, False) for path in message.get("ro", ())]
    shown += [(path, True) for path in message.get("rw", ())]
    grants = [Access.of(domains.paths.real(str(path))[0], write) for path, write in shown]
    access = profile.access
    return {
        "own": domains.packed(own) if own else None,
        "domains": domains.packed(others),
        "hidden": domains.hidden(),
        "unattended": message.get("ask") or access.unattended or "deny",
        "shim": access.shim,
        "confined": access.confined,
        "grants": [[grant.path, grant.perms] for grant in grants],
    }


def choose_name(message: dict[str, Any], profile: Profile, taken: Container[str]) -> str:
    """The pod's name: ``-n``, else a pod file's, else the profile's with the first free number."""
    name = message.get("name")
    if name is not None:
        check_name(str(name))
        return str(name)
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", profile.name).strip("-_")[:40] or "pod"
    if profile.dialect == "pod":
        return stem
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def check_name(name: str) -> None:
    """Names become file names, host names and words of commands."""
    if not _NAME.match(name):
        raise UsageError(
            f"bad pod name {name!a}",
            hint="use letters, digits, '.', '_' and '-', at most 64, the first a letter or digit",
        )


async def displays_of(profile: Profile, message: dict[str, Any], ctx: Context) -> displays.Found:
    """The displays that the pod is to have; UsageError where there is none."""
    wants = displays.wanted(profile, message)
    if not any(wants):
        return displays.Found()
    return await asyncio.to_thread(displays.look, wants, ctx, message)


def plan(
    message: dict[str, Any], profile: Profile, name: str, ctx: Context, found: displays.Found
) -> JailPlan:
    """The plan of a pod; UsageError for what cannot be."""
    profile = calls.with_settings(profile, message.get("settings") or {})
    made = _made(message, profile, ctx).of_pod(name, state_dir(name))
    if profile.run.logoutput:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        log = os.path.join(ctx.cwd, f"{name}-{stamp}.log")
        made = replace(made, program=replace(made.program, log=log))
    made = calls.settled(made, profile, message.get("blacklist"))
    return displays.settled(made, found, state_dir(name))


def common(
    message: dict[str, Any], profile: Profile, ctx: Context, plan: JailPlan
) -> JailPlan | None:
    """The plan of any pod for that message, its own paths relative to its state. None where
    ``plan``, of one, has more of that pod, or of the moment."""
    if plan.network.needs_setup:
        return None
    made = _made(message, calls.with_settings(profile, message.get("settings") or {}), ctx)
    return made if made.of_pod(plan.name, state_dir(plan.name)) == plan else None


def _made(message: dict[str, Any], profile: Profile, ctx: Context) -> JailPlan:
    """The same for every pod but for its name."""
    request = Request(
        argv=tuple(str(word) for word in message.get("argv", ())),
        ro=tuple(str(path) for path in message.get("ro", ())),
        rw=tuple(str(path) for path in message.get("rw", ())),
        net=message.get("net"),
        env=tuple((str(k), str(v)) for k, v in message.get("env", {}).items()),
        home_mode=message.get("home_mode"),
        trace=bool(message.get("trace")),
    )
    facts = _facts(message, ctx)
    if "user" in (request.net, profile.net.mode):
        facts = replace(facts, resolvers=networks.resolvers())
    # with the profile, so that no other has that id
    key = (id(profile), request, facts)
    if key not in _plans:
        if len(_plans) >= _KEPT_PLANS:
            _plans.pop(next(iter(_plans)))
        _plans[key] = (profile, make_plan(profile, request, facts))
    return _plans[key][1]


def xserver(
    message: dict[str, Any], library: find.Library, name: str, ctx: Context, found: displays.Found
) -> JailPlan | None:
    """The plan of the pod's own X server, if it is to have one."""
    if found.nested is None:
        return None
    facts = replace(_facts(message, ctx), name=name, state=state_dir(name))
    return nested.plan(found, found.nested, library.load(find.BASE, ctx), facts)


def xserver_fields(server: JailPlan | None, state: str) -> dict[str, Any] | None:
    """That plan as ``monitor/xserver.py`` takes it."""
    if server is None:
        return None
    return {"plan": server.to_wire(), "directory": displays.socket_directory(state)}


def _facts(message: dict[str, Any], ctx: Context) -> Facts:
    """What the plan of any pod of the caller's must know; of no certain one."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Facts(
        name="",
        uid=os.getuid(),
        home=ctx.home,
        cwd=ctx.cwd,
        environ=ctx.environ,
        state="",
        hide=paths.own_paths(),
        umask=int(message.get("umask", 0o022)) & 0o777,
        # descriptors in flight count per user: a pod must not be able to fill podsh's share
        nofile=max(soft // 2 - 1, 64),
        rlimits=shares.rlimits(),
        sysctls=shares.sysctls(),
        scopes=landlock.has_scopes(),
    )


_KEPT_PLANS = 16
_plans: dict[tuple[int, Request, Facts], tuple[Profile, JailPlan]] = {}


def own_home(plan: JailPlan) -> list[str] | None:
    """Where in the pod its own home is, and its directory in the pod's state; None: it has none."""
    for op in plan.ops:
        if isinstance(op, Bind) and op.own and not op.socket:
            return [op.dst or op.src, os.path.basename(op.src)]
    return None


def state_dir(name: str) -> str:
    return os.path.join(paths.state_dir(), "pods", name)


def socket_path(name: str) -> str:
    return os.path.join(paths.runtime_dir(), "monitors", name)
