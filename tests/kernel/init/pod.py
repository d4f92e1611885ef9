"""A pod as its monitor makes one, in small, for the scenes inside ``podsh-init enter``."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

from podsh.errors import LaunchFailed
from podsh.jail import encode, orders
from podsh.kernel import mounts

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE_FD = 9
# unset where the scenes are only listed
INIT = os.environ.get("PODSH_INIT", "")
# sanitizers make it slow, nothing else does
TIMEOUT_S = 20.0
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8  # MOUNT_ATTR_*, <linux/mount.h>
MS_PRIVATE = 1 << 18


def clone(path: str, attrs: int = RDONLY | NOSUID | NODEV) -> int:
    """A detached, private copy of the mounts at ``path``."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        tree = mounts.clone_tree(fd)
    finally:
        os.close(fd)
    mounts.mount_setattr(tree, attrs, propagation=MS_PRIVATE)
    return tree


def eventually(check: Callable[[], bool], what: str) -> None:
    """Wait until ``check`` holds."""
    end = time.monotonic() + TIMEOUT_S
    while not check():
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(0.005)


def children_of(pid: int) -> list[int]:
    """The processes that are children of ``pid``, zombies included."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def open_fds(pid: int) -> int:
    """How many descriptors a process of root's has open; those of a user's init are closed to the
    user: 0."""
    return len(os.listdir(f"/proc/{pid}/fd")) if os.getuid() == 0 else 0


class Program:
    """A program of the pod; ``output`` reads its terminal."""

    def __init__(self, pod: Pod, ident: int, master: int, pid: int) -> None:
        self.pod, self.id, self.master, self.pid = pod, ident, master, pid
        self.seen = b""

    def write(self, data: bytes) -> None:
        os.write(self.master, data)

    def read_until(self, text: bytes) -> bytes:
        """Read the terminal until ``text`` came."""
        while text not in self.seen:
            ready, _, _ = select.select([self.master], [], [], TIMEOUT_S)
            assert ready, f"no {text!r} in {self.seen!r}"
            self.seen += os.read(self.master, 65536)
        return self.seen

    def output(self) -> str:
        """All that it writes until it has closed its terminal."""
        while True:
            ready, _, _ = select.select([self.master], [], [], TIMEOUT_S)
            assert ready, f"does not end: {self.seen!r}"
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return self.seen.decode().replace("\r\n", "\n")
            self.seen += data

    def hang_up(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def exited(self) -> orders.Message:
        """Wait for its EXITED. Only then is the terminal closed: a program that has closed its
        side but still lives would get a SIGHUP."""
        message = self.pod.expect(orders.EXITED, self.id)
        self.hang_up()
        return message


class Pod:
    """One jail: ``records`` and ``mounts`` are its plan until ``launch``."""

    def __init__(self, proc: bool = True, standby: bool = True) -> None:
        self.mounts: list[int] = []
        self.records: list[orders.Record] = [
            encode.root(0o755, 1 << 20),
            encode.hostname("scene"),
            encode.directory("/dev", 0o755),
            encode.devpts("/dev/pts", 8),
            encode.link("pts/ptmx", "/dev/ptmx"),
            encode.tmpfs("/tmp", 0o1777, 1 << 20, False),
        ]
        for name in ("null", "tty"):
            self.bind(f"/dev/{name}", attrs=RDONLY | NOSUID, is_file=True)
        if proc:
            self.records.append(encode.proc("/proc"))
        for name in ("lib", "lib64", "bin", "sbin"):
            if os.path.islink(f"/{name}"):
                self.records.append(encode.link(os.readlink(f"/{name}"), f"/{name}"))
            elif os.path.isdir(f"/{name}"):
                self.bind(f"/{name}")
        self.bind("/usr")
        self.pid = 0
        self.waiting: list[orders.Message] = []
        self._ids = 0
        self.init = orders.Init.spawn(INIT, TEMPLATE_FD if standby else None)

    def bind(
        self,
        src: str,
        dst: str = "",
        attrs: int = RDONLY | NOSUID | NODEV,
        is_file: bool = False,
        optional: bool = False,
    ) -> None:
        """Bind ``src`` of the host."""
        self.mounts.append(clone(src, attrs))
        self.records.append(encode.mount(len(self.mounts) - 1, dst or src, is_file, optional))

    def launch(self, net: bool = True, plan: bytes | None = None) -> Pod:
        """Build it, or ``plan`` instead; LaunchFailed is the caller's."""
        try:
            if plan is None:
                plan = encode.plan(self.records)
            self.pid = self.init.launch(TEMPLATE_FD, plan, net, self.mounts)
        finally:
            for fd in self.mounts:
                os.close(fd)
            self.mounts = []
        return self

    def launch_fails(self, plan: bytes | None = None) -> LaunchFailed:
        """Build it in vain."""
        try:
            self.launch(plan=plan)
        except LaunchFailed as exc:
            return exc
        raise AssertionError("launched")

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self.mounts:
            os.close(fd)
        self.init.close()
        if self.pid:
            os.waitpid(self.pid, 0)

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def receive(self) -> orders.Message | None:
        """The next message of init's, waiting for it."""
        ready, _, _ = select.select([self.init], [], [], TIMEOUT_S)
        assert ready, "init says nothing"
        return self.init.receive()

    def expect(self, kind: int, ident: int) -> orders.Message:
        """The message of that kind and id; others are kept for later."""
        while True:
            for message in self.waiting:
                if message.id == ident and message.kind in (kind, orders.FAILED):
                    self.waiting.remove(message)
                    assert message.kind == kind, message
                    return message
            got = self.receive()
            assert got is not None, "init is gone"
            self.waiting.append(got)

    def ask(self, *argv: str, stdio: orders.Stdio = (None, None, None), **how: Any) -> int:
        """Send RUN; its id."""
        ident = self.next_id()
        options: dict[str, Any] = {
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": ["/tmp"],
            "stdio": stdio,
            **how,
        }
        program = encode.program(argv=argv, **options)
        self.init.send_run(ident, program, stdio)
        return ident

    def run(self, *argv: str, stdio: orders.Stdio = (None, None, None), **how: Any) -> Program:
        """Start a program."""
        ident = self.ask(*argv, stdio=stdio, **how)
        message = self.expect(orders.STARTED, ident)
        return Program(self, ident, message.fds[0], message.pid)

    def said(self, *argv: str, status: int = 0, **how: Any) -> str:
        """The output of a program that runs to its end."""
        program = self.run(*argv, **how)
        output = program.output()
        assert os.waitstatus_to_exitcode(program.exited().status) == status, output
        return output

    def python(self, code: str, *argv: str, **how: Any) -> str:
        """The output of a Python program."""
        return self.said("/usr/bin/python3", "-I", "-S", "-c", code, *argv, **how)

    def refused(self, *argv: str, **how: Any) -> orders.Message:
        """FAILED, for a program that cannot start."""
        return self.expect_failure(self.ask(*argv, **how))

    def expect_failure(self, ident: int) -> orders.Message:
        """FAILED, for an order."""
        return self.expect(orders.FAILED, ident)

    def expect_failure_of_signal(self, ident: int) -> orders.Message:
        """FAILED, for a signal to a program that is gone."""
        self.init.send_signal(ident, 15, 0)
        # the ACK of an earlier one may still be there
        self.waiting = [message for message in self.waiting if message.kind != orders.ACK]
        return self.expect_failure(ident)
