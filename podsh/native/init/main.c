/* podsh-init: the one program of podsh that makes namespaces. See podsh/jail/orders.py.
 * By its other name, kage, what a pod has of podsh. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "beside.h"
#include "check.h"
#include "enter.h"
#include "jail.h"
#include "kage.h"
#include "log.h"

static int fd_of(const char *text)
{
	char *end;
	errno = 0;
	long number = strtol(text, &end, 10);
	return errno || end == text || *end || number < 0 || number > 1 << 20 ? -1 : (int)number;
}

int main(int argc, char **argv)
{
	if (!strcmp(program_invocation_short_name, "kage"))
		return kage(argc, argv);
	if (argc >= 5 && !strcmp(argv[1], "enter") && !strcmp(argv[3], "--") && fd_of(argv[2]) > 2)
		enter(fd_of(argv[2]), argv + 4);
	if (argc == 3 && !strcmp(argv[1], "jail") && fd_of(argv[2]) >= 0)
		jail(fd_of(argv[2]), argv);
	if (argc >= 2 && !strcmp(argv[1], "log"))
		keep_log(argc, argv);
	if (argc >= 5 && !strcmp(argv[1], "beside") && fd_of(argv[2]) >= 0)
		beside(fd_of(argv[2]), argv + 3);
#ifdef PODSH_CHECKS
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check(argv[2]);
#endif
	fputs("podsh-init: part of podsh, not to be run by hand\n"
	      "usage: podsh-init enter TEMPLATE_FD -- PROGRAM ARGUMENT...\n"
	      "       podsh-init jail CONTROL_FD\n"
	      "       podsh-init log LIMIT DIRECTORY FILE IN ONTO [IN ONTO]\n"
	      "       podsh-init beside CONTROL_FD OPTION... -- PROGRAM ARGUMENT...\n",
	      stderr);
	return 2;
}
