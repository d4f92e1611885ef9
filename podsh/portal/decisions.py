"""What pods ask for, and a person's answers: from a client's words to the monitor that waits."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING, Any

from podsh.errors import PodshError, TimedOut, UsageError
from podsh.policy import why as reasons
from podsh.policy.access import contains
from podsh.policy.domain import Index
from podsh.policy.events import path_to_wire
from podsh.policy.state import start_as
from podsh.portal import launch
from podsh.portal.saving import save_rule, targets

if TYPE_CHECKING:
    from podsh.policy.access import Mode
    from podsh.portal.domains import Domains
    from podsh.portal.fleet import Fleet
    from podsh.portal.pods import Pod
    from podsh.profiles.find import Library

MAX_WAIT_S = 366 * 86400.0
SCOPES = ("once", "pod", "save")


class Decisions:
    """The portal's side of ``requests``, ``allow``, ``deny`` and ``why``. It holds no request: each
    is its monitor's, and is asked for anew."""

    def __init__(self, fleet: Fleet, library: Library, domains: Domains) -> None:
        self._fleet = fleet
        self._library = library
        self._domains = domains

    async def requests(self, message: dict[str, Any]) -> dict[str, Any]:
        """The rows of those that wait, the oldest first; ``all``: with those decided lately."""
        everything, only = bool(message.get("all")), message.get("pod")
        pods = [
            pod
            for pod in ([self._fleet.get(str(only))] if only else self._fleet.pods.values())
            if not pod.ended and (everything or pod.requests)
        ]
        found = await asyncio.gather(*map(self._rows, pods))
        rows = [row for rows in found for row in rows]
        if not everything:
            rows = [row for row in rows if row["state"] == "waiting"]
        return {"requests": sorted(rows, key=lambda row: int(row["id"]))}

    async def _rows(self, pod: Pod) -> list[dict[str, Any]]:
        """Of one pod; none where it is just ending."""
        try:
            rows: list[dict[str, Any]] = (await self._fleet.ask(pod.name, "requests"))["requests"]
        except PodshError:
            if not pod.ended:
                raise
            return []
        return rows

    async def _row(self, ident: int) -> tuple[Pod, dict[str, Any]]:
        pod = self._fleet.pods.get(self._fleet.asked.get(ident, ""))
        if pod is not None and not pod.ended:
            for row in await self._rows(pod):
                if row["id"] == ident:
                    return pod, row
        raise UsageError("no such request", place=str(ident), hint="see: podsh requests --all")

    async def allow(self, message: dict[str, Any]) -> dict[str, Any]:
        """Grant a request: its object, or a directory above (``dir``); ``read`` only, or ``mode``.
        ``if``: what the person saw, "OP PATH"."""
        ident, scope = int(message["request"]), str(message.get("scope") or "once")
        if scope not in SCOPES:
            raise UsageError(f"no such scope: {scope!a}", hint=f"one of: {', '.join(SCOPES)}")
        pod, row = await self._row(ident)
        path = path_of(row)
        seen = message.get("if")
        if seen is not None and seen not in (f"{row['op']} {path}", f"{row['op']} {row['path']}"):
            raise UsageError(
                f"asks to {row['op']} {path!a}", place=str(ident), hint="nothing was approved"
            )
        mode = str(message.get("mode") or ("read" if message.get("read") else row["op"]))
        if mode != row["op"] and (mode, row["op"]) != ("read", "write"):
            raise UsageError(f"asks to {row['op']}, not to {mode}", place=str(ident))
        wider = message.get("dir")
        if wider is not None:
            path = _above(self._domains, str(wider), path, ident)
        keep = None
        if scope == "save":
            keep = save_rule(self._library, pod, row, path, mode, message.get("profile"))
        answer = await self._fleet.ask(
            pod.name, "allow", request=ident, path=path, mode=mode, scope=scope
        )
        if keep is not None:
            try:
                answer["saved"] = await asyncio.to_thread(keep)
            except PodshError as exc:
                raise PodshError(f"given to {pod.name}, but not saved: {exc}") from None
        return answer

    async def save_targets(self, message: dict[str, Any]) -> dict[str, Any]:
        """The profiles in which ``allow`` with scope save could keep its rule."""
        names, reason = targets(*await self._row(int(message["request"])))
        return {"targets": names, "reason": reason}

    async def deny(self, message: dict[str, Any]) -> dict[str, Any]:
        """Refuse a request, or all that wait in ``pod``: then the rows of these."""
        always = bool(message.get("always"))
        if message.get("pod") is None:
            pod, row = await self._row(int(message["request"]))
            return await self._fleet.ask(pod.name, "deny", request=row["id"], always=always)
        pod = self._fleet.get(str(message["pod"]))
        denied = []
        for row in (await self.requests({"pod": pod.name}))["requests"]:
            try:
                await self._fleet.ask(pod.name, "deny", request=row["id"], always=always)
            except UsageError:
                continue  # decided or gone meanwhile
            denied.append(row)
        return {"denied": denied}

    async def wait(self, message: dict[str, Any]) -> dict[str, Any]:
        """The number of the oldest request that waits in a pod, once there is one.

        A pod whose requests nobody would answer is an error: they are denied at once.
        """
        pod, limit = self._fleet.get(str(message["name"])), message.get("timeout_s")
        try:
            async with asyncio.timeout(None if limit is None else min(float(limit), MAX_WAIT_S)):
                return {"request": await self._next(pod)}
        except TimeoutError:
            raise TimedOut("asks for nothing", place=pod.name) from None

    async def _next(self, pod: Pod) -> int:
        while not pod.ended:
            change = self._fleet.change(pod.name)  # from now on nothing is missed
            try:
                answer = await self._fleet.ask(pod.name, "requests")
                waiting = [int(r["id"]) for r in answer["requests"] if r["state"] == "waiting"]
                if waiting:
                    return min(waiting)
                if not answer.get("held", True):
                    raise UsageError(
                        "nobody is there to answer, so its requests are denied at once",
                        place=pod.name,
                        hint="start it with: run --ask hold",
                    )
                await change
            finally:
                change.cancel()
        raise PodshError("has ended, and asks for nothing", place=pod.name)

    async def why(self, message: dict[str, Any]) -> dict[str, Any]:
        """The rule that decides about a path: in a live pod (``name``), or for what would be
        started with ``profiles``."""
        asked = str(message["path"])
        mode: Mode = "write" if message.get("write") else "read"
        self._domains.paths.refresh()
        path, there = self._domains.paths.real(asked)
        shown = path_to_wire(asked)["path"]
        about = {**path_to_wire(path), "asked": shown, "exists": there, "mode": mode}
        if message.get("name") is not None:
            name = str(message["name"])
            answer = await self._fleet.ask(name, "why", path=path, mode=mode)
            return answer | about | {"domain": self._fleet.get(name).domain}
        start = launch.by_profile(self._domains, self._library, message, launch.context(message))
        index = Index([known.domain for known in start.others])
        state = start_as(index, start.own.domain, self._domains.hidden())
        return reasons.to_wire(reasons.why(state, path, mode)) | about | {"domain": state.name}


def path_of(row: dict[str, Any]) -> str:
    """The path of a row, its bytes as they are."""
    raw = row.get("path_b64")
    return os.fsdecode(base64.b64decode(raw)) if raw else str(row["path"])


def _above(domains: Domains, wider: str, path: str, ident: int) -> str:
    """The directory to grant instead, links followed. The monitor says what is too wide."""
    domains.paths.refresh()
    wider, _ = domains.paths.real(wider)
    if not contains(wider, path):
        raise UsageError(f"{path!a} is not below {wider!a}", place=str(ident))
    return wider
