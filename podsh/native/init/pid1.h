#ifndef PODSH_PID1_H
#define PODSH_PID1_H

/* PID 1 of the pod, in its new namespaces with its ids mapped: builds, then serves. */
_Noreturn void pid1(int control);

#endif
