"""jettison: its own command line, on the same code as ``run``.

``jettison PROGRAM POD [options] [arguments]``: the first option that jettison does not know, and
all that follows, are the program's arguments.
"""

from __future__ import annotations

from podsh.commands import launching
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args


def jettison(args: Args, context: Context) -> int:
    """Run PROGRAM in POD; its exit code."""
    if args.flag("listcalls"):
        return _list_calls(args, context)
    program, pod = args.maybe("program"), args.maybe("pod")
    if program is None or pod is None:
        missing = "PROGRAM" if program is None else "POD"
        raise UsageError(
            f"missing {missing}",
            place="jettison",
            hint="as in: podsh jettison /bin/bash my.pod --strict",
        )
    from podsh.commands import run

    fields = run.request(args)
    fields["argv"] = [program, *args.rest]
    fields["profiles"] = run.profile_names([pod])
    # named as the one thing to run a program in, wherever it lies, as jettison takes it
    fields["own"] = True
    fields["settings"] = settings(args)
    fields["blacklist"] = _file(args.maybe("blacklist"), fields["cwd"])
    if args.flag("tracecalls"):
        from podsh.commands import trace

        return trace.traced(fields, trace.TEMPLATE, context)
    return run.foreground(fields, context)


def settings(args: Args) -> dict[str, Any]:
    """What the options say over the pod file, by the keys of a TOML profile."""
    found = launching.settings(args, "jettison")
    if args.flag("strict"):
        found["seccomp.strict"] = True
    if args.maybe("blacklist") is not None:
        found["seccomp.blacklist"] = True
    if args.flag("block_new_filters"):
        found["seccomp.new_filters"] = False
    if args.flag("allow_ptrace"):
        found["seccomp.ptrace"] = True
    return found


def _file(path: str | None, cwd: str) -> str | None:
    """An own blacklist's path, absolute; None for the system's."""
    import os

    return os.path.join(cwd, os.path.expanduser(path)) if path else None


def _list_calls(args: Args, context: Context) -> int:
    """Every call that the filter knows, with its number here; others are ENOSYS."""
    from podsh.kernel import syscalls

    if args.rest not in ([], ["--json"]):
        raise UsageError(f"unrecognized arguments: {args.rest[0]!a}", place="jettison --listcalls")
    arch = syscalls.native()
    calls = sorted(syscalls.NAMES.get(arch, {}).items(), key=lambda item: item[1])
    for name, number in calls:
        if args.rest:
            context.emit({"call": name, "number": number, "arch": arch}, "call")
        else:
            context.out(f"{number:>4} {name}")
    return 0
