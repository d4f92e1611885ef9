"""The README's tour as a person types it: its commands, what it prints, and what was printed.

A block of the README is a transcript: ``$ LINE`` is typed at the shell's prompt, ``podsh> LINE`` at
the console's, ``> LINE`` goes on with a document in the shell; all other lines are output. A line
``…`` stands for any lines. Names, times and numbers of the day are compared by their kind.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.runner import Podsh
    from tests.helpers.tmux import Tmux

PROMPTS = {"$ ": "$", "podsh> ": "podsh>", "> ": ">"}
ANY = "…"


class Step(NamedTuple):
    """One typed line, after which ``prompt`` is waited for; and the lines that it prints."""

    prompt: str
    typed: str
    prints: list[str]


def steps(readme: Path, first: str, last: str) -> list[Step]:
    """Those of the transcripts between two headings."""
    text = readme.read_text().split(f"\n## {first}\n", 1)[1].split(f"\n## {last}\n", 1)[0]
    found: list[Step] = []
    for fence, block in re.findall(r"^```(.*)\n((?s:.*?))^```$", text, re.MULTILINE):
        for line in block.splitlines() if not fence else ():
            sign = next((sign for sign in PROMPTS if line.startswith(sign)), "")
            if sign:
                found.append(Step(PROMPTS[sign], line.removeprefix(sign), []))
            else:
                found[-1].prints.append(line)
    return found


def kinds(line: str, podsh: Podsh) -> str:
    """A line with what differs from day to day, and between persons, made equal."""
    line = line.replace(str(podsh.home), "/home/you").replace(str(podsh.command.parents[2]), "/p")
    line = re.sub(rf"\b{re.escape(podsh.caller.login)}\b", "you", line)
    line = re.sub(r"\b\d\d:\d\d:\d\d\b", "TIME", line)
    line = re.sub(r"\b\d+(s|m)\b", "SPAN", line)
    line = re.sub(r"\b\d{2,7}\b", "N", line)
    line = re.sub(r"/\S*/(profiles/\w+\.toml):N?\d*", r"\1", line)
    return re.sub(r" +", " ", line).strip()


class Person:
    """Types at a shell in tmux, and reads what comes."""

    def __init__(self, t: Tmux, podsh: Podsh) -> None:
        self.t = t
        self.podsh = podsh
        self.seen = 0  # lines of the history that belong to earlier steps

    def lines(self) -> list[str]:
        """All that was on the screen, without the empty rest of it."""
        found = self.t.history()
        while found and not found[-1]:
            found.pop()
        return found

    def prompt(self, sign: str, timeout_s: float = 30.0) -> list[str]:
        """Wait until ``sign`` stands alone on the last line; the new lines before it."""
        end = time.monotonic() + timeout_s
        while True:
            found = self.lines()
            # the console has its toolbar below
            at = [index for index, line in enumerate(found) if line == sign]
            if (
                at
                and at[-1] >= self.seen
                and at[-1] >= len(found) - (1 if sign != "podsh>" else 30)
            ):
                new = found[self.seen : at[-1]]
                self.seen = at[-1]
                return new
            assert time.monotonic() < end, f"no prompt {sign!r}:\n" + "\n".join(found)
            time.sleep(0.05)

    def type(self, line: str) -> None:
        self.t.type(line)
        self.t.keys("Enter")
        self.seen += 1


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether the lines are these; ``…`` is any number of them."""
    if not expected:
        return not printed
    if expected[0] == ANY:
        return any(matches(expected[1:], printed[at:]) for at in range(len(printed) + 1))
    return bool(printed) and expected[0] == printed[0] and matches(expected[1:], printed[1:])
