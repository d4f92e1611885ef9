#ifndef PODSH_INNER_H
#define PODSH_INNER_H

#include <stdint.h>

#include "tree.h"

/* Makes the user namespace of programs that keep capabilities: tree->inner. namespaces: those of
 * CLONE_NEW* that it owns, and that we join in place of ours. */
int make_inner(struct tree *tree, uint64_t namespaces);

#endif
