/* A pod's output on its way into files. A process of its own, which goes on until the last writer
 * is gone, so that nothing is lost with the monitor: what is in a pipe is read to its end. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "util.h"

#define STREAMS 2
/* A line that is longer comes in parts, and so does one that is not ended for so long. */
#define LINE_BYTES 65536
#define PATIENCE_MS 1000

struct stream {
	int in;   /* -1: at its end */
	int onto; /* where else it goes, at once and as it comes; -1: nowhere */
	size_t used;
	char line[LINE_BYTES];
};

/* Where lines go. */
struct sink {
	int fd; /* -1: there is none */
	/* of one that begins anew when it is full, as `log`, the one before it as `log.1` */
	int directory;
	unsigned long long limit, size;
	unsigned long long lost; /* bytes that found no room */
};

static void open_anew(struct sink *sink)
{
	const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
	sink->fd = openat(sink->directory, "log", flags, 0600);
	sink->size = 0;
}

static bool write_whole(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t written = write(fd, data, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		data += written;
		length -= (size_t)written;
	}
	return true;
}

/* A full disk loses lines, and says so when there is room again; the pod goes on. */
static void put(struct sink *sink, const char *data, size_t length)
{
	if (sink->fd < 0)
		return;
	if (sink->lost) {
		char note[64];
		int used = snprintf(note, sizeof note, "[podsh: %llu bytes were lost here]\n",
		                    sink->lost);
		if (!write_whole(sink->fd, note, (size_t)used)) {
			sink->lost += length;
			return;
		}
		sink->lost = 0;
	}
	if (!write_whole(sink->fd, data, length)) {
		sink->lost += length;
		return;
	}
	sink->size += length;
	if (sink->limit && sink->size >= sink->limit) {
		close(sink->fd);
		renameat(sink->directory, "log", sink->directory, "log.1");
		open_anew(sink);
	}
}

static void put_lines(struct stream *stream, struct sink *sinks, size_t length)
{
	if (!length)
		return;
	for (unsigned i = 0; i < 2; i++)
		put(&sinks[i], stream->line, length);
	stream->used -= length;
	memmove(stream->line, stream->line + length, stream->used);
}

static void take(struct stream *stream, struct sink *sinks)
{
	char *from = stream->line + stream->used;
	ssize_t got = read(stream->in, from, LINE_BYTES - stream->used);
	if (got < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (got <= 0) {
		put_lines(stream, sinks, stream->used);
		close(take_fd(&stream->in));
		if (stream->onto >= 0)
			close(take_fd(&stream->onto));
		return;
	}
	const bool passed = stream->onto < 0 || write_whole(stream->onto, from, (size_t)got);
	stream->used += (size_t)got;
	const char *end = memrchr(stream->line, '\n', stream->used);
	put_lines(stream, sinks, end                           ? (size_t)(end + 1 - stream->line)
	                         : stream->used == LINE_BYTES ? stream->used
	                                                      : 0);
	if (!passed) {
		/* its reader is gone, which the program learns as it would without us: SIGPIPE */
		put_lines(stream, sinks, stream->used);
		close(take_fd(&stream->in));
		close(take_fd(&stream->onto));
	}
}

static int number_of(const char *text)
{
	char *end;
	errno = 0;
	long number = strtol(text, &end, 10);
	if (errno || end == text || *end || number < -1 || number > 1 << 30)
		die_malformed("log");
	return (int)number;
}

/* podsh-init log LIMIT DIRECTORY FILE IN ONTO [IN ONTO]: numbers of descriptors (-1: none).
 * Lines are added to FILE, and to the file `log` in DIRECTORY, which has at most LIMIT bytes. */
void keep_log(int argc, char **argv)
{
	static struct stream streams[STREAMS];
	struct sink sinks[2] = {{.fd = -1, .directory = -1}, {.directory = -1}};
	const int count = (argc - 5) / 2;
	if (argc < 7 || count > STREAMS || (argc - 5) % 2)
		die_malformed("log");
	prctl(PR_SET_DUMPABLE, 0);
	/* it ends when the pod's programs have, and not before */
	for (int number = SIGHUP; number <= SIGTERM; number++)
		signal(number, SIG_IGN);
	setsid();
	sinks[0].limit = (unsigned long long)number_of(argv[2]);
	sinks[0].directory = number_of(argv[3]);
	if (sinks[0].directory >= 0)
		open_anew(&sinks[0]);
	sinks[1].fd = number_of(argv[4]);
	for (int i = 0; i < count; i++) {
		streams[i].in = number_of(argv[5 + 2 * i]);
		streams[i].onto = number_of(argv[6 + 2 * i]);
	}
	for (;;) {
		struct pollfd polled[STREAMS];
		bool open = false, begun = false;
		for (int i = 0; i < count; i++) {
			polled[i] = (struct pollfd){.fd = streams[i].in, .events = POLLIN};
			open |= streams[i].in >= 0;
			begun |= streams[i].used > 0;
		}
		if (!open)
			_exit(0);
		int ready = poll(polled, (nfds_t)count, begun ? PATIENCE_MS : -1);
		for (int i = 0; i < count; i++) {
			if (ready > 0 && polled[i].revents)
				take(&streams[i], sinks);
			else if (ready == 0)
				put_lines(&streams[i], sinks, streams[i].used);
		}
	}
}
