"""Networks of pods: links on a host's device, the outside for ordinary users, logs of traffic.

All of it happens between network namespaces that the tests make (tests/helpers/wires.py).
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import wires as w
from tests.helpers.callers import caller as caller_of
from tests.helpers.needs import needs_kernel, needs_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.helpers.callers import Caller
    from tests.helpers.processes import Watch
    from tests.helpers.wires import There, Wires

TOOLS = ("pasta", "slirp4netns")
HELPERS = ("pasta", "pasta.avx2", "passt.avx2", "slirp4netns", "tcpdump", "podsh-beside")
SLEEP = ("sleep", "1000")


@pytest.fixture(autouse=True)
def nothing_left(wires: Wires) -> None:
    """Each test begins with the host's two devices, and no administrator."""
    wires.no_admin()


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest, wires: Wires) -> object:
    """Pods of mode user are connected by this one."""
    needs_program(request.param)
    others = [f"/usr/bin/{name}" for name in TOOLS if name != request.param]
    with wires.without(*others):
        yield request.param


def link(
    there: There, name: str, kind: str, address: str, more: str = "", dev: str = "lan0"
) -> str:
    """A profile with such a link; its name."""
    net = f'mode = "{kind}"\ndevice = "{dev}"\naddress = "{address}"\n{more}'
    there.profile(name, f'extends = "base"\n[net]\n{net}')
    return name


@pytest.fixture
def as_root(places: Callable[[Caller], There], watch: Watch) -> Iterator[There]:
    """``there`` as root, whose pods may have links on the host's devices."""
    served = places(caller_of("root"))
    yield served
    served.forget_pods()
    left = watch.left()
    assert not left, f"left behind:\n{left}"


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines)


# ---------------------------------------------------------------- user


def test_user_reaches_the_outside_and_not_the_host(there: There, wires: Wires, tool: str) -> None:
    mine = (f"127.0.0.1-{7001}", f"::1-{7001}")
    outside = (f"{w.BEYOND}-7001", f"{w.BEYOND6}-7001")
    with wires.serve(wires.outside, *outside), wires.serve(wires.host, *mine) as host:
        assert there.client(outside[0], "--net", "user").out.split() == ["from", w.BEYOND] * 2
        if tool == "pasta":  # slirp4netns has no IPv6 but its own
            assert there.client(outside[1], "--net", "user").out.split() == ["from", w.BEYOND6] * 2
        assert host.got() == []
        # the server is there, and answers who may ask
        assert w.client_there(wires, mine[0]).split() == ["from", "127.0.0.1"] * 2
        assert w.client_there(wires, mine[1]).split() == ["from", "::1"] * 2
        host.got()
        device = {"pasta": "up0", "slirp4netns": "tap0"}[tool]
        gateways = {"pasta": (w.GATEWAY, w.GATEWAY6), "slirp4netns": ("10.0.2.2", "fd00::2")}[tool]
        ways = [("127.0.0.1", ""), ("::1", ""), ("127.0.0.1", device), ("::1", device)]
        ways += [(gateway, "") for gateway in gateways] + [("127.9.9.9", device)]
        at_once = "".join(
            f"{w.PYTHON} -c \"$0\" {address}-7001 '{way}' 0.5 &\n" for address, way in ways
        )
        done = there.pod("sh", "-c", at_once + "wait", w.CLIENT, options=("--net", "user"))
        assert len(done.out.split()) == 2 * len(ways), done
        assert "from" not in done.out
        assert host.got() == []


def test_user_is_shown_and_ends_with_the_pod(there: There) -> None:
    needs_program(*TOOLS)
    assert there.run("run", "-d", "-n", "u", "--net", "user", "--", *SLEEP).code == 0
    assert there.row("u")["network"] == {"mode": "user"}
    assert " user " in there.run("ps", "-l").out
    assert w.processes_named(*HELPERS)
    init = there.row("u")["init_pid"]
    for pid in w.processes_named(*HELPERS[:-1]):
        status = status_of(pid)
        # over the pod's network alone, and that of the host without any capability
        assert os.readlink(f"/proc/{pid}/ns/user") == os.readlink(f"/proc/{init}/ns/user")
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert status["Uid"].split()[0] != "0"
        assert not (Path(f"/proc/{pid}/root") / "etc/passwd").exists()
    # in the pod nothing of them is to be seen
    seen = there.run("exec", "u", "--", "sh", "-c", "cat /proc/[0-9]*/comm; ls /proc/1/root").out
    assert "sleep" in seen
    assert not [name for name in HELPERS if name in seen]
    os.kill(there.row("u")["monitor_pid"], signal.SIGKILL)
    w.wait_for("the helpers' end", lambda: not w.processes_named(*HELPERS))
    assert there.state_of("u") == "lost"


