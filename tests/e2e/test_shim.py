"""The shim in pods: its files are there, and no program is the worse for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.helpers.runner import Podsh

FILES = ("/.podsh/shim.so", "/.podsh/gen")


def test_its_files_can_be_read_and_not_changed(podsh: Podsh) -> None:
    number = "import sys; print(int.from_bytes(open('/.podsh/gen', 'rb').read(8), sys.byteorder))"
    tries = [
        f"{change} 2>&1 && echo changed {path}"
        for path in FILES
        for change in (f"echo x >> {path}", f"chmod 777 {path}", f"rm {path}", f"mv {path} /tmp")
    ]
    script = "\n".join([*tries, "ls /.podsh", f'exec python3 -c "{number}"'])
    done = podsh.pod("sh", "-c", script)
    assert done.code == 0, done.err
    assert "changed" not in done.out
    lines = done.out.splitlines()
    assert {os.path.basename(path) for path in FILES} <= set(lines)
    assert lines[-1] == "1"
