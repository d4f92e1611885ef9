"""The portal's orders about requests and grants: from the wire to the desk and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podsh.errors import UsageError
from podsh.kernel.uapi import MOUNT_ATTR_RDONLY
from podsh.policy import why as reasons
from podsh.policy.access import words
from podsh.policy.events import path_to_wire, rule_to_wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from podsh.errors import PodshError
    from podsh.monitor.pod import Pod
    from podsh.policy.access import Mode

    Answer = Callable[[PodshError | dict[str, Any]], None]

_MODES: tuple[Mode, ...] = ("read", "write", "connect")


def requests(pod: Pod, _: dict[str, Any], answer: Answer) -> None:
    rows = pod.requests.desk.requests.rows(all_of_them=True)
    answer({"requests": rows, "held": pod.requests.here()})


def allow(pod: Pod, message: dict[str, Any], answer: Answer) -> None:
    path, mode = str(message["path"]), _mode(message)
    scope = str(message["scope"])
    if scope not in ("once", "pod", "save"):
        raise UsageError(f"no such scope: {scope!a}")

    def told(error: PodshError | None) -> None:
        done = {"path": path, "mode": mode, "scope": scope, "notes": []}
        answer(done if error is None else error)

    pod.requests.desk.allow(int(message["request"]), path, mode, scope, told)


def deny(pod: Pod, message: dict[str, Any], answer: Answer) -> None:
    pod.requests.desk.deny(int(message["request"]), bool(message.get("always")))
    answer({})


def why(pod: Pod, message: dict[str, Any], answer: Answer) -> None:
    found = reasons.why(
        pod.requests.desk.state, str(message["path"]), _mode(message), pod.jail.name
    )
    change = None
    if found.change is not None:
        file, line = found.change.where
        change = {"do": found.change.do, "line": found.change.line, "file": file, "at": line}
    answer(
        {
            "verdict": found.verdict,
            "text": found.text,
            "rule": rule_to_wire(found.rule) if found.rule is not None else None,
            "change": change,
        }
    )


def domain(pod: Pod, _: dict[str, Any], answer: Answer) -> None:
    state = pod.requests.desk.state
    answer(
        {
            "name": state.name,
            "candidates": list(state.names),
            "effective": [[one.path, words(one.perms)] for one in state.effective().accesses()],
            "grants": [
                {**path_to_wire(one.path), "mode": words(one.perms)} for one in state.grants
            ],
        }
    )


def mount(pod: Pod, message: dict[str, Any], answer: Answer) -> None:
    dst = message.get("dst")
    pod.requests.desk.mount(
        str(message["src"]),
        None if dst is None else str(dst),
        bool(message.get("write")),
        lambda error: answer({} if error is None else error),
    )


def revoke(pod: Pod, message: dict[str, Any], answer: Answer) -> None:
    path = str(message["path"])
    pod.requests.desk.revoke(path, lambda error: answer({} if error is None else error))


def grants(pod: Pod) -> list[dict[str, Any]]:
    """What was given to a live pod, the newest last."""
    found = pod.requests.mounts.given()
    return [
        {"path": shown.dst, "src": shown.src, "write": not shown.attrs & MOUNT_ATTR_RDONLY}
        for shown in found
    ]


def snapshot(pod: Pod) -> dict[str, Any]:
    """What an adopting portal has to know."""
    desk = pod.requests.desk
    known = desk.known
    return {
        "domain": known.name if known is not None else "",
        "candidates": list(known.names) if known is not None else [],
        "waiting": len(desk.waiting),
        "requests": desk.requests.rows(),
        "calls": pod.requests.calls,
        "grants": grants(pod),
    }


def _mode(message: dict[str, Any]) -> Mode:
    for mode in _MODES:
        if message.get("mode") == mode:
            return mode
    raise UsageError(f"no such mode: {message.get('mode')!a}")


ORDERS: dict[str, Callable[[Pod, dict[str, Any], Answer], None]] = {
    "requests": requests,
    "allow": allow,
    "deny": deny,
    "why": why,
    "domain": domain,
    "mount": mount,
    "revoke": revoke,
}
