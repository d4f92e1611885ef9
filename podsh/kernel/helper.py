"""Running a module of podsh in an interpreter of its own."""

from __future__ import annotations

import os
import sys

from podsh.paths import package_dir

# An isolated interpreter does not look where a checkout is. The path goes away again at once, so
# that nothing beside the package can shadow the standard library.
_START = """\
import importlib, sys
sys.path.insert(0, sys.argv[1])
import podsh
del sys.path[0]
importlib.import_module(sys.argv[2]).main(*sys.argv[3:])
"""

# what the interpreter and ctypes' search for libraries need
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def command(module: str, *arguments: str) -> list[str]:
    """The command line that calls ``MODULE.main(*arguments)`` in an isolated interpreter."""
    parent = os.path.dirname(package_dir())
    return [sys.executable, "-I", "-c", _START, parent, module, *arguments]
