"""Several ``-p`` -> one profile that shows what any of them shows.

What a program may reach is the wider of each: binds are joined, flags are or-ed, limits are the
larger ones. What protects stays: deny and ask patterns and blocked calls add up, ``[access]``
behaves as the strictest says. What cannot be both is refused, both lines named.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from podsh.errors import UsageError
from podsh.profiles import schema as s
from podsh.profiles.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")
_NETS = ("none", "loop", "host")


def union(profiles: Sequence[s.Profile]) -> s.Profile:
    """The union, named ``a+b``. At least one profile; one alone is returned as it is."""
    first = profiles[0]
    if len(profiles) == 1:
        return first
    return s.Profile(
        name="+".join(profile.name for profile in profiles),
        extends=tuple(profile.name for profile in profiles),
        fs=_fs(profiles),
        run=_run(profiles),
        seccomp=_seccomp(profiles),
        net=_net(profiles),
        caps=_joined(profile.caps for profile in profiles),
        limits=_limits(profiles),
        x11=_display(profile.x11 for profile in profiles),
        wayland=_display(profile.wayland for profile in profiles),
        access=_access(profiles),
        source=", ".join(profile.source for profile in profiles),
        notes=_joined(profile.notes for profile in profiles),
    )


def _fs(profiles: Sequence[s.Profile]) -> s.Fs:
    binds: dict[str, s.Bind] = {}
    for profile in profiles:
        for bind in profile.fs.bind:
            place = bind.dst or bind.path
            old = binds.setdefault(place, bind)
            if old.path != bind.path:
                raise UsageError(
                    f"{quoted(place)} is to show {quoted(old.path)} and {quoted(bind.path)}",
                    place=f"{bind.where} and {old.where}",
                    hint="use these profiles one by one",
                )
            binds[place] = replace(
                old,
                where=bind.where if bind.write > old.write else old.where,
                write=old.write or bind.write,
                exec=old.exec or bind.exec,
                suid=old.suid or bind.suid,
                dev=old.dev or bind.dev,
                optional=old.optional and bind.optional,
            )
    all_fs = [profile.fs for profile in profiles]
    return s.Fs(
        bind=tuple(binds.values()),
        home=_one(profiles, "[fs] home", [fs.home for fs in all_fs], "private"),
        home_exec=any(fs.home_exec for fs in all_fs),
        tmp_exec=any(fs.tmp_exec for fs in all_fs),
        proc=any(fs.proc for fs in all_fs),
        machine_id=_one(profiles, "[fs] machine_id", [fs.machine_id for fs in all_fs], None),
    )


def _run(profiles: Sequence[s.Profile]) -> s.Run:
    runs = [profile.run for profile in profiles]
    env: dict[str, str] = {}
    for run in runs:
        for key, value in run.env:
            if env.setdefault(key, value) != value:
                _differ(profiles, f"[run] env.{key}")
    return s.Run(
        # the first profile that has a command says what runs; the rest only add
        cmd=next((run.cmd for run in runs if run.cmd), ()),
        env=tuple(env.items()),
        clear_env=all(run.clear_env for run in runs),
        cwd=_one(profiles, "[run] cwd", [run.cwd for run in runs], None),
        procname=_one(profiles, "[run] procname", [run.procname for run in runs], None),
        stack=_largest(run.stack for run in runs),
        init=_one(profiles, "[run] init", [run.init for run in runs], None),
        daemon=any(run.daemon for run in runs),
        logoutput=any(run.logoutput for run in runs),
        cmdr=_one(profiles, "cmdr", [run.cmdr for run in runs], None),
    )


def _seccomp(profiles: Sequence[s.Profile]) -> s.Seccomp:
    each = [profile.seccomp for profile in profiles]
    lists = [one.allow for one in each]
    return s.Seccomp(
        # one that asks for no whitelist allows everything
        allow=_joined(names for names in lists if names) if all(lists) else None,
        block=_joined(one.block for one in each),
        strict=all(one.strict for one in each),
        blacklist=any(one.blacklist for one in each),
        abi=_joined(one.abi for one in each),
        new_filters=any(one.new_filters for one in each),
        ptrace=any(one.ptrace for one in each),
        nesting=any(one.nesting for one in each),
    )


def _net(profiles: Sequence[s.Profile]) -> s.Net:
    nets = [profile.net for profile in profiles]
    if all(net.mode in _NETS for net in nets):
        widest = max(nets, key=lambda net: _NETS.index(net.mode))
    else:
        others = {replace(net, log=None) for net in nets if net.mode != "none"}
        if len(others) > 1:
            _differ(profiles, "[net]")
        widest = others.pop()
    return replace(widest, log=_one(profiles, "[net] log", [net.log for net in nets], None))


def _limits(profiles: Sequence[s.Profile]) -> s.Limits:
    """The larger; one that gives none leaves it to those that do."""
    return s.Limits(
        **{
            field.name: _largest(getattr(profile.limits, field.name) for profile in profiles)
            for field in fields(s.Limits)
        }
    )


def _display(each: Iterable[s.Display]) -> s.Display:
    displays = list(each)
    return s.Display(
        enabled=any(one.enabled for one in displays), nested=any(one.nested for one in displays)
    )


def _access(profiles: Sequence[s.Profile]) -> s.Access:
    each = [profile.access for profile in profiles]
    return s.Access(
        domain=all(one.domain for one in each),
        transition=_strictest([one.transition for one in each], "ask"),
        unlisted=_strictest([one.unlisted for one in each], "deny"),
        ask=_patterns(one.ask for one in each),
        deny=_patterns(one.deny for one in each),
        shim=all(one.shim for one in each),
        confined=any(one.confined for one in each),
        unattended=_strictest([one.unattended for one in each], "deny"),
    )


def _patterns(each: Iterable[Iterable[s.Pattern]]) -> tuple[s.Pattern, ...]:
    found: dict[str, s.Pattern] = {}
    for patterns in each:
        for pattern in patterns:
            found.setdefault(pattern.text, pattern)
    return tuple(found.values())


def _joined(each: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item for items in each for item in items))


def _largest(values: Iterable[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)


def _strictest(values: Sequence[Any], strict: str) -> Any:
    """``strict`` if any says it, what all say, else None: podsh's default."""
    if strict in values:
        return strict
    return values[0] if len(set(values)) == 1 else None


def _one(profiles: Sequence[s.Profile], key: str, values: Sequence[T], default: T) -> T:
    """The one value that is not the default. Two are refused."""
    others = {value for value in values if value != default}
    if len(others) > 1:
        _differ(profiles, key)
    return others.pop() if others else default


def _differ(profiles: Sequence[s.Profile], key: str) -> NoReturn:
    raise UsageError(
        f"the profiles differ in {key}",
        place=" and ".join(profile.source or profile.name for profile in profiles),
        hint="use these profiles one by one, or write a profile that extends them and says which",
    )
