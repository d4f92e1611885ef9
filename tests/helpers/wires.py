"""A host with an outside, made of network namespaces: nothing of this machine's own is touched.

Two processes hold them. The *host* has a loopback, a default route by ``up0``, another device
``lan0``, mounts of its own and an empty /etc/jettison; podsh runs there. The *outside* is the
gateway, and has an address beyond it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.helpers.callers import caller as caller_of
from tests.helpers.needs import needs_program
from tests.helpers.runner import Podsh

if TYPE_CHECKING:
    from tests.helpers.callers import Caller
    from tests.helpers.runner import Done

GATEWAY, GATEWAY6 = "10.91.0.1", "fd91::1"
HOST, HOST6 = "10.91.0.2", "fd91::2"
BEYOND, BEYOND6 = "198.51.100.7", "2001:db8:7::7"
LAN = "10.92.0.1"
ADMIN = "/etc/jettison"
PYTHON = "/usr/bin/python3"

# A server of everything: tells on each line of its output what it has got.
SERVER = """
import select, socket, sys
found = []
for word in sys.argv[1:]:
    address, port = word.rsplit("-", 1)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, int(port)))
        if kind == socket.SOCK_STREAM:
            s.listen()
        found.append(s)
print("ready", flush=True)
while True:
    for s in select.select(found, [], [])[0]:
        where = s.getsockname()[0]
        if s.type == socket.SOCK_STREAM:
            peer = s.accept()[0]
            print("tcp", where, peer.getpeername()[0], flush=True)
            peer.sendall(b"from " + where.encode())
            peer.close()
        else:
            data, sender = s.recvfrom(100)
            print("udp", where, data.decode(), flush=True)
            s.sendto(b"from " + where.encode(), sender)
"""

# A client: `ADDRESS-PORT [DEVICE]` in words; prints what it gets by TCP, else the errno's name.
CLIENT = """
import errno, socket, sys
address, port = sys.argv[1].rsplit("-", 1)
family = socket.AF_INET6 if ":" in address else socket.AF_INET
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    s = socket.socket(family, kind)
    s.settimeout(float(sys.argv[3]) if len(sys.argv) > 3 else 10)
    try:
        if len(sys.argv) > 2 and sys.argv[2]:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, sys.argv[2].encode() + b"\\0")
        s.connect((address, int(port)))
        if kind == socket.SOCK_DGRAM:
            s.send(b"hello")
        print(s.recv(100).decode() or "nothing")
    except OSError as exc:
        print("timeout" if isinstance(exc, TimeoutError) else errno.errorcode[exc.errno])