def test_an_end_of_the_connection_is_told(there: There) -> None:
    needs_program("pasta")
    assert there.run("run", "-d", "-n", "e", "--net", "user", "--", *SLEEP).code == 0
    for pid in w.processes_named("pasta", "pasta.avx2", "passt.avx2"):
        os.kill(pid, signal.SIGKILL)
    w.wait_for("the note", lambda: "pasta has ended" in there.run("events", "e").out)
    assert there.state_of("e") == "running"


def test_user_has_resolvers_that_hold_there(there: There, wires: Wires) -> None:
    needs_program(*TOOLS)
    show = ("cat", "/etc/resolv.conf")
    mine = "nameserver 127.0.0.53\nnameserver 9.9.9.9\nsearch here\n"
    wires.admin("resolv.conf", mine)
    wires.at_host("mount", "--bind", f"{w.ADMIN}/resolv.conf", "/etc/resolv.conf")
    try:
        kept = there.pod(*show, options=("--net", "user")).out
        assert kept == "nameserver 9.9.9.9\nsearch here\n"
        assert there.pod(*show, options=("--net", "loop")).out == mine
        wires.admin("resolv.conf", "nameserver 127.0.0.53\n")
        done = there.pod("true", options=("--net", "user"))
        assert (done.code, "no names" in done.err) == (0, True)
    finally:
        wires.at_host("umount", "-l", "/etc/resolv.conf")


def test_user_says_what_is_missing(there: There, wires: Wires) -> None:
    with wires.without(*(f"/usr/bin/{name}" for name in TOOLS)):
        done = there.pod("true", options=("--net", "user"))
    assert done.code == 125
    assert "neither pasta nor slirp4netns is installed; install one: apt-get install" in done.err
    if there.caller.uid:
        wires.at_host("chmod", "0600", "/dev/net/tun")
        try:
            done = there.pod("true", options=("--net", "user"))
        finally:
            wires.at_host("chmod", "0666", "/dev/net/tun")
        assert (done.code, "/dev/net/tun: cannot be opened by you; mend it: " in done.err) == (
            125,
            True,
        )
    # no way out at all: pasta says so, and the launch ends by name
    wires.at_host("ip", "link", "set", "up0", "down")
    try:
        with wires.without("/usr/bin/slirp4netns"):
            done = there.pod("true", options=("--net", "user"))
        assert (done.code, "podsh: pasta: " in done.err) == (125, True)
    finally:
        wires.at_host("ip", "link", "set", "up0", "up")
        wires.at_host("ip", "route", "replace", "default", "via", w.GATEWAY)
        wires.at_host("ip", "addr", "replace", f"{w.HOST6}/64", "dev", "up0", "nodad")
        wires.at_host("ip", "-6", "route", "replace", "default", "via", w.GATEWAY6)


# ---------------------------------------------------------------- links


def test_two_pods_on_one_device_talk(as_root: There, wires: Wires) -> None:
    one = link(as_root, "one", "macvlan", "10.92.0.11/24", 'mac = "52:54:00:**:**:**"')
    two = link(as_root, "two", "macvlan", "10.92.0.12/24", 'mac = "52:54:00:00:00:0c"')
    before = w.links_of(wires)
    serve = (w.PYTHON, "-c", w.SERVER, "10.92.0.11-7001")
    assert as_root.run("run", "-d", "-n", "one", "-p", one, "--", *serve).code == 0
    w.wait_for("the server", lambda: "ready" in as_root.run("logs", "one").out)
    done = as_root.client("10.92.0.11-7001", "-p", two)
    assert done.out.split() == ["from", "10.92.0.11"] * 2
    row = as_root.row("one")["network"]
    assert (row["mode"], row["device"], row["address"]) == ("macvlan", "lan0", "10.92.0.11/24")
    assert row["mac"].startswith("52:54:00:")
    assert "*" not in row["mac"]
    assert f"macvlan lan0 {row['mac']} 10.92.0.11/24" in as_root.run("ps", "-l").out
    shown = as_root.run("exec", "one", "--", "cat", "/sys/class/net/eth0/address", "/proc/net/dev")
    assert "eth0" in shown.out
    # another pod may have neither its address nor its hardware address
    done = as_root.pod("true", options=("-p", link(as_root, "same", "macvlan", "10.92.0.11/24")))
    assert (done.code, "10.92.0.11 is pod one's" in done.err) == (2, True)
    os.kill(as_root.row("one")["monitor_pid"], signal.SIGKILL)
    w.wait_for("the link's end", lambda: not w.processes_named("python3"))
    assert w.links_of(wires) == before


