"""Where profiles are, by name or path, and the Profile that each gives.

A name is looked for as ``NAME.toml``, then ``NAME.pod``, in the user's directory,
/etc/podsh/profiles and the shipped one, then as ``NAME.pod`` in ``~/.pods`` and /etc/jettison/pods;
then as what a file calls itself (``name = …``). What has a slash, or ends in .toml or .pod, is a
file: as given, and without a slash then in ``~/.pods``, /etc/jettison/pods and podsh's directories.
In ``extends`` a path is relative to the file that says it, and a name that is the file's own means
the next of that name: a user's ``python`` can extend the shipped one.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from podsh.errors import UsageError
from podsh.profiles import merge, narrow, pod, toml
from podsh.profiles.chain import Chain
from podsh.profiles.expand import Expander, is_wide, project
from podsh.profiles.places import ENDINGS, files, pod_directories, search_path
from podsh.profiles.places import stem as stem_of
from podsh.profiles.read import Stamp, read, stamp
from podsh.profiles.schema import Context, Profile
from podsh.profiles.union import union as union
from podsh.profiles.words import Bad, near, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podsh.profiles.layer import Layer, Setting

BASE = "base"
_KEPT = 16_384
_VERSIONS = 8  # of one profile: callers in several places
_RACY_NS = 50_000_000


class Entry(NamedTuple):
    """One profile of the directories. ``name`` loads it; ``error`` is why it does not parse."""

    name: str
    path: str
    description: str
    origin: str  # "user", "system", "shipped" or "jettison"
    error: str


class Library:
    """The profiles of one user. Files are read again when they change."""

    def __init__(self, config_dir: str, ctx: Context | None = None) -> None:
        """ctx: what ``load`` uses where it is given none."""
        self.directories = search_path(config_dir)
        self.ctx = ctx or Context(os.path.expanduser("~"), "/")
        self._layers: dict[str, tuple[Stamp, Layer]] = {}
        self._built: dict[str, list[_Built]] = {}
        self._listed: tuple[tuple[Stamp | None, ...], list[tuple[str, str, str]]] | None = None
        self._loaded: _Loaded | None = None

    def names(self) -> list[tuple[str, str, str]]:
        """(name, path, description) of every profile found; ``load(name)`` gives it."""
        return [(entry.name, entry.path, entry.description) for entry in self.entries()]

    def entries(self) -> list[Entry]:
        """Every profile found, by name; those that do not parse carry their error."""
        found: dict[str, Entry] = {}
        listed = self._files_found(self.ctx)
        aliases = {stem for stem, _, _ in listed}
        for stem, path, origin in listed:
            try:
                layer = self.layer(path)
            except UsageError as exc:
                found[stem] = Entry(stem, path, "", origin, str(exc))
                continue
            # two files of one name: the first found has it
            name = layer.name if layer.name not in aliases else stem
            aliases.add(name)
            found[name] = Entry(name, path, layer.description, origin, "")
        return [found[name] for name in sorted(found)]

    def _files_found(self, ctx: Context) -> list[tuple[str, str, str]]:
        """(name, path, origin) of the files of the directories, the first of each name."""
        places = self._places(ctx)
        if self._listed is None or self._listed[0] != places:
            origins = ("user", "system", "shipped", "jettison", "jettison")
            stems: dict[str, tuple[str, str]] = {}
            for directory, origin in zip(self._trusted(ctx), origins, strict=True):
                for file in files(directory, ENDINGS[1:] if origin == "jettison" else ENDINGS):
                    stems.setdefault(stem_of(file), (os.path.join(directory, file), origin))
            listed = [(stem, *found) for stem, found in stems.items()]
            now = time.time_ns()
            # one that has only just changed may change again without a new stamp
            if any(place is not None and now - place.ctime_ns < _RACY_NS for place in places):
                return listed
            self._listed = (places, listed)
        return self._listed[1]

    def domains(self, ctx: Context) -> tuple[list[tuple[str, Profile]], list[str]]:
        """The profiles that are domains for this caller, by names that no two have; and why those
        that would be are not. One whose ``{cwd}`` would be the home or above it is left out."""
        listed = self._files_found(ctx)
        if self._loaded is not None and self._loaded.holds(listed, ctx):
            return self._loaded.found, []
        found: dict[str, Profile] = {}
        built: list[_Built] = []
        broken: list[str] = []
        whole = True  # each of them is a domain, or says that it is not
        looked: dict[str, Stamp | None] = {}  # most of them build on the same files
        kept: merge.Kept = {}
        taken = {stem for stem, _, _ in listed}
        for stem, path, origin in listed:
            if origin == "jettison":
                continue
            try:
                layer = self.layer(path, looked)
                given = layer.settings.get("access.domain")
                if not (given.value if given else self._is_domain(path)):
                    continue
                built.append(self._keep(path, ctx, looked, kept))
            except UsageError as exc:
                whole = False
                if not self._needs_project(path, ctx):
                    broken.append(str(exc))
                continue
            profile = built[-1].profile
            name = stem if profile.name in taken else profile.name
            taken.add(name)
            found[name] = profile
        domains = list(found.items())
        if whole:
            files = {path: self._layers[path][0] for _, path, _ in listed if path in self._layers}
            self._loaded = _Loaded.of(listed, domains, built, files, ctx)
        return domains, broken

    def _needs_project(self, path: str, ctx: Context) -> bool:
        """Whether a profile that does not load here does in some project."""
        if not is_wide(ctx.cwd, ctx):
            return False
        try:
            self._kept(path, Context(ctx.home, "/{cwd}", ctx.environ))
        except UsageError:
            return False
        return True

    def load(self, name_or_path: str, ctx: Context | None = None, *, own: bool = False) -> Profile:
        """The profile of that name or path, ``extends`` merged and paths expanded.

        own: a ``.pod`` file is the person's own wherever it lies: jettison's command line names
        it to run one program in it. Raises UsageError: nothing of that name (a near miss
        suggested), or the line that is wrong.
        """
        ctx = ctx or self.ctx
        path, named = self._find(name_or_path, ctx)
        top = narrow.folder(path, ctx, self._trusted(ctx)) if named else None
        if top is not None and not (own and path.endswith(".pod")):
            return self._project(path, ctx, top)
        return self._kept(path, ctx)

    def _kept(self, path: str, ctx: Context) -> Profile:
        """The profile of a file of the person's own, the same object while nothing changes."""
        return self._keep(path, ctx).profile

    def _keep(
        self,
        path: str,
        ctx: Context,
        looked: dict[str, Stamp | None] | None = None,
        kept: merge.Kept | None = None,
    ) -> _Built:
        """``_kept``, with what it depends on.

        looked, kept: stamps of a moment ago and layers expanded for this caller, for who loads
        many at once.
        """
        versions = self._built.get(path, [])
        for known in versions:
            if known.home == ctx.home and known.cwd in (None, ctx.cwd):
                environ = dict(ctx.environ) if known.read else {}
                if all(environ.get(name) == value for name, value in known.read.items()):
                    if self._holds(known, ctx, looked):
                        return known
        places = self._places(ctx)
        expander = Expander(ctx, dict(ctx.environ))
        chain = Chain(_Source(self, ctx))
        profile = self._build(path, chain, expander, kept)
        if len(self._built) >= _KEPT and path not in self._built:
            self._built.clear()
        stamps = tuple((layer.file, self._layers[layer.file][0]) for layer in chain.layers)
        cwd = ctx.cwd if expander.used_cwd else None
        built = _Built(profile, stamps, places, ctx.home, cwd, expander.read)
        self._built[path] = [built, *versions[: _VERSIONS - 1]]
        return built

    def path(self, name_or_path: str, ctx: Context | None = None) -> str:
        """The file that ``load`` would read. Raises UsageError if there is none."""
        return self._find(name_or_path, ctx or self.ctx)[0]

    def check(self, path: str, text: str, ctx: Context | None = None) -> Profile:
        """The profile that the file at ``path`` would give with ``text`` in it. UsageError if none.

        The directories are taken as they are; nothing is written.
        """
        ctx = ctx or self.ctx
        source = _Source(self, ctx)
        source.instead[path] = _parse(path, text)
        return self._build(path, Chain(source), Expander(ctx, dict(ctx.environ)))

    def _build(
        self, path: str, chain: Chain, expander: Expander, kept: merge.Kept | None = None
    ) -> Profile:
        chain.follow(path)
        return merge.build(chain.layers, expander, domain=self._is_domain(path), kept=kept)

    def is_kept(self, path: str) -> bool:
        """Whether a file lies in one of the profile directories."""
        return os.path.dirname(path) in self._trusted(self.ctx)

    def _project(self, path: str, ctx: Context, top: str) -> Profile:
        """A file that came with a project; never kept, for links in it may change."""
        base = self.load(BASE, ctx)
        chain = Chain(_Source(self, ctx), (top, self.path(BASE, ctx)))
        chain.follow(path)
        layers = [
            narrow.without_network(layer) if layer.file in chain.foreign else layer
            for layer in chain.layers
        ]
        expander = Expander(ctx, dict(ctx.environ))
        profile = merge.build(layers, expander, domain=False, foreign=chain.foreign)
        narrow.check(profile, layers, chain.foreign, base, top)
        bounded = narrow.with_calls(narrow.confined(profile, chain.foreign, top), base)
        return narrow.with_deny(bounded, base)

    def _holds(self, known: _Built, ctx: Context, looked: dict[str, Stamp | None] | None) -> bool:
        """Whether nothing that a built profile depends on has changed."""
        if not all(_stamp(file, looked) == old for file, old in known.stamps):
            return False
        if known.cwd is not None:
            try:
                project(ctx)
            except Bad:
                return False
        return known.places == self._places(ctx, looked)

    def _places(
        self, ctx: Context, looked: dict[str, Stamp | None] | None = None
    ) -> tuple[Stamp | None, ...]:
        """Stamps of the directories: a new file there may be what a name now means."""
        return tuple([_stamp(directory, looked) for directory in self._trusted(ctx)])

    # ------------------------------------------------------------ names to files

    def _find(self, text: str, ctx: Context) -> tuple[str, bool]:
        """(absolute path, whether it was named by path)."""
        if "\0" in text or not text:
            raise UsageError(f"{quoted(text)} is no profile", hint="see: podsh profile list")
        if "/" in text or text.endswith(ENDINGS):
            given = text
            if text.startswith("~/"):
                given = ctx.home + text[1:]
            given = os.path.normpath(os.path.join(ctx.cwd, given))
            if "/" in text or os.path.lexists(given):
                return given, True
            for path in self._files_called(text, ctx):
                return path, False
            tried = ", ".join((ctx.cwd, *pod_directories(ctx.home), *self.directories))
            raise UsageError(f"no profile {quoted(text)}", hint=f"looked in {tried}")
        for path in self._candidates(text, ctx):
            return path, False
        known = {entry.name: entry.path for entry in self.entries()}
        if text in known:
            return known[text], False
        raise UsageError(
            f"no profile is called {quoted(text)}",
            hint=near(text, known) or "see: podsh profile list",
        )

    def _candidates(self, name: str, ctx: Context) -> Iterator[str]:
        """The files that a name may mean, the first first."""
        for directory in self.directories:
            for ending in ENDINGS:
                path = f"{directory}/{name}{ending}"
                if os.path.lexists(path):
                    yield path
        for directory in pod_directories(ctx.home):
            path = f"{directory}/{name}.pod"
            if os.path.lexists(path):
                yield path

    def _files_called(self, file: str, ctx: Context) -> Iterator[str]:
        for directory in (*pod_directories(ctx.home), *self.directories):
            path = f"{directory}/{file}"
            if os.path.lexists(path):
                yield path

    def _trusted(self, ctx: Context) -> list[str]:
        return [*self.directories, *pod_directories(ctx.home)]

    def _is_domain(self, path: str) -> bool:
        """Shipped profiles and pod files are domains only where they say so."""
        return os.path.dirname(path) != self.directories[-1] and not path.endswith(".pod")

    # ------------------------------------------------------------ files to layers

    def layer(self, path: str, looked: dict[str, Stamp | None] | None = None) -> Layer:
        """The layer of a file, parsed again if the file has changed."""
        known = self._layers.get(path)
        if known is not None and _stamp(path, looked) == known[0]:
            return known[1]
        if not path.endswith(ENDINGS):
            raise UsageError(
                "is neither .toml nor .pod", place=path, hint="rename it, or name a profile"
            )
        text, found = read(path)
        layer = _parse(path, text)
        self._layers[path] = (found, layer)
        return layer

    def parent(self, layer: Layer, parent: Setting, ctx: Context) -> str:
        """The file that one entry of ``extends`` names."""
        text: str = parent.value
        if "/" not in text and not text.endswith(ENDINGS):
            for path in self._candidates(text, ctx):
                if path != layer.file:
                    return path
        beside = Context(ctx.home, os.path.dirname(layer.file), ctx.environ)
        return self._find(text, beside)[0]


