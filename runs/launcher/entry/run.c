/* Runs the command and passes its output on, to the log and to the container's own. */
#include "entry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ (256 * 1024)          /* bytes read at once */
#define MOST_PASSED (1 << 20)      /* bytes that wait for whoever reads the container's output */
#define DRAIN 2000000              /* µs that may be spent on what the command left in its pipes */
#define LINGER 100                 /* ms until a pipe without news counts as held open: those who were just killed let go of it */

static int signals = -1;
static bool asked;
static sigset_t caught;

static struct stream {
    int from, to;
    struct framer framer;
    struct buffer passed; /* what the container's output has not taken yet */
} streams[2] = {{-1, 1, {.stream = 'o'}, {0}}, {-1, 2, {.stream = 'e'}, {0}}};

void catch_signals(void) {
    sigemptyset(&caught);
    sigaddset(&caught, SIGTERM);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGCHLD);
    sigprocmask(SIG_BLOCK, &caught, NULL);
    signal(SIGPIPE, SIG_IGN);
    signals = signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

bool asked_to_end(void) {
    struct signalfd_siginfo told;
    while (read(signals, &told, sizeof told) == sizeof told)
        asked |= told.ssi_signo != SIGCHLD;
    return asked;
}

/* --- its output --- */

/* Hands on what waits; nobody who does not read it may stop the step. */
static void pass(struct stream *stream) {
    while (stream->passed.size) {
        ssize_t done = write(stream->to, stream->passed.data, stream->passed.size);
        if (done > 0)
            cut_front(&stream->passed, (size_t)done);
        else if (done < 0 && errno == EINTR)
            continue;
        else if (done < 0 && errno == EAGAIN)
            return;
        else
            stream->passed.size = 0;
    }
}

/* Reads once; whether there may be more. */
static bool take(struct stream *stream) {
    static char block[READ];
    struct buffer lines = {0};
    ssize_t got = read(stream->from, block, sizeof block);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        close(stream->from);
        stream->from = -1;
        return false;
    }
    size_t count = frame(&stream->framer, block, (size_t)got, now(), &lines);
    if (count)
        log_lines(lines.data, lines.size, (int64_t)count);
    free(lines.data);
    if (stream->passed.size + (size_t)got <= MOST_PASSED)
        put(&stream->passed, block, (size_t)got);
    pass(stream);
    return true;
}

/* Takes what is left; whether that was all. A process that holds the other end open is not waited for. */
static bool drain(struct stream *stream) {
    int64_t until = ticks() + DRAIN;
    while (stream->from >= 0 && ticks() < until) {
        struct pollfd left = {stream->from, POLLIN, 0};
        if (!take(stream) && stream->from >= 0 && poll(&left, 1, LINGER) == 0)
            break;
    }
    bool all = stream->from < 0;
    if (!all)
        close(stream->from);
    stream->from = -1;
    return all;
}

/* Whether the stream was read to its end. */
static bool finish(struct stream *stream) {
    struct buffer lines = {0};
    bool all = drain(stream);
    int64_t until;
    size_t count = frame_end(&stream->framer, now(), &lines);
    if (count)
        log_lines(lines.data, lines.size, (int64_t)count);
    free(lines.data);
    for (until = ticks() + 500000; stream->passed.size && ticks() < until; rest(5000))
        pass(stream);
    return all;
}

/* --- its end --- */

static int64_t number_in(const char *path) {
    char text[32] = "";
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    return got > 0 ? strtoll(text, NULL, 10) : 0;
}

static int64_t peak_memory(void) {
    struct rusage used;
    int64_t own = getrusage(RUSAGE_CHILDREN, &used) == 0 ? (int64_t)used.ru_maxrss * 1024 : 0;
    if (getpid() != 1) /* not alone in a container: the group's figures are others' too */
        return own;
    int64_t group = number_in("/sys/fs/cgroup/memory.peak");
    if (!group)
        group = number_in("/sys/fs/cgroup/memory/memory.max_usage_in_bytes");
    return group > own ? group : own;
}

/* Reaps whoever has ended; whether the command is among them. */
static bool reap(pid_t child, int *status) {
    bool found = false;
    int one;
    for (pid_t pid; (pid = waitpid(-1, &one, WNOHANG)) > 0;)
        if (pid == child) {
            *status = one;
            found = true;
        }
    return found;
}

/* Asks the command to end where it must, and ends it where it does not; `kill_at` is 0 until it was asked. */
static void hasten(const struct plan *plan, pid_t child, int64_t limit, int64_t *kill_at, struct end *end) {
    int64_t at = ticks();
    bool asked_now = asked_to_end() && !*kill_at;
    if (asked_now || (!*kill_at && limit && at >= limit)) {
        end->terminated = asked_now;
        end->timed_out = !asked_now;
        kill(-child, SIGTERM);
        *kill_at = at + (int64_t)(plan->grace * 1e6); /* the pod has more: there must be time for the note */
    } else if (*kill_at && at >= *kill_at) {
        kill(-child, SIGKILL);
        *kill_at = at + 1000000;
    }
}

static void watch(const struct plan *plan, pid_t child, struct end *end, int *status) {
    int64_t limit = plan->limit > 0 ? ticks() + (int64_t)(plan->limit * 1e6) : 0, kill_at = 0;
    for (;;) {
        hasten(plan, child, limit, &kill_at, end);
        if (reap(child, status)) /* after the signals were read: one that comes later wakes the poll */
            return;
        struct pollfd looked[3] = {{signals, POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}};
        bool waits = log_waits();
        int64_t at = ticks(), due = kill_at ? kill_at : limit;
        for (int i = 0; i < 2; i++)
            looked[i + 1].fd = waits ? -1 : streams[i].from;
        bool unpassed = streams[0].passed.size || streams[1].passed.size;
        int64_t patience = waits || unpassed ? 20000 : 1000000;
        if (due && due - at < patience)
            patience = due > at ? due - at : 0;
        poll(looked, 3, (int)((patience + 999) / 1000));
        for (int i = 0; i < 2; i++) {
            if (looked[i + 1].revents)
                take(&streams[i]);
            pass(&streams[i]);
        }
    }
}

void run(const struct plan *plan, struct end *end) {
    int status = 0;
    if (!plan->argv.count) {
        snprintf(end->error, sizeof end->error, "the step has no command");
        end->code = 126, end->finished = now();
        return;
    }
    for (int i = 0; i < 2; i++)
        fcntl(streams[i].to, F_SETFL, fcntl(streams[i].to, F_GETFL) | O_NONBLOCK);
    end->began = now();
    int from[2];
    pid_t child = spawn(plan, &caught, from, end);
    if (child < 0) {
        end->finished = now();
        make_one_line(end->error, sizeof end->error);
        log_own(end->error);
        fprintf(stderr, "kfdash: %s\n", end->error);
        return;
    }
    streams[0].from = from[0], streams[1].from = from[1];
    watch(plan, child, end, &status);
    end->finished = now();
    kill(-child, SIGKILL); /* what it left behind in its session's group */
    bool all = finish(&streams[0]);
    if (!finish(&streams[1]) || !all)
        log_own("The step has ended, but a process that it left behind holds its output open: what that prints from here on is not kept.");
    reap(-1, &status);
    end->peak = peak_memory();
    end->terminated |= asked && !end->timed_out;
    if (WIFSIGNALED(status)) {
        end->signal = WTERMSIG(status);
        end->code = 128 + end->signal;
    } else {
        end->exit_code = end->code = WEXITSTATUS(status);
    }
}
