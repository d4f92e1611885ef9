"""Programs in pods: run, trace, and the command lines of jettison and StemJail."""

from __future__ import annotations

from podsh.commands.syntax import RAW, Command, Option, Word

PROFILE = Option(
    "-p",
    "--profile",
    value="PROFILE",
    complete="profile",
    repeat=True,
    help="profile to run in (several: their union); a name or a file",
)
RO = Option("--ro", value="PATH", complete="path", repeat=True, help="show PATH, read-only")
RW = Option("--rw", value="PATH", complete="path", repeat=True, help="show PATH, writable")
NET = Option(
    "--net",
    value="MODE",
    choices=("none", "loop", "host", "user"),
    help="network: none, loop, host, or user (the outside, not the host)",
)
ENV = Option(
    "--env",
    value="K=V",
    complete="variable",
    repeat=True,
    help="set a variable; K alone passes yours",
)

# of run and jettison; -p is another option in each
LAUNCH = (
    Option("--stacksize", value="KB", help="stack limit"),
    Option("--clear-environ", help="start with an empty environment"),
    Option("--init", value="SCRIPT", help="run SCRIPT of the pod first; its failure is the end"),
    Option("--daemon", help="no terminal; goes on alone (see: podsh logs)"),
    Option("--logoutput", help="what it writes also into ./POD-TIME.log, line by line"),
    Option(
        "--lognet",
        value="SIZE COUNT",
        help="keep the pod's network traffic: COUNT files of SIZE MB (0: no bound)",
    ),
)

COMMANDS: tuple[Command, ...] = (
    Command(
        "run",
        "podsh.commands.run:run",
        help="start a program in a new pod, and attach to it",
        example="run -n web -p dev -- make",
        options=(
            Option("-n", "--name", value="NAME", help="the pod's name; its state is kept under it"),
            PROFILE,
            Option("-d", "--detach", help="leave it in the background"),
            Option("--rm", help="forget the pod when it ends"),
            RO,
            RW,
            NET,
            ENV,
            Option(
                "--home",
                value="MODE",
                choices=("private", "podhome", "tmp", "host"),
                help="the home shown: private, podhome, tmp or host",
            ),
            Option(
                "--x11",
                value="nested",
                choices=("nested",),
                bare=True,
                help="the current X display; nested: an X server of the pod's own",
            ),
            Option("--wayland", help="the current Wayland display"),
            Option(
                "--ask",
                value="HOW",
                choices=("hold", "deny"),
                help="requests while nobody is there: hold, or deny at once",
            ),
            Option("--procname", value="NAME", help="the program's argv[0]"),
            *LAUNCH,
            RAW,
            Option("--dry-run", help="print the plan, start nothing"),
            Option("--json", help="with -d or --dry-run: one JSON object a line"),
        ),
        rest="CMD",
        rest_optional=True,
        terminal=True,
    ),
    Command(
        "exec",
        "podsh.commands.attach:exec_",
        help="run one more program in a live pod",
        example="exec web -- bash",
        options=(
            Option("--env", value="K=V", complete="variable", repeat=True, help="set a variable"),
            Option("--cwd", value="DIR", help="start in DIR of the pod"),
            RAW,
        ),
        words=(Word("POD", complete="live"),),
        rest="CMD",
        terminal=True,
    ),
    Command(
        "trace",
        "podsh.commands.trace:trace",
        help="run a program, count its system calls, write podtemplate.pod",
        example="trace -- git status",
        options=(
            PROFILE,
            Option("-o", "--output", value="FILE", complete="path", help="write FILE instead"),
            RO,
            RW,
            NET,
            ENV,
        ),
        rest="CMD",
        terminal=True,
    ),
    Command(
        "jettison",
        "podsh.commands.jettison:jettison",
        help="run a program in a pod file, by jettison's command line",
        example="jettison /bin/bash my.pod --strict -p shell",
        options=(
            Option("--strict", help="a call outside the whitelist kills the process"),
            Option(
                "--blacklist",
                value="FILE",
                glued=True,
                help="the calls of /etc/jettison/blacklist refused, instead of the pod's rules",
            ),
            Option("--block-new-filters", help="programs may not add call filters of their own"),
            Option("--allow-ptrace", help="programs may trace each other"),
            Option("--tracecalls", help="count the calls, and write podtemplate.pod"),
            Option("--listcalls", help="list every call that the filter knows (--json)"),
            Option("-p", "--procname", value="NAME", help="the program's argv[0]"),
            *LAUNCH,
        ),
        words=(
            Word("PROGRAM", complete="program", optional=True),
            Word("POD", complete="profile", optional=True),
        ),
        rest="ARGS",
        rest_optional=True,
        lenient=True,
        terminal=True,
    ),
    Command(
        "kage run",
        "podsh.commands.run:run",
        help="StemJail's word for run",
        example="kage run -t -p dev -- bash",
        options=(
            Option("-t", "--tty", help="on this terminal (as always where there is one)"),
            Option(
                "-p", "--profile", value="NAME", complete="profile", repeat=True, help="profile"
            ),
        ),
        rest="CMD",
        rest_optional=True,
        terminal=True,
    ),
    Command(
        "kage info",
        "podsh.commands.graph:info",
        help="StemJail's word for tree, and with -d for graph",
        example="kage info -d -o domains.dot",
        options=(
            Option("-d", "--dot", help="the graph of the domains as DOT"),
            Option("-o", "--output", value="PATH", complete="path", help="into PATH (DOT)"),
        ),
    ),
)
