/* A second user namespace, for programs that keep capabilities. The mounts, PID 1 and what it holds
 * belong to the first one, over which nobody has any in the second: what capabilities are for, the
 * network above all, is made anew as the second one's. */
#include "inner.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "kernel.h"
#include "maps.h"
#include "mounts.h"
#include "util.h"

static const struct {
	uint64_t flag;
	const char *name;
} kinds[] = {
	{CLONE_NEWNET, "net"},
	{CLONE_NEWIPC, "ipc"},
	{CLONE_NEWUTS, "uts"},
};

/* The first process of the new namespaces: says whether it has made them, and waits until they are
 * held. No program runs yet that could look into it. */
static _Noreturn void make(uint64_t namespaces, int ready, int done)
{
	char byte;
	int error = 0;
	if (unshare(CLONE_NEWUSER | (int)namespaces) < 0)
		error = errno;
	/* its files in procfs are ours only so */
	prctl(PR_SET_DUMPABLE, 1);
	if (write(ready, &error, sizeof error) != sizeof error || read(done, &byte, 1) < 0)
		_exit(125);
	_exit(0);
}

static int open_namespace(int proc, pid_t pid, const char *name)
{
	char path[32];
	snprintf(path, sizeof path, "%d/ns/%s", pid, name);
	int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? fail("open namespace", name) : fd;
}

static int take(struct tree *tree, pid_t pid, uint64_t namespaces)
{
	char process[64];
	/* ours counts processes as we do; the one at /proc does not */
	snprintf(process, sizeof process, "/proc/self/fd/%d/%d", tree->proc, pid);
	if (maps_write_whole(process) < 0)
		return -1;
	for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		if (!(namespaces & kinds[i].flag))
			continue;
		OWNED_FD fd = open_namespace(tree->proc, pid, kinds[i].name);
		if (fd < 0)
			return -1;
		if (setns(fd, (int)kinds[i].flag) < 0)
			return fail("setns", kinds[i].name);
	}
	tree->inner = open_namespace(tree->proc, pid, "user");
	return tree->inner < 0 ? -1 : 0;
}

int make_inner(struct tree *tree, uint64_t namespaces)
{
	int ready[2], done[2], error;
	if (tree->inner >= 0)
		return fail_with(EEXIST, "unshare", "user namespace");
	if (tree->proc < 0 && (tree->proc = new_proc()) < 0)
		return -1;
	if (pipe2(ready, O_CLOEXEC) < 0)
		return fail("pipe2", NULL);
	OWNED_FD ready_read = ready[0];
	OWNED_FD ready_write = ready[1];
	if (pipe2(done, O_CLOEXEC) < 0)
		return fail("pipe2", NULL);
	OWNED_FD done_read = done[0];
	OWNED_FD done_write = done[1];
	pid_t child = fork();
	if (child < 0)
		return fail("fork", NULL);
	if (child == 0) {
		close(take_fd(&done_write));
		make(namespaces, ready_write, done_read);
	}
	close(take_fd(&ready_write));
	int made;
	if (read(ready_read, &error, sizeof error) != sizeof error)
		made = fail_with(ECHILD, "unshare", "user namespace");
	else if (error)
		made = fail_with(error, "unshare", "user namespace");
	else
		made = take(tree, child, namespaces);
	close(take_fd(&done_write));
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return made;
}
