/* `kage`, for programs of a pod: one request to the pod's monitor, one answer, the end.
 * podsh/monitor/kage.py has the other end.
 *
 * A request is one datagram: a letter of what is asked, '-' or 'w' for writing, '-' or 'p' for the
 * parent, and paths, each with its NUL. An answer: '0' (done), '1' (not allowed) or '2' (failed),
 * which is the exit code; what goes to stdout; a NUL; what goes to stderr. */
#include "kage.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

#define REQUEST_BYTES (3 + 2 * PATH_LIMIT)
#define ANSWER_BYTES 65536

#define FAILED 2

static const char usage[] =
	"usage: kage shim -a PATH [-w]            ask for PATH, as if it had been opened\n"
	"       kage shim -l DIR                  list a directory of the host (unconfined pods)\n"
	"       kage mount -s SRC -d DST [-w] [-p]\n"
	"                                         show SRC at DST too (unconfined pods)\n"
	"       kage info                         the domain that this pod is in\n"
	"       kage help                         this text\n"
	"  -a, --access PATH       -l, --list DIR\n"
	"  -s, --source SRC        -d, --destination DST\n"
	"  -w, --write             for writing too\n"
	"  -p, --parent            SRC is a path of the host, not of the pod\n"
	"exit code: 0 done or allowed, 1 not allowed, 2 anything else\n";

struct request {
	size_t used;
	char bytes[REQUEST_BYTES];
};

static __attribute__((format(printf, 1, 2))) int failed(const char *format, ...)
{
	va_list values;
	va_start(values, format);
	fputs("kage: ", stderr);
	vfprintf(stderr, format, values);
	fputc('\n', stderr);
	va_end(values);
	return FAILED;
}

static int misused(const char *why)
{
	return failed("%s; see: kage help", why);
}

static void begin(struct request *request, char what, bool write, bool parent)
{
	request->bytes[0] = what;
	request->bytes[1] = write ? 'w' : '-';
	request->bytes[2] = parent ? 'p' : '-';
	request->used = 3;
}

/* Adds a path, made absolute; what it leads to is for the monitor to find out. 0, or FAILED. */
static int add_path(struct request *request, const char *path)
{
	char here[PATH_LIMIT];
	const char *between = "";
	here[0] = '\0';
	if (!path[0])
		return failed("an empty path");
	if (path[0] != '/') {
		/* "(unreachable)…" where the directory is not below the root */
		if (!getcwd(here, sizeof here) || here[0] != '/')
			return failed("the current directory: %s", strerror(errno ? errno : ENOENT));
		between = here[1] ? "/" : "";
	}
	char *at = request->bytes + request->used;
	int length = snprintf(at, PATH_LIMIT, "%s%s%s", here, between, path);
	if (length < 0 || length >= PATH_LIMIT)
		return failed("%s", strerror(ENAMETOOLONG));
	request->used += (size_t)length + 1;
	return 0;
}

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = PODSH_KAGE_SOCKET};
#ifdef PODSH_CHECKS
	/* the tests' own server */
	const char *other = getenv("PODSH_KAGE_SOCKET");
	if (other)
		snprintf(address.sun_path, sizeof address.sun_path, "%s", other);
#endif
	OWNED_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	int done;
	do
		done = connect(fd, (struct sockaddr *)&address, sizeof address);
	while (done < 0 && errno == EINTR);
	return done < 0 ? -1 : take_fd(&fd);
}

/* Prints what was answered; the exit code. */
static int tell(const char *answer, size_t length)
{
	const char *end = length ? memchr(answer, 0, length) : NULL;
	if (!end || answer[0] < '0' || answer[0] > '2')
		return failed("the monitor's answer makes no sense");
	size_t out = (size_t)(end - answer) - 1;
	size_t err = length - out - 2;
	if (out && (fwrite(answer + 1, 1, out, stdout) != out || putchar('\n') < 0))
		return failed("stdout: %s", strerror(errno));
	if (fflush(stdout) < 0)
		return failed("stdout: %s", strerror(errno));
	if (err)
		fprintf(stderr, "kage: %.*s\n", (int)err, end + 1);
	return answer[0] - '0';
}

