"""Programs reach for what their pod lacks, by all kinds of names and calls: what they get."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.asking import POD, Asks, asks, end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.runner import Podsh


@pytest.fixture
def pod(podsh: Podsh) -> Iterator[Asks]:
    with asks(podsh) as started:
        yield started


@pytest.fixture
def data(podsh: Podsh) -> Path:
    """A directory of the host that the pod does not see."""
    path = podsh.directory(f"data-{len(os.listdir(podsh.base))}/sub")
    podsh.file(path / "f", "content\n")
    return path.parent


def test_a_file(pod: Asks, data: Path) -> None:
    done = pod.answered(f"cat {data}/sub/f", data / "sub/f")
    assert (done.code, done.out) == (0, "content\n")


def test_once_is_for_the_process_that_asked(pod: Asks, data: Path) -> None:
    file = data / "sub/f"
    done = pod.answered(f"read a <{file}; read b <{file}; echo $a $b", file)
    assert done.out == "content content\n"
    program = pod.sh(f"cat {file}")
    pod.deny(pod.request())
    assert end(program).err == f"cat: {file}: No such file or directory\n"


def test_for_the_pod_is_for_the_next_too(pod: Asks, data: Path) -> None:
    assert pod.answered(f"cat {data}/sub/f", data / "sub/f", "read", "--pod").out == "content\n"
    assert pod.unasked(f"cat {data}/sub/f").out == "content\n"


def test_the_directory_of_it(pod: Asks, data: Path) -> None:
    done = pod.answered(f"cat {data}/sub/f", data / "sub/f", "read", "--dir", str(data))
    assert done.out == "content\n"


def test_too_wide_a_directory(pod: Asks, data: Path, podsh: Podsh) -> None:
    program = pod.sh(f"cat {data}/sub/f")
    row = pod.request()
    for wide in ("/", str(podsh.base.parent.parent)):
        assert pod.allow(row, "--dir", wide).code == 2
    assert pod.allow(row, "--dir", "/usr").code != 0
    pod.deny(row)
    assert end(program).code == 1


def test_denied_for_good(pod: Asks, data: Path) -> None:
    program = pod.sh(f"cat {data}/sub/f")
    pod.deny(pod.request(), "--always")
    assert "No such file" in end(program).err
    assert "No such file" in pod.unasked(f"cat {data}/sub/f").err


def test_a_denial_holds_for_the_process(pod: Asks, data: Path) -> None:
    program = pod.sh(f"read a <{data}/sub/f; read b <{data}/sub/f; echo $?")
    pod.deny(pod.request())
    assert end(program).out in ("1\n", "2\n")


def test_what_is_nowhere_is_not_asked_for(pod: Asks, data: Path) -> None:
    done = pod.unasked(f"cat {data}/none {data}/sub/f/x /nowhere/at/all; echo $?")
    assert done.out == "1\n"
    assert done.err.count("No such file") == 3
    assert pod.unasked(f"rm /usr/none {data}/none; rmdir /usr/share/none").code == 1


def test_what_the_kernel_has_is_not_asked_for(pod: Asks) -> None:
    done = pod.unasked("cat /sys/kernel/vmcoreinfo /proc/kcore /dev/mem; ls /sys/class; echo $?")
    assert done.out == "2\n"


def test_a_denied_path_is_never_asked_for(pod: Asks, podsh: Podsh) -> None:
    secret = podsh.directory("home/.ssh") / "id"
    podsh.file(secret, "secret\n")
    done = pod.unasked(f"cat {secret}")
    assert (done.code, done.out) == (1, "")
    denial = pod.events("denial")[-1]
    assert (denial["path"], denial["rule"]["key"]) == (str(secret), "access.deny")
    assert denial["rule"]["line"] > 0


def test_podshs_own_is_never_asked_for(pod: Asks, podsh: Podsh) -> None:
    done = pod.unasked(f"cat {podsh.state}/podsh/portal.log; ls {podsh.runtime}/podsh")
    assert done.out == ""
    assert {each["rule"]["key"] for each in pod.events("denial")} == {"hidden"}


# ---------------------------------------------------------------- names


def test_a_relative_name_and_dots(pod: Asks, data: Path) -> None:
    script = f"cd /tmp; mkdir x; cd x; cat ../..{data}/sub/../sub/./f"
    assert pod.answered(script, data / "sub/f").out == "content\n"


def test_relative_to_a_descriptor(pod: Asks, data: Path) -> None:
    code = (
        "import os; d = os.open('/', os.O_RDONLY | os.O_DIRECTORY); "
        f"print(os.read(os.open('{str(data)[1:]}/sub/f', os.O_RDONLY, dir_fd=d), 9))"
    )
    program = pod.start("python3", "-c", code)
    pod.allow(pod.request())
    assert end(program).out == "b'content\\n'\n"


def test_links_of_the_host_lead_there_in_the_pod_too(pod: Asks, data: Path, podsh: Podsh) -> None:
    (data / "link").symlink_to("sub")
    (data / "far").symlink_to(data / "link")
    program = pod.sh(f"cat {data}/far/f; readlink {data}/far {data}/link")
    row = pod.request()
    assert row["path"] == str(data / "sub/f")
    assert row["link"] == str(data / "far/f")
    pod.allow(row)
    assert end(program).out == f"content\n{data}/link\nsub\n"


def test_a_link_that_the_pod_made(pod: Asks, data: Path) -> None:
    script = f"ln -s {data}/sub /tmp/l; ln -s l/f /tmp/m; cat /tmp/m"
    assert pod.answered(script, data / "sub/f").out == "content\n"


def test_through_magic_links(pod: Asks, data: Path) -> None:
    script = f"cd /tmp; cat /proc/self/root{data}/sub/f"
    assert pod.answered(script, data / "sub/f", "read", "--pod").out == "content\n"
    script = f"cd /; exec 7</; cat /proc/self/cwd{data}/sub/f /proc/self/fd/7{data}/sub/f"
    assert pod.unasked(script).out == "content\ncontent\n"


def test_from_a_directory_that_is_gone(pod: Asks) -> None:
    done = pod.unasked("mkdir /tmp/d; cd /tmp/d; rmdir /tmp/d; cat f; echo $?")
    assert done.out == "1\n"


def test_a_placeholder_is_listed_whole_or_not_at_all(pod: Asks, data: Path) -> None:
    (data / "other").mkdir()
    assert pod.answered(f"cat {data}/sub/f", data / "sub/f", "read", "--pod").code == 0
    done = pod.answered(f"ls {data}", data)
    assert done.out == "other\nsub\n"


def test_names_with_everything_in_them(pod: Asks, data: Path, podsh: Podsh) -> None:
    name = "a b\n\x1b[31m'\"$\udcff"
    podsh.file(data / name, "odd\n")
    code = f"print(open({os.fsencode(str(data / name))!r}).read())"
    program = pod.start("python3", "-c", code)
    row = pod.request()
    assert os.fsencode(row["path"]) == os.fsencode(str(data / name).replace("\udcff", "\ufffd"))
    listed = pod.podsh.run("requests").out
    assert "\x1b" not in listed
    assert pod.allow(row).code == 0
    assert end(program).out == "odd\n\n"


# ---------------------------------------------------------------- writing


@pytest.fixture
def shown(podsh: Podsh, data: Path) -> Iterator[Asks]:
    """A pod that has ``data``, read-only."""
    with asks(podsh, "--ro", str(data)) as started:
        yield started


def test_a_file_becomes_writable(shown: Asks, data: Path) -> None:
    done = shown.answered(f"echo more >> {data}/sub/f", data / "sub/f", "write")
    assert (done.code, done.err) == (0, "")
    assert (data / "sub/f").read_text() == "content\nmore\n"


def test_reading_it_when_writing_was_asked_for(pod: Asks, data: Path) -> None:
    done = pod.answered(f"echo more >> {data}/sub/f", data / "sub/f", "write", "--read")
    assert "Read-only" in done.err
    assert (data / "sub/f").read_text() == "content\n"


def test_a_new_name_asks_for_its_directory(shown: Asks, data: Path) -> None:
    program = shown.sh(f"echo new > {data}/sub/new")
    row = shown.request()
    assert (row["op"], row["path"], row["exists"]) == ("write", str(data / "sub"), False)
    assert (row["object"], row["link"]) == ("directory", str(data / "sub/new"))
    shown.allow(row)
    assert end(program).code == 0
    assert (data / "sub/new").read_text() == "new\n"


def test_the_directory_that_it_stands_in(shown: Asks, data: Path) -> None:
    script = f"cd {data}; echo new > here && ls"
    assert shown.answered(script, data, "write").out == "here\nsub\n"


@pytest.mark.parametrize(
    "script",
    [
        "rm {data}/sub/f",
        "mv {data}/sub/f {data}/sub/g",
        "mkdir {data}/sub/d",
        "ln -s x {data}/sub/l",
        "ln {data}/sub/f {data}/sub/g",
        "mkfifo {data}/sub/p",
    ],
)
def test_names_are_changed(shown: Asks, data: Path, script: str) -> None:
    program = shown.sh(script.format(data=data))
    while program.poll() is None:
        for row in shown.waiting():
            assert row["op"] == "write"
            shown.allow(row, "--pod")
    assert end(program).err == ""
    assert program.returncode == 0


def test_the_modes_and_times_of_a_file(shown: Asks, data: Path) -> None:
    assert shown.answered(f"chmod 600 {data}/sub/f", data / "sub/f", "write").code == 0
    assert shown.answered(f"touch -d @5 {data}/sub/f", data / "sub/f", "write").code == 0
    assert (data / "sub/f").stat().st_mtime == 5


def test_making_a_directory_that_is_there(pod: Asks, data: Path) -> None:
    assert pod.podsh.run("mount", POD, str(data), "/seen").code == 0
    program = pod.sh("mkdir -p /usr/share/doc /seen/sub; ls /seen")
    assert end(program).out == "sub\n"


def test_its_own_files_are_its_own(pod: Asks, podsh: Podsh) -> None:
    script = "cd; echo a > new; cat new; mkdir d; mv new d; rm -r d; echo b > /tmp/t; cat /tmp/t"
    assert pod.unasked(script).out == "a\nb\n"


def test_a_file_of_the_homes(pod: Asks, podsh: Podsh) -> None:
    config = podsh.file(podsh.home / ".config-of-x", "mine\n")
    assert pod.answered("cat ~/.config-of-x", config).out == "mine\n"


# ---------------------------------------------------------------- wider and narrower


def test_a_wider_grant_takes_nothing_away(pod: Asks, data: Path) -> None:
    """A writer never fails, and never loses a line, while directories above are granted."""
    file = data / "sub/f"
    script = f"for i in $(seq 2000); do echo $i >> {file} || exit 3; done"
    program = pod.sh(script)
    assert pod.allow(pod.request(), "--pod").code == 0
    for wide in (data / "sub", data):
        assert pod.podsh.run("mount", POD, str(wide)).code == 0
    for wide in (data, data / "sub"):
        assert pod.podsh.run("revoke", POD, str(wide)).code == 0
    assert end(program, 60).code == 0
    assert file.read_text() == "content\n" + "".join(f"{i}\n" for i in range(1, 2001))
    assert "Read-only" not in pod.unasked(f"echo x >> {file}").err


def test_revoke_of_what_a_wider_one_covers(pod: Asks, data: Path) -> None:
    run = pod.podsh.run
    assert run("mount", POD, "-w", str(data / "sub")).code == 0
    assert run("mount", POD, str(data)).code == 0
    assert pod.unasked(f"echo a >> {data}/sub/f").code == 0
    assert run("revoke", POD, str(data / "sub")).code == 0
    program = pod.sh(f"echo a >> {data}/sub/f")
    pod.deny(pod.request())
    assert "Read-only" in end(program).err
    assert run("revoke", POD, str(data)).code == 0
    program = pod.sh(f"cat {data}/sub/f")
    pod.deny(pod.request())
    assert "No such file" in end(program).err


# ---------------------------------------------------------------- programs


def test_interpreters_are_asked_for(podsh: Podsh, data: Path) -> None:
    """The kernel opens them by itself; a script's may be a dynamic program."""
    podsh.file(data / "copy", b"", 0o755)
    (data / "copy").write_bytes(Path("/bin/cat").read_bytes())
    podsh.file(data / "script", f"#!{data}/copy\nof a script\n", 0o755)
    with asks(podsh) as pod:
        program = pod.sh(f"{data}/script")
        for path in (data / "script", data / "copy"):
            row = pod.request()
            assert row["path"] == str(path)
            pod.allow(row, "--pod")
        done = end(program)
    assert done.out == f"#!{data}/copy\nof a script\n"


