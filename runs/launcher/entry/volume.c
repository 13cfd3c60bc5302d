/* The folder that launcher and entry share, and small things that all parts need. */
#include "entry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SILENCE 120     /* seconds without a sign of life from the launcher */
#define LOOK_ANYWAY 100 /* ms, where the system tells of what appears: some sandboxes only pretend to */
#define LOOK_ALONE 2    /* ms, where it does not */

static char folder[1024] = "/kfdash";

void put(struct buffer *to, const void *data, size_t size) {
    if (to->size + size > to->room) {
        to->room = (to->size + size) * 2;
        to->data = realloc(to->data, to->room);
        if (!to->data)
            die(125, "kfdash: there is no memory left for the step's output.");
    }
    if (size)
        memcpy(to->data + to->size, data, size);
    to->size += size;
}

void put_text(struct buffer *to, const char *text) { put(to, text, strlen(text)); }

void cut_front(struct buffer *from, size_t size) {
    memmove(from->data, from->data + size, from->size - size);
    from->size -= size;
}

void add_text(struct texts *to, char *text) {
    to->at = realloc(to->at, (to->count + 2) * sizeof *to->at);
    if (!to->at)
        die(125, "kfdash: there is no memory left to start the step.");
    to->at[to->count++] = text;
    to->at[to->count] = NULL;
}

static int64_t clock_of(clockid_t id) {
    struct timespec at;
    clock_gettime(id, &at);
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

int64_t now(void) { return clock_of(CLOCK_REALTIME); }

int64_t ticks(void) { return clock_of(CLOCK_MONOTONIC); }

void rest(int64_t micros) {
    struct timespec time = {micros / 1000000, (micros % 1000000) * 1000};
    nanosleep(&time, NULL);
}

void die(int code, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(code);
}

void open_volume(void) {
    const char *named = getenv("KFDASH_VOLUME");
    if (named && *named == '/' && strlen(named) < sizeof folder - 64)
        strcpy(folder, named);
}

const char *in_volume(const char *name) {
    static char paths[4][1200];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

bool there(const char *name) { return access(in_volume(name), F_OK) == 0; }

char *read_whole(const char *name, size_t *size) {
    int file = open(in_volume(name), O_RDONLY | O_CLOEXEC);
    struct stat is;
    if (file < 0)
        return NULL;
    char *data = fstat(file, &is) == 0 ? malloc((size_t)is.st_size + 1) : NULL;
    *size = 0;
    while (data && *size < (size_t)is.st_size) {
        ssize_t got = read(file, data + *size, (size_t)is.st_size - *size);
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    close(file);
    if (data)
        data[*size] = 0;
    return data;
}

static bool write_all(int file, const char *data, size_t size) {
    while (size) {
        ssize_t done = write(file, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data += done;
        size -= (size_t)done;
    }
    return true;
}

bool write_whole(const char *name, const char *data, size_t size) {
    char beside[1300];
    snprintf(beside, sizeof beside, "%s.new", in_volume(name));
    int file = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return false;
    bool done = write_all(file, data, size);
    return close(file) == 0 && done && rename(beside, in_volume(name)) == 0;
}

void await_news(void) {
    static int news = -1;
    char told[4096];
    if (news < 0 && (news = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0) {
        if (inotify_add_watch(news, in_volume("step"), IN_MOVED_TO | IN_CLOSE_WRITE) >= 0)
            return; /* what came before it was watched is looked for once more */
        close(news);
        news = -1;
    }
    struct pollfd looked = {news, POLLIN, 0};
    poll(&looked, 1, news < 0 ? LOOK_ALONE : LOOK_ANYWAY);
    while (news >= 0 && read(news, told, sizeof told) > 0)
        ;
}

void hold(const char *name) {
    int file = open(in_volume(name), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0)
        return; /* the launcher is then ended by the kubelet */
    fchmod(file, 0666);
    flock(file, LOCK_EX | LOCK_NB);
}

bool launcher_lives(int64_t since) {
    struct stat is;
    if (stat(in_volume("step/alive"), &is) == 0)
        return now() / 1000000 - is.st_mtime < SILENCE || ticks() - since < (int64_t)SILENCE * 1000000;
    return ticks() - since < (int64_t)SILENCE * 1000000;
}

void install(const char *target) {
    static const char *names[] = {"step", "log", "out"};
    char beside[1200], path[1200], block[65536];
    ssize_t got;
    umask(0);
    snprintf(path, sizeof path, "%s", target);
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            die(1, "kfdash: %s must be at least two folders deep.", target);
        *slash = 0;
        if (up == 0)
            make_folders(path);
    }
    snprintf(beside, sizeof beside, "%s.new", target);
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int to = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (from < 0 || to < 0)
        die(1, "kfdash: %s cannot be written: %s", target, strerror(errno));
    while ((got = read(from, block, sizeof block)) > 0)
        if (!write_all(to, block, (size_t)got))
            die(1, "kfdash: %s cannot be written: %s", target, strerror(errno));
    if (close(to) != 0 || rename(beside, target) != 0) /* one that runs stays as it is */
        die(1, "kfdash: %s cannot be written: %s", target, strerror(errno));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char made[1300];
        snprintf(made, sizeof made, "%s/%s", path, names[i]);
        make_folders(made);
    }
}
