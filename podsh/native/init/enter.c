/* The namespaces that podsh itself works in: U0/M0, and T, the template that jails start from. */
#include "enter.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "jail.h"
#include "kernel.h"
#include "maps.h"
#include "util.h"

/* Waits for a child that has said by its exit whether it worked (it has printed why not). */
static void reap(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0)
		_exit(125);
}

static pid_t fork_or_die(void)
{
	pid_t child = fork();
	if (child < 0) {
		fail("fork", NULL);
		die("enter");
	}
	return child;
}

static void make_user_namespace(void)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	const pid_t self = getpid();
	const bool whole = maps_whole();
	pid_t helper = -1;
	int gate[2] = {-1, -1};

	if (whole) {
		/* stays outside, where root's ranges may be given away */
		if (pipe2(gate, O_CLOEXEC) < 0) {
			fail("pipe2", NULL);
			die("enter");
		}
		helper = fork_or_die();
		if (helper == 0) {
			char byte, process[32];
			close(gate[1]);
			if (read(gate[0], &byte, 1) != 1)
				_exit(125);
			snprintf(process, sizeof process, "/proc/%d", self);
			if (maps_write_whole(process) < 0)
				die("enter");
			_exit(0);
		}
		close(gate[0]);
	}
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
		fail("unshare", "user and mount namespace");
		die("enter");
	}
	if (whole) {
		if (write(gate[1], "", 1) != 1)
			_exit(125);
		close(gate[1]);
		reap(helper);
	} else if (maps_write_own(uid, gid) < 0) {
		die("enter");
	}
	if (sys_mount(NULL, "/", MS_REC | MS_SLAVE) < 0) {
		fail("mount slave", "/");
		die("enter");
	}
}

/* An exec under a uid that is not 0 drops capabilities that are not ambient. */
static int raise_ambient(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		return fail("capget", NULL);
	data[0].inheritable = data[0].permitted;
	data[1].inheritable = data[1].permitted;
	if (syscall(SYS_capset, &header, data) < 0)
		return fail("capset", NULL);
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (!(data[cap / 32].permitted & (1u << (cap % 32))))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return fail("prctl", "PR_CAP_AMBIENT_RAISE");
	}
	return 0;
}

/* In a child: its mount namespace becomes T. A tmpfs with the staging directory, a clone of
 * /proc (a fresh proc may only be mounted where one is fully visible) and what masks show. */
static int build_template(void)
{
	if (unshare(CLONE_NEWNS) < 0)
		return fail("unshare", "mount namespace");
	if (sys_mount(NULL, "/", MS_REC | MS_PRIVATE) < 0)
		return fail("mount private", "/");
	OWNED_FD proc = sys_open_tree(AT_FDCWD, "/proc",
	                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (proc < 0)
		return fail("open_tree", "/proc");
	OWNED_FD fs = sys_fsopen("tmpfs");
	if (fs < 0)
		return fail("fsopen", "tmpfs");
	if (sys_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0555") < 0 ||
	    sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return fail("fsconfig", "tmpfs");
	OWNED_FD root =
		sys_fsmount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root < 0)
		return fail("fsmount", "tmpfs");
	if (sys_move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", "/");
	if (fchdir(root) < 0)
		return fail("fchdir", "/");
	umask(0);
	if (mkdir("s", 0555) < 0 || mkdir("proc", 0555) < 0 || mkdir(&MASK_DIR[1], 0) < 0 ||
	    mknod(&MASK_FILE[1], S_IFREG, 0) < 0)
		return fail("mkdir", "template");
	if (sys_move_mount(proc, "", AT_FDCWD, "proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return fail("move_mount", "/proc");
	/* the old root ends up stacked on the new one: pivot_root(2) */
	if (sys_pivot_root(".", ".") < 0)
		return fail("pivot_root", "template");
	if (sys_umount2(".", DETACH) < 0)
		return fail("umount2", "old root");
	const struct mount_attr sealed = {.attr_set = MOUNT_ATTR_RDONLY};
	if (sys_mount_setattr(root, "", AT_EMPTY_PATH, &sealed) < 0)
		return fail("mount_setattr", "template");
	return 0;
}

static void make_template(int template_fd)
{
	int ready[2], done[2];
	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0) {
		fail("pipe2", NULL);
		die("enter");
	}
	pid_t child = fork_or_die();
	if (child == 0) {
		char byte;
		close(done[1]);
		if (build_template() < 0)
			die("enter");
		/* the namespace lives as long as we do, until the parent holds it */
		if (write(ready[1], "", 1) != 1 || read(done[0], &byte, 1) < 0)
			_exit(125);
		_exit(0);
	}
	close(ready[1]);
	close(done[0]);
	char byte, path[32];
	if (read(ready[0], &byte, 1) == 1) {
		snprintf(path, sizeof path, "/proc/%d/ns/mnt", child);
		OWNED_FD fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			fail("open", path);
			die("enter");
		}
		close(ready[0]);
		close(done[1]);
		reap(child);
		if (fd == template_fd ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, template_fd) < 0) {
			fail("dup2", "template");
			die("enter");
		}
		if (fd == template_fd)
			take_fd(&fd);
		return;
	}
	close(done[1]);
	reap(child);
	_exit(125);
}

void enter(int template_fd, char **command)
{
	make_user_namespace();
	make_template(template_fd);
	if (raise_ambient() < 0)
		die("enter");
	execv(command[0], command);
	fail("execv", command[0]);
	die("enter");
}
