/* loops ROUNDS [FILTER]: loads the program in FILTER, then prints ns of one getpid, read, open+close. */
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec at;
	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

int main(int argc, char **argv)
{
	static struct sock_filter code[4096];
	long rounds = argc > 1 ? atol(argv[1]) : 100000;
	if (argc > 2) {
		int fd = open(argv[2], O_RDONLY);
		ssize_t size = read(fd, code, sizeof code);
		struct sock_fprog program = {.len = (unsigned short)(size / 8), .filter = code};
		if (size <= 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    syscall(SYS_seccomp, 1, 0, &program) < 0)
			return 1;
		close(fd);
	}
	int zero = open("/dev/zero", O_RDONLY);
	char byte;
	double begin = now();
	for (long i = 0; i < rounds; i++)
		syscall(SYS_getpid);
	double pid = now();
	for (long i = 0; i < rounds; i++)
		if (read(zero, &byte, 1) != 1)
			return 1;
	double got = now();
	for (long i = 0; i < rounds; i++)
		close(open("/dev/zero", O_RDONLY));
	double opened = now();
	printf("%.1f %.1f %.1f\n", (pid - begin) / (double)rounds, (got - pid) / (double)rounds,
	       (opened - got) / (double)rounds);
	return 0;
}