def test_a_static_program_asks_as_well(podsh: Podsh, data: Path) -> None:
    with asks(podsh, "--ro", "/bin/busybox") as pod:
        program = pod.start("/bin/busybox", "cat", f"{data}/sub/f")
        pod.allow(pod.request())
        assert end(program).out == "content\n"


def test_without_the_shim(podsh: Podsh, data: Path) -> None:
    podsh.profile("noshim", 'extends = ["base"]\n[access]\nshim = false\n')
    with asks(podsh, "-p", "noshim") as pod:
        assert "shim" not in pod.unasked("env").out
        assert pod.answered(f"cat {data}/sub/f", data / "sub/f").out == "content\n"
    (podsh.config / "podsh/profiles/noshim.toml").unlink()


# ---------------------------------------------------------------- while it waits


SIGNALS = """
import os, signal, sys, time
def handler(*_):
    global caught
    caught = time.monotonic()
signal.signal(signal.SIGALRM, handler)
signal.siginterrupt(signal.SIGALRM, {interrupt})
caught, start = 0, time.monotonic()
signal.setitimer(signal.ITIMER_REAL, 0.3)
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.syscall(257, -100, {path!r}.encode(), 0)
print(fd >= 0, ctypes.get_errno(), caught - start < 0.8, flush=True)
"""


