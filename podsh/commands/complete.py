"""complete: candidates for shells, whose stubs in completions/ know nothing themselves."""

from __future__ import annotations

import os

from podsh.console.complete import candidates, local_source, unfinished
from podsh.console.render import show_text
from podsh.errors import PodshError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

STUBS = {"bash": "podsh.bash", "zsh": "_podsh", "fish": "podsh.fish"}


def complete(args: Args, context: Context) -> int:
    """Candidates for the last word, for the shells' stubs; with --stub, such a stub itself."""
    shell = args.maybe("stub")
    if shell is not None:
        from podsh import paths

        with open(os.path.join(paths.shared("completions"), STUBS[shell]), encoding="utf-8") as f:
            context.out(f.read().rstrip("\n"))
        return 0
    words = args.rest
    if args.flag("typed"):  # as they stand on the line, quotes and all
        words = [unfinished(word)[0][-1] for word in words]
    form = args.maybe("format") or "lines"
    try:
        found = candidates(words, source_for(context))
    except PodshError:
        return 0  # nothing to offer; a shell's prompt is no place for an error
    for value, text in found:
        if not value.isprintable():
            continue  # with an escape or a newline; a shell would draw it as it is
        context.out(_line(value, show_text(text), form))
    return 0


def _line(value: str, text: str, form: str) -> str:
    if form == "values":
        return value
    if form == "zsh":  # of _describe; the sign: whether more of the word comes
        name = value.replace("\\", "\\\\").replace(":", "\\:")
        return (
            ("-" if value.endswith(("/", "=", ":")) else "+") + name + (f":{text}" if text else "")
        )
    return f"{value}\t{text}" if text else value


def source_for(context: Context) -> Callable[[str, str], list[tuple[str, str]]]:
    """Where completion looks live names up; starts no portal."""

    def source(tag: str, prefix: str) -> list[tuple[str, str]]:
        if tag in ("pod", "live"):
            from podsh.commands.pods import state_words
            from podsh.wire.messages import LIVE

            portal = context.running_portal()
            pods = portal.call("ps")["pods"] if portal is not None else []
            return [
                (str(pod["name"]), state_words(pod))
                for pod in pods
                if tag == "pod" or pod.get("state") in LIVE
            ]
        if tag == "podpath":
            from podsh.commands.files import paths_of_pods

            pods = source("pod", "")
            found = paths_of_pods(prefix, pods, context.portal) if pods else []
            return found + local_source("path", prefix)
        if tag == "request":
            from podsh.console.asking import brief

            portal = context.running_portal()
            rows = portal.call("requests")["requests"] if portal is not None else []
            return [(str(row["id"]), brief(row)) for row in rows]
        if tag == "profile":
            return _profiles(context)
        if tag == "variable" and context.mode != "shell":
            return [(name, "") for name in context.variables]
        return local_source(tag, prefix)

    return source


def _profiles(context: Context) -> list[tuple[str, str]]:
    """By the portal, which has read them; without one the names of the files."""
    portal = context.running_portal()
    if portal is None:
        from podsh import paths
        from podsh.profiles import places

        return [(name, "") for name in places.stems(paths.config_dir(), os.path.expanduser("~"))]
    listed = portal.call("profiles")["profiles"]
    return [(str(p["name"]), str(p.get("description") or "")) for p in listed]
