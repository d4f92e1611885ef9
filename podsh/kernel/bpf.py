"""Pieces of seccomp programs that libseccomp cannot write: decisions by number, rules in order.

A piece is a list of instructions (code, jump if true, jump if false, k) that runs off its end
where it has no verdict, so that pieces can stand one after the other.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from podsh.kernel.refusals import INT, Compare, Equals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podsh.kernel.refusals import Rule, Test

Piece = list[tuple[int, int, int, int]]

# struct sock_filter { __u16 code; __u8 jt, jf; __u32 k; }, <linux/filter.h>
INSTRUCTION = struct.Struct("=HBBI")
MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS, <linux/bpf_common.h>

# <linux/bpf_common.h>
LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP = 0x05  # BPF_JMP | BPF_JA
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_GREATER_EQUAL = 0x35  # BPF_JMP | BPF_JGE | BPF_K
RETURN = 0x06  # BPF_RET | BPF_K
# offsets in struct seccomp_data, <linux/seccomp.h>; arguments are little-endian u64
NR, ARCH, ARGUMENTS = 0, 4, 16

ALLOW = 0x7FFF0000  # SECCOMP_RET_*, <linux/seccomp.h>
NOTIFY = 0x7FC00000
KILL_PROCESS = 0x80000000

_LAST = 0xFFFFFFFF
_SHORT = 255  # a conditional jump's reach
_TO_THE_END = (JUMP, 0, 0, _LAST)  # until it is known where that is


def encode(piece: Piece) -> bytes:
    return b"".join(INSTRUCTION.pack(*each) for each in piece)


def ret(action: int) -> Piece:
    return [(RETURN, 0, 0, action)]


def skip(count: int) -> Piece:
    """Jump over ``count`` instructions."""
    return [(JUMP, 0, 0, count)] if count else []


def unless_equal(value: int, count: int) -> Piece:
    """Go on where the accumulator is ``value``, else jump over ``count`` instructions."""
    if count <= _SHORT:
        return [(JUMP_EQUAL, 0, count, value)]
    return [(JUMP_EQUAL, 1, 0, value), *skip(count)]


def by_number(
    verdicts: Mapping[int, int], otherwise: int, rules: Mapping[int, Sequence[Rule]]
) -> Piece:
    """A binary tree over call numbers: the SECCOMP_RET_* of ``verdicts``, ``otherwise`` for the
    rest; a number of ``rules`` goes through its rules (the first that holds decides), and runs
    off the end where none holds, or where it has no rules at all.
    """
    leaves: list[tuple[int, int | None, int]] = []  # first number, verdict (None: rules), number
    at = 0
    for number in sorted({*verdicts, *rules}):
        if number > at:
            leaves.append((at, otherwise, 0))
        if number in rules:
            leaves.append((number, None, number))
        else:
            leaves.append((number, verdicts[number], 0))
        at = number + 1
    if at <= _LAST:
        leaves.append((at, otherwise, 0))
    merged = [
        leaf
        for index, leaf in enumerate(leaves)
        if (leaf[1] is None and rules[leaf[2]])
        or index == 0
        or not _same(leaf, leaves[index - 1], rules)
    ]
    # a leaf is one instruction; jumps to the rules and to the end are filled in afterwards
    holes: list[tuple[int, int]] = []
    tree = [(LOAD, 0, 0, NR), *_tree(merged, holes, 1)]
    bodies: dict[tuple[Rule, ...], int] = {}
    code: Piece = []
    for _, number in holes:
        body = tuple(rules[number])
        if body and body not in bodies:
            bodies[body] = len(code)
            code += in_order(body)
            if body[-1].tests:
                code.append(_TO_THE_END)
    total = len(tree) + len(code)
    for place, number in holes:
        body = tuple(rules[number])
        target = len(tree) + bodies[body] if body else total
        tree[place] = (JUMP, 0, 0, target - place - 1)
    for index, instruction in enumerate(code):
        if instruction == _TO_THE_END:
            code[index] = (JUMP, 0, 0, len(code) - index - 1)
    return tree + code


def _same(
    leaf: tuple[int, int | None, int],
    before: tuple[int, int | None, int],
    rules: Mapping[int, Sequence[Rule]],
) -> bool:
    """Whether two neighbours end the same way."""
    if leaf[1] is not None or before[1] is not None:
        return leaf[1] == before[1]
    return not rules[leaf[2]] and not rules[before[2]]


def _tree(
    leaves: Sequence[tuple[int, int | None, int]], holes: list[tuple[int, int]], at: int
) -> Piece:
    if len(leaves) == 1:
        _, verdict, number = leaves[0]
        if verdict is not None:
            return ret(verdict)
        holes.append((at, number))
        return skip(1)
    middle = len(leaves) // 2
    first = leaves[middle][0]
    # how long the jump is shows only once the lower half is there
    mine: list[tuple[int, int]] = []
    lower = _tree(leaves[:middle], mine, 0)
    if len(lower) <= _SHORT:
        head: Piece = [(JUMP_GREATER_EQUAL, len(lower), 0, first)]
    else:
        head = [(JUMP_GREATER_EQUAL, 0, 1, first), *skip(len(lower))]
    holes += [(at + len(head) + place, number) for place, number in mine]
    return head + lower + _tree(leaves[middle:], holes, at + len(head) + len(lower))


def in_order(rules: Sequence[Rule]) -> Piece:
    """The first rule whose tests hold decides; runs off the end where none does."""
    code: Piece = []
    for rule in rules:
        body = ret(rule.action)
        for test in reversed(rule.tests):
            body = _tested(test, body)
        code += body
    return code


def at_once(arch: int, calls: Mapping[int, Sequence[Sequence[Test]]]) -> Piece:
    """Calls by number that are allowed where all tests of one of their sequences hold, before
    anything else is looked at; runs off the end for all others. No argument is looked at but of
    these calls: the kernel remembers what is allowed whatever its arguments."""
    code: Piece = []
    begins: dict[int, int] = {}  # of each body, counted from the end
    bodies: dict[tuple[tuple[Test, ...], ...], int] = {}
    for number, ways in calls.items():
        key = tuple(map(tuple, ways))
        if key not in bodies:
            body: Piece = []
            for tests in key:
                way = ret(ALLOW)
                for test in reversed(tests):
                    way = _tested(test, way)
                body += way
            code = [*body, *skip(len(code)), *code]
            bodies[key] = len(code)
        begins[number] = bodies[key]
    tree = _numbers({number: len(code) - begin for number, begin in begins.items()})
    code = [(LOAD, 0, 0, NR), *tree, *skip(len(code)), *code]
    return [(LOAD, 0, 0, ARCH), *unless_equal(arch, len(code)), *code]


def _numbers(targets: Mapping[int, int]) -> Piece:
    """One comparison after the other; ``targets``: instructions behind the skip that follows."""
    last = len(targets)
    return [
        (JUMP_EQUAL, last - at + place, 0, nr) for at, (nr, place) in enumerate(targets.items())
    ]


def _tested(test: Test, body: Piece) -> Piece:
    """``body`` where the test holds, else jump over it."""
    low = ARGUMENTS + 8 * test.argument
    if isinstance(test, Compare):
        assert test.mask <= INT, "high halves are not compared"
        mask: Piece = [] if test.mask == INT else [(AND, 0, 0, test.mask)]
        return [(LOAD, 0, 0, low), *mask, *unless_equal(test.value, len(body)), *body]
    if isinstance(test, Equals):
        high = [(LOAD, 0, 0, low + 4), *unless_equal(test.value >> 32, len(body)), *body]
        return [(LOAD, 0, 0, low), *unless_equal(test.value & INT, len(high)), *high]
    # differs in the low half, or in the high one
    assert len(body) < _SHORT - 3
    return [
        (LOAD, 0, 0, low),
        (JUMP_EQUAL, 0, 2, test.value & INT),
        (LOAD, 0, 0, low + 4),
        (JUMP_EQUAL, len(body), 0, test.value >> 32),
        *body,
    ]