def test_a_handler_runs_and_the_call_ends(pod: Asks, data: Path) -> None:
    program = pod.start("python3", "-c", SIGNALS.format(interrupt=True, path=str(data / "sub/f")))
    assert end(program).out == "False 4 True\n"  # EINTR


def test_a_handler_runs_and_the_call_goes_on(pod: Asks, data: Path) -> None:
    """With SA_RESTART, as on a slow file system: the request stays the same one."""
    program = pod.start("python3", "-c", SIGNALS.format(interrupt=False, path=str(data / "sub/f")))
    first = pod.request()
    time.sleep(1)
    row = pod.request()
    assert row["id"] == first["id"]
    pod.allow(row)
    # Python runs its handlers between calls only
    assert end(program).out == "True 0 False\n"


@pytest.mark.parametrize("name", ["INT", "TERM", "KILL"])
def test_a_signal_ends_a_program_that_waits(pod: Asks, data: Path, name: str) -> None:
    script = f"cat {data}/sub/f & sleep 0.5; kill -{name} $!; wait $!; echo $? $(date +%s%N)"
    code = (
        "import subprocess, signal, time\n"
        f"p = subprocess.Popen(['cat', '{data}/sub/f'])\n"
        "time.sleep(0.5); start = time.monotonic()\n"
        f"p.send_signal(signal.SIG{name}); p.wait()\n"
        "print(p.returncode, time.monotonic() - start < 0.5)"
    )
    del script
    program = pod.start("python3", "-c", code)
    number = {"INT": 2, "TERM": 15, "KILL": 9}[name]
    assert end(program).out == f"-{number} True\n"
    deadline = time.monotonic() + 5
    while pod.waiting():
        assert time.monotonic() < deadline
    assert pod.events("gone")


