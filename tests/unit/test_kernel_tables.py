"""Tables of the kernel room, against the headers of the machine where it has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from podsh.kernel import caps, syscalls

HEADERS = {
    "x86_64": (
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
    ),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}


@pytest.mark.parametrize("arch", syscalls.NAMES)
def test_call_numbers(arch: str) -> None:
    header = next((Path(path) for path in HEADERS[arch] if Path(path).exists()), None)
    if header is None:
        pytest.skip("no kernel headers here")
    text = header.read_text()
    defined = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", text, re.M))
    table = syscalls.NAMES[arch]
    wrong = {
        name: (number, table[name])
        for name, number in defined.items()
        if name in table and table[name] != int(number)
    }
    assert not wrong
    # the generic header also has calls of other architectures, at numbers of their own
    if arch == "x86_64":
        last = max(table.values())
        assert {name for name in defined if int(defined[name]) <= last} <= set(table)
    elif arch == "aarch64":
        assert len(set(defined) & set(table)) > 270


@pytest.mark.parametrize("arch", syscalls.NAMES)
def test_numbers_are_unique_and_known(arch: str) -> None:
    numbers = list(syscalls.NAMES[arch].values())
    assert len(numbers) == len(set(numbers))
    assert max(numbers) == syscalls.NAMES[arch]["file_setattr"] == 469
    assert arch in syscalls.AUDIT_ARCH


def test_some_numbers() -> None:
    """Ends of the runs, from the kernel's tables."""
    x86, arm = syscalls.NAMES["x86_64"], syscalls.NAMES["aarch64"]
    assert (x86["read"], x86["openat"], x86["rseq"], x86["uprobe"]) == (0, 257, 334, 336)
    assert (arm["io_setup"], arm["read"], arm["recvmmsg"], arm["wait4"]) == (0, 63, 243, 260)
    assert (arm["kexec_file_load"], arm["openat"], arm["clone"]) == (294, 56, 220)
    for table in (x86, arm):
        assert table["pidfd_send_signal"] == 424
        assert table["fchmodat2"] == 452
        assert table["open_tree_attr"] == 467
        assert table["file_setattr"] == 469
    assert syscalls.number("getpid", "aarch64") == 172
    with pytest.raises(KeyError):
        syscalls.number("chmod", "aarch64")


def test_capabilities() -> None:
    assert (caps.number("CAP_CHOWN"), caps.number("net_raw"), caps.number("cap_syslog")) == (
        0,
        13,
        34,
    )
    assert caps.NUMBERS["checkpoint_restore"] == 40
    assert caps.mask("chown", "CAP_CHOWN", "kill") == 0b100001
    assert caps.names(1 << 21 | 1 | 1 << 50) == ("chown", "sys_admin", "cap_50")
    assert caps.names(0) == ()
    with pytest.raises(KeyError):
        caps.number("fly")
    header = Path("/usr/include/linux/capability.h")
    if header.exists():
        found = re.findall(r"^#define CAP_(\w+)\s+(\d+)$", header.read_text(), re.M)
        assert {name.lower(): int(number) for name, number in found} == caps.NUMBERS
