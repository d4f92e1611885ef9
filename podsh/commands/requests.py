"""requests, allow, deny, review: what pods ask for, and a person's (or a script's) answer."""

from __future__ import annotations

import os

from podsh.commands.dispatch import of_each
from podsh.console import asking
from podsh.console.events import raw_path, shown_path
from podsh.console.render import clock, show, show_lines, show_text, table
from podsh.errors import PodshError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args


def requests(args: Args, context: Context) -> int:
    """List the requests that wait; with --all the last decided ones too."""
    everything = args.flag("all")
    rows: list[dict[str, Any]] = context.portal().call("requests", all=everything)["requests"]
    if args.flag("json"):
        for row in rows:
            context.emit(row, "request")
        return 0
    if not rows:
        context.out("No requests." if everything else "No requests wait.")
        return 0
    import time

    home, now = os.path.expanduser("~"), time.time()
    header = ["ID", "POD", "WAITS" if not everything else "STATE", "WANTS", "PATH", "PROGRAM"]
    lines = []
    for row in rows:
        waiting = row.get("state") == asking.WAITING
        count = row.get("count")
        times = f" ×{count}" if isinstance(count, int) and count > 1 else ""
        lines.append(
            [
                show_text(str(row["id"])),
                show(str(row.get("pod", "?")), 24),
                clock(asking.waited_s(row, now)) if waiting else show_text(str(row.get("state"))),
                show_text(str(row.get("op", "?"))),
                shown_path(row, home, 0),
                f"{asking.program(row)} (pid {show_text(str(row.get('pid', '?')))}){times}",
            ]
        )
    for line in table(header, lines):
        context.row(line)
    return 0


def allow(args: Args, context: Context) -> int:
    """Answer requests with yes, by their numbers; print the rules that were added."""
    condition = args.maybe("if")
    if context.scripted and condition is None:
        raise UsageError(
            "a script approves only what it names", place="allow", hint="--if 'OP PATH'"
        )
    profile = args.maybe("save")
    if profile is not None and args.flag("pod"):
        raise UsageError("--pod and --save exclude each other", place="allow")
    fields: dict[str, Any] = {
        "scope": "save" if profile is not None else "pod" if args.flag("pod") else "once",
        "profile": profile or None,
        "read": args.flag("read"),
    }
    rows = [_waiting(ident, context) for ident in _idents(args.many("id"), "allow")]
    for row in rows:
        if condition is not None:
            _check(row, condition)
    directory = args.maybe("dir")
    if directory is not None:
        # paths of requests have no links in them
        fields["dir"] = os.path.realpath(os.path.expanduser(directory))
        for row in rows:
            _check_wider(row, fields["dir"])
    for row in rows:
        if args.flag("json"):
            context.emit({"pod": row.get("pod"), "id": row["id"], **_yes(row, fields, context)})
        else:
            context.row(answer_yes(row, fields, context))
    return 0


def answer_yes(row: dict[str, Any], fields: dict[str, Any], context: Context) -> str:
    """Allow the request whose content ``row`` is; the rule that was added, as a line."""
    mode, path = asking.wants(row)
    answer = _yes(row, fields, context)
    where = show_text(str(answer.get("scope") or fields["scope"]))
    if answer.get("saved"):
        where = f"saved: {show_text(str(answer['saved']))}"
    rule = asking.rule(
        str(answer.get("mode", mode)), raw_path(answer) if "path" in answer else path
    )
    return f"{row['id']}: {rule}  {where}"


def _yes(row: dict[str, Any], fields: dict[str, Any], context: Context) -> dict[str, Any]:
    """Allow a request; the portal's answer. What is approved is what was seen: it compares."""
    mode, path = asking.wants(row)
    seen = {"if": f"{mode} {path}"}
    answer = context.portal().call("allow", request=row["id"], **seen, **fields)
    for note in answer.get("notes") or ():
        context.err("podsh: " + show_lines(str(note)))
    return {"ev": "grant", **answer}


