"""What standbys attach beforehand is what the paths name when a pod is asked for."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.runner import Done, Podsh

# until the last pods are a habit, and until a standby has done it
PODS = 5
REFILL_S = 0.5


@pytest.fixture
def folder(podsh: Podsh) -> Path:
    """A directory whose parts a profile binds, which pods were started with."""
    folder = podsh.directory(f"host{time.monotonic_ns()}")  # each test its own
    for name in ("file", "one", "two", "plain"):
        podsh.file(folder / name, f"{name}\n")
    podsh.directory(f"{folder.name}/moved")
    podsh.file(folder / "moved" / "inner", "inner\n")
    (folder / "link").symlink_to("one")
    profiles = podsh.directory("config/podsh/profiles")
    text = 'name = "usual"\nextends = ["base"]\n[run]\ncmd = ["true"]\n[access]\ndomain = false\n'
    for name in ("file", "link", "plain", "moved/inner", "absent"):
        text += f'[[fs.bind]]\npath = "{folder}/{name}"\noptional = true\n'
    podsh.file(profiles / "usual.toml", text)
    for _ in range(PODS):
        done = shown(podsh, folder, "file")
        assert (done.code, done.out, done.err) == (0, "file\n", "")
    time.sleep(REFILL_S)
    return folder


def shown(podsh: Podsh, folder: Path, *names: str) -> Done:
    paths = [str(folder / name) for name in names]
    return podsh.run("run", "--rm", "-p", "usual", "--", "cat", *paths)


def replace(podsh: Podsh, path: Path, content: str) -> None:
    """As editors do: another object of the same name."""
    podsh.file(path.with_name("new"), content)
    os.rename(path.with_name("new"), path)


def test_nothing_changed(podsh: Podsh, folder: Path) -> None:
    done = shown(podsh, folder, "file", "link", "plain", "moved/inner")
    assert done.out == "file\none\nplain\ninner\n", done.err
    assert shown(podsh, folder, "absent").code == 1


def test_a_file_was_replaced(podsh: Podsh, folder: Path) -> None:
    replace(podsh, folder / "file", "another\n")
    assert shown(podsh, folder, "file", "plain").out == "another\nplain\n"


def test_files_are_replaced_all_the_time(podsh: Podsh, folder: Path) -> None:
    """What is unlinked is attached by no kernel: it is looked up again."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            replace(podsh, folder / "file", "file\n")
            over.wait(0.2)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        for _ in range(12):
            done = shown(podsh, folder, "file")
            assert (done.code, done.out, done.err) == (0, "file\n", "")
    finally:
        over.set()
        thread.join()


def test_a_link_leads_elsewhere(podsh: Podsh, folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("two")
    assert shown(podsh, folder, "link").out == "two\n"


def test_a_directory_on_the_way_became_a_link(podsh: Podsh, folder: Path) -> None:
    os.rename(folder / "moved", folder / "away")
    podsh.directory(f"{folder.name}/there")
    podsh.file(folder / "there" / "inner", "there\n")
    (folder / "moved").symlink_to("there")
    assert shown(podsh, folder, "moved/inner").out == "there\n"


def test_what_was_absent_came(podsh: Podsh, folder: Path) -> None:
    podsh.file(folder / "absent", "here now\n")
    assert shown(podsh, folder, "absent").out == "here now\n"


def test_what_was_there_went(podsh: Podsh, folder: Path) -> None:
    (folder / "plain").unlink()
    done = shown(podsh, folder, "plain")
    assert done.code == 1, done.out


def test_more_across_what_is_usual(podsh: Podsh, folder: Path) -> None:
    """A bind above those of the habit hides none of them, and none of what it has."""
    podsh.file(folder / "unlisted", "unlisted\n")
    run = ("run", "--rm", "-p", "usual", "--rw", str(folder), "--")
    done = podsh.run(*run, "cat", str(folder / "unlisted"), str(folder / "file"))
    assert done.out == "unlisted\nfile\n", done.err
    assert podsh.run(*run, "sh", "-c", f"echo changed > {folder}/two").code == 0
    assert (folder / "two").read_text() == "changed\n"
