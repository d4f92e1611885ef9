"""X11 and Wayland: the current display alone, and none for pods that were given none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.portal import xauthority
from tests.helpers.displays import Wayland, XServer
from tests.helpers.needs import needs_kernel, needs_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.helpers.runner import Podsh

# connects to each path (a name with @: abstract) and says how that went
TRY = """
import errno, socket, sys
for name in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(name.replace("@", "\\0"))
        print("connected")
    except OSError as exc:
        print(errno.errorcode[exc.errno])
"""


@pytest.fixture
def server(podsh: Podsh, tmp_path: Path) -> Iterator[Callable[..., XServer]]:
    """Starts X servers."""
    made: list[XServer] = []

    def start(*options: str) -> XServer:
        made.append(XServer(tmp_path, *options))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture
def desktop(podsh: Podsh, server: Callable[..., XServer]) -> Iterator[tuple[XServer, XServer]]:
    """The caller's display, and another one that the caller may use as well."""
    found = server(), server()
    path = authorities(podsh, *found)
    yield found
    path.unlink()


def authorities(podsh: Podsh, *servers: XServer) -> Path:
    """The caller's ~/.Xauthority, with the cookies of all of them."""
    entries = [one.entry() for one in reversed(servers)]
    return podsh.file(podsh.home / ".Xauthority", xauthority.write(entries), 0o600)


def test_the_current_display_alone(podsh: Podsh, desktop: tuple[XServer, XServer]) -> None:
    mine, other = desktop
    # both are the caller's
    for one in desktop:
        done = podsh.outside("xdpyinfo", env={"DISPLAY": one.name})
        assert done.code == 0, done.err

    line = (
        'xdpyinfo | head -n 1; echo "$DISPLAY"; ls /tmp/.X11-unix; xauth list; wc -c <$XAUTHORITY;'
        ' xdpyinfo -display "$1" | head -n 1; python3 -c "$0" "$@"'
    )
    more = [
        f"/tmp/.X11-unix/X{other.number}",
        f"@/tmp/.X11-unix/X{other.number}",
        f"@{mine.socket}",
    ]
    command = ["sh", "-c", line, TRY, other.name, *more]
    for net in ("none", "host"):
        options = ("--x11", "--net", net)
        done = podsh.pod(*command, options=options, env={"DISPLAY": f"{mine.name}.0"})
        lines = done.out.splitlines()
        assert lines[:3] == [
            f"name of display:    {mine.name}.0",
            f"{mine.name}.0",
            f"X{mine.number}",
        ]
        (size,) = (int(text) for text in lines[4:5])
        assert lines[3].split()[1:] == ["MIT-MAGIC-COOKIE-1", mine.cookie.hex()]
        assert size == len(xauthority.write([xauthority.alone(mine.entry(), mine.number)]))
        # no such file; and by its abstract name nobody is there, or nobody may
        assert lines[5:] == ["ENOENT", "ENOENT", "ECONNREFUSED", "ECONNREFUSED"], done


def test_by_pod_file_and_by_profile(podsh: Podsh, desktop: tuple[XServer, XServer]) -> None:
    """``x11``, ``[x11] enabled``; for every program of the pod; xeyes draws its window."""
    mine, _ = desktop
    env = {"DISPLAY": mine.name}
    pod = podsh.file(podsh.home / "client.pod", CLIENT)
    done = podsh.run("jettison", "/usr/bin/xdpyinfo", str(pod), "--strict", env=env)
    assert done.out.startswith(f"name of display:    {mine.name}\n"), done.err
    assert podsh.run("rm", "client").code == 0

    podsh.profile("eyes", 'name = "eyes"\nextends = "base"\n[x11]\nenabled = true\n')
    done = podsh.run("run", "-d", "-p", "eyes", "-n", "eyes", "--", "xeyes", env=env)
    assert done.code == 0, done.err
    line = "until xwininfo -root -tree | grep -q xeyes; do sleep 0.05; done; echo seen"
    done = podsh.run("exec", "eyes", "--", "sh", "-c", line)
    assert done.out == "seen\n", done.err
    assert podsh.outside("sh", "-c", line, env=env).out == "seen\n"


# as jettison's users have written them: an X client's, with the calls of an i386
CLIENT = """\
# an X client
file rx /bin
file rx /usr
file rx /lib
file rx /lib64
file r /etc
newnet none
x11
""" + "".join(
    f"seccomp_allow {call}\n"
    for call in (
        "read write open close stat64 fstat64 lstat64 mmap2 mprotect munmap brk access poll uname"
        " fcntl64 socketcall recv recvfrom recvmsg send writev shmget shmat shmctl getuid32"
        " geteuid32 getgid32 getegid32 getpid _llseek ugetrlimit set_thread_area set_tid_address"
        " futex rt_sigaction rt_sigprocmask exit_group _newselect gettimeofday getrandom prlimit64"
        " ioctl readlink connect socket getpeername getsockname clock_gettime select"
        " set_robust_list"
    ).split()
)


