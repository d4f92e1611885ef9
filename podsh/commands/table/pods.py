"""Pods that are there: ps, attach, logs, their ends, what happened."""

from __future__ import annotations

from podsh.commands.syntax import JSON, RAW, Command, Option, Word

# the ``ev`` of events
KINDS = (
    *("start", "exit", "failed", "lost"),
    *("request", "merged", "grant", "denial", "gone", "revoke"),
    *("transition", "call", "oom", "note", "attached", "detached", "adopted", "removed"),
)

STATE = Option("--state", help="what each pod has on disk: its home, logs and audit, and where")

COMMANDS: tuple[Command, ...] = (
    Command(
        "ps",
        "podsh.commands.pods:ps",
        help="list pods",
        example="ps",
        options=(JSON, Option("-l", "--long", help="more columns"), STATE),
    ),
    Command(
        "attach",
        "podsh.commands.attach:attach",
        help="put a pod on this terminal; C-] comes back",
        example="attach web",
        options=(
            Option("--watch", help="only look: nothing that you type goes to it"),
            RAW,
        ),
        words=(Word("POD", complete="live", optional=True),),
        terminal=True,
    ),
    Command(
        "logs",
        "podsh.commands.logs:logs",
        help="what a pod has written, as text, page by page",
        example="logs web -f",
        options=(
            Option("-f", "--follow", help="go on until the pod ends"),
            Option("--screen", help="its last screen, as who attaches would see it"),
            Option("--raw", help="byte by byte, into a file or a pipe"),
            JSON,
        ),
        words=(Word("POD", complete="pod"),),
        terminal=True,
        without="follow",
    ),
    Command(
        "send",
        "podsh.commands.send:send",
        help="type into a pod without attaching to it",
        example=r"send web 'q\n'",
        options=(
            Option(
                "-k",
                "--key",
                value="KEY",
                complete="key",
                repeat=True,
                help="a key, after TEXT: Enter, C-c, C-], Up, F1, M-x, …",
            ),
            Option("-l", "--literal", help="TEXT as it is, backslashes too"),
            JSON,
        ),
        words=(Word("POD", complete="live"), Word("TEXT", optional=True)),
    ),
    Command(
        "record",
        "podsh.commands.record:record",
        help="a pod's terminal from now on into a file, for asciinema",
        example="record web demo.cast",
        options=(
            Option("--overwrite", help="FILE may be there already"),
            Option("--raw", help="with what is kept from terminals"),
            JSON,
        ),
        words=(Word("POD", complete="live"), Word("FILE", complete="path")),
    ),
    Command(
        "wait",
        "podsh.commands.waiting:wait",
        help="wait for a pod's end (giving its exit code), request ($REQ), or a text it writes",
        example="wait web text:^ready -t 30",
        options=(
            Option("-t", "--timeout", value="SECONDS", help="give up after SECONDS (124)"),
            JSON,
        ),
        words=(
            Word("POD", complete="pod"),
            Word(
                "exit|request|text:RE",
                key="what",
                choices=("exit", "request", "text:"),
                open=True,
            ),
        ),
    ),
    Command(
        "kill",
        "podsh.commands.pods:kill",
        help="end a pod, or send its program a signal",
        example="kill web",
        options=(
            Option("-s", "--signal", value="SIG", complete="signal", help="a signal: INT, 15, …"),
            JSON,
        ),
        words=(Word("POD", complete="live", repeat=True),),
    ),
    Command(
        "cp",
        "podsh.commands.files:cp",
        help="copy files into and out of a pod, or of the home of one that has ended",
        example="cp web:report.txt .",
        options=(Option("-r", "--recursive", help="directories, with all below them"), JSON),
        words=(Word("SRC", complete="podpath"), Word("DST", complete="podpath")),
    ),
    Command(
        "rm",
        "podsh.commands.pods:rm",
        help="forget an ended pod, and remove its state",
        example="rm web --zero 2",
        options=(
            JSON,
            Option(
                "--zero",
                value="N",
                bare=True,
                numeric=True,
                help="overwrite its files first, N times (1), by zeros; what has other names"
                " elsewhere stays, and copies that a filesystem made (snapshots, SSDs) do, too",
            ),
            Option("--nuke", value="N", bare=True, numeric=True, help="the same by random bytes"),
        ),
        words=(Word("POD", complete="pod", repeat=True),),
    ),
    Command(
        "events",
        "podsh.commands.events:events",
        help="what happened; -f goes on",
        example="events web --kind request --kind denial --since 10m",
        options=(
            Option("-f", "--follow", help="go on"),
            Option(
                "-k",
                "--kind",
                value="KIND",
                choices=KINDS,
                repeat=True,
                help="only such: request, grant, denial, transition, exit, …",
            ),
            Option(
                "-s",
                "--since",
                value="WHEN",
                help="from then on: 10m (ago), 12:30, 2026-01-31, 2026-01-31T12:30",
            ),
            Option("-n", "--last", value="COUNT", help="the last COUNT of what happened so far"),
            JSON,
        ),
        words=(Word("POD", complete="pod", optional=True, repeat=True),),
    ),
)
