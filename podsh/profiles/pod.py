"""jettison's ``.pod`` files -> Layer: line by line, both dialects, as jettison reads them.

    # comment                     at the line's start, or after a blank
    file FLAGS /path              bind at the same place; FLAGS of r w x s d: without x noexec,
                                  without s nosuid, without d nodev, without w read-only
    home FLAGS /path              the same below $HOME, shown below /podhome; / is the whole home
    home_exec  tmp_exec           /podhome and /tmp are noexec without them
    noproc  newpts                no /proc; an own devpts instance is always there
    machine-id [ID]               32 hex digits, else a fresh one
    seccomp_allow CALL            (or seccomp) any of them makes a whitelist, first lines first
    seccomp_block CALL
    capability CAP_X
    newnet none|loop|ipvlan DEV ADDR|macvlan DEV MAC ADDR     (or netns; beside jettison: user)
    x11                           (or X11)
    cmdr NAME

Without a newnet line the pod shares the host's network, as in jettison. What is not listed is not
there, and nobody is asked for it ([access] unlisted = "deny"). Nothing expands in a
path, and blanks cannot be in one. A system directory with w is bound read-only, with a note; what
is below it may be writable. A name with ``__NR_`` before a call is the old form of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from podsh.errors import UsageError
from podsh.profiles import values as v
from podsh.profiles.expand import absolute
from podsh.profiles.layer import Layer, RawBind, Setting
from podsh.profiles.schema import Where
from podsh.profiles.words import Bad, near, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ENTRIES = 20_000
MAX_DESCRIPTION = 120

# never writable themselves (jettison's list, and what has joined them since)
SYSTEM_DIRS = frozenset(
    """
    /bin /boot /dev /efi /etc /home /lib /lib32 /lib64 /libx32 /media /mnt /opt /proc /root /run
    /sbin /srv /sys /usr /var
    /usr/bin /usr/etc /usr/games /usr/include /usr/lib /usr/lib32 /usr/lib64 /usr/libexec
    /usr/libx32 /usr/local /usr/sbin /usr/share /usr/src
    /usr/local/bin /usr/local/etc /usr/local/include /usr/local/lib /usr/local/libexec
    /usr/local/sbin /usr/local/share
    /var/cache /var/lib /var/log /var/run /var/spool
    """.split()
)
ALIASES = {"seccomp": "seccomp_allow", "netns": "newnet", "X11": "x11"}
# words of older jettisons, and what to do about them
GONE = {
    "cap_bset": "write capability",
    "chroot": "take the line out: a pod's root is podsh's own",
    "newnetns": "write newnet none",
    "rootpidns": "take the line out: a pod always has its own pid namespace",
    "slog": "take the line out: bind /dev/log with file if the pod is to write there",
    "ttypod": "take the line out: a pod always has a terminal of its own",
    "xephyr": "write x11, and give --x11 nested; or [x11] nested = true in a TOML profile that"
    " extends this one",
}


def parse(text: str, file: str) -> Layer:
    """The layer that a ``.pod`` file describes. Raises UsageError with ``file:line``."""
    reader = _Reader(file)
    reader.describe(text)
    for number, line in enumerate(text.split("\n"), 1):
        words = line.removesuffix("\r").replace("\t", " ").split(" ")
        for index, word in enumerate(words):
            if word.startswith("#"):
                del words[index:]
                break
        if words := [word for word in words if word]:
            reader.line(number, words)
    return reader.finish()


class _Reader:
    """The layer so far, and the line being read."""

    def __init__(self, file: str) -> None:
        self.where = Where(file)
        self.entries = 0
        stem = os.path.basename(file).removesuffix(".pod")
        try:
            stem = v.name(stem)
        except Bad as bad:
            raise UsageError(bad.cause, place=file, hint=bad.hint) from None
        self.layer = Layer(file, stem, dialect="pod")
        self.allow: dict[str, None] = {}
        self.block: dict[str, None] = {}
        self.caps: dict[str, None] = {}
        self.set("fs.home", "podhome")
        self.set("fs.home_exec", False)
        self.set("fs.tmp_exec", False)
        self.set("net.mode", "host")
        # a whitelist, in which what is missing is not there: nobody is asked, no program waits
        self.set("access.unlisted", "deny")

    def describe(self, text: str) -> None:
        """A comment at the file's very start describes it."""
        first = text[:MAX_DESCRIPTION].partition("\n")[0].strip()
        if first.startswith("#") and first.isprintable():
            self.layer.description = first.strip("# ")

    def set(self, key: str, value: object) -> None:
        self.layer.settings[key] = Setting(value, self.where)

    def line(self, number: int, words: list[str]) -> None:
        self.where = Where(self.layer.file, number)
        self.entries += 1
        try:
            if self.entries > MAX_ENTRIES:
                raise Bad(f"more than {MAX_ENTRIES} lines", "is this a profile?")
            for word in words:
                if not word.isprintable():
                    raise Bad(f"{quoted(word)} has unprintable characters", "remove them")
            keyword = ALIASES.get(words[0], words[0])
            handler = HANDLERS.get(keyword)
            if handler is None:
                raise Bad(
                    f"unknown keyword {quoted(words[0])}",
                    GONE.get(keyword) or near(keyword, [*HANDLERS, *ALIASES])
                    or f"known: {', '.join(HANDLERS)}",
                )  # fmt: skip
            handler(self, words[1:])
        except Bad as bad:
            raise UsageError(bad.cause, place=str(self.where), hint=bad.hint) from None

    def finish(self) -> Layer:
        for key, names in (
            ("seccomp.allow", self.allow),
            ("seccomp.block", self.block),
            ("caps.keep", self.caps),
        ):
            if names:
                self.set(key, tuple(names))
        return self.layer

    def once(self, key: str, words: str) -> None:
        """Refuse a second line about ``key``."""
        if (old := self.layer.settings.get(key)) and old.where.line:
            raise Bad(f"{words} is there twice (first at line {old.where.line})", "keep one")

    def file(self, words: list[str]) -> None:
        flags, path = _flags_and_path("file", words)
        path = absolute(path)
        if "w" in flags and path in SYSTEM_DIRS:
            flags = flags.replace("w", "")
            self.layer.notes.append(
                f"{self.where}: {path} is bound read-only (a system directory);"
                " name a directory below it to write there"
            )
        self.bind(flags, path, None)

    def home(self, words: list[str]) -> None:
        flags, path = _flags_and_path("home", words)
        path = absolute(path) if path.strip("/") else ""
        self.bind(flags, f"~{path}", f"/podhome{path}")

    def bind(self, flags: str, path: str, dst: str | None) -> None:
        self.layer.binds.append(
            RawBind(
                path,
                self.where,
                "path",
                dst,
                write="w" in flags,
                exec="x" in flags,
                suid="s" in flags,
                dev="d" in flags,
                literal=True,
            )
        )

    def newnet(self, words: list[str]) -> None:
        self.once("net.mode", "newnet")
        mode, *rest = words or [""]
        form = _NETS.get(mode)
        if form is None:
            raise Bad(
                f"newnet {quoted(mode)} is none of {', '.join(_NETS)}",
                near(mode, _NETS) or "write newnet none",
            )
        if len(rest) != len(form):
            count = ("nothing more", "one word", "two words", "three words")[len(form)]
            line = " ".join(("newnet", mode, *form))
            raise Bad(f"newnet {mode} takes {count}", f"write {line}")
        for part, word in zip(form, rest, strict=True):
            key, check = _NET_PARTS[part]
            self.set(key, check(word))
        self.set("net.mode", mode)

    def machine_id(self, words: list[str]) -> None:
        _at_most("machine-id", words, 1, "machine-id, or machine-id ID")
        self.once("fs.machine_id", "machine-id")
        self.set("fs.machine_id", v.machine_id(words[0]) if words else "")

    def cmdr(self, words: list[str]) -> None:
        name = _one("cmdr", words, "NAME")
        self.once("run.cmdr", "cmdr")
        self.set("run.cmdr", v.script(name))


