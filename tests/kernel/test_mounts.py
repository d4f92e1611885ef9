"""Mounts by descriptor, in namespaces that each test makes for itself, as root and as a user."""

from __future__ import annotations

import errno
import os
import subprocess
import textwrap
from typing import TYPE_CHECKING

import pytest

from podsh.kernel import mounts, uapi
from tests.helpers.needs import needs_kernel, needs_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.callers import Caller

    Inside = Callable[[str], None]

# runs in a user and mount namespace of its own, in a folder with a/deep/file, b/file and empty c
START = """
import errno, os
from podsh.kernel import mounts, uapi

def held(path, dirfd=uapi.AT_FDCWD):
    return mounts.openat2(dirfd, path, os.O_PATH, resolve=uapi.RESOLVE_NO_SYMLINKS)

def refused(code, action):
    try:
        action()
    except OSError as exc:
        assert exc.errno == code, exc
    else:
        raise AssertionError("not refused")

for path in ("a/deep", "b", "c"):
    os.makedirs(path)
for path in ("a/deep/file", "b/file"):
    with open(path, "w") as file:
        file.write(path)
"""


@pytest.fixture
def inside(caller: Caller, command: Path, ground: Path, tmp_path: Path) -> Inside:
    """Runs code after START in namespaces of its own, as the caller."""
    needs_kernel("user-namespaces")
    needs_kernel("mount-api")
    unshare = [needs_program("unshare"), "--user", "--map-root-user", "--mount"]
    folder = ground / tmp_path.name / caller.name
    folder.mkdir(parents=True)
    folder.parent.chmod(0o711)
    caller.own(folder)

    def run(code: str) -> None:
        text = START + textwrap.dedent(code)
        done = subprocess.run(
            [*unshare, str(command.with_name("python")), "-c", text],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            **caller.popen(),
        )
        assert done.returncode == 0, done.stderr

    return run


def test_clone_flags_and_attach(inside: Inside) -> None:
    inside(
        """
        tree = mounts.clone_tree(held("a"))
        mounts.mount_setattr(tree, uapi.MOUNT_ATTR_RDONLY | uapi.MOUNT_ATTR_NOSUID,
                             propagation=uapi.MS_PRIVATE)
        # usable before it is anywhere, and read-only already
        assert open(f"/proc/self/fd/{held('deep/file', tree)}").read() == "a/deep/file"
        refused(errno.EROFS, lambda: os.open("deep/new", os.O_CREAT | os.O_WRONLY, dir_fd=tree))
        mounts.attach(tree, held("c"))
        assert open("c/deep/file").read() == "a/deep/file"
        refused(errno.EROFS, lambda: open("c/deep/file", "w"))
        open("a/deep/file", "w").write("a/deep/file")

        (mount,) = (m for m in mounts.listing() if m.point == os.path.realpath("c"))
        assert {"ro", "nosuid"} <= mount.options
        assert mount.tags == ()
        assert mount.root.endswith("/a")

        mounts.mount_setattr(tree, clear=uapi.MOUNT_ATTR_RDONLY)
        open("c/deep/new", "w").close()
        """
    )


def test_recursive_clone_takes_mounts_below(inside: Inside) -> None:
    inside(
        """
        mounts.attach(mounts.clone_tree(held("b")), held("a/deep"))
        mounts.attach(mounts.clone_tree(held("a")), held("c"))
        assert os.listdir("c/deep") == ["file"] and open("c/deep/file").read() == "b/file"
        flat = mounts.clone_tree(held("a"), recursive=False)
        assert open(f"/proc/self/fd/{held('deep/file', flat)}").read() == "a/deep/file"

        both = mounts.clone_tree(held("a"))
        mounts.mount_setattr(both, uapi.MOUNT_ATTR_RDONLY)
        refused(errno.EROFS, lambda: os.open("deep/x", os.O_CREAT | os.O_RDWR, dir_fd=both))
        top = mounts.clone_tree(held("a"))
        mounts.mount_setattr(top, uapi.MOUNT_ATTR_RDONLY, recursive=False)
        os.close(os.open("deep/x", os.O_CREAT | os.O_RDWR, dir_fd=top))
        """
    )


