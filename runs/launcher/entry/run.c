/* Runs the command as a session of its own and passes its output on, to the log and to the container's own. */
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
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ (256 * 1024)          /* bytes read at once */
#define MOST_PASSED (1 << 20)      /* bytes that wait for whoever reads the container's output */
#define LONGEST_ARGUMENT (128 << 10) /* of the kernel: MAX_ARG_STRLEN, with the NUL */
#define DRAIN 2000000              /* µs that may be spent on what the command left in its pipes */

extern char **environ;

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

/* --- the command --- */

static void set_variables(const struct plan *plan) {
    for (size_t i = 0; i < plan->set.count; i++)
        if (strchr(plan->set.at[i], '='))
            putenv(plan->set.at[i]);
    for (size_t i = 0; i < plan->append.count; i++) {
        char *name = strdup(plan->append.at[i]), *value = name ? strchr(name, '=') : NULL;
        if (!value)
            continue;
        *value++ = 0;
        const char *before = getenv(name);
        struct buffer joined = {0};
        if (before && *before) {
            put_text(&joined, before);
            put_text(&joined, ":");
        }
        put(&joined, value, strlen(value) + 1);
        setenv(name, joined.data, 1);
        free(joined.data);
        free(name);
    }
}

/* Users that an image's maker did not think of have `/` for a home, where they may write nothing. */
static void give_home(void) {
    const char *home = getenv("HOME");
    if ((home && *home && strcmp(home, "/")) || access("/", W_OK) == 0 || access("/.cache", W_OK) == 0)
        return;
    home = in_volume("home");
    if (mkdir(home, 0700) == 0 || errno == EEXIST)
        setenv("HOME", home, 1);
}

static bool is_program(const char *path) {
    char head[4] = "";
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool found = file >= 0 && read(file, head, sizeof head) == sizeof head && !memcmp(head, "\177ELF", sizeof head);
    if (file >= 0)
        close(file);
    return found;
}

/* Returns with errno: ENOEXEC for a program of another machine, ELIBACC for one that is there without what runs it. */
static void execute(const char *path, char **argv) {
    execve(path, argv, environ);
    if (errno == ENOENT && access(path, F_OK) == 0) {
        errno = ELIBACC;
    } else if (errno == ENOEXEC && is_program(path)) {
        errno = ENOEXEC;
    } else if (errno == ENOEXEC) { /* a script that does not say whose */
        size_t count = 0;
        while (argv[count])
            count++;
        char **shell = calloc(count + 2, sizeof *shell);
        if (!shell)
            return;
        shell[0] = "/bin/sh", shell[1] = (char *)path;
        memcpy(shell + 2, argv + 1, count * sizeof *shell);
        execve("/bin/sh", shell, environ);
        if (errno == ENOENT)
            errno = ELIBACC;
    }
}

/* As execvp, by the PATH that the command will have; returns the error. */
static int start(char **argv) {
    const char *path = getenv("PATH");
    int error = ENOENT;
    char full[4096];
    if (strchr(argv[0], '/')) {
        execute(argv[0], argv);
        return errno;
    }
    for (const char *at = path && *path ? path : "/usr/local/bin:/usr/bin:/bin"; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
        int length = (int)strcspn(at, ":");
        if (snprintf(full, sizeof full, "%.*s/%s", length ? length : 1, length ? at : ".", argv[0]) >= (int)sizeof full)
            continue;
        execute(full, argv);
        if (errno != ENOENT && errno != ENOTDIR)
            error = errno;
        if (errno == E2BIG || errno == ENOMEM || errno == ENOEXEC)
            return errno;
    }
    return error;
}

/* A sentence may hold a name cut in the middle of a character, or a whole script: the note and the log take one line of UTF-8. */
static void make_one_line(char *text, size_t room) {
    struct buffer cleaned = {0};
    clean(text, strlen(text), &cleaned);
    size_t size = cleaned.size < room ? cleaned.size : room - 1;
    while (size && size < cleaned.size && ((unsigned char)cleaned.data[size] & 0xC0) == 0x80)
        size--;
    memcpy(text, cleaned.data, size);
    text[size] = 0;
    for (; *text; text++)
        if (*text == '\n' || *text == '\r')
            *text = ' ';
    free(cleaned.data);
}

