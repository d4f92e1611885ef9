"""cp: files into and out of pods."""

from __future__ import annotations

import os
import posixpath

from podsh.commands.copying import Copy, Place
from podsh.console.render import show, show_text
from podsh.errors import PodshError, UsageError
from podsh.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.portal.client import Client

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_HINT = "as in: podsh cp web:report.txt .   (a file with a colon: ./a:b)"


def cp(args: Args, context: Context) -> int:
    """Copy; 1 where something was left out, which is told."""
    words = args.text("src"), args.text("dst")
    if not any(_split(word)[0] for word in words):
        raise UsageError("neither is POD:PATH", place="cp", hint=_HINT)

    def tell(path: str, why: str) -> None:
        if args.flag("json"):
            context.emit({"path": path, "cause": why}, "left_out")
        else:
            context.err(f"podsh: left out: {show(path)}: {show_text(why)}")

    places: list[Place] = []
    try:
        places += (_place(word, context.portal) for word in words)
        copy = Copy(args.flag("recursive"), tell)
        copy.run(*places)
    except OSError as exc:
        where = show(str(exc.filename or ""))
        raise PodshError(os.strerror(exc.errno or 0), place=where) from None
    finally:
        for place in places:
            place.close()
    if args.flag("json"):
        context.emit({"src": words[0], "dst": words[1], "left_out": copy.left_out}, "copied")
    return 1 if copy.left_out else 0


def _split(word: str) -> tuple[str, str]:
    """(pod, path); no pod for a file of the host's."""
    pod, colon, path = word.partition(":")
    return (pod, path) if colon and pod and "/" not in pod else ("", word)


def paths_of_pods(
    typed: str, pods: Iterable[tuple[str, str]], portal: Callable[[], Client]
) -> list[tuple[str, str]]:
    """What ``POD:PATH`` that begins so may become, for completion: ``pods`` (name, state), or the
    names in a directory of one; directories end in a slash."""
    pod, path = _split(typed)
    if not pod:
        return [(name + ":", state) for name, state in pods]
    directory, name = posixpath.split(path)
    head = typed[: len(typed) - len(name)]
    try:
        place = _place(f"{pod}:{directory}", portal)
        try:
            return [(head + found, "") for found in place.names(name)]
        finally:
            place.close()
    except (PodshError, OSError):
        return []


def _place(word: str, portal: Callable[[], Client]) -> Place:
    pod, path = _split(word)
    shown = show(word)
    if not pod:
        return _on_the_host(path, shown)
    if "\0" in path:
        raise UsageError("has a NUL in it", place=shown)
    row = portal().call("pod", name=pod)
    if row.get("state") in messages.LIVE and row.get("socket"):
        return _in_a_live_pod(str(row["socket"]), path, shown)
    return _in_its_state(row, path, shown)


def _on_the_host(path: str, shown: str) -> Place:
    """The directory as named, links followed; its last part is not, unless it ends with /."""
    path = os.path.expanduser(path)
    parent, name = os.path.split(path)
    if name in ("", ".", ".."):
        parent, name = path, ""
    return Place(os.open(parent or ".", _DIRECTORY), name, shown)


def _in_a_live_pod(socket: str, path: str, shown: str) -> Place:
    """Below the root of what its programs see; a relative path is below the pod's home."""
    from podsh.portal.client import monitor

    channel = monitor(socket, messages.FILES)
    try:
        channel.hello()
        channel.send({"op": "root"})
        answer, root = channel.receive_fd()
    finally:
        channel.close()
    full = _below_home(str(answer["home"]), path)
    return Place(root, full.lstrip("/"), shown)


def _below_home(home: str, path: str) -> str:
    """What a path means in a pod, also one with the ``~`` of events and requests."""
    if path == "~" or path.startswith("~/"):
        path = path[2:]
    return posixpath.normpath(posixpath.join(home, path))


def _in_its_state(row: dict[str, object], path: str, shown: str) -> Place:
    """Of a pod that has ended, its home is what is left."""
    home = row.get("home")
    if not isinstance(home, list):
        raise UsageError(
            "has ended, and no home of its own is left", place=shown, hint="see: podsh ps --state"
        )
    inside, directory = map(str, home)
    full = _below_home(inside, path)
    if full != inside and not full.startswith(inside.rstrip("/") + "/"):
        raise UsageError(f"has ended: of it only {show(inside)} is left", place=shown)
    state = str(row["state_dir"])
    root = os.open(os.path.join(state, directory), _DIRECTORY | os.O_NOFOLLOW)
    return Place(root, full[len(inside) :].lstrip("/"), shown)
