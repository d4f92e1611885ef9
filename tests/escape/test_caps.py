"""A pod that keeps every capability that can be kept gets no further than one without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from podsh.kernel import caps
from tests.escape import (
    test_devices,
    test_files,
    test_hidden,
    test_mounts,
    test_namespaces,
    test_processes,
    test_procfs,
    test_setid,
    test_sockets,
)
from tests.escape.yard import BARRED, Row
from tests.helpers import callers

if TYPE_CHECKING:
    from tests.escape.yard import Yard

# the tables of the other tests, which show the controls; what a capability is kept for is no escape
TABLES = {
    "mounts": (test_mounts.ROWS, {"chroot"}),
    "namespaces": (test_namespaces.ROWS, set()),
    "processes": (
        test_processes.ROWS,
        {"capabilities", "become_somebody", "drop_groups", "may_gain_privileges"},
    ),
    "procfs": (test_procfs.ROWS, set()),
    "setid": (test_setid.ROWS, {"chown_away", "execute_setuid"}),
    "hidden": ((*test_hidden.DENIED, *test_hidden.OWN), set()),
    "devices": (test_devices.ROWS, set()),
    "files": (test_files.ROWS, set()),
    "sockets": (test_sockets.FAMILIES, {"packet", "raw_ip"}),
}
ROWS = (
    Row("chroot_out", ("ENOENT", "no"), "userns"),
    Row("sys_net", ("EROFS", "EACCES"), "userns"),
    Row("tables", ("no",), "userns", may_lack=True),
    Row("forge_pid", BARRED, "userns"),
)
# by the filter nothing is refused there: by who owns what
NESTED = (
    Row("nested_remount", BARRED, "userns"),
    Row("nested_setattr", BARRED, "userns"),
    Row("nested_umount", (*BARRED, "EINVAL"), "userns"),
    Row("nested_umount_mask", (*BARRED, "EINVAL"), "userns"),
)


def capable(yard: Yard, name: str, more: str = "") -> tuple[str, ...]:
    """Options of a pod that keeps everything, and has something to hide."""
    names = ", ".join(f'"CAP_{name.upper()}"' for name in caps.ALLOWED)
    yard.podsh.profile(
        name,
        f'name = "{name}"\nextends = ["base"]\n[net]\nmode = "loop"\n'
        f"[caps]\nkeep = [{names}]\n[access]\ndomain = false\n{more}",
    )
    return ("-p", "hides", "-p", name)


@pytest.mark.parametrize("module", TABLES)
def test_every_capability(yard: Yard, module: str) -> None:
    rows, meant = TABLES[module]
    options = capable(yard, "capable")
    for row in rows:
        if row.name not in meant:
            yard.refuses(module, rows, row, options=options)


@pytest.mark.parametrize("caller", [n for n in callers.names() if n == "root"], indirect=True)
@pytest.mark.parametrize("module", ["mounts", "namespaces", "processes", "setid"])
def test_without_no_new_privs(yard: Yard, module: str) -> None:
    """Root's, with files that give privileges."""
    rows, meant = TABLES[module]
    rows = test_setid.ROOT_ROWS if module == "setid" else rows
    options = capable(yard, "files", '[[fs.bind]]\npath = "/usr"\nsuid = true\n')
    for row in rows:
        if row.name not in meant:
            yard.refuses(module, rows, row, options=options)


def test_what_they_might_be_good_for(yard: Yard) -> None:
    for row in ROWS:
        yard.check("caps", ROWS, row, options=capable(yard, "capable"))


def test_mounts_are_not_theirs(yard: Yard) -> None:
    """Where the filter lets mounting by, in namespaces of the program's own, and without them."""
    options = capable(yard, "nesting", "[seccomp]\nnesting = true\n")
    for row in NESTED:
        yard.check("caps", NESTED, row, options=options)
    mounting = {"mount_tmpfs", "mount_bind", "remount_writable", "remount_root", "umount"}
    mounting |= {"umount_mask", "mount_setattr", "make_private", "mount_move", "open_tree_clone"}
    for row in test_mounts.ROWS:
        if row.name in mounting:
            yard.refuses("mounts", test_mounts.ROWS, row, options=options)
