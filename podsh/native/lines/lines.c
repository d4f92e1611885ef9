/* podsh-lines.so: preloaded by programs whose output is kept in a file. Standard output is a pipe
 * then, which libc would fill by the block: what is in its buffer when a program is killed would
 * be lost. Needs no libc; a program without stdio is left as it is. */
#include <stddef.h>

#define LINE_BUFFERED 1 /* _IOLBF, of glibc and musl alike */

extern void *stdout __attribute__((weak));
extern int setvbuf(void *stream, char *buffer, int mode, size_t size) __attribute__((weak));

static __attribute__((constructor)) void by_the_line(void)
{
	if (setvbuf && &stdout && stdout)
		setvbuf(stdout, NULL, LINE_BUFFERED, 0);
}
