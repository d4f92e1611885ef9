"""Plans and programs that no encoder would make, through init's parsers under sanitizers.

A fixed slice of seeds; ``pytest -m soak`` takes many more. What the parsers accept has to be
exactly what is whole: an input that was cut or grew is refused.
"""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from podsh.jail import encode
from podsh.native import build

if TYPE_CHECKING:
    from collections.abc import Sequence

NATIVE = Path(__file__).resolve().parents[2] / "podsh" / "native"
RECORDS = [
    encode.root(0o755, 1 << 20),
    encode.hostname("name"),
    encode.tmpfs("/tmp", 0o1777, 1 << 20, True),
    encode.directory("/a/b", 0o700),
    encode.link("../x", "/a/l"),
    encode.file("/a/f", 0o644, b"data\0more"),
    encode.mount(3, "/usr", False, True),
    encode.proc("/proc"),
    encode.devpts("/dev/pts", 16),
    encode.mask("/etc/shadow", False),
    encode.loopback(),
    encode.socket("/.podsh/sock"),
    encode.scope(),
    encode.sysctl("kernel/pid_max", "400", False),
]
PLAN = encode.plan(RECORDS)
PROGRAM = encode.program(
    argv=["a", "b" * 300],
    env=["PATH=/bin", "X=y"],
    cwd=["/", "/tmp"],
    procname="name",
    rlimits=[(7, 10, 20), (4, -1, -1)],
    filter=struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000) * 3,
)
WHOLE = {b"p": PLAN, b"r": PROGRAM}
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF)
NUMBERS = (0, 1, 5, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@pytest.fixture(scope="module")
def binary() -> str:
    return build.build(str(NATIVE), asan=True)


def check(binary: str, folder: Path, inputs: Sequence[tuple[bytes, bytes]]) -> str:
    """One digit an input: ``1`` accepted, ``0`` refused. A crash fails the test."""
    path = folder / "inputs"
    verdicts = ""
    # init reads files of at most 16 MiB
    for first in range(0, len(inputs), 20_000):
        some = inputs[first : first + 20_000]
        path.write_bytes(
            b"".join(kind + struct.pack("<I", len(data)) + data for kind, data in some)
        )
        done = subprocess.run(
            [binary, "check", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[:4000]
        verdicts += done.stdout.strip()
    return verdicts


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One to four changes: bytes, 32-bit numbers, cuts, doubled and swapped stretches."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1) if changed else 0
        size = rng.choice((1, 2, 4, 8, 40))
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes((rng.choice(INTERESTING),))
            case 1:
                changed[at : at + 4] = struct.pack("<I", rng.choice(NUMBERS))
            case 2:
                del changed[at : at + size]
            case 3:
                changed[at:at] = changed[at : at + size]
            case 4:
                changed[at:at] = rng.randbytes(size)
            case 5:
                del changed[at:]
    return bytes(changed)


def inputs_of(seed: int, count: int) -> list[tuple[bytes, bytes]]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        kind = rng.choice((b"p", b"r"))
        if rng.random() < 0.1:
            made.append((kind, rng.randbytes(rng.randrange(200))))
        else:
            made.append((kind, mutate(rng, WHOLE[kind])))
    return made


def test_whole_inputs_are_accepted(binary: str, tmp_path: Path) -> None:
    plans = [encode.plan([RECORDS[0], record]) for record in RECORDS[1:]]
    listening = encode.program(argv=["x"], env=[], cwd=[], filter=bytes(8), listen=True)
    given = [*WHOLE.items(), *((b"p", plan) for plan in plans), (b"r", listening)]
    assert check(binary, tmp_path, given) == "1" * len(given)


@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_every_cut_and_every_tail_is_refused(binary: str, tmp_path: Path, kind: bytes) -> None:
    data = WHOLE[kind]
    cuts = [(kind, data[:length]) for length in range(len(data))]
    assert check(binary, tmp_path, [*cuts, (kind, data + b"\0")]) == "0" * (len(cuts) + 1)


def test_what_makes_no_sense_is_refused(binary: str, tmp_path: Path) -> None:
    root = RECORDS[0]
    paths = ("", "/", "//", "a", "/a/", "/a//b", "/./a", "/..", "/a/../b", "/a/.", "/" + "x" * 4096)
    plans = [
        *([root, encode.directory(path, 0o755)] for path in paths),
        [],
        [RECORDS[1]],
        [root, root],
        [encode.root(0o10000, 1)],
        [encode.root(0o755, 0)],
        [root, encode.tmpfs("/t", 0o755, 0, False)],
        [root, encode.hostname("x" * 65)],
        [root, encode.mount(0, "/x", 2, False)],  # type: ignore[arg-type]
        [root, encode.sysctl("../x", "1", True)],
        [root, encode.sysctl("/kernel/x", "1", True)],
    ]
    programs = [
        encode.program(argv=[], env=[], cwd=[]),
        encode.program(argv=["x"], env=[], cwd=[], umask=0o1000),
        encode.program(argv=["x"], env=[], cwd=[], rows=65536),
        encode.program(argv=["x"], env=[], cwd=[], filter=b"1234"),
        encode.program(argv=["x"], env=[], cwd=[], listen=True),
        encode.program(argv=["x"], env=[], cwd=[], rlimits=[(1, 1, 1)] * 65),
    ]
    given = [(b"p", encode.plan(plan)) for plan in plans]
    given += [(b"r", program) for program in programs]
    assert check(binary, tmp_path, given) == "0" * len(given)


def test_mutations(binary: str, tmp_path: Path) -> None:
    verdicts = check(binary, tmp_path, inputs_of(1, 50_000))
    # some changes touch nothing but a number or a letter: both ways are walked
    assert verdicts.count("1") > 100
    assert verdicts.count("0") > 25_000


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100))
def test_many_mutations(binary: str, tmp_path: Path, seed: int) -> None:
    check(binary, tmp_path, inputs_of(1000 + seed, 100_000))
