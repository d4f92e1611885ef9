"""why: the rule that decides about a path, and the line that would turn it."""

from __future__ import annotations

import os

from podsh.commands.grants import absolute
from podsh.console.events import raw_path
from podsh.console.render import show, show_domain, show_text
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

_VERDICTS = {
    "allowed": "allowed",
    "transition": "allowed, and the pod moves",
    "ask": "asked",
    "deny": "denied",
}


def why(args: Args, context: Context) -> int:
    """What becomes of a path in a live pod, or in one that would be started with a profile."""
    from podsh.commands.run import profile_names

    profiles = profile_names(args.many("profile"))
    pod, path = args.text("pod"), args.maybe("path")
    if profiles:
        if path is not None:
            raise UsageError("name a pod or a profile", place="why", hint="why -p dev ~/x")
        path = pod
    elif path is None:
        raise UsageError("missing PATH", place="why", hint="as in: podsh why web ~/.gitconfig")
    about = {
        "path": absolute(path),
        "write": args.flag("write"),
        "name": None if profiles else pod,
        "profiles": profiles,
        "cwd": os.getcwd(),
        "environ": dict(os.environ),
    }
    answer = context.portal().call("why", **about)
    if args.flag("json"):
        context.emit({"pod": about["name"], **answer}, "why")
        return 0
    for line in lines(answer, "" if profiles else pod):
        context.row(line)
    return 0


def lines(answer: Mapping[str, Any], pod: str = "") -> list[str]:
    """The answer in words."""
    place = f"{show(pod)}, {show_domain(str(answer['domain']))}" if pod else ""
    place = place or show_domain(str(answer["domain"]))
    path = show(raw_path(answer))
    verdict = _VERDICTS.get(str(answer["verdict"]), show(str(answer["verdict"])))
    found = [f"{verdict}: {show(str(answer['mode']))} {path}  ({place})"]
    if answer["asked"] != answer["path"]:
        found.append(f"  leads there  {show(str(answer['asked']))}")
    found.append(f"  because      {show_text(str(answer['text']))}")
    rule = answer.get("rule") or {}
    if rule.get("file"):
        at = f":{rule['line']}" if rule.get("line") else ""
        said = f"  {show_text(str(rule['text']))}" if rule.get("text") else ""
        found.append(f"  rule         {show_text(rule['file'] + at)}  {rule['key']}{said}")
    change = answer.get("change")
    if change is None:
        found.append("  to turn it   nothing does")
    elif change["do"] == "run":
        found.append(f"  to turn it   podsh {show_text(str(change['line']))}")
    else:
        at = f":{change['at']}" if change.get("at") else ""
        where = f"in {show_text(change['file'] + at)} " if change["file"] else ""
        doing = f"{where}{show(change['do']).strip(chr(34))}"
        found.append(f"  to turn it   {doing}: {show_text(str(change['line']))}")
    return found
