/*
 * Memory that forked processes have written to, but which says what it said before: shared again.
 *
 * `keep` makes private memory a private mapping of a file that holds what it says; `give_back`
 * drops a process's own copies of pages that do not differ from the file. Offsets in the file are
 * addresses. What is kept must not be written to meanwhile: Python's lock is held, and the memory
 * is that of its small objects alone.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int podsh_pages_keep(int file, uintptr_t start, uintptr_t end);
EXPORT int podsh_pages_give_back(int file, uintptr_t start, uintptr_t end);

/* Both: 0, or an errno. */
int podsh_pages_keep(int file, uintptr_t start, uintptr_t end)
{
	for (uintptr_t at = start; at < end;) {
		ssize_t done = pwrite(file, (const void *)at, end - at, (off_t)at);
		if (done < 0)
			return errno;
		at += (uintptr_t)done;
	}
	void *mapped = mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_FIXED, file, (off_t)start);
	return mapped == MAP_FAILED ? errno : 0;
}

int podsh_pages_give_back(int file, uintptr_t start, uintptr_t end)
{
	char *kept = mmap(NULL, end - start, PROT_READ, MAP_PRIVATE, file, (off_t)start);
	if (kept == MAP_FAILED)
		return errno;
	int error = 0;
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = start; /* of equal pages */
	for (uintptr_t at = start; at <= end && !error; at += page) {
		if (at < end && memcmp((const void *)at, kept + (at - start), page) == 0)
			continue;
		if (first < at && madvise((void *)first, at - first, MADV_DONTNEED))
			error = errno;
		first = at + page;
	}
	munmap(kept, end - start);
	return error;
}
