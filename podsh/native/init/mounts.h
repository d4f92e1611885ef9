/* Carries a plan out in the staging tree, and later orders in the live one. */
#ifndef PODSH_MOUNTS_H
#define PODSH_MOUNTS_H

#include "plan.h"
#include "tree.h"

struct mounts {
	unsigned count;
	int *fds; /* detached mounts; -1 once attached */
};

/* Does one operation. -1 after fail(). */
int carry_out(struct tree *tree, const struct op *op, struct mounts *mounts);
/* pivot_root into the staging tree, the old root gone, `/` read-only. */
int seal(struct tree *tree);

/* Attaches a detached mount; the mount point is made if it is missing. */
int attach(const struct tree *tree, int mount_fd, const char *path, bool is_file);
int detach(const struct tree *tree, const char *path);
/* A link in the skeleton, sealed or not; one that is there already with that target is as good. */
int make_link(const struct tree *tree, const char *path, const char *target);
/* mount_setattr(2) of the topmost mount at path; EINVAL where path is not a mount's root. */
int set_attributes(const struct tree *tree, const char *path, uint64_t set, uint64_t clear,
                   bool recursive);
/* A fresh procfs that is attached nowhere. */
int new_proc(void);
/* Mounts it at path; what in it is the machine's is read-only or masked. */
int mount_proc(struct tree *tree, const char *path);

#endif
