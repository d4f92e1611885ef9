#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"
#include "util.h"

#define NO_LINKS (RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

int tree_own(struct tree *tree, int fd)
{
	struct stat found;
	if (fstat(fd, &found) < 0)
		return fail("fstat", NULL);
	if (tree->own_count == OWN_TMPFS)
		return fail_with(E2BIG, "plan", "tmpfs");
	tree->own[tree->own_count++] = found.st_dev;
	return 0;
}

bool tree_owns(const struct tree *tree, int fd)
{
	struct stat found;
	if (fstat(fd, &found) < 0)
		return false;
	for (unsigned i = 0; i < tree->own_count; i++) {
		if (tree->own[i] == found.st_dev)
			return true;
	}
	return false;
}

int place_open(const struct tree *tree, const char *path)
{
	return sys_openat2(tree->root, path, O_PATH | O_CLOEXEC, NO_LINKS);
}

/* A descriptor of the directory `parent` at `path` through which entries can be made. */
static int entry_dir(const struct tree *tree, int parent, const char *path)
{
	struct stat here, there;
	if (fstat(parent, &here) < 0)
		return -1;
	bool own = false;
	for (unsigned i = 0; i < tree->own_count; i++)
		own = own || tree->own[i] == here.st_dev;
	if (!own) {
		errno = ENOENT;
		return -1;
	}
	if (!tree->sealed || here.st_dev != tree->own[0])
		return fcntl(parent, F_DUPFD_CLOEXEC, 0);
	OWNED_FD twin = sys_openat2(tree->writable, *path ? path : ".",
	                            O_PATH | O_DIRECTORY | O_CLOEXEC, NO_LINKS | RESOLVE_NO_XDEV);
	if (twin < 0 || fstat(twin, &there) < 0)
		return -1;
	if (there.st_ino != here.st_ino) {
		errno = ESTALE;
		return -1;
	}
	return take_fd(&twin);
}

static int open_child(int parent, const char *name)
{
	return sys_openat2(parent, name, O_PATH | O_CLOEXEC,
	                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/* Opens the directory at path, made with its parents where it is missing. path is cut and mended. */
static int open_making(const struct tree *tree, char *path)
{
	const size_t length = strlen(path);
	size_t have = length;
	OWNED_FD dir = -1;

	/* the deepest that exists */
	for (;;) {
		char saved = path[have];
		path[have] = '\0';
		dir = have ? place_open(tree, path) : fcntl(tree->root, F_DUPFD_CLOEXEC, 0);
		path[have] = saved;
		if (dir >= 0)
			break;
		if (errno != ENOENT)
			return -1;
		while (path[--have] != '/')
			;
	}
	while (have < length) {
		char saved = path[have];
		path[have] = '\0';
		OWNED_FD where = entry_dir(tree, dir, path);
		path[have] = saved;
		if (where < 0)
			return -1;
		char *name = path + have + 1;
		size_t size = strcspn(name, "/");
		have += 1 + size;
		saved = name[size];
		name[size] = '\0';
		bool made = mkdirat(where, name, PLACEHOLDER_DIR) == 0 || errno == EEXIST;
		int next = made ? open_child(dir, name) : -1;
		name[size] = saved;
		if (next < 0)
			return -1;
		close_owned(&dir);
		dir = next;
	}
	return take_fd(&dir);
}

static int parent_of(const struct tree *tree, const char *path, char *copy, const char **base)
{
	size_t length = strlen(path);
	if (length >= PATH_LIMIT) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(copy, path, length + 1);
	*strrchr(copy, '/') = '\0';
	*base = strrchr(path, '/') + 1;
	return open_making(tree, copy);
}

int place_parent(const struct tree *tree, const char *path, const char **base)
{
	char copy[PATH_LIMIT];
	return parent_of(tree, path, copy, base);
}

int place_own(const struct tree *tree, const char *path, const char **base)
{
	char copy[PATH_LIMIT];
	OWNED_FD parent = parent_of(tree, path, copy, base);
	if (parent < 0)
		return -1;
	if (!tree_owns(tree, parent)) {
		errno = EXDEV;
		return -1;
	}
	return entry_dir(tree, parent, copy);
}

enum made { A_DIR, A_POINT, A_FILE_POINT };

static int make(const struct tree *tree, const char *path, enum made what, mode_t mode)
{
	int found = place_open(tree, path);
	if (found >= 0 || errno != ENOENT)
		return found;
	char copy[PATH_LIMIT];
	const char *base;
	OWNED_FD parent = parent_of(tree, path, copy, &base);
	if (parent < 0)
		return -1;
	OWNED_FD where = entry_dir(tree, parent, copy);
	if (where < 0)
		return -1;
	int made;
	if (what == A_FILE_POINT) {
		made = mknodat(where, base, S_IFREG | PLACEHOLDER_FILE, 0);
	} else {
		made = mkdirat(where, base, what == A_DIR ? mode : PLACEHOLDER_DIR);
	}
	if (made < 0 && errno != EEXIST)
		return -1;
	return open_child(parent, base);
}

int place_make(const struct tree *tree, const char *path, mode_t mode)
{
	return make(tree, path, A_DIR, mode);
}

int place_point(const struct tree *tree, const char *path, bool is_file)
{
	return make(tree, path, is_file ? A_FILE_POINT : A_POINT, 0);
}

void place_forget(const struct tree *tree, const char *path)
{
	struct stat found;
	OWNED_FD place = place_open(tree, path);
	if (place < 0 || fstat(place, &found) < 0 || !tree_owns(tree, place))
		return;
	bool is_dir = S_ISDIR(found.st_mode);
	if ((found.st_mode & 07777) != (is_dir ? PLACEHOLDER_DIR : PLACEHOLDER_FILE))
		return;
	const char *base;
	OWNED_FD parent = place_own(tree, path, &base);
	if (parent >= 0)
		unlinkat(parent, base, is_dir ? AT_REMOVEDIR : 0);
}
