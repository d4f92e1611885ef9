"""The one registry of commands, for the console, the command line, scripts, help and completion.

To add a command: add an entry to COMMANDS (in the order of ``help``) and write its handler,

    def list_(args: Args, context: Context) -> int: ...

in its module below podsh/commands/, which is imported only when the command runs. A handler is
blocking; it prints through ``context.out(line)``, ``context.err(line)`` and ``context.emit(dict)``
(one JSON object a line), never by print; it passes strings from outside through
``console.render.show``; it talks to the portal by ``context.portal()``; it raises
``podsh.errors`` classes and returns 0 (or the exit code of a program it ran). cli.py alone turns
errors into exit codes.

Completion tags: pod (any), live (pods that run), request (those that wait), profile, path, dir,
program, command (of this registry), signal, variable; an option or word with ``choices`` completes
these.
"""

from __future__ import annotations

from podsh.commands.syntax import Command, Option, Word, near
from podsh.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

JSON = Option("--json", help="one JSON object a line")

COMMANDS: tuple[Command, ...] = (
    Command(
        "run",
        "podsh.commands.run:run",
        help="start a program in a new pod, and attach to it",
        example="run -n web -p dev -- make",
        options=(
            Option("-n", "--name", value="NAME", help="the pod's name; its state is kept under it"),
            Option(
                "-p",
                "--profile",
                value="PROFILE",
                complete="profile",
                repeat=True,
                help="profile to run in (several: their union); a name or a file",
            ),
            Option("-d", "--detach", help="leave it in the background"),
            Option("--rm", help="forget the pod when it ends"),
            Option("--ro", value="PATH", complete="path", repeat=True, help="show PATH, read-only"),
            Option("--rw", value="PATH", complete="path", repeat=True, help="show PATH, writable"),
            Option(
                "--net",
                value="MODE",
                choices=("none", "loop", "host"),
                help="network: none, loop or host",
            ),
            Option(
                "--env",
                value="K=V",
                complete="variable",
                repeat=True,
                help="set a variable; K alone passes yours",
            ),
            Option(
                "--home",
                value="MODE",
                choices=("private", "podhome", "tmp", "host"),
                help="the home shown: private, podhome, tmp or host",
            ),
            Option(
                "--ask",
                value="HOW",
                choices=("hold", "deny"),
                help="requests while nobody is there: hold, or deny at once",
            ),
            Option("--dry-run", help="print the plan, start nothing"),
        ),
        rest="CMD",
        rest_optional=True,
        terminal=True,
    ),
    Command(
        "trace",
        "podsh.commands.trace:trace",
        help="run a program, count its system calls, write podtemplate.pod",
        example="trace -- git status",
        options=(
            Option(
                "-p",
                "--profile",
                value="PROFILE",
                complete="profile",
                repeat=True,
                help="profile to run in (several: their union); a name or a file",
            ),
            Option("-o", "--output", value="FILE", complete="path", help="write FILE instead"),
            Option("--ro", value="PATH", complete="path", repeat=True, help="show PATH, read-only"),
            Option("--rw", value="PATH", complete="path", repeat=True, help="show PATH, writable"),
            Option(
                "--net",
                value="MODE",
                choices=("none", "loop", "host"),
                help="network: none, loop or host",
            ),
            Option(
                "--env",
                value="K=V",
                complete="variable",
                repeat=True,
                help="set a variable; K alone passes yours",
            ),
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
            Option("--stacksize", value="KB", help="stack limit"),
            Option("--clear-environ", help="start with an empty environment"),
            Option("--init", value="SCRIPT", help="run SCRIPT of the pod first"),
            Option("--daemon", help="no terminal; goes on alone"),
            Option("--logoutput", help="keep what the program writes in a file"),
            Option("--lognet", value="SIZE", help="SIZE COUNT: keep the pod's network traffic"),
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
        "exec",
        "podsh.commands.attach:exec_",
        help="run one more program in a live pod",
        example="exec web -- bash",
        options=(
            Option("--env", value="K=V", complete="variable", repeat=True, help="set a variable"),
            Option("--cwd", value="DIR", help="start in DIR of the pod"),
        ),
        words=(Word("POD", complete="live"),),
        rest="CMD",
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
        "requests",
        "podsh.commands.requests:requests",
        help="list what pods ask for and wait for",
        example="requests",
        options=(Option("--all", help="also the last that were decided"), JSON),
    ),
    Command(
        "review",
        "podsh.commands.requests:review",
        help="look at the requests that wait, one by one, and decide",
        example="review",
        words=(Word("ID", complete="request", optional=True),),
        terminal=True,
    ),
    Command(
        "allow",
        "podsh.commands.requests:allow",
        help="give what a request asks for: once, or as the options say",
        example="allow 7 --save dev",
        options=(
            Option("--pod", help="for as long as the pod lives"),
            Option(
                "--save",
                value="PROFILE",
                complete="profile",
                bare=True,
                help="also write the rule into PROFILE (default: the pod's own)",
            ),
            Option("--dir", value="PATH", complete="dir", help="all below this directory above it"),
            Option("--read", help="only to read, though it asks to write"),
            Option("--if", value="OP PATH", help="only if this is what it asks for; else fail"),
        ),
        words=(Word("ID", complete="request", repeat=True),),
    ),
    Command(
        "deny",
        "podsh.commands.requests:deny",
        help="refuse requests: the program gets an error",
        example="deny 7",
        options=(
            Option("--pod", value="POD", complete="live", help="all that wait in POD"),
            Option("--always", help="the same again too, as long as the pod lives"),
        ),
        words=(Word("ID", complete="request", optional=True, repeat=True),),
    ),
    Command(
        "why",
        "podsh.commands.why:why",
        help="which rule decides about a path, and what would turn it",
        example="why web ~/.gitconfig --write",
        options=(
            Option("-w", "--write", help="about writing there"),
            Option(
                "-p",
                "--profile",
                value="PROFILE",
                complete="profile",
                repeat=True,
                help="for a pod that would be started so, instead of POD",
            ),
            JSON,
        ),
        words=(Word("POD", complete="live"), Word("PATH", complete="path", optional=True)),
    ),
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
        ),
        words=(Word("POD", complete="live", optional=True),),
    ),
    Command(
        "mount",
        "podsh.commands.grants:mount",
        help="show a live pod one more host path",
        example="mount web ~/data",
        options=(Option("-w", "--write", help="writable"),),
        words=(
            Word("POD", complete="live"),
            Word("SRC", complete="path"),
            Word("DST", optional=True),
        ),
    ),
    Command(
        "revoke",
        "podsh.commands.grants:revoke",
        help="take away what mount gave; what is open stays open",
        example="revoke web ~/data",
        words=(Word("POD", complete="live"), Word("PATH", complete="path")),
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
    Command(
        "profile list",
        "podsh.commands.profile:list_",
        help="list the profiles found",
        example="profile list",
        options=(JSON,),
    ),
    Command(
        "profile show",
        "podsh.commands.profile:show",
        help="print a profile with all it extends",
        example="profile show build",
        options=(JSON,),
        words=(Word("NAME", complete="profile"),),
    ),
    Command(
        "profile check",
        "podsh.commands.profile:check",
        help="look for mistakes in profiles (default: all)",
        example="profile check dev",
        words=(Word("NAME", complete="profile", optional=True, repeat=True),),
    ),
    Command(
        "profile new",
        "podsh.commands.profile:new",
        help="write a new profile",
        example="profile new web --from web",
        options=(
            Option("--from", value="POD", complete="pod", help="what this pod has"),
            Option(
                "--extends", value="PROFILE", complete="profile", repeat=True, help="build on it"
            ),
            Option("--ro", value="PATH", complete="path", repeat=True, help="show PATH, read-only"),
            Option("--rw", value="PATH", complete="path", repeat=True, help="show PATH, writable"),
            Option("--description", value="TEXT", help="one line about it"),
        ),
        words=(Word("NAME"),),
    ),
    Command(
        "profile edit",
        "podsh.commands.profile:edit",
        help="open a profile in $EDITOR, and check it",
        example="profile edit web",
        words=(Word("NAME", complete="profile"),),
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
    Command(
        "doctor",
        "podsh.commands.doctor:doctor",
        help="what this machine allows, and how to mend what is missing",
        example="doctor",
        options=(JSON,),
    ),
    Command(
        "set",
        "podsh.commands.shell:set_",
        help="set a variable, used as $NAME; alone: list them",
        example="set DIR=/srv/web",
        words=(Word("NAME=VALUE", complete="variable", optional=True, repeat=True),),
    ),
    Command(
        "source",
        "podsh.commands.shell:source",
        help="run the commands of a file",
        example="source start.pods",
        words=(Word("FILE", complete="path"),),
        terminal=True,
    ),
    Command(
        "help",
        "podsh.commands.shell:help_",
        help="this list, or one command",
        example="help run",
        words=(Word("CMD", complete="command", optional=True, repeat=True),),
    ),
    Command(
        "quit",
        "podsh.commands.shell:quit_",
        help="leave the console or the script; pods stay",
        example="quit",
    ),
    Command(
        "shutdown",
        "podsh.commands.shell:shutdown",
        help="end the portal; pods stay unless --kill",
        example="shutdown",
        options=(Option("--kill", help="end the pods as well"),),
    ),
    Command(
        "complete",
        "podsh.commands.shell:complete",
        help="candidates for the last word, for shells",
        example="complete -- attach w",
        options=(
            Option(
                "--format",
                value="FORM",
                choices=("lines", "values", "zsh"),
                help="lines: value, tab, help; values; zsh: value:help",
            ),
            Option(
                "--stub",
                value="SHELL",
                choices=("bash", "zsh", "fish"),
                help="print the completion of that shell, to be sourced",
            ),
        ),
        rest="WORDS",
        rest_optional=True,
    ),
)


def find(words: Sequence[str]) -> tuple[Command, list[str]]:
    """The command that ``words`` begin with, and the words after its name. Raises UsageError."""
    pair = " ".join(words[:2])
    group = []
    for command in COMMANDS:
        if command.name == words[0]:
            return command, list(words[1:])
        if command.name == pair:
            return command, list(words[2:])
        if command.name.startswith(words[0] + " "):
            group.append(command.name.partition(" ")[2])
    if group:
        if len(words) < 2 or words[1].startswith("-"):
            raise UsageError("missing a word", place=words[0], hint="one of: " + ", ".join(group))
        hint = near(words[1], group) or "one of: " + ", ".join(group)
        raise UsageError(f"unknown command: {ascii(words[1])[1:-1]}", place=words[0], hint=hint)
    names = list(dict.fromkeys(c.name.partition(" ")[0] for c in COMMANDS))
    raise UsageError(
        f"unknown command: {ascii(words[0])[1:-1]}", hint=near(words[0], names) or "see: help"
    )
