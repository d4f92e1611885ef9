"""Portals, monitors and clients of other versions: told apart, in words."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from podsh.wire import messages
from podsh.wire.framing import JSON, Decoder, encode_json
from tests.helpers import callers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.runner import Podsh


class Other:
    """Listens as a portal or a monitor of another protocol would."""

    def __init__(self, podsh: Podsh, path: Path) -> None:
        self.said: list[dict] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        os.chmod(path, 0o600)
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                with client:
                    decoder, frames = Decoder(), []
                    while not frames:
                        frames = decoder.feed(client.recv(4096))
                    assert frames[0][0] == JSON
                    self.said.append(frames[0][1])
                    answer = {"hello": messages.PROTOCOL + 1, "version": "9.1", "pid": os.getpid()}
                    client.sendall(encode_json(answer | {"error": {"kind": "UsageError"}}))
                    client.shutdown(socket.SHUT_WR)
                    client.recv(1 << 16)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


# who listens there has to be the caller: the suite itself is
@pytest.mark.parametrize("caller", callers.names()[:1], indirect=True)
def test_another_protocol_is_told_in_words(make_podsh: Callable[[], Podsh]) -> None:
    podsh = make_podsh()
    directory = podsh.runtime / "podsh"
    directory.mkdir(mode=0o700)
    other = Other(podsh, directory / "portal.sock")
    done = podsh.run("ps")
    other.close()
    (directory / "portal.sock").unlink()
    assert done.code == 2, done
    assert f"the running portal: is podsh 9.1 (protocol {messages.PROTOCOL + 1})" in done.err
    assert "podsh shutdown" in done.err
    assert other.said[0]["hello"] == messages.PROTOCOL
    # a monitor that is older than the client, and the portal
    podsh.run("run", "-d", "-n", "old", "--", "sleep", "1000")
    path = directory / "monitors" / "old"
    path.rename(path.with_name("away"))
    other = Other(podsh, path)
    done = podsh.run("exec", "old", "--", "true")
    other.close()
    path.unlink()
    path.with_name("away").rename(path)
    assert done.code == 2, done
    assert "is podsh 9.1" in done.err
    assert podsh.run("exec", "old", "--", "true").code == 0
    podsh.run("kill", "-s", "KILL", "old")
    podsh.wait_state("old", "exited")


def test_an_older_client_is_told_in_words(podsh: Podsh) -> None:
    podsh.run("ps")
    code = (
        "import socket, sys\n"
        "from podsh.wire.framing import Decoder, encode_json\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "s.sendall(encode_json({'hello': 0, 'version': '0.0.1', 'role': 'client'}))\n"
        "print(Decoder().feed(s.recv(65536))[0][1]); assert not s.recv(1)\n"
    )
    python = str(podsh.command.parent / "python")
    done = podsh.outside(python, "-I", "-c", code, str(podsh.runtime / "podsh/portal.sock"))
    assert done.code == 0, done.err
    assert "is podsh 0.0.1 (protocol 0), this is" in done.out
