"""The manual pages podsh(1), podsh.profile(5) and podsh.pod(5), from the registry and the keys.

In the language of man(7), without extensions. The package's build calls ``pages``: what this
imports is no more than that.
"""

from __future__ import annotations

from podsh.commands import registry
from podsh.commands.examples import MORE
from podsh.profiles import keys
from podsh.wire.messages import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from podsh.commands.syntax import Command

DATE = "2026-11-22"  # of the version
CALLS = (
    ("podsh", "opens the console: the same commands, with completion, and events above the prompt"),
    ("podsh CMD …", "runs one command"),
    ("podsh -c COMMANDS", "runs commands, one a line"),
    ("podsh -f FILE", "runs the commands of a file; -: of standard input"),
    ("podsh --version", "says which podsh this is"),
)
EXITS = (
    ("0", "it worked"),
    ("1", "it failed"),
    ("2", "the command line is wrong"),
    ("124", "a wait timed out"),
    ("125", "podsh itself could not do it"),
    ("126, 127", "the program cannot be executed, or was not found in the pod"),
    ("others", "the program's own; 128 and the number of the signal that ended it"),
)
VARIABLES = (
    ("XDG_CONFIG_HOME", "profiles are in podsh/profiles below it (~/.config)"),
    ("XDG_STATE_HOME", "homes, logs and records of pods are in podsh/pods (~/.local/state)"),
    ("XDG_CACHE_HOME", "compiled filters (~/.cache)"),
    ("XDG_RUNTIME_DIR", "sockets (else /tmp/podsh-UID)"),
    ("NO_COLOR", "no colours"),
    ("ACCESSIBLE", "no toolbar, and events only between commands"),
    ("VISUAL, EDITOR", "what profile edit opens"),
    ("PAGER", "what logs shows pages with, on a terminal"),
    ("PODSH_ATTENTION", "the key that comes back to the console (C-])"),
    ("TERM", "dumb: no colours, no alternate screen"),
)
PLACES = (
    ("~/.config/podsh/profiles/*.toml, *.pod", "your profiles"),
    ("/etc/podsh/profiles", "the machine's"),
    ("~/.pods, /etc/jettison/pods", "pod files of jettison"),
    ("~/.local/state/podsh/portal.log", "what went wrong in the background"),
)


def pages() -> dict[str, str]:
    """File name -> page."""
    found = {
        "podsh.1": (_podsh, "programs in pods, which you watch and decide about"),
        "podsh.profile.5": (_profile, "what a pod may see and do, in TOML"),
        "podsh.pod.5": (_pod, "what a pod may see and do, in jettison's words"),
    }
    return {name: _page(name, *page) for name, page in found.items()}


def _page(name: str, body: Callable[[], Iterator[str]], title: str) -> str:
    stem, _, section = name.rpartition(".")
    head = [
        ".\\\" made from podsh's registry and schema",
        f'.TH {stem.upper()} {section} {DATE} "podsh {VERSION}"',
        ".SH NAME",
        f"{stem} \\- {_text(title)}",
    ]
    return "\n".join([*head, *body()]) + "\n"


def _text(text: str) -> str:
    """Text as it is, for troff: minus signs that can be copied, no line that is a request."""
    for sign, written in (
        ("\\", "\\e"),
        ("-", "\\-"),
        ("~", "\\(ti"),
        ("^", "\\(ha"),
        ("'", "\\(aq"),
        ("`", "\\(ga"),
        ("…", "..."),
        ("×", "\\(mu"),
        ("∩", "&"),
    ):
        text = text.replace(sign, written)
    return "\\&" + text if text.startswith(".") else text


def _bold(text: str) -> str:
    return "\\fB" + _text(text) + "\\fR"


