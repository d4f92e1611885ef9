"""A pod started by command: which program that is, and what its candidates have in common."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from podsh.plan import search_path
from podsh.policy.access import DEV, EXEC, SUID, WRITE, contains, split
from podsh.policy.state import Request, State, start
from podsh.profiles import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podsh.policy.access import Where
    from podsh.portal.domains import Domains, Known, Loaded
    from podsh.profiles.schema import Profile

_KEPT = 8


def begin(
    domains: Domains, loaded: Loaded, message: dict[str, Any], ctx: schema.Context
) -> tuple[list[Known], Profile] | None:
    """The candidates, and the profile of their intersection. None where no domain may read the
    program, or there is no such program."""
    program = executable(loaded.base, message, ctx) if loaded.known else ""
    state = start(loaded.all, Request(domains.paths.real(program)[0])) if program else None
    if state is None:
        return None
    key = (id(loaded.all), state.candidates, id(loaded.base), domains.paths.generation)
    if key not in _made:
        if len(_made) >= _KEPT:
            _made.pop(next(iter(_made)))
        known = loaded.of(state.candidates)
        # with what its key is made of, so that no other object has that id
        _made[key] = (loaded, known, intersection(state, known, loaded.base, domains.hidden()))
    return _made[key][1:]


_made: dict[tuple[int, int, int, int], tuple[Loaded, list[Known], Profile]] = {}


def intersection(
    state: State, known: Sequence[Known], base: Profile, hidden: Sequence[str]
) -> Profile:
    """What all of ``known`` show, and what any of them denies; all else is ``base``'s."""
    lines = {path: where for each in known for path, _, where in each.domain.accesses}
    reach = state.index.meet(state.candidates)
    shown = [
        _bind(path, perms, lines[path])
        for path, perms in reach.pieces.items()
        if not state.index.denied(split(path)) & state.candidates
        and not any(contains(own, path) for own in hidden)
    ]
    places = {bind.path for bind in shown}
    # the links by which profiles name what is shown: /lib64, where that is /usr/lib64
    for name, real in dict.fromkeys(link for each in known for link in each.links):
        if name not in places and any(contains(place, real) for place in places):
            shown.append(_bind(name, reach.at(real), lines[real]))
    deny = {pattern.text: pattern for each in known for pattern in each.domain.deny}
    patterns = tuple(
        schema.Pattern(text, schema.Where(*pattern.where)) for text, pattern in deny.items()
    )
    return replace(
        base,
        name=state.name,
        fs=replace(base.fs, bind=tuple(shown)),
        access=replace(base.access, deny=patterns),
        source="",
    )


def _bind(path: str, perms: int, where: Where) -> schema.Bind:
    # optional: nobody asked for this one by name, so its going is no failure
    return schema.Bind(
        path,
        schema.Where(*where),
        write=bool(perms & WRITE),
        exec=bool(perms & EXEC),
        suid=bool(perms & SUID),
        dev=bool(perms & DEV),
        optional=True,
    )


def executable(base: Profile, message: dict[str, Any], ctx: schema.Context) -> str:
    """The host's file that the command names, looked up as in the pod; empty if there is none."""
    argv = message.get("argv") or base.run.cmd
    name = str(argv[0]) if argv else ""
    if "/" in name:
        return os.path.normpath(os.path.join(base.run.cwd or ctx.cwd, name))
    path = message.get("env", {}).get("PATH") or search_path(base, ctx.environ, os.getuid())
    for directory in str(path).split(":"):
        found = f"{directory}/{name}"
        if name and directory.startswith("/") and os.access(found, os.X_OK):
            if os.path.isfile(found):
                return found
    return ""
