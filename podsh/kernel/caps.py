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


# ---------------------------------------------------------------- what a pod may keep

# Programs have what they keep in a user namespace that owns the pod's network, IPC and names, and
# maps its users: the rest is refused, with the reason.

_HOST_ONLY = "the kernel heeds it in the host's own user namespace only"
REFUSED = {
    "fsetid": "it makes set-group-id files for groups that one is not in",
    "linux_immutable": _HOST_ONLY,
    "net_broadcast": "no kernel asks for it",
    "ipc_lock": f"{_HOST_ONLY}; it would lock the host's memory",
    "sys_module": "it loads code into the host's kernel",
    "sys_rawio": "it reaches the host's ports, disks and memory",
    "sys_ptrace": "it reaches programs that podsh starts before they are confined",
    "sys_pacct": "it writes the host's accounting",
    "sys_admin": "it mounts, and half of the kernel asks for nothing else",
    "sys_boot": "it restarts, and loads another kernel",
    "sys_nice": "it takes processors from the host, where the kernel heeds it at all",
    "sys_resource": "it lifts the bounds that keep a pod from harming the host",
    "sys_time": "it sets the host's clock",
    "sys_tty_config": "it reaches the host's terminals",
    "mknod": "devices are the host's",
    "lease": _HOST_ONLY,
    "audit_write": "it writes the host's audit log",
    "audit_control": "it rules the host's audit log",
    "setfcap": "files with capabilities that root's pod makes would have them on the host",
    "mac_override": "it passes the host's access rules by",
    "mac_admin": "it changes the host's access rules",
    "syslog": "it reads the host's kernel log, and addresses in it",
    "wake_alarm": _HOST_ONLY,
    "block_suspend": _HOST_ONLY,
    "audit_read": "it reads the host's audit log",
    "perfmon": "it looks into the host's kernel",
    "bpf": "it runs code in the host's kernel",
    "checkpoint_restore": "it makes a process pass for another",
}
HINTS = {
    "sys_ptrace": "for programs of the pod's own: [seccomp] ptrace = true, --allow-ptrace",
    "sys_admin": "for sandboxes inside the pod: [seccomp] nesting = true",
    "mknod": 'bind the node: dev = true, or "file rwd /dev/NAME"',
    "sys_resource": "see [limits]",
}
ALLOWED = tuple(name for name in NAMES if name not in REFUSED)
_OF_NETWORKS = ("net_bind_service", "net_admin", "net_raw")
_WITHOUT_OTHERS = ("none", "loop")


def refusal(name: str, net: str) -> str:
    """Why a pod with that network mode cannot keep ``name`` (CAP_X); "" where it can."""
    plain = name.lower().removeprefix("cap_")
    if plain in REFUSED:
        return REFUSED[plain]
    if plain in _OF_NETWORKS and net == "host":
        return "the network is the host's, over which no pod has capabilities"
    if plain == "net_admin" and net not in _WITHOUT_OTHERS:
        return "it would change the addresses that the pod was given"
    return ""


def opens_packets(names: tuple[str, ...], net: str) -> bool:
    """Whether AF_PACKET is there: nobody else is on the network, whose addresses it could forge."""
    return "CAP_NET_RAW" in names and net in _WITHOUT_OTHERS