def _tag(term: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield _bold(term)
    yield _text(_sentence(meaning))


def _sentence(text: str) -> str:
    """Help texts are written without a capital and a full stop."""
    text = text if text.split(" ")[0].endswith((":", ",")) else text[:1].upper() + text[1:]
    return text if text.endswith((".", "…")) else text + "."


def _tags(rows: tuple[tuple[str, str], ...]) -> Iterator[str]:
    for row in rows:
        yield from _tag(*row)


def _lines(lines: list[str]) -> Iterator[str]:
    """Lines as they are."""
    yield from (".RS 4", ".nf")
    yield from map(_text, lines)
    yield from (".fi", ".RE")


def _podsh() -> Iterator[str]:
    yield ".SH SYNOPSIS"
    for index, (call, _) in enumerate(CALLS):
        if index:
            yield ".br"
        yield _bold(call)
    yield ".SH DESCRIPTION"
    yield _text(
        "podsh runs programs in pods: each has files, processes, network and terminal of its own,"
        " and sees of yours only what its profile lists. Pods stay alive in the background. A"
        " program that reaches for more waits until you decide, and then goes on."
    )
    yield from _tags(CALLS)
    yield ".SH COMMANDS"
    for command in registry.commands():
        yield from _command(command)
    yield ".SH EXIT STATUS"
    yield from _tags(EXITS)
    yield ".SH ENVIRONMENT"
    yield from _tags(VARIABLES)
    yield ".SH FILES"
    yield from _tags(PLACES)
    yield ".SH SEE ALSO"
    yield ".BR podsh.profile (5),"
    yield ".BR podsh.pod (5)"


def _command(command: Command) -> Iterator[str]:
    yield ".SS " + _text(command.name)
    yield _bold(command.synopsis())
    yield ".PP"
    text, more = MORE.get(command.name, ("", ()))
    yield _text(f"{_sentence(command.help)} {text}".strip())
    for option in command.options:
        missing = [choice for choice in option.choices if choice not in option.help]
        choices = f" ({', '.join(option.choices)})" if missing else ""
        yield from _tag(", ".join(option.names) + option.shown, option.help + choices)
    yield ".PP"
    examples = [(command.example, ""), *more]
    yield from _lines(
        [f"podsh {line}" + (f"    # {what}" if what else "") for line, what in examples]
    )


def _profile() -> Iterator[str]:
    yield ".SH DESCRIPTION"
    yield _text(
        "A profile is a TOML file. Keys that are not listed here are errors. What holds where a key"
        " is missing stands in parentheses. In paths, patterns and the values of run.env a leading"
        " ~, $VAR, ${VAR} and {cwd} expand; $$ is a plain $."
    )
    yield ".PP"
    yield from _lines(
        [
            'extends = "base"',
            "",
            "[[fs.bind]]",
            'path = "~/src/web"',
            "write = true",
            "",
            "[run]",
            'cmd = ["make", "serve"]',
        ]
    )
    for table, (about, entries) in keys.TABLES.items():
        yield ".SH " + _text(f"[{table}]" if table else "TOP").replace("[fs.bind]", "[[fs.bind]]")
        yield _text(_sentence(about))
        for key, (form, meaning) in entries.items():
            yield ".TP"
            yield _bold(key) + " = " + _text(form)
            yield _text(_sentence(meaning))
    yield ".SH FILES"
    yield from _tags(PLACES[:3])
    yield ".SH SEE ALSO"
    yield ".BR podsh (1),"
    yield ".BR podsh.pod (5)"


def _pod() -> Iterator[str]:
    yield ".SH DESCRIPTION"
    yield _text(
        "jettison's pod files, in both of its dialects: a word and its arguments on each line, #"
        " for comments. Nothing expands, and paths have no blanks. Binds are noexec without x, the"
        " home is /podhome, and without newnet the pod has the host's network."
    )
    yield ".SH WORDS"
    for line, meaning in keys.WORDS.values():
        yield from _tag(line, meaning)
    yield ".SH EXAMPLE"
    yield from _lines(["newnet loop", "file rx /usr", "file rx /bin", "home rw /work", "home_exec"])
    yield ".SH SEE ALSO"
    yield ".BR podsh (1),"
    yield ".BR podsh.profile (5)"
