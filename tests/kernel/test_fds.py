"""Owned descriptors, passing, and who is at the other end."""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from podsh.errors import UntrustedInput
from podsh.kernel import fds, memory, process
from podsh.kernel.fds import OwnedFd
from tests.helpers.needs import needs_kernel, needs_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.callers import Caller

PYTHON = os.path.join(sys.base_exec_prefix, "bin", "python3")


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _no_fd_left() -> Iterator[None]:
    gc.collect()
    before = open_fds()
    yield
    gc.collect()
    assert open_fds() == before


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left, right


def test_one_owner() -> None:
    with OwnedFd(os.open("/", os.O_PATH)) as owned:
        assert owned.fileno() >= 0
    assert owned.fileno() == -1
    owned.close()

    owned = OwnedFd(os.open("/", os.O_PATH))
    taken = owned.take()
    assert owned.fileno() == -1
    owned.close()
    os.close(taken)


def test_a_forgotten_one_is_closed_with_a_warning() -> None:
    owned = OwnedFd(os.open("/", os.O_PATH))
    with pytest.warns(ResourceWarning, match="unclosed"):
        del owned


def test_passing(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    with open("/etc/passwd", "rb") as file:
        assert fds.send_fds(left, b"take", [file.fileno(), 0]) == 4
        data, got = fds.recv_fds(right, 100, 2)
        assert data == b"take"
        assert os.path.sameopenfile(got[0].fileno(), file.fileno())
    assert all(fcntl.fcntl(fd.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in got)
    fds.close_all(got)

    assert fds.send_fds(left, b"none", []) == 4
    assert fds.recv_fds(right, 100, 2) == (b"none", [])
    left.close()
    assert fds.recv_fds(right, 100, 2) == (b"", [])


@pytest.mark.parametrize(("sent", "room"), [(3, 2), (253, 1), (1, 0), (5, 4)])
def test_more_descriptors_than_allowed(
    pair: tuple[socket.socket, socket.socket], sent: int, room: int
) -> None:
    """Refused, and whatever arrived is closed (the fixture counts)."""
    left, right = pair
    fds.send_fds(left, b"x", [0] * sent)
    with pytest.raises(UntrustedInput, match="descriptors"):
        fds.receive(right, 10, room)


def test_more_data_than_allowed(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    fds.send_fds(left, b"x" * 11, [0])
    with pytest.raises(UntrustedInput, match="data"):
        fds.receive(right, 10, 1)


def test_nothing_there(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        fds.receive(pair[1], 10, 1)


def test_credentials_with_descriptors(pair: tuple[socket.socket, socket.socket]) -> None:
    left, right = pair
    right.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    fds.send_fds(left, b"x", [0, 1])
    got = fds.receive(right, 10, 2)
    assert got.credentials == (os.getpid(), os.getuid(), os.getgid())
    assert len(got.fds) == 2
    fds.close_all(got.fds)


def test_memfd_holds_all() -> None:
    data = bytes(range(256)) * 9000
    with fds.memfd(data) as file:
        assert os.pread(file.fileno(), len(data) + 1, 0) == data
        assert not os.get_inheritable(file.fileno())


def test_pidfd() -> None:
    child = subprocess.Popen(["sleep", "100"])
    with fds.pidfd_open(child.pid) as pidfd:
        assert fds.pidfd_pids(pidfd.fileno()) == (child.pid,)
        fds.pidfd_send_signal(pidfd.fileno(), signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            fds.pidfd_send_signal(pidfd.fileno(), 0)
        assert fds.pidfd_pids(pidfd.fileno()) == ()
    with pytest.raises(ProcessLookupError):
        fds.pidfd_open(child.pid)


# ---------------------------------------------------------------- peers

CONNECT = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(b"\\0" + sys.argv[1].encode()); s.recv(1)
"""


class Listener:
    """An abstract socket, and connections to it from processes of several kinds."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.name = f"podsh-test-{os.getpid()}-{id(self)}"
        self.sock.bind(b"\0" + self.name.encode())
        self.sock.listen()
        self.sock.settimeout(20)
        self.clients: list[subprocess.Popen[bytes]] = []

    def connect(
        self, *wrapper: str, caller: Caller | None = None
    ) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        command = [*wrapper, PYTHON, "-I", "-c", CONNECT, self.name]
        client = subprocess.Popen(command, cwd="/", **(caller.popen() if caller else {}))
        self.clients.append(client)
        return self.sock.accept()[0], client

    def close(self) -> None:
        for client in self.clients:
            client.kill()
            client.wait()
        self.sock.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


def test_peer(listener: Listener) -> None:
    sock, client = listener.connect()
    with sock, fds.peer(sock) as found:
        assert (found.pid, found.uid, found.gid) == (client.pid, os.getuid(), os.getgid())
        assert found.pidfd is not None
        assert fds.pidfd_pids(found.pidfd.fileno()) == (client.pid,)
        fds.check_peer(sock)


def test_peer_of_another_user(listener: Listener, caller: Caller) -> None:
    sock, _ = listener.connect(caller=caller)
    with sock:
        if caller.switch:
            with pytest.raises(UntrustedInput, match=f"uid {caller.uid}"):
                fds.check_peer(sock)
        else:
            fds.check_peer(sock)


@pytest.mark.parametrize("deep", [1, 2])
def test_peer_in_a_pod_is_refused(listener: Listener, deep: int) -> None:
    needs_kernel("user-namespaces")
    wrapper = [needs_program("unshare"), "--user", "--map-root-user", "--pid", "--kill-child"]
    sock, _ = listener.connect(*wrapper * deep)
    with sock, pytest.raises(UntrustedInput, match="pid namespace"):
        fds.check_peer(sock)


def test_peer_in_a_user_namespace_alone_is_fine(listener: Listener) -> None:
    needs_kernel("user-namespaces")
    sock, _ = listener.connect(needs_program("unshare"), "--user", "--map-root-user")
    with sock:
        fds.check_peer(sock)


def test_peer_that_ended_is_refused(listener: Listener) -> None:
    sock, client = listener.connect()
    client.kill()
    client.wait()
    with sock, pytest.raises(UntrustedInput):
        fds.check_peer(sock)


def test_peer_without_so_peerpidfd(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux below 6.5: the option is unknown."""
    monkeypatch.setattr(fds, "SO_PEERPIDFD", 9999)
    sock, client = listener.connect()
    with sock, fds.peer(sock) as found:
        assert found.pidfd is not None
        assert fds.pidfd_pids(found.pidfd.fileno()) == (client.pid,)
        fds.check_peer(sock)
        client.kill()
        client.wait()
        with pytest.raises(UntrustedInput, match="ended"):
            fds.check_peer(sock)


def test_not_dumpable_peers_are_known(listener: Listener) -> None:
    """podsh's own processes are not dumpable: what their user may see of them is enough."""
    code = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + CONNECT  # PR_SET_DUMPABLE
    client = subprocess.Popen([PYTHON, "-I", "-c", code, listener.name], cwd="/")
    listener.clients.append(client)
    sock = listener.sock.accept()[0]
    with sock:
        fds.check_peer(sock)


# ---------------------------------------------------------------- the rest


def test_process_vm_readv() -> None:
    import ctypes

    data = ctypes.create_string_buffer(b"seen from outside\0" + bytes(4000))
    address = ctypes.addressof(data)
    found = memory.Reader().bytes(os.getpid(), address, 4000)
    assert found == data.raw[:4000]
    with pytest.raises(OSError, match="Bad address"):
        memory.Reader().bytes(os.getpid(), 0, 100)
    with pytest.raises(ProcessLookupError, match="process_vm_readv"):
        memory.Reader().bytes(0x3FFFFFFF, address, 10)


def test_process_vm_readv_up_to_the_end_of_a_mapping() -> None:
    """A path may end where the next page is not mapped."""
    import ctypes
    import mmap

    with mmap.mmap(-1, 8192, prot=mmap.PROT_READ | mmap.PROT_WRITE) as page:
        page[4090:4096] = b"/etc/x"
        view = ctypes.c_char.from_buffer(page)
        address = ctypes.addressof(view)
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + 4096), 4096, 0) == 0
        assert memory.Reader().bytes(os.getpid(), address + 4090, 4096) == b"/etc/x"
        del view


def test_raise_nofile() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert fds.raise_nofile() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_prctl() -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        process.set_name("a name of 20 chars..")
        process.set_dumpable(False)
        process.set_pdeathsig(signal.SIGTERM)
        process.set_child_subreaper()
        process.set_no_new_privs()
        with open("/proc/self/comm", "rb") as file:
            os.write(write, file.read())
        os._exit(os.stat("/proc/self/status").st_uid == 0)
    os.close(write)
    assert os.read(read, 100) == b"a name of 20 ch\n"
    os.close(read)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
