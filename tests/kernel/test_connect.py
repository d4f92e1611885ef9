"""connect(2), carried out by the monitor: under the real filter, as root and as a user."""

from __future__ import annotations

import json
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from podsh.kernel import seccomp
from podsh.kernel.fds import memfd
from podsh.kernel.seccomp import FilterSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.helpers.callers import Caller

SUPERVISOR = Path(__file__).with_name("connect_supervisor.py").read_text()


class Seen(NamedTuple):
    """What came of a program: what it printed, what was asked, connections to the host's two."""

    out: list[str]
    asked: list[str]
    stream: int
    packets: int
    own: Path
    host: Path


@pytest.fixture
def supervised(caller: Caller, command: Path, ground: Path) -> Callable[..., Seen]:
    """Run the code of a program; ``how`` as connect_supervisor.py says."""

    def run(code: str, **how: Any) -> Seen:
        base = ground / f"c{uuid.uuid4().hex[:6]}"
        own, host = base / "own", base / "host"
        for path in (base, own, host):
            path.mkdir()
            caller.own(path)
        how = {"own": str(own), "host": str(host), "network": "own", "answer": "refuse"} | how
        with memfd(seccomp.build(FilterSpec(notify=True))) as program:
            fd = program.fileno()
            done = subprocess.run(
                [
                    *("bash", "-c", f'exec 3<"/proc/self/fd/{fd}" "$@"', "bash"),
                    *(str(command.parent / "python"), "-I", "-c", SUPERVISOR),
                    *(json.dumps(how), code),
                ],
                pass_fds=(fd,),
                capture_output=True,
                text=True,
                cwd="/",
                timeout=250,
                **caller.popen(),
            )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        found = json.loads(done.stdout)
        assert (found["running"], found["left"]) == (0, False)
        reached = found["reached"]
        if not how.get("dies"):
            assert found["status"] == 0
        return Seen(found["out"], found["asked"], reached["stream"], reached["packets"], own, host)

    return run


OWN = r"""
servers = []
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    path = f"{OWN}/{int(kind)}"
    say(tried(path, kind))
    server = socket.socket(socket.AF_UNIX, kind)
    servers.append(server)
    server.bind(path)
    say(tried(path, kind))
    server.listen(0)
    client = socket.socket(socket.AF_UNIX, kind)
    say(raw(client.fileno(), unix(path)))
    connection, _ = server.accept()
    say(raw(client.fileno(), unix(path)))
    client.send(b"hello")
    say(connection.recv(9).decode(), client.getpeername() == path)
    other = socket.SOCK_SEQPACKET if kind == socket.SOCK_STREAM else socket.SOCK_STREAM
    say(tried(path, other))
    # the queue holds one more
    waiting = socket.socket(socket.AF_UNIX, kind)
    say(raw(waiting.fileno(), unix(path)))
    late = socket.socket(socket.AF_UNIX, kind)
    late.setblocking(False)
    say(raw(late.fileno(), unix(path)))
    late.setblocking(True)
    late.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 200000))
    start = time.monotonic()
    say(raw(late.fileno(), unix(path)), 0.15 < time.monotonic() - start < 1)
    late.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))
    threading.Timer(0.2, server.accept).start()
    start = time.monotonic()
    say(raw(late.fileno(), unix(path)), 0.1 < time.monotonic() - start < 2)
    server.accept()
    server.listen(10)
os.chdir(OWN)
os.symlink("../own/1", "link")
os.symlink(f"{OWN}/1", "whole")
folder = os.open(".", os.O_PATH)
for name in ("1", "./1", "../own/1", "link", "whole", f"/proc/self/fd/{folder}/1", "nothing",
             "1/x", "x/../1", "", "/"):
    say(name.replace(str(folder), "N"), tried(name))
os.mkdir("gone")
os.chdir("gone")
os.rmdir("../gone")
say(tried("1"))
with open(f"{OWN}/plain", "w"):
    say(tried(f"{OWN}/plain"))
os.chmod(f"{OWN}/1", 0)
say("without permission", tried(f"{OWN}/1"))
os.chmod(f"{OWN}/1", 0o700)
os.chdir("/")
abstract = socket.socket(socket.AF_UNIX)
abstract.bind(b"\0podsh-test")
abstract.listen(9)
with socket.socket(socket.AF_UNIX) as s:
    say(raw(s.fileno(), b"\1\0\0podsh-test"), s.getpeername())
with socket.socket(socket.AF_UNIX) as s:
    say(raw(s.fileno(), b"\1\0\0podsh-other"))
"""

