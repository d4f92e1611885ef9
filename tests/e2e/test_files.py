"""What pods keep: listed, copied in and out, removed, overwritten; nothing through a link."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.runner import Podsh

# what a hostile pod leaves in its home, and something to copy
MADE = """
cd; mkdir -p tree/deep tree/locked
echo one >tree/one; echo two >tree/deep/two; chmod 640 tree/one
ln -s one tree/inside; ln -s deep/../one tree/deep/../also; ln -s /etc/passwd tree/out
ln -s ../../secret tree/up; ln -s nowhere/../../../x tree/far
mkfifo tree/fifo; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("tree/socket")'
echo x >"tree/$(printf 'a\\033[31m\\nb')"
ln -s /etc/passwd link; ln -s tree dirlink; truncate -s 300G sparse; echo end >>sparse
chmod 500 tree/locked
"""


@pytest.fixture
def made(podsh: Podsh) -> Iterator[Podsh]:
    """A live pod ``files`` with all that in its home."""
    script = f"{MADE}\necho >/tmp/outside; echo ready; exec sleep 1000"
    assert podsh.run("run", "-d", "-n", "files", "--", "sh", "-c", script).code == 0
    end = 20.0
    while "ready" not in (said := podsh.run("logs", "files").out):
        end -= 0.05
        assert end > 0, said
        os.sched_yield()
    yield podsh
    podsh.run("kill", "files")


def tree(top: Path) -> dict[str, str]:
    """What a copied tree has: content, or where a link leads."""
    return {
        str(path.relative_to(top)): os.readlink(path) if path.is_symlink() else path.read_text()
        for path in sorted(top.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def test_out_of_a_live_pod_and_of_one_that_has_ended(made: Podsh) -> None:
    podsh = made
    out = podsh.directory("out")
    for state in ("live", "ended"):
        if state == "ended":
            assert podsh.run("kill", "files").code == 0
        done = podsh.run("cp", "files:tree/one", str(out))
        assert (done.code, (out / "one").read_text()) == (0, "one\n"), done.err
        assert stat.S_IMODE((out / "one").stat().st_mode) == 0o640
        assert (out / "one").stat().st_uid == podsh.caller.uid
        copied = out / state
        done = podsh.run("cp", "-r", "files:tree", str(copied))
        assert done.code == 1  # something was left out, which is told
        names = "one", "deep/two", "inside", "also", "a\x1b[31m\nb"
        assert set(tree(copied)) == set(names)
        assert tree(copied)["inside"] == "one"
        assert stat.S_IMODE((copied / "locked").stat().st_mode) == 0o700
        for name in ("out", "up", "far", "fifo", "socket"):
            assert f"left out: files:tree/{name}: is" in done.err
        assert "\x1b" not in done.err
        # its 300 GiB of nothing take no room
        assert podsh.run("cp", "files:sparse", str(out)).code == 0
        sparse = (out / "sparse").stat()
        assert (sparse.st_size, sparse.st_blocks < 100) == ((300 << 30) + 4, True)
        (out / "sparse").unlink()
    done = podsh.run("cp", "files:/tmp/outside", str(out))
    assert done.code != 0
    assert f"has ended: of it only {podsh.home} is left" in done.err


def test_nothing_goes_through_a_link_a_fifo_or_a_device(made: Podsh) -> None:
    podsh = made
    out = podsh.directory("out-links")
    for source, why in (
        ("link", "is a link"),
        ("dirlink/one", "is a link, or lies behind one"),
        ("tree/fifo", "is a fifo"),
        ("tree/socket", "is a socket"),
        ("/dev/null", "is a device"),
        ("tree", "is a directory; copy it with -r"),
        ("nope", "No such file"),
    ):
        done = podsh.run("cp", f"files:{source}", str(out))
        assert done.code != 0
        assert why in done.err, source
    # a link that waits where the copy is to be written, on the host and in the pod
    victim = podsh.file(out / "victim", "kept")
    (out / "one").symlink_to(victim)
    podsh.file(out / "new", "new")
    for words in (("files:tree/one", str(out)), (str(out / "new"), "files:link")):
        done = podsh.run("cp", *words)
        assert done.code != 0
        assert "link" in done.err
    assert victim.read_text() == "kept"
    (out / "one").unlink()
    os.mkfifo(out / "one")
    assert podsh.run("cp", "files:tree/one", str(out)).code != 0


# swaps a directory of its home for a link to one that it cannot see, and back, as fast as it can
SWAP = """
import ctypes, os
os.chdir(os.path.expanduser("~"))
os.makedirs("tree/inner"); open("tree/inner/file", "w").write("own")
os.symlink({secret!r}, "tree/link"); os.symlink({secret!r} + "/file", "tree/inner/link")
swap = ctypes.CDLL(None).renameat2
print("ready", flush=True)
while True:
    swap(-100, b"tree/inner", -100, b"tree/link", 2)
    swap(-100, b"tree/inner/file", -100, b"tree/inner/link", 2)
