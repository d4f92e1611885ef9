"""Constants of the kernel's interface that Python does not have, each with its source."""

from __future__ import annotations

# <linux/mount.h>, man 2 open_tree; the close-on-exec bit is O_CLOEXEC
OPEN_TREE_CLONE = 0x1
AT_RECURSIVE = 0x8000

# <linux/fcntl.h>
AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000

# <linux/mount.h>, man 2 move_mount
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40

# <linux/mount.h>, man 2 mount_setattr
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8

# <linux/mount.h>: fsopen, fsconfig, fsmount (no manual pages yet)
FSOPEN_CLOEXEC = 0x1
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
FSMOUNT_CLOEXEC = 0x1

# <linux/mount.h>: propagation types, also for mount_attr.propagation
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

# <linux/openat2.h>, man 2 openat2
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# <asm-generic/socket.h>: Linux 6.5
SO_PEERPIDFD = 77

# <linux/sched.h>, man 2 clone, man 2 unshare
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
