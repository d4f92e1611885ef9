"""A small host with profiles about it, and a portal's view of them, without a portal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podsh.portal import launch
from podsh.portal.domains import Domains
from tests.helpers.profiles import Ground

if TYPE_CHECKING:
    from pathlib import Path

BASE = """
[access]
domain = false
deny = ["~/.ssh"]
[[fs.bind]]
path = "{bin}"
[[fs.bind]]
path = "{link}"
"""


class World(Ground):
    """A base that shows ``bin`` (with ``tool`` in it) and the link ``sbin`` to it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.bin = root / "bin"
        self.bin.mkdir()
        self.tool = self.bin / "tool"
        self.tool.write_text("#!/bin/sh\n")
        self.tool.chmod(0o755)
        (root / "sbin").symlink_to("bin")
        (root / "other").mkdir()
        self.root = root
        self.domains = Domains(self.library)
        text = BASE.replace("{bin}", str(self.bin)).replace("{link}", f"{root}/sbin")
        self.profile("base.toml", text)

    def client(self, name: str, more: str = "", access: str = "") -> Path:
        """A domain that extends base and may write ~/clients/NAME."""
        path = self.home / "clients" / name
        path.mkdir(parents=True, exist_ok=True)
        bind = f'[[fs.bind]]\npath = "{path}"\nwrite = true\n'
        text = f'extends = "base"\n{bind}{more}[access]\ntransition = "auto"\n{access}'
        self.profile(f"{name}.toml", text)
        return path

    def start(self, *argv: str, **fields: Any) -> launch.Start:
        environ = {"PATH": f"{self.bin}:/usr/bin", "HOME": str(self.home)}
        message = {"argv": argv, "cwd": str(self.project), "environ": environ, **fields}
        ctx = launch.context(message)
        return launch.start(self.domains, self.library, message, ctx)
