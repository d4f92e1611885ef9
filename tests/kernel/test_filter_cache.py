"""The cache of compiled filters: what is believed, and what is compiled again."""

from __future__ import annotations

import ctypes.util
import itertools
import os
import sys
from typing import TYPE_CHECKING

import pytest

from podsh.errors import KernelLacks, LaunchFailed
from podsh.kernel import seccomp
from podsh.kernel.seccomp import FilterSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC = FilterSpec(refuse_setid=True)
BOGUS = b"\x06\0\0\0\0\0\xff\x7f"  # ret ALLOW: the filter that a corrupt cache must not become


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "_programs", {})


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of SPEC in a filled cache; memory is empty."""
    assert seccomp.cached(SPEC, str(tmp_path / "cache")) == seccomp.build(SPEC)
    monkeypatch.setattr(seccomp, "_programs", {})
    (file,) = (tmp_path / "cache").iterdir()
    return file


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[FilterSpec]:
    """What was compiled, instead of compiling it."""
    specs: list[FilterSpec] = []

    def compile_(spec: FilterSpec) -> bytes:
        specs.append(spec)
        return b"compiled" * 3

    monkeypatch.setattr(seccomp, "_compiled_elsewhere", compile_)
    return specs


def test_kept_and_read(kept: Path, compiled: list[FilterSpec]) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert seccomp.cached(SPEC, str(kept.parent)) == seccomp.build(SPEC)
    kept.unlink()
    assert seccomp.cached(SPEC, str(kept.parent)) == seccomp.build(SPEC)  # from memory
    assert compiled == []


def test_every_kind_has_its_own_file(tmp_path: Path, compiled: list[FilterSpec]) -> None:
    specs = {FilterSpec(*flags) for flags in itertools.product((False, True), repeat=5)}
    for spec in specs:
        seccomp.cached(spec, str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 32
    assert set(compiled) == specs


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def replace_by_link(file: Path) -> None:
    other = file.with_name("other")
    file.rename(other)
    file.symlink_to(other)


def replace_by_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


SPOILS: dict[str, Callable[[Path], object]] = {
    "flipped bit": flip,
    "cut": lambda file: os.truncate(file, 100),
    "empty": lambda file: file.write_bytes(b""),
    "only the digest": lambda file: os.truncate(file, 32),
    "another program": lambda file: file.write_bytes(bytes(32) + BOGUS),
    "huge": lambda file: os.truncate(file, 1 << 30),
    "writable by others": lambda file: file.chmod(0o666),
    "link": replace_by_link,
    "fifo": replace_by_fifo,
    "folder": replace_by_folder,
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_spoilt_files_are_not_believed(
    kept: Path, compiled: list[FilterSpec], spoil: Callable[[Path], object]
) -> None:
    spoil(kept)
    assert seccomp.cached(SPEC, str(kept.parent)) == b"compiled" * 3
    assert compiled == [SPEC]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_not_believed(kept: Path, compiled: list[FilterSpec]) -> None:
    os.chown(kept, 12345, 12345)
    seccomp.cached(SPEC, str(kept.parent))
    assert compiled == [SPEC]


def test_without_a_directory_to_write(compiled: list[FilterSpec]) -> None:
    assert seccomp.cached(SPEC, "/proc/nowhere") == b"compiled" * 3


def test_a_failed_compilation_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a launch without a filter."""
    fake = tmp_path / "python"
    for output, kind in (
        ('echo \'{"kind": "LaunchFailed", "cause": "no", "place": "filter"}\' >&2', LaunchFailed),
        ("echo Traceback >&2; echo 'ImportError: x' >&2", KernelLacks),
    ):
        fake.write_text(f"#!/bin/sh\n{output}\nexit 1\n")
        fake.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(fake))
        with pytest.raises(kind):
            seccomp.cached(SPEC, str(tmp_path / "cache"))
    fake.write_text("#!/bin/sh\nprintf 12345\n")
    with pytest.raises(KernelLacks):
        seccomp.cached(SPEC, str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_without_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    """pyseccomp raises RuntimeError on import where it finds no library."""
    monkeypatch.delitem(sys.modules, "pyseccomp", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", {"c": "libc.so.6"}.get)
    with pytest.raises(KernelLacks) as caught:
        seccomp.build(SPEC)
    assert "apt install libseccomp2" in caught.value.hint


def test_unknown_architecture() -> None:
    with pytest.raises(KernelLacks, match="riscv64"):
        seccomp.build(SPEC, "riscv64")
