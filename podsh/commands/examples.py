"""What ``help CMD`` and the manual say beside the registry: paragraphs, and more examples.

By the command's name: (text, ((line, what it does), …)). A test reads every line as the console
would. Loaded only for help.
"""

from __future__ import annotations

MORE: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "run": (
        "The pod has the profile's files, its program's standard streams, and nothing else of"
        " yours. On a terminal you are attached to it until it ends; C-] goes to the console and"
        " back. The exit code is the program's. Without CMD the profile says what runs.",
        (
            ("run -- bash", "a shell that sees nothing of yours"),
            ("run -p build --rw ~/src -- make", "compile, with one directory to write in"),
            ("run --net user -- curl -s https://example.org", "with the outside, not the host"),
            ("run -d -n web -p python -- python3 -m http.server", "in the background, as web"),
            ("run --dry-run -p build -- true", "what would be shown, and which line says so"),
            ("run --ask hold -d -n job -- ./job.sh", "its requests wait for you"),
        ),
    ),
    "exec": (
        "With the pod's files and limits, beside its first program, and gone with it.",
        (("exec web -- ps ax", "what runs in there"),),
    ),
    "trace": (
        "The program runs in a pod. The file is a .pod file that asks for the calls that were made:"
        " under it the program runs with jettison --strict.",
        (("trace -o ls.pod -- ls -l", "into a file of that name"),),
    ),
    "jettison": (
        "Options stand after PROGRAM and POD, up to the first that is not one of these: from there"
        " on they are the program's.",
        (("jettison --listcalls", "every system call that lists may name"),),
    ),
    "ps": ("", (("ps --json", "one JSON object a line, for scripts"),)),
    "attach": (
        "Without POD: the last one, or the only one that runs. C-] comes back and the pod goes on;"
        " who attaches elsewhere takes it over, but for --watch. $PODSH_ATTENTION names another key"
        " (as in C-a). Of what the pod writes, the clipboard, titles, colours of the palette,"
        " printing and whatever podsh does not know are kept from your terminal; --raw lets all"
        " through.",
        (("attach web --watch", "look on; C-] or C-c leaves"),),
    ),
    "logs": (
        "Text: escape sequences are left out, and what programs drew on the alternate screen. On a"
        " terminal a long one goes through $PAGER. About 8 MB are kept.",
        (
            ("logs web --screen", "what its screen shows, or showed at its end"),
            ("logs web --raw", "every byte, as it was written: for files and pipes"),
        ),
    ),
    "send": (
        r"In TEXT \n is the Enter key; \t, \e, \xHH and \\ are what they are elsewhere. Keys"
        " come after it, each by its --key.",
        (
            ("send web --key C-]", "what cannot be typed: the attention key"),
            ("send web ':q' --key Enter", "end vim"),
            ("send web --key Up --key Enter", "the shell's last command again"),
        ),
    ),
    "record": (
        "An asciicast, until the pod ends or C-c; the pod cannot tell. The file is new and yours"
        " alone. asciinema play FILE shows it.",
        (("record --overwrite web demo.cast", "instead of the one before"),),
    ),
    "cp": ("", (("cp -r data web:", "into its home"),)),
    "echo": ("", (("echo $REQ waits", "variables are filled in"),)),
    "wait": (
        "exit: its exit code becomes this command's. request: its next request's number is $REQ."
        " 124 where the time is over.",
        (("wait web request -t 30", "for scripts, before allow $REQ --if …"),),
    ),
    "kill": (
        "Without -s: the program is told to end (TERM), and two seconds later all of the pod is.",
        (("kill web -s INT", "as Ctrl-C would"),),
    ),
    "rm": ("Its home, its log and its record go; a pod that runs has to be ended first.", ()),
    "events": ("", (("events web", "of one pod"),)),
    "requests": ("", (("requests --all", "and what was decided lately"),)),
    "review": (
        "Each with the whole path, who asks, and the rule that a yes would add. o once, p for this"
        " pod, s into a profile, n no, N no to the same again, Esc later. Keys that give do nothing"
        " in the first 0.4 seconds.",
        (("review 7", "this one first"),),
    ),
    "allow": (
        "Exactly what was asked for, unless --dir or --read say otherwise. --if makes it sure, for"
        " scripts: what is asked for must be that.",
        (
            ("allow 7", "once"),
            ("allow 7 --pod --dir ~/project", "all below the directory, while the pod lives"),
            ("allow $REQ --if 'read ~/notes.txt'", "in a script"),
        ),
    ),
    "deny": ("", (("deny --pod web", "all that wait in a pod"),)),
    "mount": ("It can be taken away again by revoke.", (("mount web ~/out -w", "to write in"),)),
    "why": (
        "The line of the file that decides, and the one that would turn it.",
        (("why -p build ~/.ssh/config", "as a pod started with that profile would have it"),),
    ),
    "tree": ("", (("tree", "all domains"),)),
    "graph": ("--svg and --png need graphviz (apt install graphviz).", ()),
    "profile new": (
        "",
        (
            ("profile new job --extends build --rw ~/out", "on top of another"),
            ("profile new web --from web", "what the pod of that name has now"),
        ),
    ),
    "profile edit": ("A shipped one is extended by one of your own of the same name.", ()),
    "set": ("$NAME and ${NAME} in the lines that follow.", ()),
    "source": (
        "A command a line, # for comments; the first that fails stops the file, unless it begins"
        " with a -.",
        (),
    ),
    "help": ("", (("help --man podsh.profile", "the manual of profiles, for man -l -"),)),
    "shutdown": ("The next command starts it again, and finds the pods that stayed.", ()),
    "complete": (
        "The stubs of bash, zsh and fish ask it; they stand in the package's share directory.",
        (("complete --stub bash", "to be sourced: source <(podsh complete --stub bash)"),),
    ),
}
