"""mount, revoke: what a live pod is given by hand, and taken from it again."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from podsh.commands.context import Context
    from podsh.commands.syntax import Args


def mount(args: Args, context: Context) -> int:
    """Attach a host path in a live pod, read-only unless ``--write``."""
    given = {
        "src": absolute(args.text("src")),
        "dst": args.maybe("dst"),
        "write": args.flag("write"),
    }
    context.portal().call("mount", name=args.text("pod"), **given)
    if args.flag("json"):
        context.emit({"pod": args.text("pod"), **given}, "mount")
    return 0


def revoke(args: Args, context: Context) -> int:
    """Detach the newest mount at a path."""
    path = absolute(args.text("path"))
    context.portal().call("revoke", name=args.text("pod"), path=path)
    if args.flag("json"):
        context.emit({"pod": args.text("pod"), "path": path}, "revoke")
    return 0


def absolute(path: str) -> str:
    """As the shell would have it: ``~`` of the console and relative paths are the caller's."""
    return os.path.join(os.getcwd(), os.path.expanduser(path))
