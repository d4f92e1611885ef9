"""What each key of a TOML profile and each word of a ``.pod`` file means, for the manual pages.

Data alone, in the order of the manual: (form of the value and what holds without it, meaning). A
test compares it with what the readers (toml.py, pod.py) know.
"""

from __future__ import annotations

FLAG_ON, FLAG_OFF = "true or false (true)", "true or false (false)"
SIZE = 'a number of bytes, or "64K", "512M", "2G" (podsh\'s limit)'

# table -> what it is about, and its keys
TABLES: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "": (
        "at the top of the file, before any table",
        {
            "name": ("text (the file's name)", "what the profile is called"),
            "description": ("text (none)", "one line for podsh profile list"),
            "extends": (
                "a name, a file, or an array of these (nothing)",
                "what comes first: a later setting replaces an earlier one, deny, ask and"
                " seccomp.block add up, binds replace those at the same place in the pod",
            ),
        },
    ),
    "fs.bind": (
        "written [[fs.bind]], once for each host path that the pod sees",
        {
            "path": ("a path of the host", "what is shown; ~, $VAR and {cwd} expand"),
            "dst": ("a path in the pod (the same as path)", "where it is shown"),
            "write": (FLAG_OFF, "whether the pod may write there"),
            "exec": (FLAG_ON, "whether programs may be executed from there"),
            "suid": (FLAG_OFF, "whether setuid bits count; programs gain no privileges anyway"),
            "dev": (FLAG_OFF, "whether device nodes there can be opened"),
            "optional": (FLAG_OFF, "whether the pod starts where the host has no such path"),
        },
    ),
    "fs": (
        "the pod's own directories",
        {
            "home": (
                '"private", "podhome", "tmp" or "host" ("private")',
                "private: an empty home, kept per pod, at $HOME; podhome: the same at /podhome;"
                " tmp: an empty one that goes with the pod; host: the host's own",
            ),
            "home_exec": (FLAG_ON, "whether programs may be executed from the home"),
            "tmp_exec": (FLAG_ON, "whether programs may be executed from /tmp"),
            "proc": (FLAG_ON, "whether there is a /proc"),
            "machine_id": (
                "true or 32 hexadecimal digits (none)",
                "/etc/machine-id: true makes a fresh one at each start",
            ),
        },
    ),
    "run": (
        "the program and its surroundings",
        {
            "cmd": (
                "an array of words, or a text that is split as a shell does (none)",
                "what runs where the command line names no program; nothing expands in it",
            ),
            "env": ("a table of texts ({})", "variables to set; values expand"),
            "clear_env": (FLAG_OFF, "whether to pass nothing of your environment"),
            "cwd": ("a path (yours where the pod has it, else the home)", "where it starts"),
            "procname": ("text (the program's)", "its argv[0]"),
            "stack": (SIZE, "the limit of its stack"),
            "init": (
                "a path in the pod (none)",
                "a script that runs first, below the home unless absolute; if it fails nothing"
                " else runs",
            ),
            "cmdr": (
                "a name (none)",
                "a script of the administrator's that configures the network first",
            ),
            "daemon": (FLAG_OFF, "whether it has no terminal, and goes on alone"),
            "logoutput": (FLAG_OFF, "whether what it writes is also kept in ./POD-TIME.log"),
        },
    ),
    "seccomp": (
        "system calls, by name",
        {
            "allow": ("an array of names (no whitelist)", "what alone may be called"),
            "block": ("an array of names ([])", "what is refused, as if the kernel lacked it"),
            "strict": (FLAG_OFF, "whether a call outside of allow ends the process"),
            "blacklist": (FLAG_OFF, "/etc/jettison/blacklist instead of allow and block"),
            "abi": ('an array of "native", "i386", "x32" (["native"])', "whose calls are known"),
            "new_filters": (FLAG_ON, "whether programs may add filters of their own"),
            "ptrace": (FLAG_OFF, "whether programs may trace each other"),
            "nesting": (FLAG_OFF, "whether programs may make namespaces"),
        },
    ),
    "net": (
        "the network",
        {
            "mode": (
                '"none", "loop", "host", "ipvlan", "macvlan" or "user" ("none")',
                "none: nothing; loop: a loopback of its own; host: the host's network;"
                " ipvlan, macvlan: a link on device, for root; user: the outside, not the host",
            ),
            "device": ("text (none)", "the host's device, for ipvlan and macvlan"),
            "address": ("an address with its prefix length (none)", "the pod's"),
            "mac": ("a hardware address (none)", "for macvlan; ** or xx for a byte that is free"),
            "log": (
                "[megabytes, files] (none)",
                "keep the pod's traffic, in so many files of that size (0: without bound)",
            ),
        },
    ),
    "caps": (
        "capabilities",
        {
            "keep": (
                "an array of names ([])",
                "what programs keep, over the pod's own network and IPC",
            )
        },
    ),
    "limits": (
        "what one pod may use up",
        {
            "processes": ("a number (podsh's limit)", "processes and threads"),
            "open_files": ("a number (podsh's limit)", "open descriptors of one process"),
            "memory": (SIZE, "memory of all its processes"),
            "cpu": ("a number of cores (no limit)", "processor time"),
            "file_size": (SIZE, "the size of one file"),
            "tmpfs": (SIZE, "each of its file systems in memory"),
            "ptys": ("a number (podsh's limit)", "terminals"),
            "stack": (SIZE, "the limit of stacks"),
        },
    ),
    "x11": (
        "X11",
        {
            "enabled": (FLAG_OFF, "whether the pod reaches the current display"),
            "nested": (FLAG_OFF, "an X server of its own: Xephyr, or Xvfb without a display"),
        },
    ),
    "wayland": (
        "Wayland",
        {
            "enabled": (FLAG_OFF, "whether the pod reaches the compositor"),
            "nested": (FLAG_OFF, "refused: Wayland itself keeps clients apart"),
        },
    ),
    "access": (
        "the profile as a domain, and what happens when a program reaches further",
        {
            "domain": (
                "true or false (true for your own and those of /etc/podsh)",
                "whether pods may move to it by what they touch",
            ),
            "transition": ('"auto" or "ask"', "whether a move to another domain is asked about"),
            "unlisted": ('"ask" or "deny" ("ask")', "what happens with a path that nothing names"),
            "ask": ("an array of patterns ([])", "paths that are always asked about"),
            "deny": (
                "an array of patterns ([])",
                "paths that are refused and hidden, even below what is shown; * and ? match"
                " within one name, and a pattern means what is below it too",
            ),
            "shim": (FLAG_ON, "whether programs preload the library that makes calls cheap"),
            "confined": (FLAG_ON, "whether kage's list and mount are refused in the pod"),
            "unattended": (
                '"deny" or "hold" ("deny")',
                "what becomes of a request while nobody is there",
            ),
        },
    ),
}

