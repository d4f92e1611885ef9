#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct failure failure = {.op = NO_OP};

void fail_clear(void)
{
	/* errno stays */
	failure.error = 0;
	failure.step = "";
	failure.path[0] = '\0';
	failure.op = NO_OP;
}

int fail_with(int error, const char *step, const char *path)
{
	if (!failure.error) {
		failure.error = error;
		failure.step = step;
		snprintf(failure.path, sizeof failure.path, "%s", path ? path : "");
	}
	return -1;
}

int fail(const char *step, const char *path)
{
	return fail_with(errno, step, path);
}

void die(const char *verb)
{
	fprintf(stderr, "podsh-init: %s: %s%s%s: %s\n", verb, failure.step,
	        failure.path[0] ? " " : "", failure.path, strerror(failure.error));
	_exit(125);
}

void die_of(const char *step)
{
	fail_clear();
	fail(step, NULL);
	die("jail");
}

void die_malformed(const char *what)
{
	fprintf(stderr, "podsh-init: malformed order: %s\n", what);
	_exit(125);
}

void close_owned(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		close(*fd);
		errno = saved;
	}
}

void free_owned(void *pointer)
{
	free(*(void **)pointer);
}

void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);
	if (!memory)
		die_of("calloc");
	return memory;
}

int write_file(const char *path, const char *text, size_t length)
{
	OWNED_FD fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fail("open", path);
	if (write(fd, text, length) != (ssize_t)length)
		return fail("write", path);
	return 0;
}
