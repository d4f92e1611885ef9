/*
 * What a program writes to its pty, in large pieces: a read gives 4 kB at most (N_TTY_BUF_SIZE).
 */
#include <errno.h>
#include <stddef.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* For one thread; memory is taken by those only whose programs write much. */
EXPORT char podsh_taken[1 << 16];

EXPORT int podsh_take(int fd, size_t *got);

/*
 * Read from a pty master that does not block until it has no more, or `podsh_taken` is full; `got`
 * bytes. 0, or the errno of the end (EIO: the last descriptor of the other side is closed).
 */
int podsh_take(int fd, size_t *got)
{
	*got = 0;
	while (*got < sizeof(podsh_taken)) {
		ssize_t done = read(fd, podsh_taken + *got, sizeof(podsh_taken) - *got);
		if (done > 0)
			*got += (size_t)done;
		else if (done == 0)
			return EIO;
		else if (errno != EINTR)
			return errno == EAGAIN ? 0 : errno;
	}
	return 0;
}