def test_two_threads_wait_and_a_third_goes_on(pod: Asks, data: Path, podsh: Podsh) -> None:
    podsh.file(data / "sub/g", "second\n")
    code = f"""
import threading, time
def read(name): print(open('{data}/sub/' + name).read(), end='', flush=True)
threads = [threading.Thread(target=read, args=(n,)) for n in 'fg']
for t in threads: t.start()
for i in range(200): open('/etc/hostname' if 0 else '/etc/ld.so.cache', 'rb').close()
print('third', flush=True)
for t in threads: t.join()
"""
    program = pod.start("python3", "-c", code)
    assert program.stdout is not None
    assert program.stdout.readline() == b"third\n"
    deadline = time.monotonic() + 10
    while len(pod.waiting()) < 2:
        assert time.monotonic() < deadline
    for row in pod.waiting():
        pod.allow(row)
    assert sorted(end(program).out.splitlines()) == ["content", "second"]


def test_many_ask_for_the_same(pod: Asks, data: Path) -> None:
    """A storm of processes: one request."""
    program = pod.sh(f"for i in $(seq 40); do cat {data}/sub/f & done; wait")
    deadline = time.monotonic() + 20
    while pod.request()["count"] < 40:
        assert time.monotonic() < deadline
    row = pod.request()
    pod.allow(row, "--pod")
    assert end(program).out == "content\n" * 40


def test_only_so_many_wait(pod: Asks, data: Path, podsh: Podsh) -> None:
    for number in range(30):
        podsh.file(data / f"n{number}", "n\n")
    program = pod.sh(f"for i in $(seq 0 29); do cat {data}/n$i 2>/dev/null & done; wait")
    deadline = time.monotonic() + 20
    while len(pod.waiting()) < 16 or len(pod.events("note")) < 1:
        assert time.monotonic() < deadline
    assert len(pod.waiting()) == 16
    assert podsh.run("deny", "--pod", POD).code == 0
    assert end(program).code == 0


def test_a_caller_that_cannot_be_read(pod: Asks, podsh: Podsh, data: Path) -> None:
    """It denies itself; nothing waits for ever."""
    code = f"""
import ctypes
ctypes.CDLL(None).prctl(4, 0)
try: open('{data}/sub/f')
except OSError as exc: print(exc.errno)
"""
    program = pod.start("python3", "-c", code)
    while program.poll() is None:
        for row in pod.waiting():
            pod.deny(row)
    assert end(program).out == "2\n"


def test_nobody_is_there(podsh: Podsh, data: Path) -> None:
    """Denied at once, and the exit code is the program's."""
    start = time.monotonic()
    done = podsh.pod("sh", "-c", f"cat {data}/sub/f; exit 5")
    assert (done.code, time.monotonic() - start < 10) == (5, True)
    assert "No such file" in done.err
