"""Runs attempts and reports how each ended; the same inside a pod and outside.

    python3 DIRECTORY MODULE FACTS-AS-JSON NAME…

Each attempt (a function of MODULE) has a process of its own. It returns something true where it
worked, raises OSError or returns something false where it did not. One JSON line for each:
``{"name", "how": "worked" | "no" | errno's name | "killed N", "detail"}``.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import sys
import traceback

import tools

TIMEOUT_S = 20


def attempt(name: str, report: int) -> None:
    """Carry one attempt out, in a process of its own; never returns."""
    signal.alarm(TIMEOUT_S)
    try:
        result = getattr(module, name)()
        how, detail = ("worked" if result else "no"), repr(result)
    except OSError as exc:
        how, detail = errno.errorcode.get(exc.errno or 0, "no"), str(exc)
    except Exception:
        how, detail = "broken", traceback.format_exc()
    os.write(report, json.dumps({"how": how, "detail": detail[:2000]}).encode())
    os._exit(0)


def run(name: str) -> dict[str, str]:
    """How the attempt ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        attempt(name, writer)
    os.close(writer)
    with open(reader, "rb") as stream:
        text = stream.read()
    status = os.waitpid(child, 0)[1]
    if text:
        return dict(json.loads(text))
    if os.WIFSIGNALED(status):
        return {"how": f"killed {signal.Signals(os.WTERMSIG(status)).name}", "detail": ""}
    # it became another program, which exits with 0 where it worked
    code = os.WEXITSTATUS(status)
    return {"how": "no" if code else "worked", "detail": f"exit {code}"}


module = importlib.import_module(sys.argv[1])
tools.facts.update(json.loads(sys.argv[2]))
for wanted in sys.argv[3:]:
    print(json.dumps({"name": wanted, **run(wanted)}), flush=True)
