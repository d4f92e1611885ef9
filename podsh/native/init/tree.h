/* The pod's tree of mounts, and places in it. No symlink is ever followed. */
#ifndef PODSH_TREE_H
#define PODSH_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#define OWN_TMPFS 64
/* What the skeleton holds only to mount on or as a parent of that. It cannot be read: a program
 * that comes there is refused, so that it asks, and is not shown a directory with holes. */
#define PLACEHOLDER_DIR 0111
#define PLACEHOLDER_FILE 0

struct tree {
	int root;     /* the skeleton's root, the pod's `/`; O_PATH */
	int writable; /* a detached clone of the skeleton that stays writable */
	int devpts;   /* the pod's devpts, or -1 */
	int proc;     /* a procfs of the pod's, which the pod need not see, or -1 */
	int listener; /* of the socket that the plan makes, until the monitor has it; or -1 */
	int inner;    /* the user namespace of programs with capabilities, or -1: they have none */
	bool sealed;  /* `/` is read-only */
	/* Filesystems that the plan made, the skeleton first: where mount points may be created. */
	unsigned own_count;
	dev_t own[OWN_TMPFS];
};

/* Notes the filesystem of fd as the pod's own. */
int tree_own(struct tree *tree, int fd);
bool tree_owns(const struct tree *tree, int fd);

/* Opens path (O_PATH). -1 with errno, nothing noted. */
int place_open(const struct tree *tree, const char *path);
/* Opens the parent of path for making *base in it, making missing parents
 * (PLACEHOLDER_DIR). It may lie in a bind: see tree_owns. -1 with errno; ENOENT: missing in what is
 * not ours. */
int place_parent(const struct tree *tree, const char *path, const char **base);
/* The same in what is the pod's own alone, `/` also when it is sealed; EXDEV: it lies elsewhere. */
int place_own(const struct tree *tree, const char *path, const char **base);
/* As place_open, made if missing: a directory of that mode. */
int place_make(const struct tree *tree, const char *path, mode_t mode);
/* As place_open; what is missing is made as something to mount on. */
int place_point(const struct tree *tree, const char *path, bool is_file);
/* Takes a placeholder at path away again, unless something is in it or mounted on it. */
void place_forget(const struct tree *tree, const char *path);

#endif
