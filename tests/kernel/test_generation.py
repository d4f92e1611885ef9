"""The page that a pod's programs read, and the mounts that are told in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.needs import needs_kernel
from tests.kernel import test_mounts

if TYPE_CHECKING:
    from tests.kernel.test_mounts import Inside

inside = test_mounts.inside

PAGE = """
    import struct
    from podsh.jail.generation import Generation

    page = Generation()

    def read(fd):
        with open(f"/proc/self/fd/{fd}", "rb") as file:
            data = file.read()
        generation, count, *rest = struct.unpack("=512Q", data[:4096])
        return generation, rest[:count]
"""


def test_the_page_is_seen_through_its_mount(inside: Inside) -> None:
    needs_kernel("detached-nesting")
    inside(
        PAGE
        + """
    seen = page.mount()
    assert os.fstat(seen).st_mode & 0o777 == 0o444
    mounts.attach(seen, held("b/file"))
    assert read(seen) == (1, [])
    page.bump()
    assert (page.number, read(seen)) == (2, (2, []))
    page.publish([7, 5, 6])
    assert read(seen) == (2, [7, 5, 6])
    page.publish(range(1000))
    assert read(seen) == (2, list(range(510)))
    page.publish([])
    assert read(seen) == (2, [])
    path = f"/proc/self/fd/{seen}"
    refused(errno.EROFS, lambda: open(path, "r+b"))
    refused(errno.EROFS, lambda: os.chmod(path, 0o666))
    # a second one, for an init that begins anew
    page.bump()
    again = page.mount()
    page.close()
    page.close()
    assert read(seen) == read(again) == (3, [])
    """
    )


def test_mounts_that_show_all_of_the_host(inside: Inside) -> None:
    """Not: what is covered, what comes from elsewhere, files, what has another path."""
    needs_kernel("detached-nesting")
    inside(
        PAGE
        + """
    from podsh.jail.whole import publish, whole_mounts

    here = os.getcwd()
    os.makedirs("c/sub/deep")
    open("only", "w").close()
    pod = f"root{here}"
    for name in ("a", "b", "c", "d"):
        os.makedirs(f"{pod}/{name}")
    open(f"{pod}/only", "w").close()
    numbers = {}
    for src, dst in (("a", "a"), ("c", "b"), ("c", "c"), ("only", "only"), ("b", "d")):
        mounts.attach(mounts.clone_tree(held(src)), held(f"{pod}/{dst}"))
        numbers[dst] = mounts.number(held(f"{pod}/{dst}"))
    # something hidden in c; a covered by another view of itself
    mounts.attach(mounts.tmpfs(4096, 0), held(f"{pod}/c/sub"))
    mounts.attach(mounts.clone_tree(held("a")), held(f"{pod}/a"))
    numbers["over a"] = mounts.number(held(f"{pod}/a"))

    ready, stop = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(stop[1])
        os.chroot("root")
        os.write(ready[1], b"x")
        os.read(stop[0], 1)
        os._exit(0)
    os.close(ready[1])
    os.read(ready[0], 1)
    whole = set(whole_mounts(child))
    assert whole == {numbers["over a"], numbers["c"]}, (whole, numbers)
    # of these the host's path has become another directory
    os.rename("c", "was-c")
    os.mkdir("c")
    assert set(whole_mounts(child)) == {numbers["over a"]}
    page = Generation()
    seen = page.mount()
    publish(page, child)
    assert read(seen) == (1, [numbers["over a"]])
    os.close(stop[1])
    os.waitpid(child, 0)
    publish(page, child)
    assert read(seen) == (1, [])
    """
    )
