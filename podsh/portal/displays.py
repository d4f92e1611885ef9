"""The display and the Wayland socket that a pod is given: of all there are, the caller's current.

What is found goes into the plan: the socket, to be held by the monitor; the display's cookie alone,
in a file of the pod's; the variables that name them.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from podsh.errors import UsageError
from podsh.kernel import installed, landlock
from podsh.kernel.address import Address
from podsh.operations import MIB, OWN, Bind, Dir, File, JailPlan, Op, Tmpfs
from podsh.portal import xauthority

if TYPE_CHECKING:
    from podsh.profiles.schema import Context, Profile

DIRECTORY = "/tmp/.X11-unix"
_DISPLAY = re.compile(
    r"(?:(?P<protocol>unix|local|tcp|inet6?)/)?(?P<host>[^/]*):(?P<number>\d{1,5})(?:\.(?P<screen>\d{1,5}))?\Z"
)
_ABSTRACT = re.compile(r" 00010000 .* @(/tmp/\.X11-unix/X\d+)$", re.MULTILINE)  # __SO_ACCEPTCON
_LISTING_BYTES = 4 << 20
_RUNTIME_BYTES = 64 * MIB
# networks by which a pod reaches other machines; of this one's loopback only the first
_NETS = ("host", "user", "ipvlan", "macvlan")


class Display(NamedTuple):
    """A display's name in its parts. ``host`` is empty for one of this machine's sockets."""

    host: str
    number: int
    screen: str

    def __str__(self) -> str:
        return f"{self.host}:{self.number}" + (f".{self.screen}" if self.screen else "")

    @property
    def path(self) -> str:
        """Its socket's file."""
        return f"{DIRECTORY}/X{self.number}"

    @property
    def loopback(self) -> bool:
        """Whether it is reached by this machine's own network (as ssh forwards them)."""
        return self.host in ("localhost", "::1", "[::1]") or self.host.startswith("127.")


class Wanted(NamedTuple):
    """What a command line and a profile ask for."""

    x11: bool
    nested: bool
    wayland: bool


def wanted(profile: Profile, message: dict[str, Any]) -> Wanted:
    """``--x11 [nested]`` and ``--wayland`` over ``[x11]`` and ``[wayland]``. UsageError."""
    option = message.get("x11")
    if profile.wayland.nested:
        raise UsageError(
            "[wayland] nested is nothing that podsh does",
            place=profile.source or profile.name,
            hint="write enabled = true: Wayland itself keeps one client's keys and windows from"
            " others",
        )
    nested = profile.x11.nested or option == "nested"
    x11 = profile.x11.enabled or nested or option is not None
    return Wanted(x11, nested, profile.wayland.enabled or bool(message.get("wayland")))


class Nested(NamedTuple):
    """An X server that is to be the pod's own: its program, its display's number, its cookie."""

    program: str
    number: int
    cookie: xauthority.Entry

    @property
    def screen(self) -> Display:
        """As the pod sees it."""
        return Display("", self.number, "")


class Found(NamedTuple):
    """The displays that are there. ``entry``: the X display's cookie. ``wayland``: a socket.
    ``nested``: the pod gets that one instead of the display, where it shows itself."""

    display: Display | None = None
    entry: xauthority.Entry | None = None
    wayland: str = ""
    nested: Nested | None = None


def look(wants: Wanted, ctx: Context, message: dict[str, Any]) -> Found:
    """The caller's current ones. Reads files, tries sockets, and may ask for a host's address: not
    for the portal's loop. UsageError where there is none."""
    environ = dict(ctx.environ) | {str(k): str(v) for k, v in message.get("env", {}).items()}
    display = entry = None
    wayland = _wayland_socket(environ) if wants.wayland else ""
    name = environ.get("DISPLAY", "")
    if wants.x11 and (name or not wants.nested):
        display = parse(name)
        if not display.host:
            _check(display.path, f"X display {display}", "is DISPLAY that of a live server?")
        entry = _authority(display, environ, ctx)
    nested = _nested(display) if wants.nested else None
    return Found(display, entry, wayland, nested)


def settled(plan: JailPlan, found: Found, state: str) -> JailPlan:
    """``plan`` with them. state: the pod's own directory on the host. UsageError for a display
    that such a pod would not reach."""
    if found.wayland:
        plan = _wayland(plan, found.wayland)
    if found.nested is not None:
        plan = _x11_nested(plan, found, found.nested, state)
    elif found.display is not None:
        plan = _x11(plan, found.display, found.entry)
    return plan


# ---------------------------------------------------------------- X11


