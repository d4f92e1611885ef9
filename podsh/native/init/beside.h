#ifndef PODSH_BESIDE_H
#define PODSH_BESIDE_H

/* `beside CONTROL_FD OPTION… -- PROGRAM ARGUMENT…`: runs a program beside a pod, in namespaces of
 * its own. Does not return. See podsh/monitor/beside.py. */
_Noreturn void beside(int control, char **options);

#endif