static void explain(const struct plan *plan, int error, struct end *end) {
    const char *program = plan->argv.at[0];
    end->code = 126;
    for (size_t i = 0; error == E2BIG && i < plan->argv.count; i++)
        if (strlen(plan->argv.at[i]) >= LONGEST_ARGUMENT) {
            snprintf(end->error, sizeof end->error,
                     "argument %zu of the command has %zu bytes; the kernel takes at most %d in one. Hand it over as an artifact.", i,
                     strlen(plan->argv.at[i]), LONGEST_ARGUMENT - 1);
            return;
        }
    if (error == E2BIG) {
        snprintf(end->error, sizeof end->error,
                 "the arguments and variables have more bytes together than the kernel takes. Hand the large ones over as artifacts.");
    } else if (error == ENOENT || error == ENOTDIR) {
        end->code = 127, end->not_found = true;
        snprintf(end->error, sizeof end->error, "the command %.200s was not found in the image", program);
    } else if (error == EACCES) {
        snprintf(end->error, sizeof end->error, "the command %.200s may not be executed in the image (permission denied)", program);
    } else if (error == ELIBACC) {
        snprintf(end->error, sizeof end->error,
                 "the command %.200s is in the image, but not what runs it: the interpreter that its first line names, /bin/sh, or "
                 "its program loader",
                 program);
    } else if (error == ENOEXEC) {
        struct utsname machine = {0};
        uname(&machine);
        snprintf(end->error, sizeof end->error, "the command %.200s was made for another kind of machine than this one (%.20s)",
                 program, machine.machine);
    } else {
        snprintf(end->error, sizeof end->error, "the command %.200s could not be started: %s", program, strerror(error));
    }
}

static pid_t spawn(const struct plan *plan, struct end *end) {
    int out[2], err[2], failed[2], error = 0;
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || pipe2(failed, O_CLOEXEC)) {
        explain(plan, errno, end);
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        int nothing = open("/dev/null", O_RDONLY);
        setsid();
        dup2(nothing, 0), dup2(out[1], 1), dup2(err[1], 2);
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &caught, NULL);
        give_home();
        set_variables(plan);
        error = start(plan->argv.at);
        if (write(failed[1], &error, sizeof error) < 0)
            _exit(125);
        _exit(126);
    }
    error = child < 0 ? errno : 0;
    close(out[1]), close(err[1]), close(failed[1]);
    if (child > 0 && read(failed[0], &error, sizeof error) == sizeof error)
        waitpid(child, NULL, 0);
    close(failed[0]);
    if (error) {
        close(out[0]), close(err[0]);
        explain(plan, error, end);
        return -1;
    }
    streams[0].from = out[0], streams[1].from = err[0];
    for (int i = 0; i < 2; i++)
        fcntl(streams[i].from, F_SETFL, O_NONBLOCK);
    return child;
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

static void finish(struct stream *stream) {
    struct buffer lines = {0};
    int64_t until = ticks() + DRAIN;
    while (stream->from >= 0 && take(stream) && ticks() < until)
        ;
    if (stream->from >= 0)
        close(stream->from); /* a child holds the other end open: nobody waits for it */
    stream->from = -1;
    size_t count = frame_end(&stream->framer, now(), &lines);
    if (count)
        log_lines(lines.data, lines.size, (int64_t)count);
    free(lines.data);
    for (until = ticks() + 500000; stream->passed.size && ticks() < until; rest(5000))
        pass(stream);
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
    pid_t child = spawn(plan, end);
    if (child < 0) {
        end->finished = now();
        make_one_line(end->error, sizeof end->error);
        log_own(end->error);
        fprintf(stderr, "kfdash: %s\n", end->error);
        return;
    }
    watch(plan, child, end, &status);
    end->finished = now();
    kill(-child, SIGKILL); /* what it left behind in its session's group */
    for (int i = 0; i < 2; i++)
        finish(&streams[i]);
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
