"""graph, tree, kage info: the domains that there are, and a pod's place among them."""

from __future__ import annotations

import os
import sys

from podsh.console import chart
from podsh.console.render import show, show_text
from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

FORMS = ("dot", "svg", "png")
# drawing may take long, and is no reason to wait for ever
_DRAW_S = 60
_INSTALL = {
    "apt-get": "apt-get install graphviz",
    "dnf": "dnf install graphviz",
    "pacman": "pacman -S graphviz",
    "zypper": "zypper install graphviz",
    "apk": "apk add graphviz",
}


def graph(args: Args, context: Context) -> int:
    """The graph as DOT, or drawn by graphviz."""
    wanted = [form for form in FORMS if args.flag(form)]
    if len(wanted) > 1:
        raise UsageError(f"--{' and --'.join(wanted)} exclude each other", place="graph")
    output = args.maybe("output")
    if args.flag("json"):
        if wanted or output is not None:
            raise UsageError("--json is no drawing", place="graph", hint="without -o, --dot, …")
        context.emit(_ask(args, context), "graph")
        return 0
    form = wanted[0] if wanted else _form_of(output)
    if form == "png" and output is None and sys.stdout.isatty():
        raise UsageError("a PNG is not for a terminal", place="graph", hint="give -o FILE")
    text = chart.dot(_ask(args, context), os.path.expanduser("~"))
    data = text.encode() + b"\n" if form == "dot" else _drawn(text, form)
    if output is not None:
        _write(output, data)
    elif form == "png":
        context.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        context.out(data.decode("utf-8", "replace").rstrip("\n"))
    return 0


def _write(output: str, data: bytes) -> None:
    try:
        with open(os.path.expanduser(output), "wb") as file:
            file.write(data)
    except OSError as exc:
        raise UsageError(f"cannot be written: {exc.strerror}", place=show(output)) from None


def info(args: Args, context: Context) -> int:
    """``kage info``: the domains in words, or their graph as DOT."""
    output = args.maybe("output")
    if output is None and not args.flag("dot"):
        return tree(args, context)
    text = chart.dot(_ask(args, context), os.path.expanduser("~"))
    if output is None:
        context.out(text)
    else:
        _write(output, text.encode() + b"\n")
    return 0


def _form_of(output: str | None) -> str:
    """What a file's ending asks for."""
    ending = (output or "").rpartition(".")[2]
    return ending if ending in FORMS else "dot"


def tree(args: Args, context: Context) -> int:
    """All domains by what leads to what; or a pod's place, grants and processes."""
    answer = _ask(args, context)
    if args.flag("json"):
        context.emit(answer, "tree")
        return 0
    home = os.path.expanduser("~")
    draw = chart.tree if answer["pod"] is None else chart.pod_tree
    for line in draw(answer, home):
        context.row(line)
    return 0


def _ask(args: Args, context: Context) -> dict[str, Any]:
    try:
        cwd = os.getcwd()
    except OSError:  # it was removed: profiles that use it are no domains there
        cwd = "/"
    about = {"name": args.maybe("pod"), "cwd": cwd, "environ": dict(os.environ)}
    answer = context.portal().call("graph", **about)
    for reason in answer["broken"]:
        context.err(f"podsh: no domain until it is mended: {show_text(str(reason))}")
    return answer


def _drawn(text: str, form: str) -> bytes:
    """What graphviz makes of DOT."""
    import subprocess

    try:
        done = subprocess.run(
            ["dot", f"-T{form}"], input=text.encode(), capture_output=True, timeout=_DRAW_S
        )
    except FileNotFoundError:
        raise UsageError(
            "graphviz is not here", place="graph", hint=f"install it: {_install()}"
        ) from None
    except subprocess.TimeoutExpired:
        raise PodshError(
            f"dot did not end within {_DRAW_S} s", place="graph", hint="--dot is always quick"
        ) from None
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it failed"]
        raise PodshError(show_text(words[0]), place="dot")
    return done.stdout


def _install() -> str:
    """The command that installs graphviz here."""
    for directory in os.environ.get("PATH", os.defpath).split(":"):
        for program, command in _INSTALL.items():
            if os.access(os.path.join(directory, program), os.X_OK):
                return command
    return "see graphviz.org"
