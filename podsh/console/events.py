"""Events as lines: signs carry the meaning (ux.md), colour only repeats it; bursts collapse. Pure.

12:04:33 web   ? 7  write ~/.gitconfig   git (pid 431)
"""

from __future__ import annotations

from podsh.console.render import (
    INDENT,
    age,
    cells,
    show,
    show_argv,
    show_domain,
    show_text,
    signal_name,
    size,
    wrapped,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PATH_WIDTH = 60
# on a narrow terminal paths are elided to no less
_LEAST_WIDTH = 16
_WHAT_WIDTH = 19
_COLORS = {"!": "31", "-": "31", "+": "32", "?": "33", ">": "36"}
# rules that no line of a file says
_RULES = {
    "hidden": "podsh's own",
    "access.unlisted": "not listed",
    "unattended": "nobody there",
}


def event_line(
    event: Mapping[str, Any], *, home: str = "", color: bool = False, width: int = 0
) -> str:
    """One event as one line; empty for what nobody wants to read. home: shown as ``~``.

    width: the terminal's columns (0: endless). What is longer is elided, then goes on below,
    indented: no name in it can begin a line.
    """
    sign, text = _words(event, home, PATH_WIDTH)
    if not text:
        return ""
    over = cells(_line(event, sign, text)) - width if width else 0
    if over > 0:
        text = _words(event, home, max(PATH_WIDTH - over, _LEAST_WIDTH))[1]
    return _colored(_line(event, sign, text), sign, color, width)


def _line(event: Mapping[str, Any], sign: str, text: str) -> str:
    import time

    try:
        clock = time.strftime("%H:%M:%S", time.localtime(float(event.get("ts", 0))))
    except (TypeError, ValueError, OverflowError, OSError):
        clock = "--:--:--"
    ident = show_text(str(event.get("id") or ""))
    name = show(str(event["pod"]), 24) if event.get("pod") else "podsh"
    return f"{clock} {name:<5} {sign} {ident:<2} {text}"


def _colored(line: str, sign: str, color: bool, width: int) -> str:
    if width:
        line = "\n".join(wrapped(line, width, INDENT))
    return f"\x1b[{_COLORS[sign]}m{line}\x1b[0m" if color and sign in _COLORS else line


def _words(event: Mapping[str, Any], home: str, width: int) -> tuple[str, str]:
    """The sign of an event and its text, paths in it elided to ``width``."""
    kind = str(event.get("ev", "?"))
    if kind in _ABOUT_PATHS:
        sign, detail = _ABOUT_PATHS[kind]
        return sign, _columns(f"{_mode(event)} {shown_path(event, home, width)}", detail(event))
    if kind == "transition":
        old, new = (show_domain(str(event.get(key, "?")), 24) for key in ("old", "new"))
        move = f"{old} -> {new}"
        return ">", _columns(move, f"{shown_path(event, home, width)}{_pid(event)}")
    if kind == "call":
        killed = event.get("verdict") == "killed"
        what = f"{'killed by' if killed else 'refused'} call {show_text(str(event.get('call')))}"
        rule = show_text(str(event.get("rule", "")))
        return "!" if killed else "-", _columns(what, f"{_caller(event)}; allowed by: {rule}")
    if kind == "oom":
        count, limit = event.get("count"), event.get("limit")
        of = f" of {size(limit)}" if isinstance(limit, int) else ""
        processes = "1 process was" if count == 1 else f"{show_text(str(count))} processes were"
        return "!", f"out of memory{of}: {processes} killed"
    if kind == "merged":
        return "?", f"the same again (×{show_text(str(event.get('count', '?')))})"
    if kind == "gone":
        return "-", "gone: its program ended or went on"
    if kind == "revoke":
        return "-", f"revoked {shown_path(event, home, width)}"
    if kind == "start":
        argv = [str(word) for word in _list(event.get("argv")) or ["?"]]
        return ".", f"start {show_argv(argv, width)}{_pid(event)}"
    if kind == "exit":
        return ".", exit_words(event)
    if kind == "failed":
        error = event.get("error")
        fields = error if isinstance(error, dict) else {}
        words = ": ".join(show_text(str(fields[k])) for k in ("place", "cause") if fields.get(k))
        return "!", f"failed: {words}" if words else f"failed ({event.get('code', '?')})"
    if kind == "lost":
        return "!", "lost: its monitor died"
    if kind == "left_out":
        return ".", f"{show_text(str(event.get('count', '?')))} more events were not written down"
    if kind == "ready":
        return ".", ""
    extra = show_text(str(event["text"])) if event.get("text") else ""
    return ".", extra if kind in ("portal", "note") else f"{show_text(kind)} {extra}".rstrip()


def _columns(what: str, detail: str) -> str:
    return f"{what:<{_WHAT_WIDTH}}  {detail}".rstrip()


def _mode(event: Mapping[str, Any]) -> str:
    mode = event.get("mode") or event.get("op") or ("write" if event.get("write") else "read")
    return show_text(str(mode))


def _pid(event: Mapping[str, Any]) -> str:
    return f" (pid {show_text(str(event['pid']))})" if event.get("pid") else ""


def _asking(event: Mapping[str, Any]) -> str:
    """Who asks: ``git (pid 431)``, and what is to be made there."""
    text = _caller(event)
    if event.get("exists") is False and event.get("link"):
        text += f", to make {show(str(event['link']).rpartition('/')[2], 24)}"
    return text + (f", to domain {show_domain(str(event['to']), 24)}" if event.get("to") else "")


def _caller(event: Mapping[str, Any]) -> str:
    argv = _list(event.get("argv"))
    name = str(argv[0]).rpartition("/")[2] if argv else "?"
    return show(name, 24) + _pid(event)


def _given(event: Mapping[str, Any]) -> str:
    return show_text(str(event.get("scope") or event.get("rule") or ""))


def _refused(event: Mapping[str, Any]) -> str:
    """Which rule refused it: ``rule base:12``, ``denied`` by the person, ``nobody there``."""
    rule = event.get("rule")
    if not isinstance(rule, dict):
        return show_text(str(rule)) if rule else "denied"
    name, line = rule.get("domain"), rule.get("line")
    if name and line:
        return f"rule {show(str(name), 24)}:{show_text(str(line))}"
    key = str(rule.get("key", "?"))
    if rule.get("file") and name:
        return f"rule {show(str(name), 24)} {show_text(key)}"
    return _RULES.get(key) or show_text(key)


_ABOUT_PATHS = {"request": ("?", _asking), "grant": ("+", _given), "denial": ("-", _refused)}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def shown_path(fields: Mapping[str, Any], home: str = "", width: int = PATH_WIDTH) -> str:
    """The ``path`` of an event or row, ``~`` for the home; width 0: all of it."""
    path = raw_path(fields)
    if home and home != "/" and (path == home or path.startswith(home + "/")):
        path = "~" + path[len(home) :]
    return show(path, width)


def raw_path(fields: Mapping[str, Any], key: str = "path") -> str:
    """The path as the file system has it (``os.fsdecode``): ``path_b64`` where it is not UTF-8."""
    encoded = fields.get(f"{key}_b64")
    if isinstance(encoded, str):
        import base64
        import os

        try:
            return os.fsdecode(base64.b64decode(encoded, validate=True))
        except ValueError:
            pass  # not base64: what it says in letters is all there is
    return str(fields.get(key, "?"))


def exit_words(event: Mapping[str, Any]) -> str:
    """``exit 2 after 31s``, ``killed by TERM after 3m``."""
    number = event.get("signal")
    words = f"exit {show_text(str(event.get('code', '?')))}"
    if isinstance(number, int) and number > 0:
        words = f"killed by {signal_name(number)}"
    seconds = event.get("seconds")
    return words + (f" after {age(seconds)}" if isinstance(seconds, (int, float)) else "")


# ---------------------------------------------------------------- bursts

# kind -> (sign, plural, how many of one pod are shown one by one in a window)
_BURSTS = {
    "transition": (">", "transitions", 5),
    "denial": ("-", "denials", 5),
    "grant": ("+", "grants", 5),
    "request": ("?", "requests", 16),
    "merged": ("?", "repetitions", 5),
    "gone": ("-", "gone", 5),
    "note": (".", "notes", 5),
    "call": ("-", "refused calls", 5),
}
WINDOW_S = 1.0


class _Window:
    """One kind of one pod's events: how many came, and those not shown yet."""

    __slots__ = ("end", "hot", "last", "lines", "total")

    def __init__(self, end: float, hot: bool) -> None:
        self.end = end
        self.hot = hot  # the window before overflowed: nothing is shown before its end
        self.total = 0
        self.lines: list[str] = []
        self.last: Mapping[str, Any] = {}


class Bursts:
    """Events to lines; many of one kind in a second become ``> 37 transitions (events web)``.

    The first few of a burst are shown at once; the line that counts them all comes at the end of
    its window (``due``). Times are seconds of any one clock. ``width``: as of ``event_line``.
    """

    def __init__(self, *, home: str = "", color: bool = False, width: int = 0) -> None:
        self.width = width
        self._home = home
        self._color = color
        self._windows: dict[tuple[str, str], _Window] = {}

    def add(self, event: Mapping[str, Any], now: float) -> list[str]:
        """The lines to print now that ``event`` has come."""
        lines = self.due(now)
        kind = str(event.get("ev", "?"))
        if kind not in _BURSTS:
            lines.append(self._shown(event))
            return [line for line in lines if line]
        if kind == "merged" and not _is_step(event.get("count")):
            return lines
        key = kind, str(event.get("pod"))
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window(now + WINDOW_S, False)
        most = _BURSTS[kind][2]
        window.total += 1
        window.last = event
        if window.total <= most:
            line = self._shown(event)
            (window.lines if window.hot else lines).append(line)
        return lines

    def _shown(self, event: Mapping[str, Any]) -> str:
        return event_line(event, home=self._home, color=self._color, width=self.width)

    def due(self, now: float) -> list[str]:
        """The lines of windows that are over."""
        lines: list[str] = []
        for key, window in list(self._windows.items()):
            if window.end > now:
                continue
            sign, plural, most = _BURSTS[key[0]]
            if window.total <= most:
                lines += window.lines
                del self._windows[key]
                continue
            text = f"{window.total} {plural} (events {show(key[1], 24)})"
            line = _line({**window.last, "id": None}, sign, text)
            lines.append(_colored(line, sign, self._color, self.width))
            self._windows[key] = _Window(now + WINDOW_S, True)
        return lines

    def wait_s(self, now: float) -> float | None:
        """How long until ``due`` has something to say; None: nothing is held back."""
        ends = [window.end for window in self._windows.values()]
        return max(min(ends) - now, 0.0) if ends else None


def _is_step(count: object) -> bool:
    """Whether a count is worth a line: 2, 4, 8, …"""
    return isinstance(count, int) and count & (count - 1) == 0
