"""UNIX sockets of the host: asked for by their paths, and not reached before the answer."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_requests import Asking, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers.runner import Podsh

TRY = """
import errno, os, socket, sys
def tried(path):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(path)
        s.send(b"x")
        return "connected"
    except OSError as exc:
        return errno.errorcode[exc.errno]
"""
ALL = TRY + "for path in sys.argv[1:]: print(tried(path), flush=True)"
TRIES = 1500


def python(code: str, *arguments: object) -> list[str]:
    return ["/usr/bin/python3", "-c", code, *map(str, arguments)]


class Server:
    """A listening socket of the suite's; ``reached``: who has connected so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        path.chmod(0o777)
        self.socket.listen(4000)
        self.socket.setblocking(False)

    def reached(self) -> int:
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.accept()[0].close()
                count += 1
        return count


@pytest.fixture
def directory(podsh: Podsh) -> Iterator[Path]:
    """A directory of the caller's that no profile shows."""
    path = podsh.directory(f"home/s{time.monotonic_ns() % 1000000}")
    yield path
    subprocess.run(["rm", "-r", path], check=True)


@pytest.fixture
def server(directory: Path) -> Iterator[Callable[[str], Server]]:
    """Makes listening sockets there."""
    made: list[Server] = []

    def make(name: str) -> Server:
        made.append(Server(directory / name))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


@pytest.mark.parametrize("option", ["--ro", "--rw"])
def test_below_a_granted_directory(
    podsh: Podsh, directory: Path, server: Callable[[str], Server], option: str
) -> None:
    """Refused when nobody is there; asked for, refused, granted for the pod."""
    host = server("host.sock")
    options = (option, str(directory))
    done = podsh.pod(*python(ALL, host.path), options=options)
    assert done.out == "ECONNREFUSED\n", done.err
    assert host.reached() == 0

    pod = Asking(podsh, "web", *python(ALL, *[host.path] * 3), options=options)
    ident = pod.asked()
    (row,) = rows(podsh)
    assert (row["op"], row["object"], row["path"]) == ("connect", "socket", str(host.path))
    assert host.reached() == 0
    assert podsh.run("deny", str(ident)).code == 0
    assert pod.end().out == "ECONNREFUSED\n" * 3  # a refusal holds for the process
    assert host.reached() == 0

    pod = Asking(podsh, "web", *python(ALL, *[host.path] * 3), options=options)
    said = podsh.run("allow", str(pod.asked()))
    assert said.out.endswith(f"connect {host.path}  once\n"), said.err
    assert pod.end().out == "connected\n" * 3
    assert host.reached() == 3


def test_named_itself(podsh: Podsh, directory: Path, server: Callable[[str], Server]) -> None:
    """Who binds the socket means it; but a project's own profile has no such say."""
    host = server("host.sock")
    bind = f'[[fs.bind]]\npath = "{host.path}"\n'
    podsh.profile("named", f'name = "named"\nextends = "base"\n{bind}')
    command = python(ALL, host.path)
    for options in (("-p", "named"), ("--ro", str(host.path))):
        assert podsh.pod(*command, options=options).out == "connected\n"
    assert host.reached() == 2
    podsh.file(directory / "theirs.toml", f'name = "theirs"\nextends = "base"\n{bind}')
    done = podsh.pod(*command, options=("-p", "./theirs.toml"), cwd=directory)
    assert done.out == "ECONNREFUSED\n", done.err
    assert host.reached() == 0


def test_outside_of_what_the_pod_sees(
    podsh: Podsh, directory: Path, server: Callable[[str], Server]
) -> None:
    host = server("host.sock")
    done = podsh.pod(*python(ALL, host.path, directory / "nothing"))
    assert done.out == "ENOENT\nENOENT\n"
    pod = Asking(podsh, "web", *python(ALL, host.path))
    assert podsh.run("allow", str(pod.asked())).code == 0
    assert pod.end().out == "connected\n"
    assert host.reached() == 1


def test_another_one_under_the_name(
    podsh: Podsh, directory: Path, server: Callable[[str], Server]
) -> None:
    """What was granted in a directory that the pod may change is that socket, not its name."""
    one, two = server("one.sock"), server("two.sock")
    code = TRY + (
        "one, two = sys.argv[1:]\n"
        "print(tried(one), flush=True)\n"
        "os.rename(two, one)\n"
        "print(tried(one), flush=True)\n"
    )
    options = ("--rw", str(directory))
    pod = Asking(podsh, "web", *python(code, one.path, two.path), options=options)
    first = pod.asked()
    assert podsh.run("allow", str(first), "--pod").code == 0
    second = pod.asked()
    assert second != first
    assert podsh.run("deny", str(second)).code == 0
    assert pod.end().out == "connected\nECONNREFUSED\n"
    assert (one.reached(), two.reached()) == (1, 0)


