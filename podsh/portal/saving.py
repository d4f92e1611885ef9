"""A rule that a person wants to keep, written into a profile: that rule, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.errors import UsageError
from podsh.policy.patterns import covers
from podsh.portal import records
from podsh.profiles import find, read, save
from podsh.profiles.expand import Expander
from podsh.profiles.schema import Context, Where
from podsh.profiles.words import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podsh.portal.pods import Pod
    from podsh.profiles.find import Library
    from podsh.profiles.schema import Bind, Profile

_NOWHERE = Where("")


def targets(pod: Pod, row: Mapping[str, Any]) -> tuple[list[str], str]:
    """The profiles that a rule of this request could be kept in: those that the pod was started
    with, or its candidates. Without any, the reason."""
    if row["op"] == "connect":
        return [], "a socket is no rule of a profile: allow it for the pod"
    meta = records.read(pod.state_dir, "meta.json") or {}
    asked = meta.get("request") or {}
    names = [str(name) for name in asked.get("profiles") or ()]
    if not names:
        parts = str(row.get("domain") or pod.domain).split("∩")
        names = [name for name in parts if name and " " not in name]  # "7 more" is no name
    return names or [find.BASE], ""


def save_rule(
    library: Library, pod: Pod, row: Mapping[str, Any], path: str, mode: str, profile: str | None
) -> Callable[[], str]:
    """What writes the rule ``mode path`` when it is called, and says where: ``file:line``.

    Called before the monitor is told: all that could be wrong is found here, nothing written yet.
    row: the request. profile: the one to write, None where the person named none. Raises
    UsageError.
    """
    names, reason = targets(pod, row)
    if reason:
        raise UsageError(reason, place=str(row["id"]))
    if row.get("to") and path == row["path"]:
        raise UsageError(
            f"a yes moves the pod to {row['to']}, which shows it: there is nothing to keep",
            place=str(row["id"]),
            hint="allow it without --save",
        )
    if profile is None:
        profile = _only(names, int(row["id"]))
    ctx = Context(library.ctx.home, "/{cwd}", tuple(os.environ.items()))
    plan = _plan(library, profile, path, mode == "write", ctx)
    _check_deny(library, plan.after, path, ctx)
    return lambda: _write(plan)


def _only(names: list[str], ident: int) -> str:
    if len(names) > 1:
        raise UsageError(
            f"save it in which profile: {', '.join(names)}?",
            place=str(ident),
            hint=f"as in: podsh allow {ident} --save {names[0]}",
        )
    if names[0] == find.BASE:
        raise UsageError(
            "base is part of every profile: all pods would have it",
            place=str(ident),
            hint=f"say so: allow {ident} --save base; or name another profile",
        )
    return names[0]


class _Plan(NamedTuple):
    """What is to be written. ``stamp``: of the file that it replaces; None: there is none yet."""

    target: str
    text: str
    stamp: read.Stamp | None
    after: Profile
    bind: Bind


def _plan(library: Library, name: str, path: str, write: bool, ctx: Context) -> _Plan:
    before = library.load(name, ctx)
    source = library.path(name, ctx)
    old = next((b for b in before.fs.bind if (b.dst or b.path) == path), None)
    if old is not None and old.dst is None and (old.write or not write):
        raise UsageError("has that rule already", place=str(old.where), hint="allow it with --pod")
    fields: dict[str, Any] = {"path": path}
    if write:
        fields["write"] = True
    if old is not None:  # one with the same place is replaced: what else it said stays
        fields |= {} if old.exec else {"exec": False}
        fields |= {key: True for key in ("suid", "dev") if getattr(old, key)}
    own = library.directories[0], os.path.join(ctx.home, ".pods")
    stamp: read.Stamp | None = None
    if os.path.dirname(source) in own:
        target = source
        text, stamp = read.read(source)
        text = _added(library, source, text, fields, ctx, old)
    elif library.is_kept(source):
        stem = os.path.splitext(os.path.basename(source))[0]
        target = os.path.join(own[0], f"{stem}.toml")
        text = save.new_profile(
            before.name, [fields], [stem], before.description, home=ctx.home,
            domain=None if before.access.domain else False,
        )  # fmt: skip
    else:
        raise UsageError(
            "is not in a directory of your profiles: podsh does not write there",
            place=source,
            hint="save it in another profile, or add the line yourself",
        )
    after = library.check(target, text, ctx)
    return _Plan(target, text, stamp, after, _only_adds(before, after, path, fields, target))


def _added(
    library: Library, source: str, text: str, fields: dict[str, Any], ctx: Context, old: Bind | None
) -> str:
    if source.endswith(".pod"):
        return save.with_pod_bind(text, str(fields["path"]), bool(fields.get("write")))
    at = None
    if old is not None and old.where.file == source:
        expander = Expander(ctx, dict(ctx.environ))
        paths = [expander.path(raw.path, raw.literal) for raw in library.layer(source).binds]
        at = paths.index(old.path)
    return save.with_bind(text, fields, ctx.home, at)


def _only_adds(
    before: Profile, after: Profile, path: str, fields: Mapping[str, Any], target: str
) -> Bind:
    """The new bind; UsageError where anything but that bind would be different."""
    was, now = ({b.dst or b.path: b for b in p.fs.bind} for p in (before, after))
    found = now.pop(path, None)
    was.pop(path, None)
    wanted = {"write": False, "exec": True, "suid": False, "dev": False, **fields}
    same = (
        found is not None
        and all(getattr(found, key) == value for key, value in wanted.items())
        and found.dst is None
        and {place: replace(bind, where=_NOWHERE) for place, bind in was.items()}
        == {place: replace(bind, where=_NOWHERE) for place, bind in now.items()}
        and _plain(before) == _plain(after)
    )
    if not same or found is None:
        raise UsageError(
            f"a rule for {quoted(path)} cannot be added without changing more",
            place=target,
            hint="add it yourself: podsh profile edit",
        )
    return found


def _plain(profile: Profile) -> Profile:
    """The profile without its binds, its files and its lines."""
    access = replace(
        profile.access,
        ask=tuple(replace(pattern, where=_NOWHERE) for pattern in profile.access.ask),
        deny=tuple(replace(pattern, where=_NOWHERE) for pattern in profile.access.deny),
    )
    return replace(
        profile,
        fs=replace(profile.fs, bind=()),
        access=access,
        source="",
        extends=(),
        dialect="toml",
        notes=(),
    )


def _check_deny(library: Library, profile: Profile, path: str, ctx: Context) -> None:
    for pattern in (*profile.access.deny, *library.load(find.BASE, ctx).access.deny):
        real = pattern.text if "*" in pattern.text or "?" in pattern.text else ""
        real = real or os.path.realpath(pattern.text)
        if covers(pattern.text, path) or covers(real, path):
            raise UsageError(
                f"profile {quoted(profile.name)} denies {quoted(pattern.text)}",
                place=str(pattern.where),
                hint="take that line out first",
            )


def _write(plan: _Plan) -> str:
    """Put it there, unless the file has changed since it was looked at."""
    if plan.stamp is not None:
        try:
            changed = read.stamp(plan.target) != plan.stamp
        except OSError:
            changed = True
        if changed:
            raise UsageError("changed meanwhile", place=plan.target, hint="save it again")
    save.write(plan.target, plan.text, force=plan.stamp is not None)
    return str(plan.bind.where)
