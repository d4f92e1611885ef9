/* The pod's tree of mounts, and places in it. No symlink is ever followed. */
#ifndef PODSH_TREE_H
#define PODSH_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#define OWN_TMPFS 64

struct tree {
	int root;     /* the skeleton's root, the pod's `/`; O_PATH */
	int writable; /* a detached clone of the skeleton that stays writable */
	int devpts;   /* the pod's devpts, or -1 */
	int proc;     /* a procfs of the pod's, which the pod need not see, or -1 */
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
/* Opens the parent of path for making *base in it, making missing parents (0755). It may lie in
 * a bind: see tree_owns. -1 with errno; ENOENT: missing in what is not ours. */
int place_parent(const struct tree *tree, const char *path, const char **base);
/* As place_open, made if missing: a directory of that mode, or an empty file. */
int place_make(const struct tree *tree, const char *path, bool is_file, mode_t mode);

#endif
