"""One component of a path against a glob: ``*`` any characters, ``?`` any one. Pure."""

from __future__ import annotations


def is_glob(part: str) -> bool:
    return "*" in part or "?" in part


def matches(name: str, glob: str) -> bool:
    """Whether a name of one component matches. No regular expressions: time stays bounded, and
    compiling them is what would cost a fresh monitor most."""
    at = back = here = 0
    star = -1
    while at < len(name):
        if here < len(glob) and glob[here] == "*":
            star, back = here, at
            here += 1
        elif here < len(glob) and glob[here] in ("?", name[at]):
            at += 1
            here += 1
        elif star >= 0:
            # the last star takes one character more
            back += 1
            at, here = back, star + 1
        else:
            return False
    return not glob[here:].strip("*")