def _at_most(keyword: str, words: list[str], most: int, form: str) -> None:
    if len(words) > most:
        raise Bad(f"{quoted(words[most])} after {keyword} is too much", f"write {form}")


def _one(keyword: str, words: list[str], name: str) -> str:
    _at_most(keyword, words, 1, f"{keyword} {name}")
    if not words:
        raise Bad(f"{keyword} names nothing", f"write {keyword} {name}")
    return words[0]


def _flags_and_path(keyword: str, words: list[str]) -> tuple[str, str]:
    form = f"write {keyword} FLAGS /path, FLAGS of r w x s d"
    if len(words) == 1 and words[0].startswith("/"):
        raise Bad(f"{keyword} {quoted(words[0])} has no flags", f"write {keyword} r {words[0]}")
    if len(words) < 2:
        raise Bad(f"{keyword} needs flags and a path", form)
    flags, path = words[:2]
    if len(words) > 2:
        raise Bad(
            f"{quoted(words[2])} after the path is too much",
            "a path of a .pod file has no blanks; a TOML profile takes them",
        )
    if wrong := set(flags) - set("rwxsd"):
        raise Bad(f"{keyword} has the unknown flag {quoted(min(wrong))}", form)
    if len(flags) > 5:
        raise Bad(f"{keyword} has a flag twice", form)
    if not path.startswith("/"):
        raise Bad(f"{quoted(path)} does not begin with /", form)
    return flags, path


def _switch(key: str, value: object) -> Callable[[_Reader, list[str]], None]:
    """The handler of a word that stands alone."""

    def handle(reader: _Reader, words: list[str]) -> None:
        if words:
            raise Bad(f"{quoted(words[0])} is too much", "the word stands alone")
        if key:
            reader.set(key, value)

    return handle


def _allow(reader: _Reader, words: list[str]) -> None:
    reader.allow[v.call(_one("seccomp_allow", words, "CALL"))] = None


def _block(reader: _Reader, words: list[str]) -> None:
    reader.block[v.call(_one("seccomp_block", words, "CALL"))] = None


def _capability(reader: _Reader, words: list[str]) -> None:
    reader.caps[v.capability(_one("capability", words, "CAP_X"))] = None


_NETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "loop": (),
    "user": (),
    "ipvlan": ("DEV", "ADDR"),
    "macvlan": ("DEV", "MAC", "ADDR"),
}
_NET_PARTS: dict[str, tuple[str, v.Checker]] = {
    "DEV": ("net.device", v.device),
    "MAC": ("net.mac", v.mac),
    "ADDR": ("net.address", v.address),
}
HANDLERS: dict[str, Callable[[_Reader, list[str]], None]] = {
    "file": _Reader.file,
    "home": _Reader.home,
    "home_exec": _switch("fs.home_exec", True),
    "tmp_exec": _switch("fs.tmp_exec", True),
    "noproc": _switch("fs.proc", False),
    "newpts": _switch("", None),
    "machine-id": _Reader.machine_id,
    "seccomp_allow": _allow,
    "seccomp_block": _block,
    "capability": _capability,
    "newnet": _Reader.newnet,
    "x11": _switch("x11.enabled", True),
    "cmdr": _Reader.cmdr,
}
