#ifndef PODSH_PID1_H
#define PODSH_PID1_H

#include <stddef.h>

/* PID 1 of the pod, in its new namespaces with its ids mapped: builds, then serves. */
_Noreturn void pid1(int control, unsigned char *plan, size_t plan_bytes, unsigned mount_count);

#endif
