#include "mounts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "inner.h"
#include "jail.h"
#include "kernel.h"
#include "scope.h"
#include "util.h"

/* The name of a file of the skeleton between its making and its mounting elsewhere. */
#define SCRATCH ".podsh.new"
/* More wait to be let in at all. */
#define SOCKET_BACKLOG 8

int attach(const struct tree *tree, int mount_fd, const char *path, bool is_file)
{
	OWNED_FD place = place_point(tree, path, is_file);
	if (place < 0)
		return fail("open", path);
	if (sys_move_mount(mount_fd, "", place, "",
	                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return fail("move_mount", path);
	return 0;
}

int detach(const struct tree *tree, const char *path)
{
	OWNED_FD place = place_open(tree, path);
	if (place < 0)
		return fail("open", path);
	/* umount2 takes a path only; by name it could meet another mount than was opened, if the
	 * pod renames a directory on the way */
	char name[32];
	snprintf(name, sizeof name, "self/fd/%d", place);
	if (fchdir(tree->proc) < 0)
		return fail("fchdir", "/proc");
	int done = sys_umount2(name, DETACH);
	int error = errno;
	if (fchdir(tree->root) < 0)
		return fail("fchdir", "/");
	if (done < 0)
		return fail_with(error, "umount2", path);
	place_forget(tree, path);
	return 0;
}

/* Makes a link in dir. */
static int link_at(int dir, const char *base, const char *target, const char *path)
{
	char there[PATH_LIMIT];
	if (symlinkat(target, dir, base) == 0)
		return 0;
	if (errno != EEXIST)
		return fail("symlink", path);
	ssize_t length = readlinkat(dir, base, there, sizeof there);
	if (length < 0 || (size_t)length != strlen(target) ||
	    memcmp(there, target, (size_t)length) != 0)
		return fail_with(EEXIST, "symlink", path);
	return 0;
}

int make_link(const struct tree *tree, const char *path, const char *target)
{
	const char *base;
	OWNED_FD dir = place_own(tree, path, &base);
	return dir < 0 ? fail("symlink", path) : link_at(dir, base, target, path);
}

int set_attributes(const struct tree *tree, const char *path, uint64_t set, uint64_t clear,
                   bool recursive)
{
	const struct mount_attr wanted = {.attr_set = set, .attr_clr = clear};
	struct statx found;
	OWNED_FD place = place_open(tree, path);
	if (place < 0)
		return fail("open", path);
	if (statx(place, "", AT_EMPTY_PATH, 0, &found) < 0)
		return fail("statx", path);
	if (!(found.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return fail_with(EINVAL, "mount_setattr", path);
	if (sys_mount_setattr(place, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &wanted) < 0)
		return fail("mount_setattr", path);
	return 0;
}

static int new_tmpfs(const char *path, uint32_t mode, uint64_t size, unsigned attributes)
{
	char mode_text[8], size_text[24], inodes_text[24];
	snprintf(mode_text, sizeof mode_text, "%" PRIo32, mode);
	snprintf(size_text, sizeof size_text, "%" PRIu64, size);
	/* empty files take kernel memory too, about 1 KiB each, which size does not count */
	snprintf(inodes_text, sizeof inodes_text, "%" PRIu64, size / 2048 + 1024);
	OWNED_FD fs = sys_fsopen("tmpfs");
	if (fs < 0)
		return fail("fsopen", path);
	if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "mode", mode_text) < 0 ||
	    sys_fsconfig(fs, FSCONFIG_SET_STRING, "size", size_text) < 0 ||
	    sys_fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", inodes_text) < 0 ||
	    sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return fail("fsconfig", path);
	int mount = sys_fsmount(fs, attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	return mount < 0 ? fail("fsmount", path) : mount;
}

static int do_root(struct tree *tree, const struct op *op)
{
	tree->root = new_tmpfs("/", op->mode, op->size_bytes, 0);
	if (tree->root < 0)
		return -1;
	if (sys_move_mount(tree->root, "", AT_FDCWD, STAGING, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", "/");
	/* the hands that stay when `/` is sealed; a mount with locked children cannot be cloned */
	tree->writable =
		sys_open_tree(tree->root, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree->writable < 0)
		return fail("open_tree", "/");
	return tree_own(tree, tree->root);
}

static int do_tmpfs(struct tree *tree, const struct op *op)
{
	OWNED_FD mount = new_tmpfs(op->path, op->mode, op->size_bytes,
	                           op->no_exec ? MOUNT_ATTR_NOEXEC : 0);
	if (mount < 0 || attach(tree, mount, op->path, false) < 0)
		return -1;
	return tree_own(tree, mount);
}

static int do_dir(const struct tree *tree, const struct op *op)
{
	struct stat found;
	OWNED_FD place = place_make(tree, op->path, op->mode);
	if (place < 0)
		return fail("mkdir", op->path);
	if (fstat(place, &found) < 0)
		return fail("fstat", op->path);
	if (!S_ISDIR(found.st_mode))
		return fail_with(ENOTDIR, "mkdir", op->path);
	if ((found.st_mode & 07777) == op->mode || !tree_owns(tree, place))
		return 0;
	/* made before as somebody's parent; an O_PATH descriptor cannot be given to fchmod */
	const char *base;
	OWNED_FD parent = place_parent(tree, op->path, &base);
	if (parent < 0 || fchmodat(parent, base, op->mode, 0) < 0)
		return fail("chmod", op->path);
	return 0;
}

static int do_link(const struct tree *tree, const struct op *op)
{
	struct stat found;
	const char *base;
	OWNED_FD parent = place_parent(tree, op->path, &base);
	if (parent < 0)
		return fail("symlink", op->path);
	if (!tree_owns(tree, parent)) {
		/* below a bind the host decides */
		if (fstatat(parent, base, &found, AT_SYMLINK_NOFOLLOW) < 0)
			return fail("symlink", op->path);
		return 0;
	}
	return link_at(parent, base, op->text, op->path);
}

static int write_new(int dir, const char *name, const struct op *op)
{
	OWNED_FD file = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                       (mode_t)op->mode);
	if (file < 0)
		return -1;
	const char *from = op->data;
	for (size_t left = op->data_bytes; left;) {
		ssize_t written = write(file, from, left);
		if (written <= 0)
			return -1;
		from += written;
		left -= (size_t)written;
	}
	return 0;
}

static int do_file(const struct tree *tree, const struct op *op)
{
	const char *base;
	OWNED_FD parent = place_parent(tree, op->path, &base);
	if (parent < 0)
		return errno == ENOENT ? 0 : fail("open", op->path);
	if (tree_owns(tree, parent)) {
		if (write_new(parent, base, op) == 0)
			return 0;
		if (errno != EEXIST)
			return fail("write", op->path);
	}
	OWNED_FD place = place_open(tree, op->path);
	if (place < 0)
		return errno == ENOENT ? 0 : fail("open", op->path);
	if (write_new(tree->root, SCRATCH, op) < 0)
		return fail("write", op->path);
	static const struct mount_attr private = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
	};
	OWNED_FD mount = sys_open_tree(tree->root, SCRATCH, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mount < 0 || sys_mount_setattr(mount, "", AT_EMPTY_PATH, &private) < 0)
		return fail("open_tree", op->path);
	if (sys_move_mount(mount, "", place, "",
	                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return fail("move_mount", op->path);
	/* not before: a tree without a name is not attached */
	if (unlinkat(tree->root, SCRATCH, 0) < 0)
		return fail("unlink", op->path);
	return 0;
}

static int do_mount(const struct tree *tree, const struct op *op, struct mounts *mounts)
{
	if (op->index >= mounts->count || mounts->fds[op->index] < 0)
		return fail_with(EBADF, "mount", op->path);
	OWNED_FD mount = mounts->fds[op->index];
	mounts->fds[op->index] = -1;
	if (attach(tree, mount, op->path, op->is_file) == 0)
		return 0;
	if (op->optional && failure.error == ENOENT) {
		fail_clear();
		return 0;
	}
	return -1;
}

static int do_devpts(struct tree *tree, const struct op *op)
{
	char max[24];
	snprintf(max, sizeof max, "%" PRIu64, op->size_bytes);
	OWNED_FD fs = sys_fsopen("devpts");
	if (fs < 0)
		return fail("fsopen", op->path);
	/* each mount is an instance of its own since 4.7: no newinstance */
	if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "ptmxmode", "0666") < 0 ||
	    sys_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0620") < 0 ||
	    sys_fsconfig(fs, FSCONFIG_SET_STRING, "max", max) < 0 ||
	    sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return fail("fsconfig", op->path);
	OWNED_FD mount = sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	if (mount < 0)
		return fail("fsmount", op->path);
	if (attach(tree, mount, op->path, false) < 0)
		return -1;
	if (tree->devpts < 0)
		tree->devpts = take_fd(&mount);
	return 0;
}

static int do_mask(const struct tree *tree, const struct op *op)
{
	OWNED_FD place = place_open(tree, op->path);
	if (place < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : fail("open", op->path);
	const char *source = op->is_dir ? MASK_DIR : MASK_FILE;
	OWNED_FD mask = sys_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mask < 0)
		return fail("open_tree", source);
	if (sys_move_mount(mask, "", place, "",
	                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return fail("move_mount", op->path);
	return 0;
}

/* A listening socket of the skeleton, which has no name outside of the pod. */
static int do_socket(struct tree *tree, const struct op *op)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *base;
	OWNED_FD parent = place_parent(tree, op->path, &base);
	if (parent < 0)
		return fail("bind", op->path);
	if (tree->listener >= 0 || !tree_owns(tree, parent))
		return fail_with(EINVAL, "bind", op->path);
	if (strlen(base) >= sizeof address.sun_path)
		return fail_with(ENAMETOOLONG, "bind", op->path);
	strcpy(address.sun_path, base);
	OWNED_FD listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return fail("socket", op->path);
	/* the mode that it is made with */
	if (fchmod(listener, 0600) < 0 || fchdir(parent) < 0)
		return fail("bind", op->path);
	int done = bind(listener, (struct sockaddr *)&address, sizeof address);
	if (done < 0)
		fail("bind", op->path);
	if (chdir("/") < 0)
		return fail("chdir", "/");
	if (done < 0)
		return -1;
	if (listen(listener, SOCKET_BACKLOG) < 0)
		return fail("listen", op->path);
	tree->listener = take_fd(&listener);
	return 0;
}

static int do_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	OWNED_FD socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0)
		return fail("socket", "lo");
	if (ioctl(socket_fd, SIOCSIFFLAGS, &request) < 0)
		return fail("SIOCSIFFLAGS", "lo");
	return 0;
}

static int do_sysctl(const struct op *op)
{
	char path[PATH_LIMIT];
	snprintf(path, sizeof path, "/proc/sys/%s", op->path);
	if (write_file(path, op->text, strlen(op->text)) < 0) {
		if (op->needed)
			return -1;
		fail_clear();
	}
	return 0;
}

int carry_out(struct tree *tree, const struct op *op, struct mounts *mounts)
{
	switch (op->code) {
	case OP_ROOT:
		return do_root(tree, op);
	case OP_TMPFS:
		return do_tmpfs(tree, op);
	case OP_DIR:
		return do_dir(tree, op);
	case OP_LINK:
		return do_link(tree, op);
	case OP_FILE:
		return do_file(tree, op);
	case OP_MOUNT:
		return do_mount(tree, op, mounts);
	case OP_PROC:
		return mount_proc(tree, op->path);
	case OP_DEVPTS:
		return do_devpts(tree, op);
	case OP_MASK:
		return do_mask(tree, op);
	case OP_SOCKET:
		return do_socket(tree, op);
	case OP_HOSTNAME:
		if (sethostname(op->path, strlen(op->path)) < 0)
			return fail("sethostname", op->path);
		return 0;
	case OP_LOOPBACK:
		return do_loopback();
	case OP_SCOPE:
		/* PID 1 itself: its programs share the one domain, and signal each other */
		return scope_enter();
	case OP_SYSCTL:
		return do_sysctl(op);
	case OP_INNER:
		return make_inner(tree, op->namespaces);
	default:
		return fail_with(EINVAL, "plan", NULL);
	}
}

int seal(struct tree *tree)
{
	/* to find a terminal's foreground group, and to detach, also in a pod without /proc; later
	 * none could be mounted, since none is visible. A machine that allows none can do without. */
	if (tree->proc < 0 && (tree->proc = new_proc()) < 0)
		fail_clear();
	if (fchdir(tree->root) < 0)
		return fail("fchdir", "/");
	/* the old root ends up stacked on the new one: pivot_root(2) */
	if (sys_pivot_root(".", ".") < 0)
		return fail("pivot_root", "/");
	if (sys_umount2(".", DETACH) < 0)
		return fail("umount2", "old root");
	static const struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
	if (sys_mount_setattr(tree->root, "", AT_EMPTY_PATH, &sealed) < 0)
		return fail("mount_setattr", "/");
	tree->sealed = true;
	return 0;
}
