"""Build hook: compiles the static init and the libraries, and writes the manual, for
`pip install .`, `-e .` and wheels."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeBuildHook(BuildHookInterface[Any]):
    """Puts ``podsh-init`` and the libraries into podsh/native, and tags the wheel for this
    platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, except for an sdist, which carries the sources."""
        if self.target_name == "sdist":
            return
        native = os.path.join(self.root, "podsh", "native")
        # by its path: an isolated build has no podsh to import
        spec = importlib.util.spec_from_file_location("build", os.path.join(native, "build.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        built = (
            module.build(native),
            module.build_shim(native),
            module.build_monitor(native),
            module.build_lines(native),
        )
        # any Python 3 will do, one machine type
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        # git ignores what was compiled, and so would the wheel
        build_data["shared_data"] |= self.manual()
        build_data["artifacts"] += [os.path.relpath(path, self.root) for path in built]

    def manual(self) -> dict[str, str]:
        """Written pages -> where they are installed."""
        sys.path.insert(0, self.root)
        try:
            from podsh.commands.manual import pages
        finally:
            sys.path.remove(self.root)
        directory = os.path.join(self.root, "build", "man")
        os.makedirs(directory, exist_ok=True)
        found = {}
        for name, text in pages().items():
            path = os.path.join(directory, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            found[path] = f"share/man/man{name[-1]}/{name}"
        return found
