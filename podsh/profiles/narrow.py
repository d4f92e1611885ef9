"""What a profile that came with a project may not do. It can only narrow.

A profile file named by a path below the caller's directory, outside of the profile directories,
came with a project: the person runs it, but did not write it. The rule: **it may be no wider than
the profile ``base``, but for its own folder.** In particular

- it may extend only ``base`` and files of its own folder, and ``base``'s ``deny`` always holds;
- it may bind what lies below its folder (writable too; never by a link that leads out), what
  ``base`` binds, no freer than there, and the device nodes that every pod has;
- its network is none, a loopback of its own, or what ``base`` has;
- its list of calls may be a part of ``base``'s, and what ``base`` blocks stays blocked;
- home, capabilities, ptrace, nesting, foreign ABIs, displays, limits, ``domain``, ``transition``,
  ``confined``, ``shim`` and ``unattended`` may be ``base``'s or stricter;
- it may not read the caller's environment (``$VAR``).

The folder is the caller's directory; where that is ``/``, the home or above it, and so no
project, it is the file's own directory. A ``.pod`` file that says nothing of the network gets
``none`` here. Who wrote the file installs it: in ``~/.config/podsh/profiles`` it is bound by
nothing of this.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from podsh.errors import UsageError
from podsh.profiles.expand import below, is_wide
from podsh.profiles.layer import Setting
from podsh.profiles.words import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from podsh.profiles.layer import Layer
    from podsh.profiles.schema import Bind, Context, Profile, Where

HINT = "it came with a project; if you trust it, copy it to ~/.config/podsh/profiles"
DEVICES = frozenset(f"/dev/{name}" for name in "null zero full random urandom tty".split())

# only this value, or base's own
_ONLY: dict[str, tuple[object, ...]] = {
    "fs.home": ("private", "tmp", "podhome"),
    "seccomp.blacklist": (False,),
    "seccomp.ptrace": (False,),
    "seccomp.nesting": (False,),
    "seccomp.abi": (("native",),),
    "seccomp.strict": (True,),
    "seccomp.new_filters": (False,),
    "caps.keep": ((),),
    "x11.enabled": (False,),
    "x11.nested": (False,),
    "wayland.enabled": (False,),
    "wayland.nested": (False,),
    "access.domain": (False,),
    "access.transition": ("ask",),
    "access.confined": (True,),
    "access.shim": (True,),
    "access.unattended": ("deny",),
    "net.log": (),
    "run.cmdr": (),
}
# without a value there is no limit, so that any value narrows; the others have defaults
_UNLIMITED = ("memory", "cpu", "file_size", "stack")


def folder(path: str, ctx: Context, trusted: Sequence[str]) -> str | None:
    """The project's folder that the file at ``path`` came with, None where it is the person's own.

    trusted: the profile directories. Both the path as named and what it leads to are looked at.
    """
    forms = {os.path.normpath(path), os.path.realpath(path)}
    places = [form for top in trusted for form in (top, os.path.realpath(top))]
    if all(any(below(form, place) for place in places) for form in forms):
        return None
    cwd = os.path.normpath(ctx.cwd)
    if not any(below(form, top) for form in forms for top in (cwd, os.path.realpath(cwd))):
        return None
    if not is_wide(cwd, ctx):
        return cwd
    own = os.path.dirname(os.path.normpath(path))
    return None if is_wide(own, ctx) else own


def without_network(layer: Layer) -> Layer:
    """A ``.pod`` layer whose file does not ask for the host's network, without it."""
    net = layer.settings.get("net.mode")
    if layer.dialect != "pod" or net is None or net.where.line:
        return layer
    note = f"{layer.file}: no network: it came with a project, and has no newnet line"
    return replace(
        layer,
        settings=layer.settings | {"net.mode": Setting("none", net.where)},
        notes=[*layer.notes, note],
    )


def check(
    profile: Profile, layers: Sequence[Layer], files: Collection[str], base: Profile, top: str
) -> None:
    """Refuse, by line, what is wider than ``base`` and the folder ``top``.

    profile: what ``layers`` gave; files: those of them that came with the project.
    """
    for layer in layers:
        if layer.file in files:
            for key, setting in layer.settings.items():
                _setting(key, setting, base)
    shown = [bind for bind in base.fs.bind if bind.dst is None]
    for bind in profile.fs.bind:
        if bind.where.file in files:
            _bind(bind, shown, top)