"""


class Wires:
    """The two namespaces; a context manager."""

    def __enter__(self) -> Self:
        ip = needs_program("ip")
        # stays: another suite may have its own mounted there, which would go with the directory
        os.makedirs(ADMIN, exist_ok=True)
        self._held = [_holder("--mount", "--propagation", "private", "--net"), _holder("--net")]
        self.host, self.outside = (holder.pid for holder in self._held)
        self.at_host("mount", "-t", "tmpfs", "-o", "mode=0755", "admin", ADMIN)
        # as udev makes it, whatever it is here
        self.at_host("mkdir", "-p", "/dev/net")
        self.at_host("mount", "-t", "tmpfs", "-o", "mode=0755", "dev", "/dev/net")
        self.at_host("mknod", "-m", "0666", "/dev/net/tun", "c", "10", "200")
        for words in (
            f"link add up0 type veth peer name gw0 netns {self.outside}",
            "link add lan0 type veth peer name lan1",
            f"addr add {HOST}/24 dev up0",
            f"addr add {HOST6}/64 dev up0 nodad",
            f"addr add {LAN}/24 dev lan0",
            *(f"link set {name} up" for name in ("lo", "up0", "lan0", "lan1")),
        ):
            self.at_host(ip, *words.split())
        for words in (
            f"addr add {GATEWAY}/24 dev gw0",
            f"addr add {GATEWAY6}/64 dev gw0 nodad",
            f"addr add {BEYOND}/32 dev lo",
            f"addr add {BEYOND6}/128 dev lo nodad",
            *(f"link set {name} up" for name in ("lo", "gw0")),
        ):
            self.at_outside(ip, *words.split())
        for words in (f"route add default via {GATEWAY}", f"-6 route add default via {GATEWAY6}"):
            self.at_host(ip, *words.split())
        return self

    def __exit__(self, *_: object) -> None:
        for holder in self._held:
            holder.kill()
            holder.wait()
            assert holder.stdout is not None
            holder.stdout.close()

    def enter(self, pid: int) -> list[str]:
        """The words before a command that runs it there."""
        mount = ["--mount"] if pid == self.host else []
        return ["nsenter", "--target", str(pid), "--net", *mount, "--wd=/"]

    def at_host(self, *argv: str, stdin: str = "") -> str:
        """Run a command as the host's root; its output."""
        return _run([*self.enter(self.host), *argv], stdin)

    def at_outside(self, *argv: str) -> str:
        return _run([*self.enter(self.outside), *argv])

    def admin(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file of the administrator's, below /etc/jettison."""
        full = f"{ADMIN}/{path}"
        made = f"mkdir -p {os.path.dirname(full)}; cat >{full}; chmod {mode} {full}"
        self.at_host("sh", "-c", made, stdin=text)

    def no_admin(self) -> None:
        """Nothing of the administrator's any more."""
        self.at_host("sh", "-c", f"rm -rf {ADMIN}/*")

    @contextlib.contextmanager
    def without(self, *paths: str) -> Any:
        """The host lacks these programs meanwhile: nobody may execute or open them."""
        real = [str(Path(path).resolve()) for path in paths if os.path.exists(path)]
        self.at_host("sh", "-c", ": >/etc/jettison/nothing; chmod 0000 /etc/jettison/nothing")
        for path in real:
            self.at_host("mount", "--bind", f"{ADMIN}/nothing", path)
        try:
            yield
        finally:
            for path in real:
                self.at_host("umount", "-l", path)

    def serve(self, pid: int, *addresses: str) -> Server:
        """A server on each ``ADDRESS-PORT``, by TCP and UDP, at one of the two."""
        return Server([*self.enter(pid), PYTHON, "-c", SERVER, *addresses])


class Server:
    """A running server, ended as a context manager; ``got()`` is what came since it was asked."""

    def __init__(self, argv: list[str]) -> None:
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        assert self._output.readline() == b"ready\n"
        os.set_blocking(self._output.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def got(self) -> list[str]:
        return (self._output.read() or b"").decode().splitlines()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()


class There(Podsh):
    """podsh as a caller who works at the host of some wires."""

    def __init__(self, wires: Wires, command: Path, caller: Caller, base: Path) -> None:
        super().__init__(command, caller, base)
        self.wires = wires

    def start(self, *argv: str, raw: bool = False, **options: Any) -> subprocess.Popen[bytes]:
        words = argv if raw else (str(self.command), *argv)
        ids = [f"--reuid={self.caller.uid}", f"--regid={self.caller.gid}", "--clear-groups"]
        become = ["setpriv", *ids] if self.caller.switch else []
        before = [*self.wires.enter(self.wires.host), *become]
        caller, self.caller = self.caller, caller_of("root")
        try:
            return super().start(*before, *words, raw=True, **options)
        finally:
            self.caller = caller

    def client(self, address: str, *options: str, device: str = "", patience_s: float = 10) -> Done:
        """What a program in a new pod gets from the server at ``ADDRESS-PORT``."""
        words = (PYTHON, "-c", CLIENT, address, device, str(patience_s))
        return self.pod(*words, options=options)

    def row(self, name: str) -> dict[str, Any]:
        """A pod as ``ps --json`` has it."""
        (found,) = (row for row in self.ps() if row["name"] == name)
        return found


def client_there(wires: Wires, address: str, device: str = "") -> str:
    """The same without a pod, at the host."""
    return wires.at_host(PYTHON, "-c", CLIENT, address, device)


def _holder(*namespaces: str) -> subprocess.Popen[bytes]:
    """A process in new namespaces, which are there when this returns."""
    script = "print(flush=True); import time; time.sleep(1e6)"
    holder = subprocess.Popen(
        ["unshare", *namespaces, sys.executable, "-c", script], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"\n"
    return holder


def _run(argv: list[str], stdin: str = "") -> str:
    done = subprocess.run(argv, capture_output=True, text=True, input=stdin, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr or done.stdout}"
    return done.stdout


def wait_for(what: str, holds: Any, timeout_s: float = 20) -> None:
    """Until ``holds()``."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def processes_named(*names: str) -> list[int]:
    """The processes below this suite with one of these names."""
    from tests.helpers import processes

    processes.reap()
    found = processes.below(os.getpid())
    return [entry.pid for entry in found if entry.name in names and entry.state != "Z"]


def links_of(wires: Wires) -> list[str]:
    """The host's network devices."""
    return [row["ifname"] for row in json.loads(wires.at_host("ip", "-j", "link"))]