def test_a_link_ends_with_its_pod_however_that_ends(as_root: There, wires: Wires) -> None:
    """No two links on a device may have one hardware address: the next one shows that it went."""
    fixed = 'mac = "52:54:00:00:00:aa"\n[run]\ncmdr = "first"'
    name = link(as_root, "fixed", "macvlan", "10.92.0.31/24", fixed)
    wires.at_host("install", "-D", "/usr/bin/ip", f"{w.ADMIN}/gizmos/ip")
    wires.admin(
        "users/root", PERMITS.replace("0.20-", "0.30-").replace("0.29", "0.39") + "gizmo ip\n"
    )
    # the last step of the launch fails, with the link made
    wires.admin("cmdrs/root/first", "ip link set eth0 down\nip nonsense\n")
    assert "first:2: ip: " in as_root.pod("true", options=("-p", name)).err
    wires.admin("cmdrs/root/first", "ip link show eth0\n")

    def works() -> bool:
        done = as_root.pod("true", options=("-p", name))
        assert done.code == 0 or "Address already in use" in done.err, done.err
        return done.code == 0

    # the kernel takes namespaces apart in the background
    w.wait_for("the failed launch's end", works)
    command = ("run", "-d", "-n", "k", "-p", name, "--", *SLEEP)
    w.wait_for("the link's end", lambda: as_root.run(*command).code == 0)
    assert "lan0 has none" in as_root.run("events", "k").out  # no default route there
    os.kill(as_root.row("k")["monitor_pid"], signal.SIGKILL)
    w.wait_for("the pod's end", lambda: as_root.state_of("k") == "lost")
    w.wait_for("the killed one's end", works)


def test_the_gateway_is_the_devices(as_root: There, wires: Wires) -> None:
    for address, beyond in (
        (f"{w.HOST[:-1]}9/24", w.BEYOND),
        (f"{w.HOST6[:-1]}9/64", w.BEYOND6),
    ):
        name = link(as_root, "far", "macvlan", address, dev="up0")
        with wires.serve(wires.outside, f"{beyond}-7002") as outside:
            done = as_root.client(f"{beyond}-7002", "-p", name)
            assert done.out.split() == ["from", beyond] * 2, done.err
            assert f"tcp {beyond} {address.partition('/')[0]}" in outside.got()


def test_ipvlan(as_root: There, wires: Wires) -> None:
    needs_kernel("ipvlan")
    name = link(as_root, "ipv", "ipvlan", f"{w.HOST[:-1]}8/24", dev="up0")
    with wires.serve(wires.outside, f"{w.BEYOND}-7003"):
        done = as_root.client(f"{w.BEYOND}-7003", "-p", name)
    assert done.out.split() == ["from", w.BEYOND] * 2


def test_the_hardware_address_that_a_link_got_is_shown(as_root: There) -> None:
    name = link(as_root, "free", "macvlan", "10.92.0.15/24")
    assert as_root.run("run", "-d", "-n", "free", "-p", name, "--", *SLEEP).code == 0
    mac = as_root.row("free")["network"]["mac"]
    ask = "s = socket.socket(); print(fcntl.ioctl(s, 0x8927, b'eth0' + bytes(36))[18:24].hex(':'))"
    ask = f"import fcntl, socket; {ask}"
    assert as_root.run("exec", "free", "--", w.PYTHON, "-c", ask).out.strip() == mac


def test_links_take_privilege(there: There, wires: Wires) -> None:
    name = link(there, "any", "macvlan", "10.92.0.13/24")
    done = there.pod("true", options=("-p", name))
    if there.caller.uid == 0:
        assert done.code == 0
    else:
        assert done.code == 2
        assert "newnet macvlan needs CAP_NET_ADMIN over the host's network, which you lack" in (
            done.err
        )
        assert "--net user" in done.err
        assert there.ps() == []


