"""Capabilities: names and numbers of <linux/capability.h> (Linux 6.18), and masks of them."""

from __future__ import annotations

# in the order of their numbers, from 0
NAMES = tuple(
    """
    chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio
    sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time
    sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog
    wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
    """.split()
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}


def number(name: str) -> int:
    """The number of ``net_raw``, ``CAP_NET_RAW`` or ``cap_net_raw``. KeyError if unknown."""
    return NUMBERS[name.lower().removeprefix("cap_")]


def mask(*names: str) -> int:
    """The bit mask of capabilities by name."""
    return sum(1 << bit for bit in {number(name) for name in names})


def names(bits: int) -> tuple[str, ...]:
    """The names in a mask, in order; those above the known ones as ``cap_N``."""
    return tuple(
        NAMES[bit] if bit < len(NAMES) else f"cap_{bit}"
        for bit in range(bits.bit_length())
        if bits >> bit & 1
    )