@pytest.mark.parametrize("seen", [True, False])
def test_another_one_under_the_name_by_another_mount(
    podsh: Podsh, directory: Path, server: Callable[[str], Server], seen: bool
) -> None:
    """The same, where the pod may change the directory at another place only, and sees the name
    read-only or not at all."""
    one, two = server("one.sock"), server("two.sock")
    code = TRY + (
        "one, = sys.argv[1:]\n"
        "print(tried(one), flush=True)\n"
        "os.rename('/elsewhere/two.sock', '/elsewhere/one.sock')\n"
        "print(tried(one), flush=True)\n"
    )
    bind = f'[[fs.bind]]\npath = "{directory}"\n'
    text = 'name = "twice"\nextends = "base"\n' + bind + 'dst = "/elsewhere"\nwrite = true\n'
    podsh.profile("twice", text + (bind if seen else ""))
    pod = Asking(podsh, "web", *python(code, one.path), options=("-p", "twice"))
    first = pod.asked()
    assert podsh.run("allow", str(first), "--pod").code == 0
    second = pod.asked()
    assert second != first
    assert podsh.run("deny", str(second)).code == 0
    assert pod.end().out == ("connected\nECONNREFUSED\n" if seen else "connected\nENOENT\n")
    assert (one.reached(), two.reached()) == (1, 0)


def test_sockets_of_the_pods_own(podsh: Podsh, directory: Path) -> None:
    """In its own places, and those that its programs listen on in a directory of the host's."""
    code = TRY + (
        "for path in sys.argv[1:]:\n"
        "    server = socket.socket(socket.AF_UNIX)\n"
        "    server.bind(path)\n"
        "    server.listen(1)\n"
        "    print(tried(path))\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname())\n"
        "server = socket.socket(socket.AF_UNIX)\n"
        "server.bind('\\0podsh-own')\n"
        "server.listen()\n"
        "print(tried('\\0podsh-own'))\n"
    )
    places = ["/tmp/s", "/dev/shm/s", f"{podsh.home}/s"]
    done = podsh.pod(*python(code, *places), options=("--net", "loop"))
    assert done.out == "connected\n" * 4, done.err
    if os.stat(directory).st_dev == os.stat("/").st_dev and _is_ext(directory):
        options = ("--net", "loop", "--rw", str(directory))
        done = podsh.pod(*python(code, directory / "mine"), options=options)
        assert done.out == "connected\n" * 2, done.err


def _is_ext(path: Path) -> bool:
    said = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True)
    return said.stdout.startswith("ext")


LATE = (
    TRY
    + """
path = sys.argv[1]
print(tried(path), tried(path), flush=True)
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
print(tried(path), flush=True)
os.unlink(path)
print(tried(path), tried(path + "x"), flush=True)
"""
)


def test_a_server_that_comes_late(podsh: Podsh) -> None:
    """Nothing is there, again and again, and then there is: who waits for it finds it at once."""
    done = podsh.pod(*python(LATE, "/tmp/late.sock"))
    assert (done.out, done.err) == ("ENOENT ENOENT\nconnected\nENOENT ENOENT\n", "")


def test_abstract_address_of_the_hosts_network(podsh: Podsh) -> None:
    name = f"podsh-e2e-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as host:
        host.bind("\0" + name)
        host.listen(9)
        host.setblocking(False)
        code = TRY + "print(tried('\\0' + sys.argv[1]))"
        options = ("--net", "host")
        assert podsh.pod(*python(code, name), options=options).out == "ECONNREFUSED\n"
        with pytest.raises(BlockingIOError):
            host.accept()
        pod = Asking(podsh, "web", *python(code, name), options=options)
        ident = pod.asked()
        (row,) = rows(podsh)
        assert (row["op"], row["path"]) == ("connect", f"@{name}")
        said = podsh.run("allow", str(ident))
        assert said.code == 0, said.err
        assert pod.end().out == "connected\n"
        host.accept()[0].close()


@pytest.mark.parametrize("what", ["address", "descriptor"])
def test_swaps_during_the_call(
    podsh: Podsh, directory: Path, server: Callable[[str], Server], what: str
) -> None:
    """1,500 tries; that they succeed where a monitor is careless is in tests/kernel."""
    host = server("host.sock")
    source = Path(__file__).parents[1] / "kernel/connect_swap.c"
    program = directory / "swap"
    subprocess.run(["cc", "-O2", "-static", "-pthread", "-o", program, source], check=True)
    program.chmod(0o755)
    line = f'python3 -c "$0" & sleep 0.5; {program} /tmp/own {host.path} {TRIES} {what}; kill $!'
    listen = (
        "import socket, time\ns = socket.socket(socket.AF_UNIX)\n"
        "s.bind('/tmp/own')\ns.listen(4000)\ntime.sleep(60)"
    )
    options = ("--ro", str(directory), "--net", "loop")
    done = podsh.pod("sh", "-c", line, listen, options=options)
    assert done.out == f"{TRIES} tries\n", done.err
    assert host.reached() == 0
