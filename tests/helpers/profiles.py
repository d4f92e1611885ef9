"""Directories of profiles of a test's own, and a caller in a project's directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from podsh.profiles import find
from podsh.profiles.schema import Context

if TYPE_CHECKING:
    from podsh.profiles.schema import Profile

DATA = Path(__file__).parents[1] / "unit" / "profiles" / "data"


class Ground:
    """A home, a project in it, and the four kinds of profile directories."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.project = self.home / "work" / "project"
        self.user = self.home / ".config" / "podsh" / "profiles"
        self.pods = self.home / ".pods"
        self.system = root / "etc" / "profiles"
        self.jettison = root / "etc" / "pods"
        for path in (self.project, self.user, self.pods, self.system, self.jettison):
            path.mkdir(parents=True)
        self.ctx = Context(str(self.home), str(self.project), (("LIBS", "/srv/libs"),))
        self.library = find.Library(str(self.user.parent), self.ctx)

    def write(self, path: Path, text: str) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def profile(self, name: str, text: str) -> str:
        """A profile of the user's own."""
        return self.write(self.user / name, text)

    def load(self, name: str) -> Profile:
        return self.library.load(name)