def deny(args: Args, context: Context) -> int:
    """Answer requests with no: by their numbers, or all of a pod."""
    pod, idents = args.maybe("pod"), args.many("id")
    if (pod is None) == (not idents):
        raise UsageError("name requests, or a pod", place="deny", hint="as in: podsh deny 7")
    always = args.flag("always")

    def tell(row: dict[str, Any], line: str) -> None:
        if args.flag("json"):
            context.emit({**row, "state": "denied", "always": always}, "denial")
        else:
            context.row(line)

    if pod is not None:
        for row in context.portal().call("deny", pod=pod, always=always)["denied"]:
            tell(row, _denied(row, always))
        return 0

    def refuse(ident: int) -> None:
        row = _waiting(ident, context)
        tell(row, answer_no(row, context, always=always))

    return of_each(_idents(idents, "deny"), refuse, context)


def answer_no(row: dict[str, Any], context: Context, *, always: bool) -> str:
    """Refuse a request; what was refused, as a line."""
    context.portal().call("deny", request=row["id"], always=always)
    return _denied(row, always)


def _denied(row: dict[str, Any], always: bool) -> str:
    scope = "denied, and the same from now on" if always else "denied"
    return f"{row['id']}: {asking.rule(*asking.wants(row))}  {scope}"


def review(args: Args, context: Context) -> int:
    """The dialog about the requests that wait."""
    import sys

    wanted = args.maybe("id")
    row = _waiting(_idents([wanted], "review")[0], context) if wanted is not None else None
    if not (sys.stdin.isatty() and sys.stdout.isatty()) and context.mode != "console":
        raise UsageError("needs a terminal", place="review", hint="requests; allow ID; deny ID")
    from podsh.commands.attach import capable

    if not capable():
        reason = "needs a terminal that moves its cursor"
        raise UsageError(reason, place="review", hint="requests; allow ID; deny ID")
    if row is None and not context.portal().call("requests")["requests"]:
        context.out("No requests wait.")
        return 0
    from podsh.console.dialog import converse

    for line in converse(context, row["id"] if row is not None else None):
        context.row(line)
    return 0


# ---------------------------------------------------------------- which one


def _idents(texts: list[str], place: str) -> list[int]:
    found = []
    for text in texts:
        if not (text.isascii() and text.isdigit()) or len(text) > 18:
            raise UsageError(
                f"{text!a} is no request's number", place=place, hint="see: podsh requests"
            )
        found.append(int(text))
    return list(dict.fromkeys(found))


def _waiting(ident: int, context: Context) -> dict[str, Any]:
    """The row of a request that waits. Raises PodshError for one that does not."""
    rows: list[dict[str, Any]] = context.portal().call("requests", all=True)["requests"]
    for row in rows:
        if row["id"] == ident:
            if row.get("state") == asking.WAITING:
                return row
            raise PodshError(asking.ended(row), place=str(ident))
    raise PodshError("no such request waits", place=str(ident), hint="see: podsh requests")


def _check(row: dict[str, Any], condition: str) -> None:
    home = os.path.expanduser("~")
    wanted = asking.parse_condition(condition, home)
    # links below the home are not followed: somebody else may have put them there
    if asking.wants(row) not in (wanted, asking.parse_condition(condition, os.path.realpath(home))):
        raise PodshError(
            f"asks to {asking.rule(*asking.wants(row))}, not to {asking.rule(*wanted)}",
            place=str(row["id"]),
            hint="nothing was approved",
        )


def _check_wider(row: dict[str, Any], directory: str) -> None:
    mode, path = asking.wants(row)
    reason = asking.may_widen(directory, path, os.path.realpath(os.path.expanduser("~")))
    if mode == "connect" and directory != path:
        reason = "a socket is given by itself"
    if reason:
        raise UsageError(f"--dir {show(directory)}: {reason}", place=str(row["id"]))
