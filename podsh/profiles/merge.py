"""A chain of layers -> one Profile: ``extends`` merged, every path expanded.

Layers come parents first, the profile itself last. A later one's setting replaces an earlier
one's; its bind replaces the bind at the same place in the pod; ``run.env`` is merged by name;
``access.deny``, ``access.ask`` and ``seccomp.block`` add up. ``name``, ``description`` and
``access.domain`` are not inherited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.errors import UsageError
from podsh.profiles import schema as s
from podsh.profiles.expand import Expander, below, pattern
from podsh.profiles.layer import Setting
from podsh.profiles.words import Bad, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from podsh.profiles.layer import Layer

    # by the layer's id
    Kept = dict[int, "_Expanded"]


class _Expanded(NamedTuple):
    """What of a layer comes out the same in every profile of one caller. ``by``: what it read;
    ``layer``: so that no other has that id."""

    layer: Layer
    by: Expander
    binds: dict[str, s.Bind]
    ask: dict[str, s.Pattern]
    deny: dict[str, s.Pattern]


def build(
    layers: Sequence[Layer],
    expander: Expander,
    *,
    domain: bool,
    foreign: Collection[str] = (),
    kept: Kept | None = None,
) -> s.Profile:
    """The profile of ``layers[-1]``. Raises UsageError with the line of what cannot be.

    domain: what ``[access] domain`` is where the profile does not say. foreign: the files that
    came with a project, which may not read the caller's environment. kept: for who builds many
    for one caller at once; most of them have a layer in common.
    """
    own = layers[-1]
    bound = Expander(expander.ctx, None)
    settings: dict[str, Setting] = {}
    binds: dict[str, s.Bind] = {}
    ask: dict[str, s.Pattern] = {}
    deny: dict[str, s.Pattern] = {}
    for layer in layers:
        by = bound if layer.file in foreign else expander
        _settings(settings, layer, by)
        found = _expanded(layer, by, {} if kept is None else kept)
        binds |= found.binds
        for patterns, more in ((ask, found.ask), (deny, found.deny)):
            for text, given in more.items():
                patterns.setdefault(text, given)
    says = own.settings.get("access.domain")
    return s.Profile(
        name=own.name,
        description=own.description,
        extends=tuple(setting.value for setting in own.extends),
        fs=s.Fs(bind=tuple(binds.values()), **_table(settings, "fs")),
        run=s.Run(**_table(settings, "run")),
        seccomp=s.Seccomp(**_table(settings, "seccomp")),
        net=s.Net(**_table(settings, "net")),
        caps=_table(settings, "caps").get("keep", ()),
        limits=s.Limits(**_table(settings, "limits")),
        x11=s.Display(**_table(settings, "x11")),
        wayland=s.Display(**_table(settings, "wayland")),
        access=s.Access(
            ask=tuple(ask.values()),
            deny=tuple(deny.values()),
            **_table(settings, "access") | {"domain": says.value if says else domain},
        ),
        source=own.file,
        dialect=own.dialect,
        notes=tuple(note for layer in layers for note in layer.notes),
    )


def _expanded(layer: Layer, expander: Expander, kept: Kept) -> _Expanded:
    found = kept.get(id(layer))
    if found is None:
        by = Expander(expander.ctx, expander.environ)
        found = kept[id(layer)] = _Expanded(
            layer,
            by,
            _binds(layer, by),
            _patterns(layer.ask, "access.ask", by),
            _patterns(layer.deny, "access.deny", by),
        )
    expander.note(found.by)
    return found


def _table(settings: dict[str, Setting], table: str) -> dict[str, Any]:
    """The settings below ``table``, as the arguments of its class."""
    start = table + "."
    found = {k.removeprefix(start): v.value for k, v in settings.items() if k.startswith(start)}
    if "env" in found:
        found["env"] = tuple((name, text.value) for name, text in found["env"].items())
    return found


def _settings(into: dict[str, Setting], layer: Layer, expander: Expander) -> None:
    net = layer.settings.get("net.mode")
    if net is not None:
        # another mode's device and address mean nothing to this one
        for key in ("net.device", "net.address", "net.mac"):
            into.pop(key, None)
    for key, setting in layer.settings.items():
        if key == "run.env":
            env = {
                name: Setting(_expand(f"run.env.{name}", text, expander.value), text.where)
                for name, text in setting.value.items()
            }
            old = into[key].value if key in into else {}
            into[key] = Setting(old | env, setting.where)
        elif key in ("run.cwd", "run.init"):
            into[key] = Setting(_expand(key, setting, _directory(expander)), setting.where)
        elif key == "seccomp.block" and key in into:
            calls = tuple(dict.fromkeys((*into[key].value, *setting.value)))
            into[key] = Setting(calls, setting.where)
        else:
            into[key] = setting


def _directory(expander: Expander) -> Any:
    """``/`` is a directory to start in, though nothing to bind."""

    def expand(text: str) -> str:
        return "/" if text == "/" else expander.path(text)

    return expand


def _expand(key: str, setting: Setting, expand: Any) -> str:
    try:
        found: str = expand(setting.value)
        return found
    except Bad as bad:
        raise UsageError(f"{key} {bad.cause}", place=str(setting.where), hint=bad.hint) from None


def _binds(layer: Layer, expander: Expander) -> dict[str, s.Bind]:
    """The layer's binds by their place in the pod."""
    found: dict[str, s.Bind] = {}
    for raw in layer.binds:
        label = raw.label
        try:
            path = _bindable(expander.path(raw.path, raw.literal))
            dst = None
            if raw.dst is not None:
                label = label.replace(".path", ".dst")
                dst = _bindable(expander.path(raw.dst, raw.literal))
            place = dst or path
            if old := found.get(place):
                raise Bad(
                    f"{quoted(place)} is there twice (first at line {old.where.line})", "keep one"
                )
        except Bad as bad:
            raise UsageError(f"{label} {bad.cause}", place=str(raw.where), hint=bad.hint) from None
        found[place] = s.Bind(
            path, raw.where, dst if dst != path else None,
            raw.write, raw.exec, raw.suid, raw.dev, raw.optional,
        )  # fmt: skip
    return found


def _bindable(path: str) -> str:
    if below(path, "/proc"):
        raise Bad(f"{quoted(path)} is the kernel's", "a pod has a /proc of its own")
    return path


def _patterns(given: Iterable[Setting], key: str, expander: Expander) -> dict[str, s.Pattern]:
    """Patterns by their text, expanded."""

    def expand(text: str) -> str:
        if text.startswith("~") and text != "~" and not text.startswith("~/"):
            raise Bad(f"{quoted(text)} names another's home", "write its path in full")
        return pattern(expander.value(text))

    found: dict[str, s.Pattern] = {}
    for setting in given:
        text = _expand(key, setting, expand)
        found.setdefault(text, s.Pattern(text, setting.where))
    return found
