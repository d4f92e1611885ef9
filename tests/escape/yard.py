"""What an escape would reach on the host, and the machinery that tries to from inside and outside.

A test module is a table of ``Row``: the attempt, how a pod must refuse it, and the control, that is
where the very same attempt works: without it a refusal would prove nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from podsh.kernel import syscalls
from tests.helpers.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.helpers.processes import Watch
    from tests.helpers.runner import Done, Podsh

PYTHON = os.path.realpath(sys.executable)
MARKER = "podsh-marker-5f3a"
HERE = Path(__file__).resolve().parent

# how attempts are refused
BARRED = ("EPERM", "ENOSYS")  # by the filter, or for want of a capability
ABSENT = ("ENOENT", "no")  # it is not there to be had
NOTHING = ("no",)  # looked, and found nothing
KILLED = ("killed SIGSYS",)

# how a kernel, or a machine, without it answers
LACKING = (
    *("ENOSYS", "ENOENT", "ENODEV", "ENXIO", "EOPNOTSUPP", "no"),
    *("EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"),
)

# same: the caller, without podsh. userns: there, but with every capability in namespaces of its
# own. root: the host's root (cannot be shown where the suite is not root's)
Control = Literal["same", "userns", "root"]
USERNS = (
    *("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"),
    *("--mount-proc", "--net", "--ipc", "--uts", "--cgroup"),
)


class Row(NamedTuple):
    """One attempt: a function of ``inside/MODULE.py``.

    refused: the outcomes that count as refused. may_lack: the kernel may be built without it (or
    the machine have no such thing), so that the control fails as well, with one of LACKING.
    """

    name: str
    refused: tuple[str, ...]
    control: Control = "same"
    may_lack: bool = False


class Verdict(NamedTuple):
    """How an attempt ended: ``worked``, ``no``, an errno's name, ``killed SIGNAL``, ``broken``."""

    how: str
    detail: str


