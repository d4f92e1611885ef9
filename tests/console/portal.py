"""A stand-in for the portal: answers calls from a table, sends events, on the real socket."""

from __future__ import annotations

import os
import socket
import threading
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
            "ps": lambda _: {"pods": self.pods},
            "profiles": lambda _: {"profiles": [{"name": "dev", "path": "/d", "description": ""}]},
            "kill": lambda _: {},
        }
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
            for _, frame in decoder.feed(data):
                if not greeted:
                    greeted = True
                    client.sendall(encode_json(self.hello))
                else:
                    self._answer(client, frame)

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
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)
        for client in self._clients:
            client.close()
