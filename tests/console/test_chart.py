"""graph and tree by their command lines; what graphviz makes of the DOT."""

from __future__ import annotations

import json
import os
import subprocess
import unicodedata
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from podsh.cli import main
from podsh.console import chart, render
from podsh.policy.access import Access
from podsh.policy.domain import Domain, Index
from podsh.policy.graph import graph, to_wire

if TYPE_CHECKING:
    from pathlib import Path

    from tests.console.portal import Portal

HOSTILE = (
    'q"uote',
    "back\\slash\\N\\l",
    "new\nline",
    "esc\x1b[2J",
    "bidi\u202egnp",
    "<b>&amp;{}|</b>",
    "]; n0 -> n1; }",
    "byte\udcff",
)


def answer(domains: list[Domain], here: int = 0, **fields: Any) -> dict[str, Any]:
    index = Index(domains)
    wire = to_wire(graph(index, [here] if here else []), index, here)
    return json.loads(json.dumps({"broken": [], "pod": None, **wire, **fields}))


def clients(*names: str) -> list[Domain]:
    return [
        Domain(name, (Access.of("/usr"), Access.of(f"/home/u/c/{n}-{name}", True)))
        for n, name in enumerate(names)
    ]


def drawn(text: str) -> dict[str, Any]:
    done = subprocess.run(
        ["dot", "-Tjson"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


POD = {
    "name": "web",
    "domain": "A∩B",
    "candidates": ["A", "B"],
    "effective": [],
    "grants": [
        {"path": "/home/u/x", "mode": "write"},
        {"path": "/data", "mode": "read,noexec"},
    ],
    "moves": [
        {"mode": "read", "path": "/home/u/c/0-A", "name": "A", "asked": False},
        {"mode": "write", "path": "/b", "name": "B", "asked": True},
    ],
    "waiting": 2,
    "processes": [
        {"pid": 10, "parent": 0, "argv": ["podsh-init"]},
        {"pid": 12, "parent": 10, "argv": ["sh", "-c", "sleep 9 &\x1b[2J"]},
        {"pid": 19, "parent": 10, "argv": ["htop"]},
        {"pid": 15, "parent": 12, "argv": ["sleep", "9"]},
    ],
}


def test_graphviz_reads_it_whatever_the_names(portal: Portal) -> None:
    found = drawn(chart.dot(answer(clients(*HOSTILE))))
    # the start's point, what all share, the intersection, and one of each
    assert len(found["objects"]) == 3 + len(HOSTILE)
    assert len(found["edges"]) == 1 + len(HOSTILE)
    # what is read in the picture is what podsh shows of such a name anywhere else
    svg = subprocess.run(
        ["dot", "-Tsvg"], input=chart.dot(answer(clients(*HOSTILE))).encode(),
        capture_output=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    texts = [str(each.text) for each in ElementTree.fromstring(svg).iter() if each.text]
    texts = [text.replace("\xa0", " ") for text in texts]
    assert {render.show(name) for name in HOSTILE} <= {*texts}
    assert not any(unicodedata.category(c) in ("Cf", "Cs") or c == "\x1b" for c in "".join(texts))


def test_what_is_drawn_is_what_there_is() -> None:
    here = answer(clients("A", "B"), here=3, pod=POD)
    found = drawn(chart.dot(here, "/home/u"))
    labels = {str(each.get("label")) for each in found["objects"]}
    assert "pod web\\nA∩B\\l" in labels
    assert "A\\nwrite ~/c/0-A\\l" in labels
    assert "all of these show\\nread /usr\\l" in labels
    assert {each.get("label") for each in found["edges"]} >= {"read ~/c/0-A", "read ~/c/1-B"}


def test_a_move_that_is_asked_is_dashed_and_a_long_way_dotted() -> None:
    narrow = Domain("a", (Access.of("/usr"), Access.of("/c/a")), "ask")
    wide = Domain("w", (Access.of("/usr"), Access.of("/c")))
    other = Domain("o", (Access.of("/usr"),))
    text = chart.dot(answer([narrow, wide, other]))
    assert 'style=dashed, label="asks: read /c/a"' in text
    assert "style=dotted" in text


def test_one_node_and_many_are_both_readable() -> None:
    many = [
        Domain(f"d{n}", tuple(Access.of(f"/p{m}") for m in range(16) if m != n)) for n in range(16)
    ]
    for domains in ([], clients("A"), many):
        drawing = answer(domains)
        drawn(chart.dot(drawing))
        lines = chart.tree(drawing)
        assert len(lines) < 40_000
        assert drawing["more"] == any("there are more" in line for line in lines)


def test_the_tree(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["HOME"], home = "/home/u", os.environ["HOME"]
    portal.answers["graph"] = lambda _: answer(clients("A", "B"), broken=["x.toml:2: \x1b"])
    try:
        assert main(["tree"]) == 0
    finally:
        os.environ["HOME"] = home
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "all show  read /usr",
        "A∩B",
        "├─ A  by read ~/c/0-A",
        "└─ B  by read ~/c/1-B",
    ]
    assert "x.toml:2: \\e" in err


def test_a_node_that_two_ways_lead_to_is_told_once() -> None:
    domains = [
        Domain("a", (Access.of("/u"), Access.of("/c/a"))),
        Domain("b", (Access.of("/u"), Access.of("/c/b"))),
        Domain("w", (Access.of("/u"), Access.of("/c"), Access.of("/d"))),
        Domain("x", (Access.of("/u"), Access.of("/c"), Access.of("/d"), Access.of("/e"))),
    ]
    lines = chart.tree(answer(domains))
    assert sum(line.endswith("w∩x  by read /c") for line in lines) == 1
    assert sum(line.endswith("w∩x  by read /c  (see above)") for line in lines) == 1
    assert sum("x  by read /e" in line for line in lines) == 1


def test_the_tree_of_a_pod(
    portal: Portal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    portal.answers["graph"] = lambda _: answer(clients("A", "B"), pod=POD)
    assert main(["tree", "web"]) == 0
    assert portal.calls[-1][1]["name"] == "web"
    assert capsys.readouterr().out.splitlines() == [
        "web  A∩B",
        "├─ may move to",
        "│  A  by read ~/c/0-A",
        "│  B  if allowed, by write /b",
        "├─ granted",
        "│  write ~/x",
        "│  read,noexec /data",
        "├─ waiting",
        "│  2: see requests",
        "└─ processes",
        "   10 podsh-init",
        '     12 sh -c "sleep 9 &\\e[2J"',
        "       15 sleep 9",
        "     19 htop",
    ]


def test_files_by_their_endings_and_by_options(portal: Portal, tmp_path: Path) -> None:
    portal.answers["graph"] = lambda _: answer(clients("A", "B"))
    for words, begins in (
        (["-o", f"{tmp_path}/g.svg"], b"<?xml"),
        (["-o", f"{tmp_path}/g.png"], b"\x89PNG"),
        (["-o", f"{tmp_path}/g"], b"digraph"),
        (["--svg", "-o", f"{tmp_path}/g2.dot"], b"<?xml"),
    ):
        assert main(["graph", *words]) == 0
        with open(words[-1], "rb") as file:
            assert file.read().startswith(begins), words


def test_dot_is_written_out(portal: Portal, capsys: pytest.CaptureFixture[str]) -> None:
    portal.answers["graph"] = lambda _: answer(clients("A", "B"))
    assert main(["graph"]) == 0
    assert drawn(capsys.readouterr().out)["name"] == "podsh"


def test_stemjails_words_for_the_same(
    portal: Portal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    portal.answers["graph"] = lambda _: answer(clients("A", "B"))
    assert main(["kage", "info", "-d"]) == 0
    dot = capsys.readouterr().out
    assert drawn(dot)["name"] == "podsh"
    assert main(["kage", "info", "-d", "-o", f"{tmp_path}/domains"]) == 0
    assert (tmp_path / "domains").read_text() == dot
    assert main(["kage", "info"]) == 0
    assert "├─ A  by read" in capsys.readouterr().out


def test_without_graphviz_the_command_that_installs_it_is_named(
    portal: Portal,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    portal.answers["graph"] = lambda _: answer(clients("A"))
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["graph", "--svg"]) == 2
    assert "graphviz is not here; install it: apt-get install graphviz" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--svg", "--png"], ["-o", "/no/such/dir/x"]])
def test_what_cannot_be_is_said(
    portal: Portal, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    portal.answers["graph"] = lambda _: answer(clients("A"))
    assert main(["graph", *words]) == 2
    assert "podsh: " in capsys.readouterr().err
