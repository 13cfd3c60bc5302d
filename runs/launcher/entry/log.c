/* The log's segments, as runs/logstore.py has them. Nothing here ends the step: what finds no room waits, or is counted as lost. */
#include "entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT (1 << 20)       /* bytes */
#define MOST_WAITING (1 << 20)  /* bytes of lines that wait for room on the disk */
#define MOST_UNSENT (32 << 20)  /* bytes that may lie there and not be sent */
#define LOOK_EVERY 100000       /* µs, */
#define LOOK_AFTER (4 << 20)    /* or bytes */

static int file = -1;
static off_t size_of_file;
static int64_t lines, bytes, most_bytes, most_lines, dropped, looked_at, looked_after, began;
static bool full, unsent;
static struct buffer waiting;
static int64_t waiting_lines;
static int why;

void open_log(int64_t in_bytes, int64_t in_lines) {
    most_bytes = in_bytes, most_lines = in_lines, began = ticks();
}

int64_t lines_logged(void) { return lines; }

static bool append(const char *data, size_t size) {
    if (file < 0 || size_of_file >= SEGMENT) {
        char name[64];
        if (file >= 0)
            close(file);
        snprintf(name, sizeof name, "log/%012" PRId64 ".log", lines + 1);
        file = open(in_volume(name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        size_of_file = 0;
        if (file < 0) {
            why = errno;
            return false;
        }
    }
    for (size_t done = 0; done < size;) {
        ssize_t some = write(file, data + done, size - done);
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0) { /* no half of a line may stay */
            why = errno;
            if (ftruncate(file, size_of_file) != 0)
                why = errno;
            return false;
        }
        done += (size_t)some;
    }
    size_of_file += (off_t)size;
    return true;
}

static size_t own_line(char *to, size_t room, const char *text) {
    return (size_t)snprintf(to, room, "%" PRId64 " k %s\n", now(), text);
}

/* Writes what waits, the line that tells of what is lost, and `data`. */
static void store(const char *data, size_t size, int64_t count) {
    struct buffer all = {0};
    char missing[200], text[160];
    int64_t extra = 0;
    put(&all, waiting.data, waiting.size);
    if (dropped) {
        snprintf(text, sizeof text, "%" PRId64 " lines are missing here: they could not be stored (%s).", dropped, strerror(why));
        put(&all, missing, own_line(missing, sizeof missing, text));
        extra = 1;
    }
    put(&all, data, size);
    if (all.size && append(all.data, all.size)) {
        lines += waiting_lines + extra + count;
        bytes += (int64_t)all.size;
        waiting.size = 0, waiting_lines = 0, dropped = 0;
    } else if (dropped || waiting.size + size > MOST_WAITING) {
        dropped += count;
    } else {
        put(&waiting, data, size);
        waiting_lines += count;
    }
    free(all.data);
}

/* As much as there is room for, and the line that says why the log ends. */
static void store_last(const char *data, int64_t room, int64_t may) {
    struct buffer last = {0};
    char line[300], text[200];
    int64_t count = 0;
    const char *at = data;
    while (count < may) {
        const char *end = memchr(at, '\n', (size_t)(room - (at - data) > 0 ? room - (at - data) : 0));
        if (!end)
            break;
        at = end + 1, count++;
    }
    put(&last, data, (size_t)(at - data));
    snprintf(text, sizeof text,
             "The log's limit is reached (%" PRId64 " lines or %" PRId64 " MiB). "
             "The step goes on; what it prints from here on is not kept.",
             most_lines, most_bytes >> 20);
    put(&last, line, own_line(line, sizeof line, text));
    full = true;
    store(last.data, last.size, count + 1);
    free(last.data);
}

void log_lines(const char *data, size_t size, int64_t count) {
    if (full && !waiting.size && !dropped)
        return;
    if (full) {
        store("", 0, 0);
        return;
    }
    int64_t room = most_bytes - bytes - (int64_t)waiting.size, may = most_lines - lines - waiting_lines;
    if ((int64_t)size > room || count > may)
        store_last(data, room < (int64_t)size ? room : (int64_t)size, may);
    else
        store(data, size, count);
}

void log_own(const char *text) {
    char line[1000];
    size_t size = own_line(line, sizeof line, text);
    log_lines(line, size < sizeof line ? size : sizeof line - 1, 1);
}

void close_log(void) {
    for (int i = 0; i < 10 && (waiting.size || dropped); i++) { /* once more where there may be room now */
        store("", 0, 0);
        if (waiting.size || dropped)
            rest(200000);
    }
    if (file >= 0)
        close(file);
    file = -1;
}

bool log_waits(void) {
    if (ticks() - looked_at < LOOK_EVERY && bytes - looked_after < LOOK_AFTER)
        return unsent;
    looked_at = ticks(), looked_after = bytes;
    if (bytes < MOST_UNSENT || !launcher_lives(began)) /* without a launcher the log's own limit holds */
        return unsent = false;
    int64_t there = 0;
    DIR *folder = opendir(in_volume("log"));
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat is;
        if (fstatat(dirfd(folder), entry->d_name, &is, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(is.st_mode))
            there += is.st_size;
    }
    if (folder)
        closedir(folder);
    return unsent = there > MOST_UNSENT;
}