class _Source:
    """A library as seen by one caller (chain.Source). ``instead``: layers not on disk yet."""

    def __init__(self, library: Library, ctx: Context) -> None:
        self.library = library
        self.ctx = ctx
        self.instead: dict[str, Layer] = {}

    def layer(self, path: str) -> Layer:
        return self.instead.get(path) or self.library.layer(path)

    def parent(self, layer: Layer, parent: Setting) -> str:
        return self.library.parent(layer, parent, self.ctx)


class _Built(NamedTuple):
    """A profile and all that it was made from: ``cwd`` None where that was not asked for,
    ``read`` the variables that were."""

    profile: Profile
    stamps: tuple[tuple[str, Stamp], ...]
    places: tuple[Stamp | None, ...]
    home: str
    cwd: str | None
    read: dict[str, str]


class _Loaded(NamedTuple):
    """All domains of a caller, and what they were made from: ``listed`` of ``_files_found`` (the
    same object while the directories are what they were), every file, and as of ``_Built``."""

    listed: list[tuple[str, str, str]]
    found: list[tuple[str, Profile]]
    files: list[tuple[str, Stamp]]
    home: str
    cwd: str | None
    read: dict[str, str]

    @classmethod
    def of(
        cls,
        listed: list[tuple[str, str, str]],
        found: list[tuple[str, Profile]],
        built: list[_Built],
        files: dict[str, Stamp],
        ctx: Context,
    ) -> _Loaded:
        """files: what else was read."""
        read: dict[str, str] = {}
        for each in built:
            files.update(each.stamps)
            read |= each.read
        cwd = ctx.cwd if any(each.cwd is not None for each in built) else None
        return cls(listed, found, list(files.items()), ctx.home, cwd, read)

    def holds(self, listed: list[tuple[str, str, str]], ctx: Context) -> bool:
        """Whether all of it is as it was, for that caller. As ``_Built`` has it, in one pass."""
        if listed is not self.listed or self.home != ctx.home or self.cwd not in (None, ctx.cwd):
            return False
        environ = dict(ctx.environ) if self.read else {}
        if any(environ.get(name) != value for name, value in self.read.items()):
            return False
        try:
            if self.cwd is not None:
                project(ctx)
            return all([stamp(path) == old for path, old in self.files])
        except (Bad, OSError):
            return False


def _parse(path: str, text: str) -> Layer:
    return pod.parse(text, path) if path.endswith(".pod") else toml.parse(text, path)


def _stamp(path: str, looked: dict[str, Stamp | None] | None = None) -> Stamp | None:
    if looked is not None and path in looked:
        return looked[path]
    try:
        found = stamp(path)
    except OSError:
        found = None
    if looked is not None:
        looked[path] = found
    return found