def parse(name: str) -> Display:
    """DISPLAY as X clients read it: ``:0``, ``unix:0.1``, ``host:0``. UsageError."""
    if not name:
        raise UsageError(
            "there is no X display: DISPLAY is not set",
            place="--x11",
            hint="start it from a terminal of the display, or set DISPLAY; --x11 nested needs none",
        )
    found = _DISPLAY.match(name)
    if found is None:
        raise UsageError(
            f"DISPLAY={ascii(name)[1:-1]} is no display's name",
            place="--x11",
            hint="as in DISPLAY=:0",
        )
    protocol, host = found["protocol"] or "", found["host"]
    local = host in ("", "unix") if not protocol else protocol in ("unix", "local")
    if not local and not host:
        host = "localhost"
    return Display("" if local else host, int(found["number"]), found["screen"] or "")


def _x11(plan: JailPlan, display: Display, entry: xauthority.Entry | None) -> JailPlan:
    ops: list[Op] = []
    notes: list[str] = []
    if display.host:
        _check_network(display, plan.network.mode)
    else:
        ops += [Dir(DIRECTORY, 0o1777), connectable(display.path, display.path, "--x11")]
        notes += _warnings(plan)
    if entry is None:
        notes.append(f"no cookie was found for display {display}: its server may refuse the pod")
    return with_display(plan, ops, str(display), [entry] if entry else [], notes)


def _nested(display: Display | None) -> Nested:
    """The server to start: one with a window on the display, or one without anything."""
    program = installed.find(installed.XEPHYR) if display is not None else None
    program = program or installed.find(installed.XVFB)
    if program is None:
        raise UsageError(
            "neither Xephyr nor Xvfb is installed",
            place="--x11 nested",
            hint="sudo apt-get install xserver-xephyr xvfb (Debian's names)",
        )
    # its socket lies beside that of the display
    number = 1 if display is not None and display.number == 0 else 0
    return Nested(program, number, xauthority.cookie(number, os.urandom(16)))


def _x11_nested(plan: JailPlan, found: Found, nested: Nested, state: str) -> JailPlan:
    path = nested.screen.path
    if shown := _covering(plan, DIRECTORY):
        raise UsageError(
            f"the pod is shown the host's {shown}: there is no room for a display of its own",
            place="--x11 nested",
            hint=f"leave out {shown}, or show directories below it",
        )
    source = f"{socket_directory(state)}/{os.path.basename(path)}"
    ops: list[Op] = [Dir(DIRECTORY, 0o1777), connectable(source, path, "--x11 nested", own=True)]
    notes = _warnings(plan)
    if found.display is not None and os.path.basename(nested.program) != installed.XEPHYR:
        notes.append(
            "Xephyr is not installed: what the pod shows is on a screen that nobody sees (Xvfb);"
            " sudo apt-get install xserver-xephyr"
        )
    return with_display(plan, ops, str(nested.screen), [nested.cookie], notes)


def socket_directory(state: str) -> str:
    """Where the socket of a pod's own X server appears, on the host."""
    return f"{state}/x11"


def with_display(
    plan: JailPlan,
    ops: list[Op],
    display: str,
    entries: list[xauthority.Entry],
    notes: list[str],
) -> JailPlan:
    """``plan`` with ``ops``, and a program that finds ``display`` and its cookie."""
    file = authority_file(plan, entries)
    return _with(plan, [*ops, file], {"DISPLAY": display, "XAUTHORITY": file.path}, notes)


def authority_file(plan: JailPlan, entries: list[xauthority.Entry]) -> File:
    """The pod's own .Xauthority: in its home, if that is its own, and not in a directory of the
    host's, whose .Xauthority is hidden there."""
    homes = {op.dst for op in plan.ops if isinstance(op, Bind) and op.own}
    homes |= {op.path for op in plan.ops if isinstance(op, Tmpfs)}
    home = dict(plan.program.env).get("HOME", "")
    own = home in homes and not _covering(plan, home)
    path = f"{home}/.Xauthority" if own else f"{OWN}/Xauthority"
    return File(path, text(xauthority.write(entries)), 0o600)


def _covering(plan: JailPlan, path: str) -> str:
    """The directory of the host's that is shown at ``path`` or above it; empty: there is none."""
    for op in plan.ops:
        place = op.dst or op.src if isinstance(op, Bind) and not op.own else ""
        if place and f"{path}/".startswith(f"{place}/"):
            return place
    return ""


def _authority(display: Display, environ: dict[str, str], ctx: Context) -> xauthority.Entry | None:
    """The display's own cookie out of the caller's, for the pod."""
    path = environ.get("XAUTHORITY") or f"{ctx.home}/.Xauthority"
    path = os.path.join(ctx.cwd, path)
    found = xauthority.best(xauthority.read(_contents(path)), display.number, _addresses(display))
    return None if found is None else xauthority.alone(found, display.number)