INTERNET = r"""
server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
def inet(port, host="127.0.0.1"):
    return struct.pack("=H", 2) + struct.pack("!H4s8x", port, socket.inet_aton(host))
kept = []
def new(*what):
    kept.append(socket.socket(*what))
    return kept[-1].fileno()
s = socket.socket()
say(raw(s.fileno(), inet(port)), raw(s.fileno(), inet(port)), s.getpeername()[1] == port)
say(raw(s.fileno(), bytes(16)), "dissolved", raw(s.fileno(), inet(port)))
say(raw(new(), inet(1)))
s = socket.socket()
s.setblocking(False)
say(raw(s.fileno(), inet(port)) in (0, "EINPROGRESS"))
events = select.poll()
events.register(s, select.POLLOUT)
say(events.poll(2000)[0][1] == select.POLLOUT, s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
say(raw(u.fileno(), inet(9)), raw(u.fileno(), inet(10)), u.getpeername())
say(raw(u.fileno(), bytes(16)), raw(u.fileno(), inet(11, "255.255.255.255")))
six = socket.socket(socket.AF_INET6)
say(raw(six.fileno(), struct.pack("=H", 10) + struct.pack("!HI16sI", 1, 0, bytes(15) + b"\1", 0)))
say("netlink", raw(new(16, 3, 0), struct.pack("=HHII", 16, 0, 0, 0)))
say("wrong", raw(u.fileno(), unix("/")), raw(six.fileno(), inet(1)))
say(raw(new(1), inet(1)), raw(new(1), bytes(16)))
fd = new()
for length in (0, 1, 2, 8, 15, 16, 17, 128, 129, 1 << 31, (1 << 32) - 1):
    with socket.socket() as s:
        padded = inet(port) + bytes(112)
        say(length, raw(s.fileno(), padded, length), raw(new(1), padded, length))
for length in (0, 1, 2, 3, 108, 109, 110, 111, 128):
    with socket.socket(1) as s:
        say(length, raw(s.fileno(), b"\1\0/" + b"x" * 125, length))
say(raw(-1, inet(port)), raw(999, inet(port)), raw(999, None, 16), raw(fd, None, 16))
say(raw(fd, ctypes.c_void_p(1), 200), raw(fd, ctypes.c_void_p((1 << 64) - 8), 16))
plain = os.open("/", os.O_RDONLY)
say(raw(plain, inet(port)), raw(plain, None, 16), raw(os.open("/", os.O_PATH), inet(port)))
import mmap
page = mmap.mmap(-1, 2 * mmap.PAGESIZE)
view = ctypes.addressof(ctypes.c_char.from_buffer(page))
libc.munmap(ctypes.c_void_p(view + mmap.PAGESIZE), ctypes.c_size_t(mmap.PAGESIZE))
page[mmap.PAGESIZE - 16 : mmap.PAGESIZE] = inet(port)
with socket.socket() as s:
    say(raw(s.fileno(), ctypes.c_void_p(view + mmap.PAGESIZE - 8), 16))
    say(raw(s.fileno(), ctypes.c_void_p(view + mmap.PAGESIZE - 16), 16))
say(libc.connect(ctypes.c_ulong(new() | 5 << 32), inet(port), 16))
"""


