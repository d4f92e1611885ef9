/* Owners for descriptors and memory, and the one record of what failed. */
#ifndef PODSH_UTIL_H
#define PODSH_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_LIMIT 4096 /* with its NUL: limits.h PATH_MAX */
#define NO_OP UINT64_MAX

/* The first failure since fail_clear(): the errno, the system call or step, its path. */
struct failure {
	int error;
	const char *step;
	char path[PATH_LIMIT];
	uint64_t op; /* index of the plan's operation, or NO_OP */
};
extern struct failure failure;

void fail_clear(void);
/* Notes errno, step and path (may be NULL), unless something is noted already. Returns -1. */
int fail(const char *step, const char *path);
int fail_with(int error, const char *step, const char *path);

/* `podsh-init: VERB: STEP PATH: strerror` on stderr, then _exit(125). */
_Noreturn void die(const char *verb);
/* The same for what cannot be reported to the monitor. */
_Noreturn void die_of(const char *step);
/* The same for an order that does not make sense: the monitor's fault. */
_Noreturn void die_malformed(const char *what);

void close_owned(const int *fd);
void free_owned(void *pointer);
#define OWNED_FD __attribute__((cleanup(close_owned))) int
#define OWNED __attribute__((cleanup(free_owned)))

/* The descriptor leaves its owner. */
static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

void *allocate(size_t count, size_t size);
/* Writes all of it in one call to the file at path (procfs). Returns -1 after fail(). */
int write_file(const char *path, const char *text, size_t length);

#endif
