"""ps, kill, rm: about pods as a whole."""

from __future__ import annotations

from podsh.commands.dispatch import of_each
from podsh.console.render import (
    age,
    show,
    show_argv,
    show_domain,
    show_text,
    signal_name,
    size,
    table,
)
from podsh.errors import TimedOut, UsageError
from podsh.wire import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from podsh.commands.context import Context
    from podsh.commands.syntax import Args

# after TERM a pod has so long to end by itself, then it is killed
GRACE_S = 2.0
KILL_S = 10.0
_COMMAND_WIDTH = 48


def ps(args: Args, context: Context) -> int:
    """List pods: an aligned table, or an object a line."""
    pods: list[dict[str, Any]] = context.portal().call("ps")["pods"]
    if args.flag("state"):
        from podsh.commands import states

        return states.list_(pods, args.flag("json"), context)
    if args.flag("json"):
        for pod in pods:
            context.emit(pod, "pod")
        return 0
    if not pods:
        context.out("No pods. Try: run -- bash")
        return 0
    long = args.flag("long")
    header = ["NAME", "STATE", "PID", "PROFILE", "AGE", "COMMAND"]
    if long:
        header[5:5] = ["ATTACHED", "WAITING", "NETWORK", "MEMORY", "CPU", "PROCESSES", "STATE IN"]
    for line in table(header, [_row(pod, long) for pod in pods]):
        context.row(line)
    return 0


def _row(pod: Mapping[str, Any], long: bool) -> list[str]:
    import time

    started = pod.get("started")
    row = [
        show(str(pod.get("name", "?"))),
        state_words(pod),
        str(pod.get("pid") or "-"),
        show_domain(str(pod.get("domain") or pod.get("profile") or "-")),
        age(time.time() - started) if isinstance(started, (int, float)) else "-",
        show_argv(map(str, pod.get("argv") or ()), 0 if long else _COMMAND_WIDTH),
    ]
    if long:
        row[5:5] = [
            "yes" if pod.get("attached") else "no",
            str(pod.get("waiting") or 0),
            network_words(pod.get("network") or {}),
            *_usage(pod),
            show(str(pod["state_dir"])) if pod.get("state_dir") else "-",
        ]
    return row


def _usage(pod: Mapping[str, Any]) -> list[str]:
    """Of a pod with limits: memory used and its limit, seconds of cpu and cores, processes."""
    used = pod.get("usage")
    if not isinstance(used, dict):
        return ["-", "-", "-"]

    def of(now: str, limit: str, form: Callable[[Any], str]) -> str:
        shown = "-" if used.get(now) is None else form(used[now])
        return shown if used.get(limit) is None else f"{shown}/{form(used[limit])}"

    seconds = used.get("cpu_seconds")
    cpu = "-" if seconds is None else f"{seconds:.1f}s"
    cores = used.get("cpu_limit")
    return [
        of("memory", "memory_limit", size),
        cpu if cores is None else f"{cpu} of {cores:g}",
        of("pids", "pids_limit", str),
    ]


def network_words(network: Mapping[str, Any]) -> str:
    """``loop``, ``macvlan eth0 52:54:00:12:34:56 192.168.1.8/24``, ``user, logged``."""
    fields = [network.get(key) for key in ("mode", "device", "mac", "address")]
    words = " ".join(show(str(field)) for field in fields if field)
    return (words or "-") + (", logged" if network.get("log") else "")


def state_words(pod: Mapping[str, Any]) -> str:
    """``running``, ``exit 2``, ``failed``."""
    state, code = str(pod.get("state", "?")), pod.get("exit")
    if state == messages.EXITED and isinstance(code, int):
        return f"exit {code}"
    return show(state)


def kill(args: Args, context: Context) -> int:
    """Send a signal to each pod's program; without one, end the pods and wait for that."""
    wanted = args.maybe("signal")
    number = signal_number(wanted) if wanted is not None else None
    portal = context.portal()
    names = args.many("pod")
    if number is not None:

        def signalled(name: str) -> None:
            portal.call("kill", name=name, signal=number)
            _tell(args, context, "signal", name, number)

        return of_each(names, signalled, context)
    import signal
    import time

    told = []

    def tell(name: str) -> None:
        portal.call("kill", name=name, signal=int(signal.SIGTERM))
        told.append(name)

    worst = of_each(dict.fromkeys(names), tell, context)
    end = time.monotonic() + GRACE_S

    def ended(name: str) -> None:
        try:
            portal.call("wait", name=name, timeout_s=max(end - time.monotonic(), 0.01))
        except TimedOut:
            portal.call("kill", name=name, signal=int(signal.SIGKILL))
            portal.call("wait", name=name, timeout_s=KILL_S)
        _tell(args, context, "killed", name)

    return of_each(told, ended, context, worst)


def _tell(args: Args, context: Context, what: str, name: str, number: int | None = None) -> None:
    if args.flag("json"):
        context.emit({"pod": name} | ({"signal": number} if number else {}), what)


def signal_number(text: str) -> int:
    """15 for ``TERM``, ``SIGTERM``, ``term`` and ``15``. Raises UsageError."""
    import signal

    names = {member.name.removeprefix("SIG"): member.value for member in signal.Signals}
    plain = text.upper().removeprefix("SIG")
    if plain in names:
        return names[plain]
    if text.isascii() and text.isdigit() and int(text) in signal.valid_signals():
        return int(text)
    from podsh.commands.syntax import near

    raise UsageError(
        f"no such signal: {text!a}",
        place="kill",
        hint=near(plain, list(names)) or "as in: podsh kill -s TERM",
    )


def signal_names() -> list[tuple[str, str]]:
    """(name, number) of every signal that has a name, for completion."""
    import signal

    return [(signal_name(s), str(s)) for s in sorted(signal.Signals)]


def rm(args: Args, context: Context) -> int:
    """Forget ended pods and remove their state; 1 where something was not overwritten."""
    portal = context.portal()
    fields: dict[str, Any] = {}
    for option, random in (("zero", False), ("nuke", True)):
        if (passes := args.maybe(option)) is not None:
            if fields:
                raise UsageError("--zero and --nuke", place="rm", hint="give one of the two")
            if passes == "0" or not (passes or "1").isdecimal():
                raise UsageError(f"--{option} {passes!a} is no number of passes", place="rm")
            fields = {"passes": int(passes or 1), "random": random}
    left = 0

    def remove(name: str) -> None:
        nonlocal left
        for note in portal.call("rm", name=name, **fields).get("notes", ()):
            context.err(f"podsh: {show(name)}: {show_text(str(note))}")
            left = 1
        _tell(args, context, "removed", name)

    return max(of_each(args.many("pod"), remove, context), left)
