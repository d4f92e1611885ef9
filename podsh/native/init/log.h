#ifndef PODSH_LOG_H
#define PODSH_LOG_H

/* Copies what programs write into files until none of them can write any more; see log.c. */
_Noreturn void keep_log(int argc, char **argv);

#endif
