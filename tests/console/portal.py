"""A stand-in for the portal: answers calls from a table, sends events, on the real socket."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from podsh.errors import PodshError, UsageError
from podsh.wire import messages
from podsh.wire.framing import Decoder, encode_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUNNING = {
    "name": "web",
    "state": "running",
    "pid": 401,
    "profile": "dev",
    "argv": ["make", "-j"],
    "started": 1.0,
    "exit": None,
}
REQUEST = {
    "id": 7,
    "pod": "web",
    "op": "write",
    "path": "/home/u/.gitconfig",
    "object": "file",
    "pid": 431,
    "argv": ["/usr/bin/git", "fetch", "origin"],
    "parent": [412, "make"],
    "exists": True,
    "count": 1,
    "state": "waiting",
    "ts": 1.0,
    "domain": "build",
    "to": "",
    "rule": None,
    "link": "/home/u/.gitconfig",
}
ENDED = {**RUNNING, "name": "old", "state": "exited", "pid": None, "exit": 2, "argv": ["\x1b[2J"]}


class Portal:
    """Listens below ``runtime``; ``calls`` lists what was asked: (op, fields)."""

    def __init__(self, runtime: Path, hello: dict[str, Any] | None = None) -> None:
        directory = runtime / "podsh"
        directory.mkdir(mode=0o700, exist_ok=True)
        self.hello = hello or messages.hello_answer(os.getpid())
        self.pods: list[dict[str, Any]] = [RUNNING, ENDED]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "ps": lambda _: {"pods": [self._row(pod) for pod in self.pods]},
            "profiles": lambda _: {"profiles": [{"name": "dev", "path": "/d", "description": ""}]},
            "kill": lambda _: {},
            "requests": self._rows,
            "allow": self._allow,
            "deny": self._deny,
        }
        self.rows: list[dict[str, Any]] = []
        self.kept: list[dict[str, Any]] = []
        self.held = threading.Event()  # set: an op "wait" is being held
        self._followers: list[socket.socket] = []
        self._clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / "portal.sock"))
        self._listener.listen()
        self._start(self._accept)

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._clients.append(client)
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        decoder = Decoder()
        greeted = False
        while True:
            try:
                data = client.recv(65536)
            except OSError:
                return
            if not data:
                return
            try:
                for _, frame in decoder.feed(data):
                    if not greeted:
                        greeted = True
                        client.sendall(encode_json(self.hello))
                    else:
                        self._answer(client, frame)
            except OSError:
                return  # it had asked without waiting for the hello, and left

    def _answer(self, client: socket.socket, frame: dict[str, Any]) -> None:
        op = frame["op"]
        self.calls.append((op, {k: v for k, v in frame.items() if k not in ("id", "op")}))
        if op == "wait" and op not in self.answers:
            self.held.set()
            return
        answer: dict[str, Any]
        try:
            if op == "events":
                answer = {"ok": {}}
            elif op in self.answers:
                answer = {"ok": self.answers[op](frame)}
            else:
                raise UsageError(f"no {op} here")
        except PodshError as exc:
            answer = {"error": exc.to_wire()}
        client.sendall(encode_json({"id": frame["id"], **answer}))
        if op == "events":
            for event in self.kept if frame.get("since") else []:
                client.sendall(encode_json(event))
            client.sendall(encode_json({"ev": "live"}))
            self._followers.append(client)

    # -- requests

    def ask(self, ident: int, **fields: Any) -> dict[str, Any]:
        """A request that waits from now on, told as an event."""
        row = {**REQUEST, "id": ident, "ts": time.time(), **fields}
        self.rows.append(row)
        shown = {key: row[key] for key in ("id", "path", "argv", "pid", "ts", "exists", "link")}
        self.event(ev="request", mode=row["op"], **shown)
        return row

    def decide(self, ident: int, state: str) -> dict[str, Any]:
        for index, row in enumerate(self.rows):
            if row["id"] == ident:
                if row["state"] != "waiting":
                    raise PodshError("is gone", place=str(ident))
                self.rows[index] = {**row, "state": state}  # a row is never changed
                return row
        raise PodshError("no such request", place=str(ident))

    def _row(self, pod: dict[str, Any]) -> dict[str, Any]:
        mine = [r for r in self.rows if r["pod"] == pod["name"] and r["state"] == "waiting"]
        return {**pod, "waiting": len(mine)}

    def _rows(self, frame: dict[str, Any]) -> dict[str, Any]:
        rows = [row for row in self.rows if frame.get("all") or row["state"] == "waiting"]
        return {"requests": rows}

    def _allow(self, frame: dict[str, Any]) -> dict[str, Any]:
        row = self.decide(frame["request"], "allowed")
        mode = "read" if frame.get("read") else row["op"]
        path = frame.get("dir") or row["path"]
        self.event(ev="grant", id=row["id"], path=path, mode=mode, scope=frame["scope"])
        saved = {"saved": "/c/dev.toml:12"} if frame["scope"] == "save" else {}
        return {"path": path, "mode": mode, "scope": frame["scope"], "notes": [], **saved}

    def _deny(self, frame: dict[str, Any]) -> dict[str, Any]:
        all_of_them = [row["id"] for row in self.rows if row["state"] == "waiting"]
        idents = [frame["request"]] if "request" in frame else all_of_them
        return {"denied": [self.decide(ident, "denied") for ident in idents]}

    @property
    def followed(self) -> bool:
        return bool(self._followers)

    def event(self, **fields: Any) -> None:
        for follower in self._followers:
            follower.sendall(encode_json({"ts": 0.0, "pod": "web", **fields}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            try:
                client.sendall(encode_json(messages.BYE))
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)
        for client in self._clients:
            client.close()
