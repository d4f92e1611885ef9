#ifndef PODSH_CHECK_H
#define PODSH_CHECK_H

/* Only where built with PODSH_CHECKS: parses inputs from a file, does nothing with them. */
int check(const char *path);

#endif
