/* Bytes: what the monitor sends and what it is answered. One SEQPACKET datagram is one message:
 * u32 kind, u32 id, payload; little-endian. podsh/jail/orders.py has the other end. */
#ifndef PODSH_WIRE_H
#define PODSH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MESSAGE_BYTES 8192
#define REPLY_BYTES 4608 /* a path, and what is around it */
#define MESSAGE_FDS 253  /* net/scm.h SCM_MAX_FD */
#define FILE_BYTES (16u << 20)

enum order {
	LAUNCH = 1,
	FDS,
	BUILD,
	RUN,
	SIGNAL,
	ATTACH,
	HOSTNAME,
	DETACH_MOUNT,
	PREPARE,
	LINK,
	SETATTR,
	PARK,
};

enum reply {
	ACK = 64,
	FAILED,
	READY,
	STARTED,
	EXITED,
	LISTENER,
};

/* Reading: every take_* of a cursor that has gone bad gives 0, "" or NULL. */
struct cursor {
	const unsigned char *at, *end;
	bool bad;
};
uint32_t take_u32(struct cursor *from);
uint64_t take_u64(struct cursor *from);
const unsigned char *take_bytes(struct cursor *from, size_t length);
/* u32 length, bytes, NUL; the pointer is into the message. At most limit bytes without the NUL. */
const char *take_str(struct cursor *from, size_t limit);
/* u32 count, strs of at most 128 KiB; a NULL-terminated array to be freed, or NULL. */
const char **take_strv(struct cursor *from);
/* Whether all was read, and nothing bad. */
bool taken_whole(const struct cursor *from);

struct message {
	uint32_t kind, id;
	struct cursor payload;
	bool fds_lost; /* RLIMIT_NOFILE was reached: EMFILE is the answer */
	unsigned fd_count;
	int fds[MESSAGE_FDS]; /* -1 once taken */
	unsigned char bytes[MESSAGE_BYTES];
};
/* 1: a message; 0: the monitor is gone. Dies of what is malformed. */
int receive(int control, struct message *message);
/* Takes descriptor number index out of the message; dies if it was not sent. */
int message_fd(struct message *message, unsigned index);
/* Closes the descriptors that nobody took. */
void message_close(struct message *message);

/* The whole of a memfd, at most FILE_BYTES; to be freed. NULL after fail(). */
unsigned char *read_file(int fd, size_t *length);

/* Writing. */
struct reply_buffer {
	size_t used;
	unsigned char bytes[REPLY_BYTES];
};
void put_header(struct reply_buffer *to, uint32_t kind, uint32_t id);
void put_u64(struct reply_buffer *to, uint64_t value);
void put_str(struct reply_buffer *to, const char *text);
/* FAILED with what `failure` holds. */
void put_failure(struct reply_buffer *to, uint32_t id);
/* fd < 0: none. pid: named as the sender, or 0 for the caller itself. -1, errno: not sent. */
int try_reply(int control, const struct reply_buffer *reply, int fd, pid_t pid);
/* Several descriptors, in the name of the caller itself. -1, errno: not sent. */
int try_reply_fds(int control, const struct reply_buffer *reply, const int *fds, unsigned count);
/* As try_reply; exits if nobody is there, dies of what else is wrong. */
void send_reply(int control, const struct reply_buffer *reply, int fd, pid_t pid);
void send_ack(int control, uint32_t id);
void send_failure(int control, uint32_t id);

#endif