def listening_abstract() -> str:
    """The address of an X server in the abstract namespace of our network that no scope keeps
    pods from; empty if there is none."""
    if landlock.has_scopes():
        return ""
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
            found = _ABSTRACT.search(file.read(_LISTING_BYTES))
    except OSError:
        return ""
    return found[1] if found else ""


def _warnings(plan: JailPlan) -> list[str]:
    """Of a server's other address, which a pod with the host's network can name."""
    abstract = "" if plan.network.own else listening_abstract()
    if not abstract:
        return []
    return [
        f"the X server listens at @{abstract} too, in the network that the pod shares, and this"
        " kernel cannot keep it from there (Linux 6.12 can); deny requests for that, or use"
        " --net none, or start the server with -nolisten local"
    ]


def _check_network(display: Display, mode: str) -> None:
    if mode == "host" or (mode in _NETS and not display.loopback):
        return
    network = "this machine's loopback" if display.loopback else "the network"
    raise UsageError(
        f"display {ascii(str(display))[1:-1]} is reached by {network}, which the pod does not have",
        place="--x11",
        hint="give it the host's: --net host; or keep it apart: --x11 nested",
    )


def _addresses(display: Display) -> set[tuple[int, bytes]]:
    """What the entries of a display are filed under."""
    own = socket.gethostname()
    if not display.host or display.loopback or display.host == own:
        # libX11 and ssh file those of the loopback under the machine's name, too
        return {(xauthority.LOCAL, os.fsencode(own))}
    found: set[tuple[int, bytes]] = set()
    try:
        infos = socket.getaddrinfo(display.host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return found
    for family, _, _, _, address in infos:
        kind = xauthority.INTERNET if family == socket.AF_INET else xauthority.INTERNET6
        if family in (socket.AF_INET, socket.AF_INET6):
            found.add((kind, socket.inet_pton(family, str(address[0]).partition("%")[0])))
    return found


def _contents(path: str) -> bytes:
    """A small regular file's, nothing of any other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        return file.read(xauthority.MAX_BYTES)


# ---------------------------------------------------------------- Wayland


def _wayland_socket(environ: dict[str, str]) -> str:
    name = environ.get("WAYLAND_DISPLAY") or "wayland-0"
    path = os.path.normpath(os.path.join(environ.get("XDG_RUNTIME_DIR", ""), name))
    if not path.startswith("/"):
        raise UsageError(
            "there is no Wayland display: XDG_RUNTIME_DIR is not set",
            place="--wayland",
            hint="start it from a terminal of the display",
        )
    hint = "is WAYLAND_DISPLAY that of a live compositor?"
    _check(path, "Wayland display", hint, "--wayland")
    return path


def _wayland(plan: JailPlan, path: str) -> JailPlan:
    directory, name = f"/run/user/{os.getuid()}", os.path.basename(path)
    ops: list[Op] = [connectable(path, f"{directory}/{name}", "--wayland")]
    if not any((op.dst or op.src) == directory for op in plan.ops if isinstance(op, Bind)):
        ops.insert(0, Tmpfs(directory, 0o700, _RUNTIME_BYTES))
    return _with(plan, ops, {"WAYLAND_DISPLAY": name, "XDG_RUNTIME_DIR": directory}, [])


# ---------------------------------------------------------------- sockets and plans


def connectable(src: str, dst: str, where: str, own: bool = False) -> Bind:
    """A socket of the host's that the pod may connect to without a question."""
    return Bind(src, dst, False, False, False, False, False, where, own, socket=True)


def _check(path: str, what: str, hint: str, place: str = "--x11") -> None:
    """Say it in words where nobody would be reached at ``path``. UsageError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
        try:
            with Address(path) as address:
                client.connect(address)
        except BlockingIOError:
            pass  # many wait: it is there
        except OSError as exc:
            cause = os.strerror(exc.errno or 0)
            raise UsageError(f"no {what}: {path}: {cause}", place=place, hint=hint) from None


def _with(plan: JailPlan, ops: list[Op], env: dict[str, str], notes: list[str]) -> JailPlan:
    program = replace(plan.program, env=tuple((dict(plan.program.env) | env).items()))
    return replace(plan, ops=(*plan.ops, *ops), program=program, notes=(*plan.notes, *notes))


def text(data: bytes) -> str:
    """Bytes for a File, as it takes them."""
    return data.decode("utf-8", "surrogateescape")
