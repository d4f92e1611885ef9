"""A pod's network beyond an empty namespace: links, traffic logs, scripts of the administrator's.

Made between the jail's building and its program's start; any failure ends the launch. A link on a
device of the host's is made by a process of the portal's (podsh/kernel/net.py), which has what it
takes; all else by programs beside the pod (beside.py).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from podsh.errors import LaunchFailed, from_wire
from podsh.kernel import caps, namespaces, netfilter, netsettings
from podsh.kernel.fds import memfd
from podsh.monitor.beside import NOBODY, Beside, unprivileged, view
from podsh.nets import LINKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podsh.monitor.loop import Loop
    from podsh.nets import Gizmo, Network

LINK_S = 30.0
READY_S = 20.0
GIZMO_S = 60.0
# longer than libpcap lets the kernel collect packets (1 s)
DRAIN_S = 1.3
DRAIN_STEP_S = 0.02
DRAIN_ANSWERS = 3
ANSWER_S = 5.0
BUFFER_KIB = 16 << 10
_ANYBODYS = 0o006
_LOG_DIR = "/log"
_GIZMO_FILES = (
    *("/etc/jettison/gizmos", "/etc/passwd", "/etc/group", "/etc/hosts", "/etc/services"),
    *("/etc/protocols", "/etc/nsswitch.conf", "/etc/iproute2", "/etc/ethertypes", "/etc/xtables"),
)


class Setup:
    """What works for one pod's network. Owns these programs."""

    def __init__(self, network: Network, init_pid: int, state_dir: str, fds: Sequence[int]) -> None:
        """Make all of it, waiting until it is there. Raises LaunchFailed; nothing is left then.

        fds: what the portal gave: for a link, the connection to who makes it; then the gizmos'
        files. They stay the caller's.
        """
        self._programs: list[Beside] = []
        self.mac: str | None = None  # of the link
        self._notes: list[str] = []  # what a person should know
        self._capture: Beside | None = None
        self._init_pid = init_pid
        self._net = os.open(f"/proc/{init_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._user = -1
        try:
            self._user = self._owner(network.own)
            if network.log is not None:
                self._start_capture(network.log, state_dir)
            given = list(fds)
            if network.mode in LINKS:
                made = _ask_for_link(given.pop(0), self._net)
                self._notes += made["notes"]
                self.mac = str(made["mac"])
            elif network.mode == "user":
                self._connect()
            for gizmo, fd in zip(network.gizmos, given, strict=True):
                self._run_gizmo(gizmo, fd, network.own)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(self._net)
            if self._user >= 0:
                os.close(self._user)

    def _owner(self, own: bool) -> int:
        """The user namespace over whose networks alone the programs get anything."""
        if own:
            return namespaces.owner(self._net)
        return os.open(f"/proc/{self._init_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)

    def _options(self, mask: int) -> list[str]:
        return ["net", str(self._net), "user", str(self._user), "caps", f"{mask:x}"]

    # -- to the outside

    def _connect(self) -> None:
        program = netsettings.find(*netsettings.CONNECTORS)
        if not program:
            raise LaunchFailed(
                "neither pasta nor slirp4netns is installed",
                place="network user",
                hint="install one: apt-get install passt",
            )
        if not os.access(netsettings.TUN, os.R_OK | os.W_OK):
            raise LaunchFailed(
                "cannot be opened by you",
                place=netsettings.TUN,
                hint=f"mend it: {netsettings.tun_mend()}",
            )
        with memfd(netfilter.loopback_stays()) as rules:
            # over the pod's network and what is its; both confine themselves further
            options = self._options(
                caps.mask("sys_admin", "net_admin", "setpcap", "net_bind_service")
            )
            options += ["rules", str(rules.fileno()), *view(), "dev", netsettings.TUN]
            if os.stat(netsettings.TUN).st_mode & _ANYBODYS == _ANYBODYS:
                options += unprivileged()
            net = f"/proc/self/fd/{self._net}"
            fds = [self._net, self._user, rules.fileno()]
            is_pasta = os.path.basename(program) == "pasta"
            start = self._start_pasta if is_pasta else self._start_slirp
            start(program, options, net, fds)

    def _start_pasta(self, program: str, options: list[str], net: str, fds: list[int]) -> None:
        argv = [program, "--quiet", "--config-net", "--no-map-gw", "--netns-only"]
        for kind in "tuTU":  # no ports of one side on the other, loopback's neither
            argv += [f"-{kind}", "none"]
        if os.geteuid() == 0 and "uid" not in options:
            argv += ["--runas", "0"]  # in the pod's user namespace, and with its capabilities
        beside = self._add(Beside("pasta", options, [*argv, "--netns", net], fds))
        # it goes into the background once it is ready
        beside.wait(READY_S)

    def _start_slirp(self, program: str, options: list[str], net: str, fds: list[int]) -> None:
        ready, theirs = os.pipe2(os.O_CLOEXEC)
        argv = [program, "--configure", "--mtu=65520", "--disable-host-loopback", "--disable-dns"]
        argv += ["--enable-ipv6", "--enable-seccomp", f"--ready-fd={theirs}"]
        if os.geteuid() == 0 and "uid" not in options:
            argv.append("--enable-sandbox")  # it becomes uid 0 for that
        try:
            beside = self._add(
                Beside(
                    "slirp4netns",
                    options,
                    [*argv, "--netns-type=path", net, "tap0"],
                    [*fds, theirs],
                )
            )
            os.close(theirs)
            theirs = -1
            os.set_blocking(ready, False)
            beside.wait(READY_S, lambda _: _told(ready), ready)
        finally:
            os.close(ready)
            if theirs >= 0:
                os.close(theirs)

    def _add(self, beside: Beside) -> Beside:
        self._programs.append(beside)
        return beside

    # -- its traffic

    def _start_capture(self, log: tuple[int, int], state_dir: str) -> None:
        program = netsettings.find("tcpdump")
        if not program:
            raise LaunchFailed(
                "tcpdump is not installed",
                place="network log",
                hint="install it: apt-get install tcpdump",
            )
        directory = log_dir(state_dir)
        nobody = unprivileged()
        try:
            shutil.rmtree(directory, ignore_errors=True)  # of an earlier pod of that name
            os.mkdir(directory, 0o700)
            if nobody:
                os.chown(directory, NOBODY, NOBODY)
        except OSError as exc:
            raise LaunchFailed(os.strerror(exc.errno or 0), place=directory) from None
        options = [*self._options(caps.mask("net_raw")), "enter", *nobody]
        options += [*view(), "rw", directory, _LOG_DIR]
        argv = [program, "-i", "any", "-n", "-U", "-B", str(BUFFER_KIB)]
        argv += ["-w", f"{_LOG_DIR}/traffic.pcap"]
        size, count = log
        if size:
            argv += ["-C", str(size)]
            argv += ["-W", str(count)] if count else []
        beside = self._add(Beside("tcpdump", options, argv, [self._net, self._user]))
        beside.wait(READY_S, lambda said: "listening on" in said)
        self._capture = beside

    def drain(self) -> None:
        """Wait until what the pod has sent and received is in the log.

        The kernel hands packets over once a second, and counts those of the loopback twice: where
        the counts never meet, nothing new for longer than that means that all is there.
        """
        capture = self._capture
        if capture is None:
            return
        before, since, idle = -1, time.monotonic(), 0
        while idle < DRAIN_ANSWERS:
            capture.forget()
            capture.signal(signal.SIGUSR1)
            try:
                capture.wait(ANSWER_S, lambda said: "dropped by kernel" in said)
            except LaunchFailed:
                return  # it has ended, which was told, or hangs
            captured, received, dropped = _counts(capture.said)
            if captured + dropped >= received:
                return
            if captured > before:
                before, since, idle = captured, time.monotonic(), 0
            # answers come before packets: one that has just got to run may still have some to take
            idle += time.monotonic() - since > DRAIN_S
            time.sleep(DRAIN_STEP_S)

    # -- scripts

    def _run_gizmo(self, gizmo: Gizmo, fd: int, own: bool) -> None:
        options = [*self._options(gizmo.caps), "exec", str(fd), *view(*_GIZMO_FILES)]
        if own:
            options.append("enter")
        elif gizmo.caps:
            raise LaunchFailed(
                f"{gizmo.argv[0]} configures a network, and the pod has none of its own",
                place=gizmo.where,
                hint="give the pod one: newnet loop",
            )
        beside = Beside(gizmo.argv[0], options, gizmo.argv, [self._net, self._user, fd])
        try:
            beside.wait(GIZMO_S)
        except LaunchFailed as exc:
            raise LaunchFailed(f"{gizmo.argv[0]}: {exc.cause}", place=gizmo.where) from None
        finally:
            beside.close()

    # -- while the pod lives

    def watch(self, loop: Loop, notify: Callable[[dict[str, Any]], None]) -> None:
        """Tell of programs that end before the pod does, and let none wait for being heard."""

        def said(beside: Beside) -> None:
            if not beside.hear():
                loop.remove_reader(beside.output)

        def moved(beside: Beside) -> None:
            if beside.gone():
                loop.remove_reader(beside.guard)
                words = f"{beside.name} has ended: {beside.last_words()}"
                notify({"ev": "note", "text": words.removesuffix(": ")})

        for text in self._notes:
            notify({"ev": "note", "text": text})
        for beside in self._programs:
            loop.add_reader(beside.output, said, beside)
            loop.add_reader(beside.guard, moved, beside)

    def unwatch(self, loop: Loop) -> None:
        for beside in self._programs:
            loop.remove_reader(beside.output)
            loop.remove_reader(beside.guard)

    def close(self) -> None:
        """End all of them."""
        for beside in reversed(self._programs):
            beside.close()
        self._programs.clear()
        self._capture = None


def log_dir(state_dir: str) -> str:
    """Where a pod's traffic is logged."""
    return os.path.join(state_dir, "net")


def _told(fd: int) -> bool:
    try:
        return bool(os.read(fd, 1))
    except BlockingIOError:
        return False


def _counts(words: str) -> tuple[int, int, int]:
    """``3 packets captured, 3 packets received by filter, 0 packets dropped by kernel``"""
    found = dict.fromkeys(("captured", "received", "dropped"), 0)
    for part in words.replace("\n", ",").replace("tcpdump:", ",").split(","):
        fields = part.split()
        if len(fields) >= 3 and fields[0].isdigit() and fields[2] in found:
            found[fields[2]] = int(fields[0])
    return found["captured"], found["received"], found["dropped"]


def _ask_for_link(fd: int, net: int) -> dict[str, Any]:
    """Have the portal's process make the link, in the namespace ``net``; what it says of it."""
    with socket.socket(fileno=os.dup(fd)) as maker:
        maker.settimeout(LINK_S)
        try:
            socket.send_fds(maker, [b"net"], [net])
            answer = json.loads(maker.recv(1 << 16) or b"{}")
        except (OSError, ValueError) as exc:
            raise LaunchFailed(f"its maker does not answer: {exc}", place="network link") from None
    if "error" in answer:
        raise from_wire(answer["error"])
    if "ok" not in answer:
        raise LaunchFailed("its maker ended", place="network link", hint="see the portal's log")
    made: dict[str, Any] = answer["ok"]
    return made
