"""events: what happened, and what happens from now on."""

from __future__ import annotations

import os

from podsh.console.events import event_line
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args
    from podsh.portal.client import Client

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_CLOCKS = ("%H:%M:%S", "%H:%M")
_DATES = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")


def events(args: Args, context: Context) -> int:
    """Print what happened so far; with -f, also what happens from now on."""
    import time

    follow, since, last = args.flag("follow"), args.maybe("since"), args.maybe("last")
    fields: dict[str, Any] = {
        "since": "start",
        "follow": follow,
        "pods": args.many("pod"),
        "kinds": args.many("kind"),
        "after": moment(since, time.time()) if since is not None else None,
        "last": _count(last) if last is not None else None,
    }
    json = args.flag("json")
    home, day = os.path.expanduser("~"), ""
    latest = 0.0

    def show(portal: Client) -> None:
        nonlocal day, latest
        if before := latest:
            fields.update(after=latest, last=None)  # of another portal: what is new
        for event in portal.events(**fields):
            if event.get("ev") == "live":
                if not follow:
                    return
                continue
            if before and float(event.get("ts", 0)) <= before:
                continue
            latest = max(latest, float(event.get("ts", 0)))
            if json:
                context.emit(event)
            elif line := event_line(event, home=home, color=context.color, width=context.width):
                if (date := _date(event)) != day:
                    if day or date != _date({"ts": time.time()}):  # lines say the time alone
                        context.out(f"-- {date}")
                    day = date
                context.out(line)
                if follow:
                    context.flush()

    context.patiently(show)
    return 0


def _date(event: dict[str, Any]) -> str:
    import time

    try:
        return time.strftime("%Y-%m-%d", time.localtime(float(event.get("ts", 0))))
    except (TypeError, ValueError, OverflowError, OSError):
        return "no date"


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise UsageError(f"-n takes a number, not {text!a}", place="events")
    return int(text)


def moment(text: str, now: float) -> float:
    """Seconds since the epoch for ``10m`` (ago), ``12:30`` (today, or yesterday where that is yet
    to come), a date with or without a time, or such seconds themselves. Raises UsageError."""
    import time

    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isascii() and number.isdigit() and len(number) < 9:
        return now - int(number) * _UNITS[unit]
    if text.isascii() and text.replace(".", "", 1).isdigit() and len(text) > 8:
        return float(text)
    today = time.localtime(now)
    for form in _CLOCKS + _DATES:
        try:
            found = time.strptime(text, form)
        except ValueError:
            continue
        days = (found.tm_year, found.tm_mon, found.tm_mday)
        if form in _CLOCKS:
            days = (today.tm_year, today.tm_mon, today.tm_mday)
        clock = (found.tm_hour, found.tm_min, found.tm_sec)
        at = time.mktime((*days, *clock, 0, 0, -1))
        if form in _CLOCKS and at > now:
            at = time.mktime((*days[:2], days[2] - 1, *clock, 0, 0, -1))
        return at
    raise UsageError(
        f"--since: not a time: {text!a}", place="events", hint="10m, 12:30 or 2026-01-31T12:30"
    )