@pytest.mark.parametrize("code", [OWN, INTERNET], ids=["unix", "internet"])
def test_as_the_kernel_does(supervised: Callable[..., Seen], code: str) -> None:
    """The same program without a filter prints the same."""
    seen, bare = supervised(code), supervised(code, bare=True)
    assert seen.out == bare.out
    assert len(seen.out) > 20
    assert seen.asked == []


HOSTS = r"""
say(tried(f"{HOST}/stream"), tried(f"{HOST}/packets", socket.SOCK_SEQPACKET))
os.symlink(f"{HOST}/stream", f"{OWN}/link")
os.link(f"{HOST}/stream", f"{HOST}/second")
os.chdir(HOST)
say(tried(f"{OWN}/link"), tried("second"), tried("./stream"))
with socket.socket(socket.AF_UNIX) as s:
    s.setblocking(False)
    say(raw(s.fileno(), unix("stream")))
# by name in a call that is not connect(2)
def sent(kind, flags=0):
    s = socket.socket(socket.AF_UNIX, kind)
    pair, _ = socket.socketpair(socket.AF_UNIX, kind)
    found = []
    for each in (s, pair):
        for send in (lambda: each.sendto(b"x", flags, "stream"),
                     lambda: each.sendmsg([b"x"], [], flags, "stream")):
            try:
                send()
                found.append("sent")
            except OSError as exc:
                found.append(errno.errorcode[exc.errno])
    return found
MSG_FASTOPEN = 0x20000000
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    say(*sent(kind), *sent(kind, MSG_FASTOPEN))
"""
HOST_NAMES = ["stream", "packets", "stream", "second", "stream", "stream"]
SENT = [
    "ENOTSUP ENOTSUP EISCONN EISCONN ENOTSUP ENOTSUP EISCONN EISCONN",
    "ENOTCONN ENOTCONN sent sent ENOTCONN ENOTCONN sent sent",  # to the other one of the pair
]


@pytest.mark.parametrize("network", ["own", "host"])
def test_a_socket_of_the_host(supervised: Callable[..., Seen], network: str) -> None:
    """Asked for by its path on the host; nobody is connected before the answer."""
    seen = supervised(HOSTS, network=network)
    refused = "ECONNREFUSED"
    assert seen.out[:3] == [f"{refused} {refused}", " ".join([refused] * 3), refused]
    assert seen.asked == [f"{seen.host}/{name}" for name in HOST_NAMES]
    assert (seen.stream, seen.packets) == (0, 0)
    assert seen.out[3:] == SENT

    seen = supervised(HOSTS, network=network, answer="approve")
    assert seen.out[:3] == ["0 0", "0 0 0", "0"]
    assert seen.asked == [f"{seen.host}/{name}" for name in HOST_NAMES]
    assert (seen.stream, seen.packets) == (5, 1)


def test_a_listener_of_the_pods_in_a_directory_of_the_hosts(
    supervised: Callable[..., Seen],
) -> None:
    """Known by the file it is bound to: another file under its name is another socket."""
    code = r"""
server = socket.socket(socket.AF_UNIX)
server.bind(f"{HOST}/mine")
server.listen(9)
say(tried(f"{HOST}/mine"), server.accept()[1] == "")
os.rename(f"{HOST}/mine", f"{HOST}/away")
os.rename(f"{HOST}/stream", f"{HOST}/mine")
say(tried(f"{HOST}/mine"), tried(f"{HOST}/away"))
"""
    seen = supervised(code)
    assert seen.out == ["0 True", "ECONNREFUSED 0"]
    assert seen.asked == [f"{seen.host}/mine"]
    assert seen.stream == 0
    # with the host's network its listeners cannot be told from the pod's
    seen = supervised(code, network="host", answer="approve")
    assert seen.asked == [f"{seen.host}/{name}" for name in ("mine", "mine", "away")]