def test_the_object_held_is_the_object_mounted(inside: Inside) -> None:
    """Names that are swapped between the decision and the mount change nothing."""
    inside(
        """
        source, target = held("a"), held("c")
        os.rename("a", "elsewhere"); os.symlink("b", "a")
        os.rename("c", "moved"); os.symlink("b", "c")
        mounts.attach(mounts.clone_tree(source), target)
        assert open("moved/deep/file").read() == "a/deep/file"
        assert os.listdir("b") == ["file"]
        """
    )


def test_move_mount_by_path_and_errors(inside: Inside) -> None:
    inside(
        """
        tree = mounts.clone_tree(held("a"))
        at = uapi.AT_FDCWD
        mounts.move_mount(tree, "", at, "c", uapi.MOVE_MOUNT_F_EMPTY_PATH)
        assert os.listdir("c") == ["deep"]
        refused(errno.EINVAL, lambda: mounts.attach(held("b"), held("c")))
        refused(errno.EINVAL, lambda: mounts.attach(mounts.clone_tree(held("b/file")), held("b")))
        refused(errno.EINVAL, lambda: mounts.mount_setattr(tree, 1 << 62))
        """
    )


def test_openat2(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "out").symlink_to("/etc")
    root = os.open(tmp_path, os.O_PATH)
    try:
        fd = mounts.openat2(root, "/dir/../../dir", os.O_PATH, resolve=uapi.RESOLVE_IN_ROOT)
        assert os.readlink(f"/proc/self/fd/{fd}") == str(tmp_path / "dir")
        assert not os.get_inheritable(fd)
        os.close(fd)
        for path, resolve, code in (
            ("dir/out", uapi.RESOLVE_NO_SYMLINKS, errno.ELOOP),
            ("dir/out/passwd", uapi.RESOLVE_IN_ROOT, errno.ENOENT),
            ("dir/out", uapi.RESOLVE_BENEATH, errno.EXDEV),
            ("..", uapi.RESOLVE_BENEATH, errno.EXDEV),
        ):
            with pytest.raises(OSError, match="openat2") as caught:
                mounts.openat2(root, path, os.O_RDONLY, resolve=resolve)
            assert caught.value.errno == code
        fd = mounts.openat2(root, "made", os.O_CREAT | os.O_WRONLY, 0o640)
        assert os.fstat(fd).st_mode & 0o777 == 0o640 & ~_umask()
        os.close(fd)
    finally:
        os.close(root)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_errors_name_the_call() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        mounts.open_tree(uapi.AT_FDCWD, b"/no\xffwhere", 0)
    assert caught.value.strerror == "No such file or directory"
    assert caught.value.filename == r"open_tree(-100, '/no\udcffwhere', 0x80000)"


@pytest.mark.parametrize("path", ["a\0b", b"a\0b"])
def test_a_nul_names_nothing_else(path: str | bytes) -> None:
    with pytest.raises(ValueError, match="null"):
        mounts.open_tree(uapi.AT_FDCWD, path, 0)
    with pytest.raises(ValueError, match="null"):
        mounts.openat2(uapi.AT_FDCWD, path, os.O_PATH)


def test_mountinfo_lines() -> None:
    line = (
        rb"36 35 98:0 /mnt\0401\134x /a\011b\012c\043 rw,noatime shared:1 master:2"
        rb" - fuse.my\040fs /dev/\xff rw,errors=continue"
    ).replace(rb"\xff", b"\xff")
    mount = mounts.Mount(line)
    assert (mount.id, mount.parent, mount.fstype) == (36, 35, "fuse.my fs")
    assert (mount.root, mount.point) == ("/mnt 1\\x", "/a\tb\nc#")
    assert mount.options == {"rw", "noatime"}
    assert mount.tags == ("shared:1", "master:2")
    assert mount.source == "/dev/\udcff"
    bare = mounts.Mount(b"1 0 0:1 / / ro - tmpfs  rw")
    assert (bare.tags, bare.source) == ((), "")


def test_listing() -> None:
    found = mounts.listing()
    assert found[-1].id > 0
    assert any(mount.point == "/proc" and mount.fstype == "proc" for mount in found)
    assert [mount.id for mount in mounts.listing(os.getpid())] == [mount.id for mount in found]