static int ask(const struct request *request)
{
	static char answer[ANSWER_BYTES];
	OWNED_FD fd = dial();
	if (fd < 0)
		return failed("no monitor answers, is this a pod? %s: %s", PODSH_KAGE_SOCKET,
		              strerror(errno));
	ssize_t got;
	do
		got = send(fd, request->bytes, request->used, MSG_NOSIGNAL);
	while (got < 0 && errno == EINTR);
	/* refused before it was read: why is in the answer */
	if (got < 0 && errno != EPIPE && errno != ECONNRESET)
		return failed("send: %s", strerror(errno));
	do
		got = recv(fd, answer, sizeof answer, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno != ECONNRESET)
		return failed("recv: %s", strerror(errno));
	if (got <= 0)
		return failed("the monitor refused to answer");
	return tell(answer, (size_t)got);
}

struct options {
	const char *access, *list, *source, *destination;
	bool write, parent, help;
};

/* False: said why. */
static bool parse(int argc, char **argv, const char *short_names, const struct option *names,
                  struct options *found)
{
	int letter;
	while ((letter = getopt_long(argc, argv, short_names, names, NULL)) >= 0) {
		switch (letter) {
		case 'a':
			found->access = optarg;
			break;
		case 'l':
			found->list = optarg;
			break;
		case 's':
			found->source = optarg;
			break;
		case 'd':
			found->destination = optarg;
			break;
		case 'w':
			found->write = true;
			break;
		case 'p':
			found->parent = true;
			break;
		case 'h':
			found->help = true;
			break;
		default:
			return false; /* getopt has said it */
		}
	}
	if (optind < argc) {
		misused("too many words");
		return false;
	}
	return true;
}

static int help(void)
{
	return fputs(usage, stdout) < 0 || fflush(stdout) < 0 ? FAILED : 0;
}

static int shim(int argc, char **argv)
{
	static const struct option names[] = {
		{"access", required_argument, NULL, 'a'},
		{"list", required_argument, NULL, 'l'},
		{"write", no_argument, NULL, 'w'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options given = {0};
	struct request request;
	if (!parse(argc, argv, "a:l:wh", names, &given))
		return FAILED;
	if (given.help)
		return help();
	if (!given.access == !given.list)
		return misused("shim takes either --access PATH or --list DIR");
	if (given.list && given.write)
		return misused("--write goes with --access");
	begin(&request, given.access ? 'a' : 'l', given.write, false);
	int bad = add_path(&request, given.access ? given.access : given.list);
	return bad ? bad : ask(&request);
}

static int mount(int argc, char **argv)
{
	static const struct option names[] = {
		{"source", required_argument, NULL, 's'},
		{"destination", required_argument, NULL, 'd'},
		{"write", no_argument, NULL, 'w'},
		{"parent", no_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options given = {0};
	struct request request;
	if (!parse(argc, argv, "s:d:wph", names, &given))
		return FAILED;
	if (given.help)
		return help();
	if (!given.source || !given.destination)
		return misused("mount takes --source SRC and --destination DST");
	begin(&request, 'm', given.write, given.parent);
	if (add_path(&request, given.source) || add_path(&request, given.destination))
		return FAILED;
	return ask(&request);
}

static int info(int argc)
{
	struct request request;
	if (argc > 1)
		return misused("info takes nothing");
	begin(&request, 'i', false, false);
	return ask(&request);
}

int kage(int argc, char **argv)
{
	static char name[] = "kage";
	if (argc < 2)
		return misused("a command is missing");
	const char *command = argv[1];
	/* getopt speaks by the name of the first word */
	argv[1] = name;
	if (!strcmp(command, "shim"))
		return shim(argc - 1, argv + 1);
	if (!strcmp(command, "mount"))
		return mount(argc - 1, argv + 1);
	if (!strcmp(command, "info"))
		return info(argc - 1);
	if (!strcmp(command, "help") || !strcmp(command, "--help") || !strcmp(command, "-h"))
		return help();
	return misused("no such command");
}
