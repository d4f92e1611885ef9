"""The options of a launch that ``run`` and ``jettison`` share, as settings over the profile's."""

from __future__ import annotations

from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.syntax import Args

MIN_STACK_KB = 64


def settings(args: Args, place: str) -> dict[str, Any]:
    """What the options say, by the keys of a TOML profile. Raises UsageError."""
    found: dict[str, Any] = {}
    for option in ("daemon", "logoutput"):
        if args.flag(option):
            found[f"run.{option}"] = True
    if args.flag("clear_environ"):
        found["run.clear_env"] = True
    if name := args.maybe("procname"):
        found["run.procname"] = name
    if script := args.maybe("init"):
        found["run.init"] = script
    if (size := args.maybe("stacksize")) is not None:
        if not (size.isascii() and size.isdigit() and len(size) < 12):
            raise UsageError(f"--stacksize {size!a} is no number", place=place, hint="in KB")
        if int(size) < MIN_STACK_KB:
            raise UsageError(
                f"--stacksize {size} is too small to start a program",
                place=place,
                hint=f"in KB: {MIN_STACK_KB} or more",
            )
        found["run.stack"] = int(size) << 10
    if (log := args.maybe("lognet")) is not None:
        found["net.log"] = _log(log, place)
    return found


def _log(text: str, place: str) -> list[int]:
    """SIZE and COUNT of ``--lognet``."""
    words = text.split(" ")
    if not all(word.isascii() and word.isdigit() and len(word) < 8 for word in words):
        raise UsageError(
            f"--lognet {text!a} is not two numbers",
            place=place,
            hint="SIZE of a file in MB (0: no bound) and COUNT of files (0: all are kept)",
        )
    return [int(word) for word in words]
