"""What a profile denies below a directory that it shows, writable: the pod may not turn to it.

facts: ``tree`` (writable; below it ``keep/deep/secret/key`` with ``marker``, and ``keep/file.key``;
``secret`` and ``file.key`` are denied), ``own`` (podsh's own directories), ``profiles``, ``socket``
(the portal's).
"""

from __future__ import annotations

import os
import socket

from tools import call, facts, read

AT_FDCWD = -100


def _at(path: str) -> str:
    return str(facts["tree"]) + "/" + path


def read_denied() -> bool:
    return facts["marker"].encode() in read(_at("keep/deep/secret/key"))


def list_denied() -> list[str]:
    return os.listdir(_at("keep/deep/secret"))


def read_denied_file() -> bool:
    return facts["marker"].encode() in read(_at("keep/file.key"))


def write_denied() -> bool:
    with open(_at("keep/deep/secret/new"), "w") as stream:
        return stream.writable()


def _moves(old: str, new: str) -> bool:
    os.rename(_at(old), _at(new))
    os.rename(_at(new), _at(old))
    return True


def rename_denied() -> bool:
    return _moves("keep/deep/secret", "keep/deep/other")


def rename_parent() -> bool:
    """Move the mask's parent aside and plant one's own there."""
    return _moves("keep/deep", "keep/aside")


def rename_grandparent() -> bool:
    return _moves("keep", "aside")


def rename_file_mask() -> bool:
    return _moves("keep/file.key", "keep/other.key")


def exchange_parent() -> bool:
    """renameat2(RENAME_EXCHANGE) with a directory of one's own."""
    os.makedirs(_at("mine/deep"), exist_ok=True)
    for _ in range(2):
        call("renameat2", AT_FDCWD, _at("keep").encode(), AT_FDCWD, _at("mine").encode(), 2)
    return True


def remove_denied() -> bool:
    """Outside, an empty directory of the same kind."""
    path = "keep/deep/secret" if facts["inside"] else "empty"
    os.makedirs(_at(path), exist_ok=True)
    os.rmdir(_at(path))
    return True


def unlink_denied_file() -> bool:
    path = _at("keep/file.key")
    content = read(path)
    os.unlink(path)
    with open(path, "wb") as stream:
        stream.write(content)
    return True


def hardlink_denied_file() -> bool:
    os.link(_at("keep/file.key"), _at("keep/hard"))
    os.unlink(_at("keep/hard"))
    return True


def replace_parent_by_link() -> bool:
    os.rename(_at("keep"), _at("real"))
    os.symlink("real", _at("keep"))
    found = os.path.exists(_at("keep/deep/secret/key"))
    os.unlink(_at("keep"))
    os.rename(_at("real"), _at("keep"))
    return found


def own_directories() -> list[str]:
    """podsh's state, configuration, cache, sockets, code: seen with something in them."""
    found = []
    for path in facts["own"]:
        try:
            found += [f"{path}/{name}" for name in os.listdir(path)]
        except OSError:
            continue
    return found


def write_own_profile() -> bool:
    """A profile of the caller's own, changed from inside a pod, widens the next."""
    path = facts["profiles"] + "/evil.toml"
    with open(path, "w") as stream:
        stream.write("")
    os.unlink(path)
    return True


def portal_socket() -> bool:
    """The supervisor, under the same uid: it would let the pod approve itself."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(facts["socket"])
    return True
