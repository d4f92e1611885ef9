"""Hostile programs: what the monitor reads of a file that is executed is somebody's own."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.runner import Podsh

FILES = 150
# of places, sizes and counts: nothing, a little, the signs' edges, all bits
EDGES = (0, 1, 7, 63, 64, 255, 4095, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
PT_INTERP = 3
EM_X86_64 = 62


def elf(rng: random.Random) -> bytes:
    """A header and a few segments (man 5 elf), mostly as they should be."""

    def number(usual: int, bits: int) -> int:
        return (usual if rng.random() < 0.6 else rng.choice(EDGES)) & (1 << bits) - 1

    wide = rng.random() < 0.8
    ident = b"\x7fELF" + bytes((2 if wide else 1, rng.choice((1, 1, 1, 2)), 1)) + bytes(9)
    word, form = (64, "<HHIQQQIHHHHHH") if wide else (32, "<HHIIIIIHHHHHH")
    head, size = (64, 56) if wide else (52, 32)
    count = rng.randrange(4)
    header = struct.pack(
        form,
        *(number(2, 16), number(EM_X86_64, 16), 1, number(1 << 22, word), number(head, word)),
        *(0, 0, number(head, 16), number(size, 16), number(count, 16), 64, 0, 0),
    )
    segments = b""
    for _ in range(count):
        kind, place, length = number(PT_INTERP, 32), number(head, word), number(24, word)
        if wide:
            segments += struct.pack("<IIQQQQQQ", kind, 4, place, 0, 0, length, length, 1)
        else:
            segments += struct.pack("<IIIIIIII", kind, place, 0, 0, length, length, 4, 1)
    whole = ident + header + segments + rng.choice((b"/lib64/ld.so\0", b"/", b"", b"\0" * 40))
    return whole[: rng.choice((len(whole), len(whole), rng.randrange(len(whole))))]


def script(rng: random.Random) -> bytes:
    names = (b"/", b"//", b"/../" * 60, b"/proc/self/exe", b"\xff\xfe", b"/\0x", b"/x " * 90, b"")
    return (
        b"#!" + rng.choice((b"", b" ", b"\t")) + rng.choice(names) + rng.choice((b"\n", b"", b"\0"))
    )


def make(folder: Path, podsh: Podsh) -> None:
    rng = random.Random(5)
    # what once ended the thread that answers: a table, and a name, where no file has anything
    found = [
        struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, at, 0, 0, 64, 56, 1, 64, 0, 0) for at in EDGES
    ]
    programs = [b"\x7fELF\x02\x01\x01" + bytes(9) + one for one in found]
    programs += [elf(rng) for _ in range(FILES)]
    programs += [script(rng) for _ in range(FILES // 3)]
    for number, content in enumerate(programs):
        podsh.file(folder / str(number), content, 0o755)


def test_the_monitor_goes_on(podsh: Podsh) -> None:
    """After all of them a program of the pod's is still answered, and what it lacks looked for."""
    folder = podsh.directory("programs")
    make(folder, podsh)
    beyond = podsh.file(podsh.base / "beyond", "x")
    look = f'for p in {folder}/*; do "$p"; done >/dev/null 2>&1; cat {beyond}; ls -d /usr'
    done = podsh.pod("sh", "-c", look, options=("--ro", str(folder)))
    assert (done.code, done.out) == (0, "/usr\n"), done
    assert "read " + str(beyond) in done.err
