#ifndef PODSH_KAGE_H
#define PODSH_KAGE_H

/* The program by its other name, inside a pod: asks the pod's monitor. Gives the exit code. */
int kage(int argc, char **argv);

#endif
