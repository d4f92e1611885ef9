"""The map of the domains for a person: as DOT, and as a tree of text. Pure; all of it escaped.

What is drawn is the answer of the portal's ``graph``.
"""

from __future__ import annotations

from podsh.console.events import shown_path
from podsh.console.render import show, show_argv, show_domain, show_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    Fields = Mapping[str, Any]

# of one node, before "and N more"
DOT_ACCESSES = 12
TREE_ACCESSES = 3
_ARGV_WIDTH = 60


# ---------------------------------------------------------------- DOT


def dot(answer: Fields, home: str = "") -> str:
    """The graph in graphviz's language, every string of it quoted."""
    nodes, pod = answer["nodes"], answer["pod"] or {}
    lines = [
        "digraph podsh {",
        "  rankdir=LR;",
        '  node [shape=box, fontname="monospace", fontsize=10];',
        '  edge [fontname="monospace", fontsize=9];',
    ]
    if answer["shared"]:
        label = ["all of these show", *_accesses(answer["shared"], DOT_ACCESSES, home)]
        lines.append(f"  shared [shape=note, label={_label(label)}];")
    for at, node in enumerate(nodes):
        here = bool(pod) and answer["here"] == at
        name = show_domain(str(pod["domain"] if here else node["name"]))
        label = [name, *_accesses(node["accesses"], DOT_ACCESSES, home, int(node["left_out"]))]
        style = ", style=bold" if node["single"] else ""
        if here:
            label.insert(0, f"pod {show(str(pod['name']))}")
            style = ', style="bold,filled", fillcolor="lightblue"'
        lines.append(f"  n{at} [label={_label(label)}{style}];")
        if node["start"]:
            lines.append(f"  start{at} [shape=point]; start{at} -> n{at};")
    for at, node in enumerate(nodes):
        for move in node["moves"]:
            if move["to"] is not None:
                lines.append(f"  n{at} -> n{move['to']} [{_edge(move, home)}];")
    if answer["more"]:
        more = f"these are the first {len(nodes)}, there are more"
        lines.append(f"  more [shape=plaintext, label={_label([more])}];")
    return "\n".join([*lines, "}"])


def _edge(move: Fields, home: str) -> str:
    if not move["direct"]:
        return 'style=dotted, color="gray60", constraint=false'
    label = f"{show(str(move['mode']))} {shown_path(move, home, 60)}"
    if move["asked"]:
        return f"style=dashed, label={_quoted('asks: ' + label)}"
    return f"label={_quoted(label)}"


def _label(lines: Sequence[str]) -> str:
    """Several lines, the first centred."""
    texts = [_escape(line) for line in lines]
    return '"' + texts[0] + "\\n" + "".join(text + "\\l" for text in texts[1:]) + '"'


def _quoted(text: str) -> str:
    return f'"{_escape(text)}"'


def _escape(text: str) -> str:
    """For a quoted label: there ``\\`` begins escapes, and ``&`` an entity."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")


def _accesses(found: Sequence[Fields], most: int, home: str, left_out: int = 0) -> list[str]:
    shown = [f"{show_text(str(each['mode']))} {shown_path(each, home, 0)}" for each in found[:most]]
    rest = len(found) - len(shown) + left_out
    return [*shown, f"and {rest} more"] if rest else shown


# ---------------------------------------------------------------- trees of text


def tree(answer: Fields, home: str = "") -> list[str]:
    """All domains: where pods start, and what each step leads to."""
    nodes = answer["nodes"]
    if not nodes:
        return ["No domains: no profile of yours, and no other that says [access] domain = true."]
    lines = [f"all show  {_some(answer['shared'], home)}"] if answer["shared"] else []
    told: set[int] = set()
    for at, node in enumerate(nodes):
        if node["start"]:
            lines.append(f"{show_domain(str(node['name']))}{_shows(node, home)}")
            lines += _below(nodes, at, told, home)
    if answer["more"]:
        lines.append(f"… these are the first {len(nodes)}, there are more")
    return lines


def _shows(node: Fields, home: str) -> str:
    if not node["accesses"]:
        return ""
    return f"  {_some(node['accesses'], home, int(node['left_out']))}"


def _some(found: Sequence[Fields], home: str, left_out: int = 0) -> str:
    return ", ".join(_accesses(found, TREE_ACCESSES, home, left_out))


def _below(nodes: Sequence[Fields], at: int, told: set[int], home: str) -> Iterator[str]:
    """The moves from a node, each with what it leads to; twice nothing."""
    told.add(at)
    # (place in the list, its moves not yet told, how its lines begin): no path is too deep for this
    ahead = [(_direct(nodes[at]), "")]
    while ahead:
        moves, start = ahead[-1]
        if not moves:
            ahead.pop()
            continue
        move = moves.pop(0)
        fork, bar = ("├─ ", "│  ") if moves else ("└─ ", "   ")
        to = move["to"]
        node = nodes[to] if to is not None else None
        again = to in told and bool(node and _direct(node))
        yield f"{start}{fork}{_move(move, home)}" + ("  (see above)" if again else "")
        if node is not None and to not in told:
            told.add(to)
            ahead.append((_direct(node), start + bar))


def _direct(node: Fields) -> list[Fields]:
    return [move for move in node["moves"] if move["direct"]]


def _move(move: Fields, home: str) -> str:
    how = "if allowed, by" if move["asked"] else "by"
    path = shown_path(move, home, 60)
    return f"{show_domain(str(move['name']))}  {how} {show_text(str(move['mode']))} {path}"


def pod_tree(answer: Fields, home: str = "") -> list[str]:
    """One pod: where it is, what it may move to, what it was granted, its processes."""
    pod = answer["pod"]
    lines = [f"{show(str(pod['name']))}  {show_domain(str(pod['domain']))}"]
    parts: list[tuple[str, list[str]]] = []
    moves = [_move(move, home) for move in pod["moves"]]
    parts.append(("may move to", moves or ["nothing more"]))
    grants = _accesses(pod["grants"], len(pod["grants"]), home)
    if grants:
        parts.append(("granted", grants))
    if pod["waiting"]:
        parts.append(("waiting", [f"{pod['waiting']}: see requests"]))
    parts.append(("processes", _processes(pod["processes"])))
    for at, (title, shown) in enumerate(parts):
        fork, bar = ("└─ ", "   ") if at == len(parts) - 1 else ("├─ ", "│  ")
        lines.append(fork + title)
        lines += [bar + line for line in shown]
    return lines


def _processes(found: Sequence[Fields]) -> list[str]:
    """Indented by descent; parents come first."""
    depth: dict[int, int] = {}
    children: dict[int, list[Fields]] = {}
    for process in found:
        children.setdefault(process["parent"], []).append(process)
    lines: list[str] = []
    ahead = list(children.get(0, ()))
    while ahead:
        process = ahead.pop(0)
        pid = process["pid"]
        depth[pid] = min(depth.get(process["parent"], -1) + 1, 40)
        lines.append(f"{'  ' * depth[pid]}{pid} {show_argv(process['argv'], _ARGV_WIDTH)}")
        ahead = [*children.get(pid, ()), *ahead]
    return lines or ["none"]
