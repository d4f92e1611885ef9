"""native/build.py: what it builds, when it builds again, and what it says when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from podsh.kernel import shim
from podsh.native import build

SCRIPT = Path(build.__file__)


@pytest.fixture
def native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory as podsh/native, with a small program."""
    monkeypatch.delenv("CC", raising=False)
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "main.c").write_text("int main(void)\n{\n\treturn 7;\n}\n")
    return tmp_path


def test_builds_only_what_is_older(native: Path) -> None:
    target = Path(build.build(str(native)))
    assert subprocess.run([target], check=False).returncode == 7
    first = target.stat()
    assert build.build(str(native)) == str(target)
    assert target.stat().st_ino == first.st_ino
    later = first.st_mtime_ns + 10**9
    os.utime(native / "init" / "main.c", ns=(later, later))
    build.build(str(native))
    assert target.stat().st_ino != first.st_ino
    assert sorted(path.name for path in native.iterdir()) == ["init", "podsh-init"]


def test_warnings_are_errors_and_leave_nothing(native: Path) -> None:
    (native / "init" / "bad.c").write_text("int unused(int a);\nint unused(int a) { return 0; }\n")
    with pytest.raises(build.BuildError, match=r"bad\.c"):
        build.build(str(native))
    assert [path.name for path in native.iterdir()] == ["init"]


def test_the_shim_has_what_the_filter_knows(native: Path) -> None:
    """The cookie and the page's path come from one place; it is built again when that changes."""
    (native / "shim").mkdir()
    (native / "shim" / "shim.c").write_text(
        "const unsigned long cookie = PODSH_COOKIE;\nconst char page[] = PODSH_GENERATION;\n"
        '__attribute__((visibility("default"))) const void *kept[] = {&cookie, page};\n'
    )
    target = Path(build.build_shim(str(native)))
    assert target == native / "podsh-shim.so"
    data = target.read_bytes()
    assert shim.COOKIE.to_bytes(8, sys.byteorder) in data
    assert shim.GENERATION.encode() + b"\0" in data
    first = target.stat()
    build.build_shim(str(native))
    assert target.stat().st_ino == first.st_ino
    other = Path(build.build_shim(str(native), str(native / "other.so"), "/elsewhere"))
    assert b"/elsewhere\0" in other.read_bytes()


def test_no_compiler(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(native))
    with pytest.raises(build.BuildError, match="apt install gcc"):
        build.build(str(native))
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    with pytest.raises(build.BuildError, match="no-such-compiler: No such file"):
        build.build(str(native))


def test_no_static_library(native: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = native / "cc"
    compiler.write_text(
        "#!/bin/sh\necho '/usr/bin/ld: cannot find -lc: No such file' >&2\nexit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(build.BuildError, match="libc6-dev"):
        build.build(str(native))


def test_stands_alone() -> None:
    """The build backend runs it by path, where podsh cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT], capture_output=True, text=True, cwd="/", check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("podsh-init")