@pytest.mark.parametrize(
    ("device", "state", "code", "words"),
    [
        ("nowhere", "up", 2, "there is no network device 'nowhere'; there are: lo"),
        ("lan0", "down", 125, "network macvlan lan0: Network is down; bring it up: ip link set"),
        ("lo", "up", 125, "network macvlan lo: Invalid argument; it takes no such links"),
    ],
)
def test_what_fails_leaves_nothing(
    as_root: There, wires: Wires, device: str, state: str, code: int, words: str
) -> None:
    before = w.links_of(wires)
    wires.at_host("ip", "link", "set", "lan0", state)
    try:
        done = as_root.pod(
            "true", options=("-p", link(as_root, "f", "macvlan", "10.92.0.14/24", dev=device))
        )
    finally:
        wires.at_host("ip", "link", "set", "lan0", "up")
    assert (done.code, done.out) == (code, "")
    assert words in done.err, done.err
    assert w.links_of(wires) == before


PERMITS = "netdev lan0\niplimit 1\nipaddr 10.92.0.20-10.92.0.29/24\nmacaddr 52:54:00:**:**:**\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("", ""), ""),
        (
            ("netdev lan0", "netdev up0"),
            "does not allow device lan0; an administrator adds: netdev",
        ),
        (("iplimit 1\n", ""), "has no iplimit line"),
        (("0.29/24", "0.20/24"), "does not allow 10.92.0.21/24"),
        (("0.29/24", "0.29/16"), "does not allow 10.92.0.21/24"),
        (("52:54:00", "52:54:01"), "does not allow hardware address 52:54:00:**:**:**"),
        (("netdev lan0", "netdef lan0"), ':1: unknown keyword "netdef"; did you mean "netdev"?'),
        (("iplimit 1", "iplimit none"), ':2: iplimit "none" is no count'),
    ],
)
def test_the_users_file(as_root: There, wires: Wires, change: tuple[str, str], words: str) -> None:
    wires.admin("users/root", PERMITS.replace(*change) if change[0] else PERMITS)
    name = link(as_root, "p", "macvlan", "10.92.0.21/24", 'mac = "52:54:00:**:**:**"')
    done = as_root.pod("true", options=("-p", name))
    assert done.code == (2 if words else 0), done.err
    assert words in done.err, done.err
    if words:
        assert f"{w.ADMIN}/users/root" in done.err


def test_the_users_file_counts_pods(as_root: There, wires: Wires) -> None:
    wires.admin("users/root", PERMITS)
    mac = 'mac = "52:54:00:**:**:**"'
    one = link(as_root, "one", "macvlan", "10.92.0.21/24", mac)
    two = link(as_root, "two", "macvlan", "10.92.0.22/24", mac)
    assert as_root.run("run", "-d", "-n", "one", "-p", one, "--", *SLEEP).code == 0
    done = as_root.pod("true", options=("-p", two))
    assert (done.code, "allows 1 (iplimit), and 1 pods have one" in done.err) == (2, True)
    as_root.run("kill", "one")
    assert as_root.pod("true", options=("-p", two)).code == 0


def test_the_users_file_is_roots_alone(as_root: There, wires: Wires) -> None:
    name = link(as_root, "p", "macvlan", "10.92.0.21/24")
    for change, words in (
        (("chmod", "0666"), "can be written by others; as root: chown root:root"),
        (("chown", "1:1"), "does not belong to root"),
    ):
        wires.admin("users/root", PERMITS)
        wires.at_host(*change, f"{w.ADMIN}/users/root")
        done = as_root.pod("true", options=("-p", name))
        assert (done.code, words in done.err) == (2, True), done.err
    wires.at_host("sh", "-c", f"cd {w.ADMIN}/users; mv root real; ln -s real root")
    assert f"{w.ADMIN}/users/root: is a link" in as_root.pod("true", options=("-p", name)).err


# ---------------------------------------------------------------- logs of traffic

TALK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 7004))
s.connect(("127.0.0.1", 7004))
for number in range({count}):
    s.send(b"MARK%06d" % number + b"x" * {size})
    s.recv(65536)