"""


def test_a_pod_that_swaps_what_is_copied_gains_nothing(podsh: Podsh) -> None:
    secret = podsh.directory("home/secret")
    podsh.file(secret / "file", "secret")
    script = SWAP.format(secret=str(secret))
    run = ("run", "-d", "-n", "swaps", "--", "/usr/bin/python3", "-c", script)
    assert podsh.run(*run).code == 0
    while "ready" not in podsh.run("logs", "swaps").out:
        os.sched_yield()
    out = podsh.directory("out-swaps")
    changed = str(podsh.file(podsh.home / "in", "changed"))
    for number in range(10):
        podsh.run("cp", "-r", "swaps:tree", str(out / str(number)))
        podsh.run("cp", "swaps:tree/inner/file", str(out / f"file-{number}"))
        # what goes in must not get there either
        podsh.run("cp", changed, "swaps:tree/inner/file")
    assert podsh.run("kill", "swaps").code == 0
    files = [path for path in out.rglob("*") if path.is_file() and not path.is_symlink()]
    found = {path.read_text() for path in files}
    assert found <= {"own", "changed", ""}
    assert found & {"own", "changed"}
    assert (secret / "file").read_text() == "secret"


def test_into_a_pod(made: Podsh) -> None:
    podsh = made
    source = podsh.directory("in/below")
    podsh.file(source / "two", "two")
    podsh.file(source.parent / "one", "one", 0o755)
    (source / "link").symlink_to("two")
    assert podsh.run("cp", str(source.parent / "one"), "files:").code == 0
    assert podsh.run("cp", str(source.parent / "one"), "files:/tmp/named").code == 0
    done = podsh.run("cp", "-r", str(source.parent), "files:copied")
    assert done.code == 0, done.err
    see = "cd; ls -l one | cut -c1-10; cat one /tmp/named copied/below/link; id -u; stat -c %u one"
    done = podsh.run("exec", "files", "--", "sh", "-c", see)
    uid = podsh.caller.uid
    assert done.out == f"-rwxr-xr-x\noneonetwo{uid}\n{uid}\n"
    done = podsh.run("cp", str(source / "two"), "files:/usr/two")
    assert done.code != 0
    assert "files:/usr/two: Read-only file system" in done.err
    # from pod to pod
    assert podsh.run("run", "-n", "other", "--", "true").code == 0
    assert podsh.run("cp", "files:/tmp/named", "other:").code == 0
    assert (podsh.state / "podsh/pods/other/home/named").read_text() == "one"
    for words in (("a", "b"), ("nopod:a", "b")):
        assert podsh.run("cp", *words).code == 2


def test_a_tree_that_is_deeper_than_any_path(podsh: Podsh) -> None:
    """Copied as far as descriptors go, and told; removed whole."""
    deep = "import os\nfor _ in range(900): os.mkdir('d' * 200); os.chdir('d' * 200)"
    assert podsh.run("run", "-n", "deep", "--", "sh", "-c", f'cd; python3 -c "{deep}"').code == 0
    out = podsh.directory("out")
    done = podsh.outside(
        "bash", "-c", f"ulimit -n 64; {podsh.command} cp -r deep: {out}/deep; echo $?"
    )
    assert done.out == "1\n"
    assert "nested too deeply" in done.err
    assert podsh.run("rm", "deep", "--zero").code == 0
    assert not (podsh.state / "podsh/pods/deep").exists()


def test_state_is_listed(podsh: Podsh) -> None:
    fill = "cd; head -c 300000 /dev/urandom >f; echo said; cat ~/nope"
    with podsh.terminal("run", "-n", "kept", "--", "sh", "-c", fill) as terminal:
        terminal.wait()
    listed = podsh.run("ps", "--state").out.splitlines()
    assert listed[0].split() == ["NAME", "STATE", "HOME", "LOGS", "AUDIT", "DIRECTORY"]
    (row,) = [json.loads(line) for line in podsh.run("ps", "--state", "--json").out.splitlines()]
    assert (row["name"], row["dir"]) == ("kept", str(podsh.state / "podsh/pods/kept"))
    assert row["home"] > 300000
    assert row["logs"] > 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [(("--zero",), b"\0" * 8192), (("--zero", "2"), b"\0" * 8192), (("--nuke=3",), None)],
)
def test_contents_are_overwritten_before_they_go(
    podsh: Podsh, options: tuple[str, ...], expected: bytes | None
) -> None:
    fill = "cd; mkdir d; yes secret | head -c 8192 >d/f; ln d/f twice; ln -s ~/../victim l; "
    fill += "mkfifo p; chmod 000 d/f d; truncate -s 100G hole"
    assert podsh.run("run", "-n", "gone", "--", "sh", "-c", fill).code == 0
    directory = podsh.state / "podsh/pods/gone/home"
    podsh.file(podsh.directory("home/more") / "victim", "kept")
    mode = (directory / "d").stat().st_mode & 0o777
    assert mode == 0
    with (
        (podsh.state / "podsh/pods/gone/home/twice").open("rb")
        if os.getuid() == 0
        else _opened(directory / "twice") as held
    ):
        done = podsh.run("rm", "gone", *options)
        assert (done.code, done.err) == (0, "")
        left = held.read()
    assert left != b"secret\n" * 1170 + b"se"
    assert len(left) == 8192
    assert b"secret" not in left
    assert expected is None or left == expected
    assert not directory.parent.exists()
    assert (podsh.home / "more/victim").read_text() == "kept"


def _opened(path: Path) -> object:
    path.chmod(0o600)
    return path.open("rb")


def test_what_has_names_elsewhere_is_left_and_told(podsh: Podsh) -> None:
    assert podsh.run("run", "-n", "linked", "--", "sh", "-c", "echo mine >~/f").code == 0
    other = podsh.home / "other-name"
    os.link(podsh.state / "podsh/pods/linked/home/f", other)
    done = podsh.run("rm", "linked", "--zero")
    assert done.code == 1
    assert "1 file has another name outside" in done.err
    assert other.read_text() == "mine\n"
    assert not (podsh.state / "podsh/pods/linked").exists()


def test_a_running_pod_is_not_removed(podsh: Podsh) -> None:
    assert podsh.run("run", "-d", "-n", "runs", "--", "sleep", "1000").code == 0
    for options in ((), ("--zero",), ("--nuke", "2")):
        done = podsh.run("rm", "runs", *options)
        assert done.code == 2
        assert "is running; end it first: podsh kill runs" in done.err
    for wrong in (("--zero=x",), ("--zero=0",), ("--zero", "--nuke"), ("--zero=1000",)):
        assert podsh.run("rm", "runs", *wrong).code == 2
    assert podsh.state_of("runs") == "running"
    assert podsh.run("kill", "runs").code == 0
    assert podsh.run("rm", "runs", "--nuke").code == 0