def test_abstract_addresses(supervised: Callable[..., Seen]) -> None:
    """Of a network of the pod's own they are its own, of the host's they are asked for."""
    code = r"""
name = b"\1\0\0podsh-test-%d/x" % os.getppid()
server = socket.socket(socket.AF_UNIX)
server.bind(name[2:])
server.listen(5)
with socket.socket(socket.AF_UNIX) as s:
    say(raw(s.fileno(), name))
"""
    seen = supervised(code)
    assert (seen.out, seen.asked) == (["0"], [])
    seen = supervised(code, network="host")
    assert seen.out == ["ECONNREFUSED"]
    assert len(seen.asked) == 1
    assert seen.asked[0].startswith("@podsh-test-")
    assert seen.asked[0].endswith("/x")
    assert supervised(code, network="host", answer="approve").out == ["0"]


def test_netlink_peers(supervised: Callable[..., Seen]) -> None:
    """The kernel, but no other process and no group: that takes a privilege of the monitor's."""
    seen = supervised(r"""
def netlink(protocol, peer, groups):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as s:
        return raw(s.fileno(), struct.pack("=HHII", 16, 0, peer, groups))
say(netlink(0, 0, 0), netlink(15, 1234, 0), netlink(15, 0, 1))
""")
    assert seen.out == ["0 EPERM EPERM"]


def test_descriptors_of_a_threads_own(supervised: Callable[..., Seen]) -> None:
    """A thread that unshared its descriptors is connected by its own."""
    seen = supervised(r"""
server = socket.socket(socket.AF_UNIX)
server.bind(f"{OWN}/s")
server.listen(9)
one = socket.socket(socket.AF_UNIX)
def other():
    assert libc.unshare(0x400) == 0
    with socket.socket(socket.AF_UNIX) as mine:
        os.dup2(mine.fileno(), one.fileno())
    say(raw(one.fileno(), unix(f"{OWN}/s")))
    os.close(one.fileno())
thread = threading.Thread(target=other)
thread.start()
thread.join()
say(raw(one.fileno(), unix(f"{OWN}/s")))
""")
    assert seen.out == ["0", "0"]


# ---------------------------------------------------------------- waiting

FULL = r"""
server = socket.socket(socket.AF_UNIX)
server.bind(f"{OWN}/full")
server.listen(0)
first = socket.socket(socket.AF_UNIX)
assert raw(first.fileno(), unix(f"{OWN}/full")) == 0
"""


def test_signals(supervised: Callable[..., Seen]) -> None:
    """As without a monitor: EINTR, or begun again where the handler says SA_RESTART."""
    seen = supervised(
        FULL
        + r"""
late = socket.socket(socket.AF_UNIX)
times = []
signal.signal(signal.SIGALRM, lambda *_: times.append(time.monotonic()))
signal.setitimer(signal.ITIMER_REAL, 0.2)
start = time.monotonic()
say(raw(late.fileno(), unix(f"{OWN}/full")), len(times), 0.15 < time.monotonic() - start < 0.7)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.2)
threading.Timer(1, server.accept).start()
start = time.monotonic()
say(raw(late.fileno(), unix(f"{OWN}/full")), 0.9 < time.monotonic() - start < 2)
"""
    )
    assert seen.out == ["EINTR 1 True", "0 True"]


def test_callers_that_die(supervised: Callable[..., Seen]) -> None:
    """What waits for them ends with them: the supervisor looks that no worker is left."""
    code = r"""
if os.fork() == 0:
    time.sleep(0.3)
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)
def wait():
    with socket.socket(socket.AF_UNIX) as s:
        raw(s.fileno(), unix(f"{OWN}/full"))
for _ in range(6):
    threading.Thread(target=wait).start()
wait()
say("woken")
"""
    seen = supervised(FULL + code, dies=True)
    assert seen.out == []
    held = code.replace("{OWN}/full", "{HOST}/stream")
    seen = supervised(held, dies=True, answer="hold")
    assert seen.out == []
    assert seen.asked == [f"{seen.host}/stream"] * 7


