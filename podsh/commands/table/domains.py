"""The domains, and where pods are among them."""

from __future__ import annotations

from podsh.commands.syntax import JSON, Command, Option, Word

COMMANDS: tuple[Command, ...] = (
    Command(
        "tree",
        "podsh.commands.graph:tree",
        help="the domains and what leads to them; or one pod's place, grants, processes",
        example="tree web",
        options=(JSON,),
        words=(Word("POD", complete="live", optional=True),),
    ),
    Command(
        "graph",
        "podsh.commands.graph:graph",
        help="draw the domains, and a pod's place: as DOT, or by graphviz",
        example="graph web --svg -o web.svg",
        options=(
            Option("--dot", help="graphviz's language (what is written unless FILE ends so)"),
            Option("--svg", help="drawn by graphviz"),
            Option("--png", help="drawn by graphviz"),
            Option("-o", "--output", value="FILE", complete="path", help="into FILE"),
            JSON,
        ),
        words=(Word("POD", complete="live", optional=True),),
    ),
)
