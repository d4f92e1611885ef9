"""``python -m tests.kernel.init SCENE…``, inside ``podsh-init enter``; all of them without one."""

from __future__ import annotations

import os
import sys
import traceback

from tests.kernel.init import (
    scenes_build,
    scenes_caps,
    scenes_listen,
    scenes_park,
    scenes_run,
    scenes_scope,
)
from tests.kernel.init.pod import children_of

ALL = [
    *scenes_build.SCENES,
    *scenes_run.SCENES,
    *scenes_listen.SCENES,
    *scenes_park.SCENES,
    *scenes_scope.SCENES,
    *scenes_caps.SCENES,
]
SCENES = {scene.__name__: scene for scene in ALL}


def main(names: list[str]) -> int:
    """Run scenes in their order; 1 at the first that fails, with its reason on stderr."""
    for name in names or SCENES:
        try:
            SCENES[name]()
            assert children_of(os.getpid()) == [], "left a child"
        except BaseException as exc:
            # plain asserts: the values are in the frames
            told = traceback.TracebackException.from_exception(exc, capture_locals=True)
            print(f"scene {name}:", *told.format(), sep="\n", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
