"""Terminals: typing into one's own (the launcher's shell would read it), and reaching others.

facts: ``tty``, a terminal of the host's that the caller owns. These run on a terminal.
"""

from __future__ import annotations

import ctypes
import errno
import os

from tools import call, facts, libc, opens

TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423


def _ioctl(request: int, argument: object) -> bool:
    """Whether the driver sees it: it may still refuse (ENOTTY, EINVAL, EIO)."""
    result = libc.syscall(
        ctypes.c_long(facts["calls"]["ioctl"]), ctypes.c_long(0), ctypes.c_long(request), argument
    )
    if result < 0:
        number = ctypes.get_errno()
        if number in (errno.ENOTTY, errno.EINVAL, errno.EIO):
            return True
        raise OSError(number, os.strerror(number))
    return True


def tiocsti() -> bool:
    """Put a byte into the terminal's input."""
    return _ioctl(TIOCSTI, b"\0")


def tiocsti_high_bits() -> bool:
    """The same with rubbish in the upper half of the request (CVE-2019-10063)."""
    return _ioctl(TIOCSTI | 1 << 32, b"\0")


def tiocsti_new_session() -> bool:
    """On another terminal of the pod's own, made here."""
    controller, terminal = os.openpty()
    os.setsid()
    os.dup2(terminal, 0)
    call("ioctl", 0, 0x540E, 0)  # TIOCSCTTY
    worked = _ioctl(TIOCSTI, b"\0")
    # `controller` stays open to the end: closing it hangs up on this session
    return worked and controller > 2


def tioclinux() -> bool:
    """Paste the console's selection."""
    return _ioctl(TIOCLINUX, b"\3")


def tioclinux_high_bits() -> bool:
    return _ioctl(TIOCLINUX | 1 << 63, b"\3")


def tiocsetd() -> bool:
    """Another line discipline: N_TTY again, which changes nothing."""
    return _ioctl(TIOCSETD, ctypes.byref(ctypes.c_int(0)))


def host_terminal() -> bool:
    """A terminal of the host's by its name; a device of the same name may be the pod's own."""
    found = os.stat(facts["tty"])
    return (found.st_rdev, found.st_dev) == tuple(facts["tty_device"])


def host_terminals() -> list[str]:
    """Consoles and serial lines."""
    return [
        name
        for name in os.listdir("/dev")
        if name.startswith(("tty", "vc", "con", "hvc")) and name != "tty"
    ]


def other_ptys() -> list[str]:
    """Terminals of others in /dev/pts."""
    own = os.path.basename(os.ttyname(0))
    return [name for name in os.listdir("/dev/pts") if name not in (own, "ptmx")]


def controlling_terminal_is_host() -> bool:
    fd = os.open("/dev/tty", os.O_RDWR)
    return os.fstat(0).st_dev == facts["tty_device"][1] and os.isatty(fd)


def console() -> bool:
    return opens("/dev/console", os.O_WRONLY)