"""


def captured(there: There, name: str) -> dict[str, bytes]:
    """The files of a pod's traffic, which ended."""
    directory = Path(there.row(name)["state_dir"]) / "net"
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_lognet_has_all_of_it(there: There) -> None:
    needs_program("tcpdump")
    pod = there.file(
        there.base / "logged.pod",
        "file rx /usr\nfile rx /bin\nfile rx /lib\n"
        "file rx /lib64\nfile r /etc/ld.so.cache\nnewnet loop\n",
    )
    talk = TALK.format(count=300, size=10)
    done = there.run("jettison", w.PYTHON, str(pod), "--lognet", "1", "2", "-c", talk)
    assert (done.code, "its traffic is logged below" in done.err) == (0, True), done.err
    found = captured(there, "logged")
    assert all(b"MARK%06d" % number in b"".join(found.values()) for number in range(300))
    done = there.run("jettison", w.PYTHON, str(pod), "--lognet", "1")
    assert (done.code, "--lognet needs two values: SIZE COUNT" in done.err) == (2, True)


def test_lognet_rotates(there: There) -> None:
    needs_program("tcpdump")
    talk = TALK.format(count=120, size=32768)
    done = there.run(
        *("run", "-n", "r", "--net", "loop", "--lognet", "1", "2", "--", w.PYTHON, "-c", talk)
    )
    assert done.code == 0, done.err
    found = captured(there, "r")
    # COUNT files, each within a packet of a million bytes
    assert sorted(found) == ["traffic.pcap0", "traffic.pcap1"]
    assert max(map(len, found.values())) < 1_000_000 + 40_000
    assert b"MARK000119" in b"".join(found.values())


@pytest.mark.parametrize("mode", ["macvlan", "user"])
def test_lognet_of_other_networks(there: There, wires: Wires, mode: str) -> None:
    needs_program("tcpdump")
    if mode == "macvlan":
        if there.caller.uid != 0:
            return  # refused, see above
        options = ["-p", link(there, "lm", "macvlan", f"{w.HOST[:-1]}7/24", dev="up0")]
    else:
        needs_program(*TOOLS)
        options = ["--net", "user"]
    with wires.serve(wires.outside, f"{w.BEYOND}-7005"):
        words = (w.PYTHON, "-c", w.CLIENT, f"{w.BEYOND}-7005")
        done = there.run("run", "-n", "lo", *options, "--lognet", "0", "0", "--", *words)
    assert done.out.split() == ["from", w.BEYOND] * 2, done.err
    found = captured(there, "lo")
    assert list(found) == ["traffic.pcap"]
    assert b"from 198.51.100.7" in found["traffic.pcap"]


def test_the_logger_is_confined(there: There) -> None:
    needs_program("tcpdump")
    command = ("run", "-d", "-n", "c", "--net", "loop", "--lognet", "1", "2", "--", *SLEEP)
    assert there.run(*command).code == 0
    (pid,) = w.processes_named("tcpdump")
    status = status_of(pid)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 1 << 13  # CAP_NET_RAW
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split()[0] != "0"
    init = there.row("c")["init_pid"]
    space = {
        kind: (os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/{init}/ns/{kind}"))
        for kind in ("net", "user", "mnt", "pid", "ipc", "uts")
    }
    assert [kind for kind, (its, pods) in space.items() if its == pods] == ["net", "user"]
    for kind, (its, _) in space.items():
        assert its != os.readlink(f"/proc/self/ns/{kind}")
    root = Path(f"/proc/{pid}/root")
    assert {path.name for path in root.iterdir()} <= {
        *("bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "log", "proc", "run", "sbin"),
        *("tmp", "usr"),
    }
    assert not (root / "etc/passwd").exists()
    assert {path.name for path in (root / "dev").iterdir()} == {"null", "fd"}
    # it is killed with the pod, and with the monitor
    os.kill(there.row("c")["monitor_pid"], signal.SIGKILL)
    w.wait_for("the logger's end", lambda: not w.processes_named("tcpdump", "podsh-beside"))


def test_lognet_is_refused_by_name(there: There, wires: Wires) -> None:
    log = ("--lognet", "1", "2")
    done = there.pod("true", options=("--net", "host", *log))
    assert (done.code, "the host's own traffic would be logged" in done.err) == (2, True)
    done = there.pod("true", options=("--lognet", "x", "2"))
    assert (done.code, "is not two numbers" in done.err) == (2, True)
    paths = [f"/usr/{place}/tcpdump" for place in ("bin", "sbin")]
    with wires.without(*paths):
        done = there.pod("true", options=("--net", "loop", *log))
    assert (
        done.code,
        "tcpdump is not installed; install it: apt-get install tcpdump" in done.err,
    ) == (
        125,
        True,
    )
