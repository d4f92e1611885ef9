"""X servers and a Wayland compositor without a screen, as a person's desktop has them."""

from __future__ import annotations

import os
import random
import select
import subprocess
import time
from typing import TYPE_CHECKING

from podsh.portal import xauthority
from tests.helpers.needs import needs_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.runner import Podsh

START_S = 30


class XServer:
    """An Xvfb of the suite's, that lets in whoever shows ``cookie``; stopped by ``close``."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.cookie = os.urandom(16)
        file = directory / f"server-{self.cookie.hex()[:8]}"
        file.write_bytes(xauthority.write([xauthority.cookie(0, self.cookie)]))
        # one of its own choice would take away the sockets of those that it finds in use
        self.number = random.randrange(1000, 50000)
        self.name = f":{self.number}"
        self.socket = f"/tmp/.X11-unix/X{self.number}"
        ready, told = os.pipe()
        self._process = subprocess.Popen(
            [
                needs_program("Xvfb"),
                self.name,
                *("-displayfd", str(told), "-auth", str(file), "-noreset"),
                *("-screen", "0", "640x480x24", *(options or ("-nolisten", "tcp"))),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(told,),
        )
        os.close(told)
        said = b""
        with open(ready, "rb", buffering=0) as pipe:
            # it dies of a line that nobody takes whole
            while not said.endswith(b"\n"):
                assert select.select([pipe], [], [], START_S)[0], "Xvfb does not start"
                said += pipe.read(16) or b"ended\n"
        assert int(said) == self.number

    @property
    def pid(self) -> int:
        return self._process.pid

    def entry(self, family: int = xauthority.LOCAL) -> xauthority.Entry:
        """What xauth(1) would have written of it."""
        address = os.uname().nodename.encode() if family == xauthority.LOCAL else b""
        found = xauthority.cookie(self.number, self.cookie)
        return found._replace(family=family, address=address)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(START_S)


class Wayland:
    """A headless weston of the caller's."""

    def __init__(self, podsh: Podsh, name: str) -> None:
        self.path = podsh.runtime / name
        self._process = podsh.start(
            needs_program("weston"),
            *("--backend=headless-backend.so", f"--socket={name}", "--idle-time=0", "--no-config"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            raw=True,
        )
        end = time.monotonic() + START_S
        while not self.path.is_socket():
            assert time.monotonic() < end, "weston does not start"
            time.sleep(0.02)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(START_S)