def test_not_without(podsh: Podsh, desktop: tuple[XServer, XServer]) -> None:
    """A pod that knows all of it, the cookie too, but was given no display."""
    mine, _ = desktop
    cookie = f"xauth -q add {mine.name} . {mine.cookie.hex()}; xdpyinfo"
    for option in ("none", "host"):
        env = ("--env", f"DISPLAY={mine.name}", "--env", "XAUTHORITY=/tmp/x", "--net", option)
        done = podsh.pod("sh", "-c", cookie, options=env)
        assert done.code == 1
        assert f'unable to open display "{mine.name}"' in done.err
    # not even by a directory that shows the socket
    done = podsh.pod(
        "python3", "-c", TRY, mine.socket, options=("--ro", "/tmp/.X11-unix", "--ro", "/tmp")
    )
    assert done.out == "ECONNREFUSED\n", done.err
    done = podsh.pod("cat", str(podsh.home / ".Xauthority"), options=("--ro", str(podsh.home)))
    assert done.code == 1
    assert not done.out


@pytest.mark.parametrize(
    ("display", "said"),
    [
        ("", "there is no X display: DISPLAY is not set"),
        (":4321", "/tmp/.X11-unix/X4321: No such file or directory"),
        ("host", "DISPLAY=host is no display's name"),
        ("localhost:10.0", "which the pod does not have; give it the host's: --net host"),
    ],
)
def test_no_display(podsh: Podsh, display: str, said: str) -> None:
    """Nothing is started, and the reason is said."""
    done = podsh.run("run", "--x11", "--", "echo", "started", env={"DISPLAY": display})
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert podsh.ps() == []


def test_over_the_network(podsh: Podsh, server: Callable[..., XServer]) -> None:
    """As ssh forwards them: with the host's network, and that display's cookie alone."""
    mine, other = server("-listen", "tcp"), server()
    file = authorities(podsh, other, mine)
    name = f"localhost:{mine.number}.0"
    done = podsh.pod(
        *("sh", "-c", "xdpyinfo | head -n 1; xauth list | wc -l"),
        options=("--x11", "--net", "host"),
        env={"DISPLAY": name},
    )
    file.unlink()
    assert done.out == f"name of display:    {name}\n1\n", done.err


def test_a_display_without_a_cookie(podsh: Podsh, server: Callable[..., XServer]) -> None:
    mine = server("-nolisten", "tcp", "-ac")
    done = podsh.pod("xdpyinfo", options=("--x11",), env={"DISPLAY": mine.name})
    assert done.code == 0
    assert "no cookie was found" in done.err


def test_where_tmp_is_the_hosts(podsh: Podsh, desktop: tuple[XServer, XServer]) -> None:
    """What the caller has there is hidden; the pod's cookie is not."""
    env = {"DISPLAY": desktop[0].name}
    for home in ("private", "host"):
        options = ("--x11", "--ro", "/tmp", "--home", home)
        line = "xdpyinfo | head -n 1; cat ~/.Xauthority; xauth -i list | wc -l"
        done = podsh.pod("sh", "-c", line, options=options, env=env)
        assert done.out == f"name of display:    {desktop[0].name}\n1\n", done.err
    done = podsh.pod("true", options=("--x11", "nested", "--ro", "/tmp"), env=env)
    assert done.code == 2
    assert "the pod is shown the host's /tmp" in done.err


def test_sockets_named_by_a_profile(podsh: Podsh, desktop: tuple[XServer, XServer]) -> None:
    """A bind of the socket itself is connected to without a question; one below a bind is not."""
    mine, _ = desktop
    for write in ("--ro", "--rw"):
        done = podsh.pod("python3", "-c", TRY, mine.socket, options=(write, mine.socket))
        assert done.out == "connected\n", done.err


def test_wayland(podsh: Podsh) -> None:
    """The current socket alone, in a runtime directory of the pod's own."""
    client = needs_program("wayland-info")
    mine, other = Wayland(podsh, "wl-1"), Wayland(podsh, "wl-2")
    try:
        line = f'{client} | head -n 1; ls -A "$XDG_RUNTIME_DIR"; echo "$WAYLAND_DISPLAY"'
        env = {"WAYLAND_DISPLAY": "wl-1"}
        done = podsh.pod("sh", "-c", line, options=("--wayland",), env=env)
        first, *rest = done.out.splitlines()
        assert first.startswith("interface: 'wl_"), done.err
        assert rest == ["wl-1", "wl-1"]
        podsh.profile("way", 'name = "way"\nextends = "base"\n[wayland]\nenabled = true\n')
        env = {"WAYLAND_DISPLAY": str(other.path)}
        options = ("-p", "way")
        assert podsh.pod("sh", "-c", line, options=options, env=env).out.endswith("\nwl-2\nwl-2\n")
        # without, nobody is reached
        options = ("--env", f"XDG_RUNTIME_DIR={podsh.runtime}", "--env", "WAYLAND_DISPLAY=wl-1")
        assert podsh.pod(client, options=options).code != 0
    finally:
        mine.close()
        other.close()
    done = podsh.run("run", "--wayland", "--", "true", env={"WAYLAND_DISPLAY": "wl-1"})
    assert done.code == 2
    assert "no Wayland display" in done.err


def test_abstract_sockets_end_at_the_pod(podsh: Podsh) -> None:
    """The plan says so, where the kernel can: then nobody has to be warned."""
    needs_kernel("landlock")
    assert (
        "scope    abstract sockets" in podsh.run("run", "--net", "host", "--dry-run", "--", "x").out
    )
