"""Using the machine up: each returns what it got, and the test says how much is too much."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal

from tools import call, facts


def processes() -> int:
    """A fork bomb's worth: how many processes can be had, at most ``enough``."""
    born = []
    try:
        while len(born) < facts["enough"]:
            child = os.fork()
            if not child:
                signal.pause()
            born.append(child)
    except OSError:
        pass
    finally:
        for child in born:
            os.kill(child, signal.SIGKILL)
        for child in born:
            os.waitpid(child, 0)
    return len(born)


def open_files() -> int:
    """How many descriptors one process can have, after raising its own limit all the way."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = 0
    with contextlib.suppress(OSError):
        while count < facts["enough"]:
            os.dup(0)
            count += 1
    return count


def _fill(directory: str) -> int:
    """Bytes that fit into a directory's file system, at most ``enough``."""
    path, done = directory + "/filler", 0
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        while done < facts["enough"]:
            step = 8 << 20
            os.posix_fallocate(fd, done, step)
            done += step
    except OSError:
        pass
    finally:
        os.close(fd)
        os.unlink(path)
    return done


def tmp_bytes() -> int:
    return _fill("/tmp")


def shm_bytes() -> int:
    return _fill("/dev/shm")


def terminals() -> int:
    """How many ptys can be had."""
    count = 0
    with contextlib.suppress(OSError):
        while count < facts["enough"]:
            os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
            count += 1
    return count


def file_bytes() -> int:
    """How large one file can grow."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    path = "/tmp/grown"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY)
    size = 0
    try:
        while size < facts["enough"]:
            os.ftruncate(fd, size + (1 << 20))
            size += 1 << 20
    except OSError:
        pass
    finally:
        os.unlink(path)
    return size


def watchers() -> int:
    """How many inotify instances can be had: the machine counts them for the user."""
    count = 0
    with contextlib.suppress(OSError):
        while count < facts["enough"]:
            call("inotify_init1", 0)
            count += 1
    return count


def timers() -> int:
    """The same of timers, of which each holds a signal that may come to wait."""
    count, number = 0, ctypes.c_int()
    with contextlib.suppress(OSError):
        while count < facts["enough"]:
            call("timer_create", 0, None, ctypes.byref(number))
            count += 1
    return count


def queues() -> int:
    """Bytes of POSIX message queues."""
    count, made = 0, []
    attributes = (ctypes.c_long * 8)(0, 10, 1024)  # struct mq_attr: messages, bytes of each
    with contextlib.suppress(OSError):
        while count < facts["enough"]:
            name = b"podsh-%d-%d" % (os.getpid(), len(made))
            call("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, attributes)
            made.append(name)
            count += 10 * 1024
    for name in made:
        call("mq_unlink", name)
    return count
