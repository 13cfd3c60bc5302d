/* `entry`: the program under which a step's command runs in its pod. See main.c; runs/launcher/__init__.py has the folder
 * that it shares with the launcher. Linux, any libc, linked statically: the user's image may have nothing. */
#ifndef ENTRY_H
#define ENTRY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PIECE (64 * 1024) /* bytes; a line that is longer is cut into pieces of this */

/* Bytes that grow. */
struct buffer {
    char *data;
    size_t size, room;
};
void put(struct buffer *to, const void *data, size_t size);
void put_text(struct buffer *to, const char *text);
void cut_front(struct buffer *from, size_t size);

/* Texts in order. */
struct texts {
    char **at; /* ended by NULL */
    size_t count;
};
void add_text(struct texts *to, char *text);

int64_t now(void);     /* Unix time, µs */
int64_t ticks(void);   /* a clock that nobody sets, µs */
void rest(int64_t micros);
void die(int code, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));

/* volume.c: the shared folder */
void open_volume(void);
const char *in_volume(const char *name);            /* a path; good until the next call but three */
bool there(const char *name);
char *read_whole(const char *name, size_t *size);   /* NULL where it is not there */
bool write_whole(const char *name, const char *data, size_t size);
void await_news(void);                              /* until something appears in `step`, or a moment */
void hold(const char *name);                        /* locks a file until this process is gone */
bool launcher_lives(int64_t since);                 /* `since`: when we began to wait, ticks() */
void install(const char *target);

/* plan.c */
struct plan {
    struct texts argv, set, append, folders, from, to, readable;
    double limit, grace; /* seconds; no limit is 0 */
    int64_t log_bytes, log_lines;
};
void read_plan(struct plan *plan, char *data, size_t size);

/* framing.c: one stream of output becomes lines of the log */
struct framer {
    char stream;
    struct buffer rest, held;
    int64_t shown;
};
size_t frame(struct framer *framer, const char *data, size_t size, int64_t at, struct buffer *lines);
void clean(const char *text, size_t size, struct buffer *to); /* UTF-8 without NUL: what is not is replaced */
size_t frame_end(struct framer *framer, int64_t at, struct buffer *lines);

/* log.c: the log's segments */
void open_log(int64_t most_bytes, int64_t most_lines);
void log_lines(const char *lines, size_t size, int64_t count);
void log_own(const char *text);
void close_log(void);
int64_t lines_logged(void);
bool log_waits(void); /* too much lies there that has not been sent */

/* files.c */
bool make_folders(const char *path);
bool copy_tree(const char *from, const char *to, char *why, size_t room);
void make_readable(const char *path);

/* How a command ended. */
struct end {
    int exit_code, signal; /* -1 for none */
    int64_t began, finished, peak;
    bool timed_out, terminated, not_found;
    int code; /* of entry itself */
    char error[600];
};

/* command.c */
pid_t spawn(const struct plan *plan, const sigset_t *caught, int from[2], struct end *end); /* -1, and end->error */
void make_one_line(char *text, size_t room);

/* run.c */
void catch_signals(void);
bool asked_to_end(void);
void run(const struct plan *plan, struct end *end);

#endif
