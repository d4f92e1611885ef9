"""What a call asks for, by its arguments as the kernel takes them."""

from __future__ import annotations

import pytest

from podsh.kernel.pathcalls import CALLS, Act, Asked, Follow, asked

CWD = -100
RAW_CWD = 0xFFFFFF9C  # as a program passes AT_FDCWD, the upper half unset
NOFOLLOW, FOLLOW, EMPTY = 0x100, 0x400, 0x1000
O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC = 1, 2, 0o100, 0o200, 0o1000
O_PATH, O_TMPFILE, O_NOFOLLOW = 0o10000000, 0o20200000, 0o400000
READ, WRITE, CREATE, REMOVE = Act.READ, Act.WRITE, Act.CREATE, Act.REMOVE


def of(call: str, *args: int, how: int = 0, arch: str = "x86_64") -> list[Asked]:
    padded = (*args, *(0,) * (6 - len(args)))
    return asked(call, padded, arch, how)


@pytest.mark.parametrize(
    ("flags", "act", "follow"),
    [
        (0, READ, True),
        (O_WRONLY, WRITE, True),
        (O_RDWR | 1 << 40, WRITE, True),
        (3, WRITE, True),
        (O_TRUNC, WRITE, True),
        (O_CREAT, CREATE, True),
        (O_CREAT | O_EXCL | O_RDWR, CREATE, False),
        (O_EXCL, READ, True),
        (O_TMPFILE | O_RDWR, WRITE, True),
        (O_NOFOLLOW, READ, False),
        (O_PATH | O_NOFOLLOW, READ, False),
        (O_PATH | O_CREAT | O_RDWR, READ, True),
    ],
)
def test_opens(flags: int, act: Act, follow: bool) -> None:
    assert of("open", 7, flags) == [Asked(CWD, 7, act, follow, False)]
    assert of("openat", 5, 7, flags) == [Asked(5, 7, act, follow, False)]
    assert of("openat2", RAW_CWD, 7, 8, 24, how=flags) == [Asked(CWD, 7, act, follow, False)]


def test_nofollow_of_aarch64() -> None:
    assert of("openat", CWD, 7, 0o100000, arch="aarch64")[0].follow is False
    assert of("openat", CWD, 7, 0o100000)[0].follow is True  # O_LARGEFILE there


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (of("stat", 7), Asked(CWD, 7, READ, True, False)),
        (of("lstat", 7), Asked(CWD, 7, READ, False, False)),
        (of("newfstatat", 5, 7, 0, NOFOLLOW), Asked(5, 7, READ, False, False)),
        (of("newfstatat", 5, 7, 0, EMPTY), Asked(5, 7, READ, True, True)),
        (of("statx", 5, 7, NOFOLLOW, 0xFFF), Asked(5, 7, READ, False, False)),
        (of("access", 7, 2), Asked(CWD, 7, WRITE, True, False)),
        (of("access", 7, 5), Asked(CWD, 7, READ, True, False)),
        (of("faccessat", 5, 7, 6, NOFOLLOW), Asked(5, 7, WRITE, True, False)),  # has no flags
        (of("faccessat2", 5, 7, 4, NOFOLLOW), Asked(5, 7, READ, False, False)),
        (of("execve", 7), Asked(CWD, 7, Act.EXECUTE, True, False)),
        (of("execveat", 5, 7, 0, 0, EMPTY), Asked(5, 7, Act.EXECUTE, True, True)),
        (of("symlink", 6, 7), Asked(CWD, 7, CREATE, False, False)),
        (of("symlinkat", 6, 5, 7), Asked(5, 7, CREATE, False, False)),
        (of("unlinkat", 5, 7, 0x200), Asked(5, 7, REMOVE, False, False)),
        (of("fchownat", 5, 7, 0, 0, NOFOLLOW), Asked(5, 7, WRITE, False, False)),
        (of("inotify_add_watch", 3, 7, 0x02000002), Asked(CWD, 7, READ, False, False)),
        (of("inotify_add_watch", 3, 7, 2), Asked(CWD, 7, READ, True, False)),
        (of("name_to_handle_at", 5, 7, 0, 0, FOLLOW), Asked(5, 7, READ, True, False)),
        (of("name_to_handle_at", 5, 7), Asked(5, 7, READ, False, False)),
        (of("connect", 3, 7, 110), Asked(CWD, 7, Act.CONNECT, True, False)),
        (of("setxattrat", 5, 7, NOFOLLOW, 0, 0, 16), Asked(5, 7, WRITE, False, False)),
    ],
)
def test_single_names(found: list[Asked], wanted: Asked) -> None:
    assert found == [wanted]


def test_two_names() -> None:
    old, new = Asked(CWD, 6, REMOVE, False, False), Asked(CWD, 7, CREATE, False, False)
    assert of("rename", 6, 7) == [old, new]
    assert of("renameat2", 4, 6, 5, 7, 1) == [old._replace(dirfd=4), new._replace(dirfd=5)]
    linked = Asked(4, 6, WRITE, False, False)
    target = Asked(5, 7, CREATE, False, False)
    assert of("linkat", 4, 6, 5, 7, 0) == [linked, target]
    assert of("linkat", 4, 6, 5, 7, FOLLOW) == [linked._replace(follow=True), target]
    assert of("linkat", 4, 6, 5, 7, EMPTY) == [linked._replace(empty=True), target]


def test_the_table_makes_sense() -> None:
    for call, entry in CALLS.items():
        for name in entry.names:
            assert (name.by is None) == (
                name.act not in (Act.OPEN, Act.HOW, Act.MODE) and name.follow is not Follow.MASK
            ), call
            if name.follow in (Follow.UNLESS, Follow.IF):
                assert entry.flags is not None, call
            assert name.dirfd is None or name.dirfd < name.path, call