def _setting(key: str, setting: Setting, base: Profile) -> None:
    value, where = setting
    table, _, name = key.partition(".")
    if key == "net.mode":
        if value not in ("none", "loop") and (value, base.net.mode) != ("host", "host"):
            _refuse(f"net.mode {quoted(str(value))} is wider than base's", where)
    elif key == "seccomp.allow":
        most = base.seccomp.allow
        if most and not (value and set(value) <= set(most)):
            _refuse("seccomp.allow is not a part of base's", where)
    elif table == "limits":
        _limit(name, value, where, base)
    elif key in _ONLY and value not in _ONLY[key] and value != _of(base, table, name):
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        _refuse(f"{key} = {shown} is wider than base's", where)


def _limit(name: str, value: Any, where: Where, base: Profile) -> None:
    most = getattr(base.limits, name)
    if most is None and name not in _UNLIMITED:
        _refuse(f"limits.{name} is not base's to lower: base gives none", where)
    if most is not None and value > most:
        _refuse(f"limits.{name} = {value} is above base's {most}", where)


def _of(base: Profile, table: str, name: str) -> object:
    return base.caps if table == "caps" else getattr(getattr(base, table), name)


def _bind(bind: Bind, shown: Sequence[Bind], top: str) -> None:
    if bind.path in DEVICES:
        return
    if bind.suid or bind.dev:
        _refuse(f"a bind of {quoted(bind.path)} with suid or dev", bind.where)
    real = os.path.realpath(bind.path)
    if below(bind.path, top):
        if not below(real, os.path.realpath(top)):
            _refuse(f"{quoted(bind.path)} leads out of {quoted(top)}", bind.where)
        return
    for other in shown:
        if (
            below(bind.path, other.path)
            and below(real, os.path.realpath(other.path))
            and bind.write <= other.write
            and bind.exec <= other.exec
        ):
            return
    how = "writable" if bind.write else "shown"
    _refuse(f"{quoted(bind.path)} is {how}, and is not below {quoted(top)}", bind.where)


def _refuse(cause: str, where: Where) -> NoReturn:
    raise UsageError(f"a project's profile cannot widen: {cause}", place=str(where), hint=HINT)


def check_parent(parent: Setting, path: str, top: str) -> None:
    """Refuse a project's ``extends`` of anything but ``base`` and its own folder's files."""
    inside = below(path, top) and below(os.path.realpath(path), os.path.realpath(top))
    if not inside:
        _refuse(f"it extends {quoted(parent.value)}, not base or a file of its own", parent.where)


def confined(profile: Profile, files: Collection[str], top: str) -> Profile:
    """``profile`` with its project's binds tied to the project's folder, links followed.

    ``check`` looked at them now; a pod in that folder could put a link there before the launch.
    """
    real = os.path.realpath(top)
    binds = tuple(
        replace(bind, within=real) if bind.where.file in files and below(bind.path, top) else bind
        for bind in profile.fs.bind
    )
    return replace(profile, fs=replace(profile.fs, bind=binds))


def with_calls(profile: Profile, base: Profile) -> Profile:
    """``profile`` with what ``base`` says of calls, whether it extends base or not."""
    own, most = profile.seccomp, base.seccomp
    calls = replace(
        own,
        allow=own.allow or most.allow,
        block=tuple(dict.fromkeys((*most.block, *own.block))),
        strict=own.strict or most.strict,
        new_filters=own.new_filters and most.new_filters,
        blacklist=own.blacklist or (most.blacklist and own.allow is None),
    )
    return replace(profile, seccomp=calls)


def with_deny(profile: Profile, base: Profile) -> Profile:
    """``profile`` with ``base``'s deny patterns, whether it extends base or not."""
    known = {pattern.text for pattern in profile.access.deny}
    more = tuple(pattern for pattern in base.access.deny if pattern.text not in known)
    return replace(profile, access=replace(profile.access, deny=(*more, *profile.access.deny)))
