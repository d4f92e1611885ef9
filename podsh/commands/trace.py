"""trace: a program in a pod, all system calls of it and its children counted."""

from __future__ import annotations

import json
import os

from podsh.console.render import show, show_text
from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

TEMPLATE = "podtemplate.pod"


def trace(args: Args, context: Context) -> int:
    """Run CMD; its exit code. The counts go to standard error, the whitelist into a file."""
    from podsh.commands import run

    return traced(run.request(args), args.maybe("output") or TEMPLATE, context)


def traced(fields: dict[str, Any], output: str, context: Context) -> int:
    """Run what ``fields`` describe (see ``run.request``) and write ``output``."""
    from podsh.commands import run
    from podsh.profiles import calls

    path = os.path.join(fields["cwd"], os.path.expanduser(output))
    fields = {**fields, "trace": True, "rm": False}
    lines = context.portal().call("pod_file", **fields)
    context.last_pod = None
    try:
        code = run.foreground(fields, context)
    except PodshError:
        _forget(lines, context)
        raise
    name = str(context.last_pod)
    pod = context.portal().call("pod", name=name)
    try:
        with open(os.path.join(pod["state_dir"], "calls.json"), encoding="utf-8") as file:
            counts: dict[str, int] = json.load(file)
    except (OSError, ValueError):
        raise PodshError(
            "no calls were counted: the pod goes on, or did not start", place=show(name)
        ) from None
    _forget(lines, context)
    _print(counts, context)
    text = calls.template(lines["argv"], lines["lines"], counts, os.uname().machine)
    _write(path, text)
    context.err(f"podsh: {show(path)} allows these; try: {_again(lines['argv'], output)}")
    return code


def _forget(lines: dict[str, Any], context: Context) -> None:
    """A pod that nobody named was there for its counts only."""
    if context.last_pod is None or lines["named"]:
        return
    try:
        context.portal().call("rm", name=context.last_pod)
    except PodshError:
        pass  # gone, or it goes on


def _print(counts: dict[str, int], context: Context) -> None:
    from podsh.profiles import calls

    total = sum(counts.values())
    context.err(f"podsh: {total} calls, {len(counts)} different ones")
    for name, count in calls.ranked(counts):
        context.err(f"{count:>9} {name}")


def _again(argv: list[str], output: str) -> str:
    import shlex

    name = output if "/" in output else f"./{output}"
    words = ["podsh", "jettison", argv[0], name, "--strict", *argv[1:]]
    return show_text(shlex.join(words))


def _write(path: str, text: str) -> None:
    """Anew, never through a link that lies there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(
            os.open(path, flags, 0o666), "w", encoding="utf-8", errors="surrogateescape"
        ) as f:
            f.write(text)
    except OSError as exc:
        raise UsageError(
            f"cannot be written: {exc.strerror}", place=show(path), hint="name another with -o"
        ) from None
