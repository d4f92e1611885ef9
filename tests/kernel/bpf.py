"""An interpreter of exported seccomp programs: what would the kernel do with this call?

Only the classic BPF that a seccomp filter may hold and libseccomp writes (<linux/filter.h>).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

INSTRUCTION = struct.Struct("=HBBI")
# struct seccomp_data { int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]; }
DATA = struct.Struct("=IIQ6Q")

KILL_PROCESS = 0x80000000
ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
ERRNO = 0x00050000


class Verdict(NamedTuple):
    """``action``: SECCOMP_RET_*; ``steps``: instructions run; ``loads``: offsets looked at."""

    action: int
    steps: int
    loads: frozenset[int]


def decode(program: bytes) -> list[tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, k) of each instruction."""
    return list(INSTRUCTION.iter_unpack(program))


def run(
    code: list[tuple[int, int, int, int]], nr: int, args: tuple[int, ...] = (), *, arch: int
) -> Verdict:
    """The verdict on one call. Fails on what the kernel's checker would not load."""
    padded = [arg & 0xFFFFFFFFFFFFFFFF for arg in args] + [0] * (6 - len(args))
    data = DATA.pack(nr & 0xFFFFFFFF, arch, 0, *padded)
    at = steps = a = 0
    loads = set()
    while True:
        op, yes, no, k = code[at]
        steps += 1
        at += 1
        match op:
            case 0x20:  # ld [k]
                assert k % 4 == 0
                assert k < len(data)
                loads.add(k)
                (a,) = struct.unpack_from("=I", data, k)
            case 0x54:  # and #k
                a &= k
            case 0x05:  # ja
                at += k
            case 0x15:  # jeq
                at += yes if a == k else no
            case 0x25:  # jgt
                at += yes if a > k else no
            case 0x35:  # jge
                at += yes if a >= k else no
            case 0x45:  # jset
                at += yes if a & k else no
            case 0x06:  # ret #k
                return Verdict(k, steps, frozenset(loads))
            case _:
                raise AssertionError(f"instruction {at - 1}: code {op:#x}")


def dump(program: bytes) -> str:
    """For a person who looks for a mistake."""
    names = {0x20: "ld", 0x54: "and", 0x05: "ja", 0x15: "jeq", 0x25: "jgt", 0x35: "jge"}
    names |= {0x45: "jset", 0x06: "ret"}
    return "\n".join(
        f"{at:4} {names.get(op, hex(op)):5} {k:#x}"
        + (f"  {at + 1 + yes} : {at + 1 + no}" if op & 7 == 5 else "")
        for at, (op, yes, no, k) in enumerate(decode(program))
    )
