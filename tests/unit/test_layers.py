"""What was given to a live pod and is taken back is never seen again, whatever covered it.

The other side is a table of mounts, looked up as the kernel does it, one component at a time.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podsh.jail.grant import Shown
from podsh.jail.resolve import below
from podsh.kernel.uapi import MOUNT_ATTR_RDONLY as RO
from podsh.monitor.layers import DETACH, Layer, Layers

PLACES = ("/a", "/a/b", "/a/b/c", "/a/d", "/e")


class Entry(NamedTuple):
    number: int
    on: int  # the mount that it is on; -1: the root
    shown: Shown


class Kernel:
    def __init__(self) -> None:
        self.table: list[Entry] = []

    def lookup(self, path: str) -> Entry | None:
        at = None
        parts = path.split("/")
        for count in range(2, len(parts) + 1):
            here = "/".join(parts[:count])
            while over := [
                entry
                for entry in self.table
                if entry.on == (at.number if at else -1) and entry.shown.dst == here
            ]:
                at = over[-1]
        return at

    def attach(self, shown: Shown, inner: list[Shown]) -> None:
        for one in (shown, *inner):
            on = self.lookup(one.dst)
            number = 1 + max((entry.number for entry in self.table), default=-1)
            self.table.append(Entry(number, on.number if on else -1, one))

    def detach(self, path: str) -> None:
        top = self.lookup(path)
        assert top is not None
        assert top.shown.dst == path, f"nothing is mounted at {path}"
        gone = {top.number}
        while more := {e.number for e in self.table if e.on in gone and e.number not in gone}:
            gone |= more
        self.table = [entry for entry in self.table if entry.number not in gone]

    def change(self, path: str, attrs: int) -> None:
        top = self.lookup(path)
        assert top is not None
        assert top.shown.dst == path
        new = top._replace(shown=top.shown._replace(attrs=attrs))
        self.table[self.table.index(top)] = new

    def seen(self) -> dict[str, Shown]:
        return {e.shown.dst: e.shown for e in self.table if self.lookup(e.shown.dst) is e}


class Pod:
    """Both sides, and what was given."""

    def __init__(self, *first: Shown) -> None:
        self.kernel, self.layers = Kernel(), Layers(first)
        for shown in first:
            self.kernel.attach(shown, [])
        self.serial = 0

    def give(self, dst: str, write: bool = False) -> Layer:
        self.serial += 1
        shown = Shown(dst, f"/host/{self.serial}", (1, self.serial), True, 0 if write else RO)
        inner = [one for path, one in self.layers.shown().items() if below(path, dst)]
        inner.sort(key=lambda one: one.dst.split("/"))
        self.kernel.attach(shown, inner)
        layer, steps = self.layers.lay(shown, inner, dst)
        assert not steps
        self.check()
        return layer

    def widen(self, dst: str) -> Layer | None:
        shown = self.layers.shown().get(dst)
        if shown is None or not shown.attrs & RO:
            return None
        self.kernel.change(dst, 0)
        layer = self.layers.widen(shown._replace(attrs=0))
        self.check()
        return layer

    def take(self, layer: Layer) -> list[Layer]:
        taken, steps = self.layers.take(layer)
        assert layer in taken
        for how, path in steps:
            if how == DETACH:
                self.kernel.detach(path)
            else:
                self.kernel.change(path, RO)
        self.check()
        return taken

    def check(self) -> None:
        assert self.kernel.seen() == self.layers.shown()
        sources = {layer.shown.src for layer in self.layers.given}
        assert {one.src for one in self.kernel.seen().values()} <= sources | {"/first"}


def first(dst: str) -> Shown:
    return Shown(dst, "/first", (0, 0), True, RO)


def test_taken_while_covered_by_another_at_its_place() -> None:
    pod = Pod()
    one, two = pod.give("/a"), pod.give("/a")
    assert pod.take(one) == [one]
    assert pod.layers.shown()["/a"] == two.shown
    assert pod.take(two) == [two]
    assert not pod.kernel.table


def test_taken_while_covered_twice() -> None:
    pod = Pod()
    inner, over, again = pod.give("/a/b"), pod.give("/a"), pod.give("/a")
    assert pod.take(inner) == [inner]
    assert set(pod.layers.shown()) == {"/a"}
    pod.take(again)
    assert set(pod.layers.shown()) == {"/a"}
    pod.take(over)
    assert not pod.kernel.table


def test_what_was_made_writable_is_read_only_again_below_what_covers_it() -> None:
    pod = Pod(first("/a/b"))
    wide = pod.widen("/a/b")
    assert wide is not None
    over = pod.give("/a", write=True)
    assert pod.take(wide) == [wide]
    assert pod.layers.shown()["/a/b"].attrs & RO
    pod.take(over)
    assert pod.layers.shown() == {"/a/b": first("/a/b")}


def test_what_lies_on_it_goes_with_it() -> None:
    pod = Pod()
    under, on = pod.give("/a"), pod.give("/a/b")
    assert pod.take(under) == [under, on]


def test_what_failed_was_never_there() -> None:
    layers = Layers([first("/a/b")])
    layer, _ = layers.lay(Shown("/a", "/h", (1, 1), True, RO), [first("/a/b")], "/a")
    layers.failed(layer)
    assert layers.shown() == {"/a/b": first("/a/b")}
    assert not layers.given


def test_taken_while_a_tree_that_has_it_is_on_the_way() -> None:
    layers = Layers([])
    shown = Shown("/a/b", "/h/b", (1, 1), True, RO)
    layer, _ = layers.lay(shown, [], "/a/b")
    layers.take(layer)
    _, steps = layers.lay(Shown("/a", "/h", (1, 2), True, RO), [shown], "/a")
    assert steps == [(DETACH, "/a/b")]
    assert set(layers.shown()) == {"/a"}


@pytest.mark.parametrize("built", [(), ("/a",), ("/a/b", "/e")])
@given(st.lists(st.tuples(st.sampled_from("givwt"), st.integers(0, 99)), max_size=14))
def test_whatever_is_given_and_taken(built: tuple[str, ...], acts: list[tuple[str, int]]) -> None:
    pod = Pod(*map(first, built))
    for act, number in acts:
        place = PLACES[number % len(PLACES)]
        if act == "t" and pod.layers.given:
            pod.take(pod.layers.given[number % len(pod.layers.given)])
        elif act == "w":
            pod.widen(place)
        elif act in "gi":
            pod.give(place, write=act == "i")
    while pod.layers.given:
        pod.take(pod.layers.given[len(acts) % len(pod.layers.given)])
    assert pod.layers.shown() == {path: first(path) for path in built}
    assert len(pod.kernel.table) == len(built)