# word of a .pod file -> (its line, meaning)
WORDS: dict[str, tuple[str, str]] = {
    "file": (
        "file FLAGS /path",
        "the path at the same place in the pod; flags: r read, w write, x execute, s setuid,"
        " d devices",
    ),
    "home": ("home FLAGS /path", "the path below your home, shown below /podhome; / is all of it"),
    "home_exec": ("home_exec", "programs may be executed from /podhome"),
    "tmp_exec": ("tmp_exec", "programs may be executed from /tmp"),
    "noproc": ("noproc", "there is no /proc"),
    "newpts": ("newpts", "terminals of its own, which every pod has anyway"),
    "machine-id": ("machine-id [ID]", "a /etc/machine-id of its own: a fresh one, or ID"),
    "seccomp_allow": (
        "seccomp_allow CALL (or seccomp CALL)",
        "the call may be made; one such line makes a whitelist of them",
    ),
    "seccomp_block": ("seccomp_block CALL", "the call is refused, as if the kernel lacked it"),
    "capability": ("capability CAP_X", "programs keep it, over the pod's own network and IPC"),
    "newnet": (
        "newnet none | loop | user | ipvlan DEV ADDR | macvlan DEV MAC ADDR (or netns …)",
        "a network of its own; without such a line the pod has the host's",
    ),
    "x11": ("x11 (or X11)", "the pod reaches the current display"),
    "cmdr": ("cmdr NAME", "a script of the administrator's configures the network first"),
}