def test_those_that_wait_hold_nobody_up(supervised: Callable[..., Seen]) -> None:
    seen = supervised(
        FULL
        + r"""
def wait():
    with socket.socket(socket.AF_UNIX) as s:
        raw(s.fileno(), unix(f"{OWN}/full"))
for _ in range(40):
    threading.Thread(target=wait, daemon=True).start()
server = socket.socket(socket.AF_UNIX)
server.bind(f"{OWN}/other")
server.listen(300)
time.sleep(0.5)
start = time.monotonic()
say(tried(f"{OWN}/other"), time.monotonic() - start < 4)
start = time.monotonic()
say(*{tried(f"{OWN}/other") for _ in range(50)}, time.monotonic() - start < 1)
"""
    )
    assert seen.out == ["0 True", "0 True"]


def test_many_at_once(supervised: Callable[..., Seen]) -> None:
    seen = supervised(r"""
server = socket.socket(socket.AF_UNIX)
server.bind(f"{OWN}/s")
server.listen(300)
go = threading.Barrier(200)
found = []
def one():
    go.wait()
    found.append(tried(f"{OWN}/s"))
threads = [threading.Thread(target=one) for _ in range(200)]
for thread in threads: thread.start()
for thread in threads: thread.join()
say(len(found), *set(found))
""")
    assert seen.out == ["200 0"]


# ---------------------------------------------------------------- swaps

TRIES = 1500

# the address of a socket of its own, or one of the internet's, and the forbidden one
SWAPPED = r"""
server = socket.socket(socket.AF_UNIX)
server.bind(f"{OWN}/s")
server.listen(4000)
os.dup2(1, 2)
os.execv(PROGRAM, [PROGRAM, f"{OWN}/s", f"{HOST}/stream", str(TRIES), WHAT])
"""
# other processes exchange the names all the time
SWAPPED_LINK = r"""
server = socket.socket(socket.AF_UNIX)
server.bind(f"{OWN}/name")
server.listen(4000)
os.symlink(f"{HOST}/stream", f"{OWN}/other")
for _ in range(TRIES):
    tried(f"{OWN}/name")
"""
SWAPPED_DIRECTORY = r"""
os.mkdir(f"{OWN}/name")
server = socket.socket(socket.AF_UNIX)
server.bind(f"{OWN}/name/stream")
server.listen(4000)
os.symlink(HOST, f"{OWN}/other")
for _ in range(TRIES):
    tried(f"{OWN}/name/stream")
"""
SWAPS: dict[str, tuple[str, dict[str, Any]]] = {
    "address": ("WHAT = 'address'" + SWAPPED, {}),
    "descriptor": ("WHAT = 'descriptor'" + SWAPPED, {}),
    "link": (SWAPPED_LINK, {"swap": ["name", "other"]}),
    "directory": (SWAPPED_DIRECTORY, {"swap": ["name", "other"]}),
}


@pytest.fixture(scope="module")
def attacker(ground: Path) -> Path:
    program = ground / "connect-swap"
    source = Path(__file__).with_name("connect_swap.c")
    subprocess.run(["cc", "-O2", "-Wall", "-pthread", "-o", program, source], check=True)
    return program


@pytest.mark.parametrize("kind", SWAPS)
@pytest.mark.timeout(300)
def test_swaps_reach_nothing(supervised: Callable[..., Seen], attacker: Path, kind: str) -> None:
    """1,500 tries each: never a connection to the host's listener. Where calls go on because
    what was looked at is right, as no monitor should do it, some are made."""
    code, how = SWAPS[kind]
    head = f"PROGRAM = {str(attacker)!r}\nTRIES = "
    for _ in range(15):  # how often it hits is a matter of luck and load
        careless = supervised(f"{head}{TRIES}\n{code}", unsafe=True, **how)
        if careless.stream:
            break
    assert careless.stream > 0, "the attack does not work, and proves nothing"
    for _ in range(5):  # it may always come too early, or too late, to be seen
        seen = supervised(f"{head}{TRIES}\n{code}", **how)
        assert seen.stream == 0
        if seen.asked:
            break
    assert seen.asked, "the forbidden one was never seen"
    assert set(seen.asked) == {f"{seen.host}/stream"}
