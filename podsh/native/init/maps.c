#include "maps.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util.h"

/* the kernel takes less than a page in one write (user_namespaces(7)) */
#define MAP_BYTES 4096

bool maps_whole(void)
{
	return geteuid() == 0;
}

static int write_single(const char *path, uint32_t id)
{
	char line[48];
	int length = snprintf(line, sizeof line, "%" PRIu32 " %" PRIu32 " 1", id, id);
	return write_file(path, line, (size_t)length);
}

int maps_write_own(uid_t uid, gid_t gid)
{
	/* a namespace made in one that denies setgroups denies it already: then the write changes
	 * nothing, and is allowed */
	if (write_file("/proc/self/setgroups", "deny", 4) < 0)
		return -1;
	if (write_single("/proc/self/uid_map", uid) < 0)
		return -1;
	return write_single("/proc/self/gid_map", gid);
}

static int copy_ranges(const char *from, const char *to)
{
	char ranges[MAP_BYTES], lines[MAP_BYTES];
	OWNED_FD fd = open(from, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail("open", from);
	ssize_t got = read(fd, ranges, sizeof ranges - 1);
	if (got < 0)
		return fail("read", from);
	ranges[got] = '\0';

	/* each line: id inside, id outside, length */
	size_t used = 0;
	const char *at = ranges;
	while (*at) {
		char *rest;
		unsigned long inside = strtoul(at, &rest, 10);
		strtoul(rest, &rest, 10);
		unsigned long length = strtoul(rest, &rest, 10);
		if (rest == at || *rest != '\n')
			return fail_with(EINVAL, "read", from);
		at = rest + 1;
		int added = snprintf(lines + used, sizeof lines - used, "%lu %lu %lu\n", inside, inside,
		                     length);
		used += (size_t)added;
		if (used >= sizeof lines)
			return fail_with(E2BIG, "read", from);
	}
	return write_file(to, lines, used);
}

int maps_write_whole(const char *process)
{
	char path[64];
	snprintf(path, sizeof path, "%s/uid_map", process);
	if (copy_ranges("/proc/self/uid_map", path) < 0)
		return -1;
	snprintf(path, sizeof path, "%s/gid_map", process);
	return copy_ranges("/proc/self/gid_map", path);
}
