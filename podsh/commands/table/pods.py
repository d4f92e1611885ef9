"""Pods that are there: ps, attach, logs, their ends, what happened."""

from __future__ import annotations

from podsh.commands.syntax import JSON, Command, Option, Word

COMMANDS: tuple[Command, ...] = (
    Command(
        "ps",
        "podsh.commands.pods:ps",
        help="list pods",
        example="ps",
        options=(JSON, Option("-l", "--long", help="more columns")),
    ),
    Command(
        "attach",
        "podsh.commands.attach:attach",
        help="put a pod on this terminal; C-] comes back",
        example="attach web",
        words=(Word("POD", complete="live", optional=True),),
        terminal=True,
    ),
    Command(
        "logs",
        "podsh.commands.attach:logs",
        help="print what a pod has written",
        example="logs web -f",
        options=(Option("-f", "--follow", help="go on until the pod ends"),),
        words=(Word("POD", complete="pod"),),
    ),
    Command(
        "wait",
        "podsh.commands.pods:wait",
        help="wait until a pod ends, giving its exit code, or asks, setting $REQ",
        example="wait web exit -t 30",
        options=(Option("-t", "--timeout", value="SECONDS", help="give up after SECONDS (124)"),),
        words=(Word("POD", complete="pod"), Word("WHAT", choices=("exit", "request"))),
    ),
    Command(
        "kill",
        "podsh.commands.pods:kill",
        help="end a pod, or send its program a signal",
        example="kill web",
        options=(
            Option("-s", "--signal", value="SIG", complete="signal", help="a signal: INT, 15, …"),
        ),
        words=(Word("POD", complete="live", repeat=True),),
    ),
    Command(
        "rm",
        "podsh.commands.pods:rm",
        help="forget an ended pod, and remove its state",
        example="rm web",
        words=(Word("POD", complete="pod", repeat=True),),
    ),
    Command(
        "events",
        "podsh.commands.pods:events",
        help="what happened; -f goes on",
        example="events -f --json",
        options=(Option("-f", "--follow", help="go on"), JSON),
        words=(Word("POD", complete="pod", optional=True),),
    ),
)
