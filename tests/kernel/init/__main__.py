"""``python -m tests.kernel.init SCENE…``, inside ``podsh-init enter``."""

from __future__ import annotations

import sys
import traceback

from tests.kernel.init import scenes_build, scenes_run
from tests.kernel.init.pod import outcome


def main() -> int:
    scenes = {scene.__name__: scene for scene in [*scenes_build.SCENES, *scenes_run.SCENES]}
    try:
        outcome(sys.argv[1:] or list(scenes), scenes)
    except BaseException as exc:
        # plain asserts: the values are in the frames
        told = traceback.TracebackException.from_exception(exc, capture_locals=True)
        print("".join(told.format()), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