class Yard:
    """One caller's host objects, and the verdicts of the attempts on them (each made once)."""

    def __init__(self, podsh: Podsh, ground: Path, watch: Watch) -> None:
        self.podsh = podsh
        self._watch = watch
        self._done: dict[tuple[str, ...], dict[str, Verdict]] = {}
        self._stack = contextlib.ExitStack()
        self.scripts = ground / "inside"
        self.probe = self.scripts / "probe"
        if not self.scripts.exists():
            shutil.copytree(
                HERE / "inside", self.scripts, ignore=shutil.ignore_patterns("__pycache__")
            )
            subprocess.run(
                ["cc", "-static", "-Os", "-Wall", "-o", self.probe, HERE / "probe.c"], check=True
            )
            for path in (self.scripts, *self.scripts.iterdir()):
                path.chmod(0o755)
        self.top = podsh.directory("yard")
        self.bound = podsh.directory("yard/bound")
        self.project = podsh.directory("yard/project")
        self.receiving = podsh.directory("yard/receiving")
        self.facts: dict[str, Any] = {
            "marker": MARKER,
            "calls": syscalls.NAMES[syscalls.native()],
            "probe": str(self.probe),
            "hostname": os.uname().nodename,
            "disk": os.stat("/").st_dev,
        }
        self._files()
        self._servers()
        self._ipc()
        self._others()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    # ---------------------------------------------------------------- what there is on the host

    def _files(self) -> None:
        podsh = self.podsh
        secret = podsh.file(self.top / "secret", MARKER, 0o600)
        podsh.file(podsh.home / MARKER, MARKER)
        podsh.file(self.bound / "file", "bound")
        podsh.file(self.project / "file", "project")
        for name, target in (("link", secret), ("up", "..")):
            (self.project / name).symlink_to(target)
        tree = podsh.directory("yard/tree")
        podsh.directory("yard/tree/keep/deep/secret")
        podsh.file(tree / "keep/deep/secret/key", MARKER)
        podsh.file(tree / "keep/file.key", MARKER)
        self.profile = podsh.profile(
            "hides",
            'name = "hides"\nextends = ["base"]\n'
            f'[[fs.bind]]\npath = "{tree}"\nwrite = true\n'
            "[access]\ndomain = false\n"
            f'deny = ["{tree}/keep/deep/secret", "{tree}/keep/*.key"]\n',
            keep=True,
        )
        if os.getuid() == 0:
            os.mknod(self.project / "planted", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.chmod(self.project / "planted", 0o666)
        self.facts |= {
            "secret": str(secret),
            "home": str(podsh.home),
            "bound": str(self.bound),
            "project": str(self.project),
            "tree": str(tree),
            "own": [
                *(str(path / "podsh") for path in (podsh.state, podsh.config, podsh.cache)),
                str(podsh.runtime / "podsh"),
                str(Path(os.path.realpath(podsh.command)).parents[1]),
            ],
            "profiles": str(self.profile.parent),
            "socket": str(podsh.runtime / "podsh/portal.sock"),
        }

    def _servers(self) -> None:
        """Listening sockets of the suite's own, open to every user."""
        name = f"podsh-test-{os.getpid()}-{self.podsh.caller.name}"
        path = self.podsh.home / "socket"
        listening = {
            "tcp_port": (socket.AF_INET, ("127.0.0.1", 0)),
            "tcp6_port": (socket.AF_INET6, ("::1", 0)),
            "abstract": (socket.AF_UNIX, "\0" + name),
            "path": (socket.AF_UNIX, str(path)),
        }
        for fact, (family, address) in listening.items():
            server = self._stack.enter_context(socket.socket(family))
            server.bind(address)
            # nobody accepts: a connection is made as soon as it fits into the queue
            server.listen(100)
            self.facts[fact] = server.getsockname()[1] if fact.endswith("port") else ""
        path.chmod(0o777)
        self.facts |= {"abstract": name, "path": str(path)}
        datagrams = self._stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        path = self.receiving / "datagrams"
        datagrams.bind(str(path))
        path.chmod(0o777)
        self.facts["datagrams"] = str(path)
        udp = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        self.facts["udp_port"] = udp.getsockname()[1]
        answering = threading.Thread(target=_answer, args=(udp,))
        answering.start()

        def end() -> None:
            udp.sendto(b"end", udp.getsockname())
            answering.join()

        self._stack.callback(end)

    def _ipc(self) -> None:
        """A System V segment and a POSIX message queue, open to every user."""
        libc = ctypes.CDLL(None, use_errno=True)
        key = os.getpid() << 8 | self.podsh.caller.uid & 0xFF
        segment = libc.shmget(key, 4096, 0o1000 | 0o666)  # IPC_CREAT
        assert segment >= 0
        self._stack.callback(libc.shmctl, segment, 0, None)  # IPC_RMID
        name = f"podsh-{os.getpid()}-{self.podsh.caller.name}"
        mask = os.umask(0)
        # a small one: they are counted for the user, and test_limits needs the others
        small = (ctypes.c_long * 8)(0, 1, 16)  # struct mq_attr: messages, bytes of each
        queue = libc.mq_open(f"/{name}".encode(), os.O_CREAT | os.O_RDWR, 0o666, small)
        os.umask(mask)
        if queue >= 0:
            os.close(queue)
            self._stack.callback(libc.mq_unlink, f"/{name}".encode())
        self.facts |= {"shm_key": key, "queue": name}

    def _others(self) -> None:
        """A process of the caller's, and a terminal."""
        sleeper = self.podsh.start("sleep", "1000", raw=True)
        self.outsider = sleeper.pid

        def end() -> None:
            sleeper.kill()
            sleeper.communicate()

        self._stack.callback(end)
        controller, terminal = os.openpty()
        for fd in (controller, terminal):
            self._stack.callback(os.close, fd)
        path, found = os.ttyname(terminal), os.fstat(terminal)
        self.podsh.caller.own(path)
        self.facts |= {
            "pid": sleeper.pid,
            "tty": path,
            "tty_device": [found.st_rdev, found.st_dev],
        }

    # ---------------------------------------------------------------- trying

    def _command(self, module: str, names: Iterable[str], inside: bool) -> list[str]:
        facts = json.dumps({**self.facts, "inside": inside})
        return [PYTHON, "-B", str(self.scripts), module, facts, *names]

    def _pod(self, options: Sequence[str]) -> list[str]:
        binds = ["--ro", str(self.scripts), "--ro", str(self.bound), "--rw", str(self.project)]
        return ["run", "--rm", *binds, *options, "--"]

    def try_inside(
        self,
        module: str,
        names: Sequence[str],
        options: Sequence[str] = (),
        tty: bool = False,
        **facts: object,
    ) -> dict[str, Verdict]:
        """The attempts' verdicts in one pod; fails if the pod leaves anything behind."""
        self.facts |= facts
        argv = [*self._pod(options), *self._command(module, names, True)]
        if tty:
            with self.podsh.terminal(*argv) as terminal:
                terminal.wait(120)
                verdicts = _verdicts(terminal.output.decode(), "")
        else:
            done = self.podsh.run(*argv, timeout=120)
            verdicts = _verdicts(done.out, done.err)
        left = self._watch.left()
        assert not left, f"left behind by {module}:\n{left}"
        return verdicts

    @contextlib.contextmanager
    def pod(self) -> Iterator[str]:
        """A pod in the background, with the same view; its name."""
        name = "yard"
        argv = [*self._pod(["-d", "-n", name]), "sleep", "1000"]
        argv.remove("--rm")
        done = self.podsh.run(*argv)
        assert done.code == 0, done.err
        try:
            yield name
        finally:
            self.podsh.forget_pods()

    def try_by_exec(self, pod: str, module: str, names: Sequence[str]) -> dict[str, Verdict]:
        """The attempts' verdicts in one program more of a live pod."""
        done = self.podsh.run("exec", pod, "--", *self._command(module, names, True), timeout=120)
        return _verdicts(done.out, done.err)

    def try_outside(
        self, module: str, names: Sequence[str], control: Control, tty: bool = False
    ) -> dict[str, Verdict]:
        """The same without podsh."""
        if control == "userns" and len(names) > 1:
            # what one has mounted is not to be in the next one's way
            found: dict[str, Verdict] = {}
            for name in names:
                found |= self.try_outside(module, [name], control)
            return found
        argv = self._command(module, names, False)
        if control == "userns":
            argv = [*USERNS, *argv]
        caller = self.podsh.caller
        if control == "root":
            caller = caller._replace(uid=os.getuid(), gid=os.getgid())
        if tty:
            with Terminal(argv, caller, self.podsh.env, "/") as terminal:
                terminal.wait(120)
                return _verdicts(terminal.output.decode(), "")
        done = subprocess.run(
            argv,
            env=self.podsh.env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            start_new_session=True,
            **caller.popen(),
        )
        return _verdicts(done.stdout, done.stderr)

    def refuses(
        self,
        module: str,
        rows: Sequence[Row],
        row: Row,
        options: Sequence[str] = (),
        tty: bool = False,
    ) -> None:
        """The row's attempt is refused inside; ``check`` shows that it proves something."""
        names = [r.name for r in rows]
        key = (module, *names, *options)
        if key not in self._done:
            self._done[key] = self.try_inside(module, names, options, tty)
        inside = self._done[key][row.name]
        assert inside.how in row.refused, f"{module}.{row.name} in a pod: {inside}"

    def check(
        self,
        module: str,
        rows: Sequence[Row],
        row: Row,
        options: Sequence[str] = (),
        tty: bool = False,
    ) -> None:
        """The row's attempt is refused inside, and works where its control says."""
        self.refuses(module, rows, row, options, tty)
        if row.control == "root" and os.getuid() != 0:
            return
        names = [r.name for r in rows if r.control == row.control]
        key = (module, *names, row.control)
        if key not in self._done:
            self._done[key] = self.try_outside(module, names, row.control, tty)
        outside = self._done[key][row.name]
        lacking = row.may_lack and outside.how in LACKING
        assert outside.how == "worked" or lacking, (
            f"{module}.{row.name} proves nothing, it does not work outside ({row.control}) "
            f"either: {outside}"
        )


def _answer(udp: socket.socket) -> None:
    while True:
        data, peer = udp.recvfrom(64)
        if data == b"end":
            return
        udp.sendto(b"pong", peer)


def _verdicts(out: str, err: str) -> dict[str, Verdict]:
    found = {}
    for line in out.splitlines():
        # on a terminal it may stand behind an echo
        if (at := line.find('{"name"')) >= 0:
            fields = json.loads(line[at:])
            found[fields["name"]] = Verdict(fields["how"], fields["detail"])
    assert found, f"nothing was reported: {out!r} {err!r}"
    return found


def refused(done: Done) -> bool:
    """Whether podsh itself said no to a launch: its own exit codes, with a reason."""
    return done.code in (1, 2, 125) and bool(done.err)
