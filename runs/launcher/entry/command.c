/* Starts the command as a session of its own, with the variables that it is to have, or says why it cannot be started. */
#include "entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONGEST_ARGUMENT (128 << 10) /* of the kernel: MAX_ARG_STRLEN, with the NUL */

extern char **environ;

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
void make_one_line(char *text, size_t room) {
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

/* Names the argument or the variable that is longer than the kernel takes; false where none is alone. */
static bool explain_long(const struct plan *plan, struct end *end) {
    for (size_t i = 0; i < plan->argv.count; i++)
        if (strlen(plan->argv.at[i]) >= LONGEST_ARGUMENT) {
            snprintf(end->error, sizeof end->error,
                     "argument %zu of the command has %zu bytes; the kernel takes at most %d in one. Hand it over as an artifact.", i,
                     strlen(plan->argv.at[i]), LONGEST_ARGUMENT - 1);
            return true;
        }
    set_variables(plan); /* as the command would have had them */
    for (char **at = environ; *at; at++)
        if (strlen(*at) >= LONGEST_ARGUMENT) {
            int name = (int)strcspn(*at, "=");
            snprintf(end->error, sizeof end->error,
                     "the variable %.*s has %zu bytes with its name; the kernel takes at most %d in one. Hand it over as an artifact.",
                     name < 200 ? name : 200, *at, strlen(*at), LONGEST_ARGUMENT - 1);
            return true;
        }
    return false;
}

static void explain(const struct plan *plan, int error, struct end *end) {
    const char *program = plan->argv.at[0];
    end->code = 126;
    if (error == E2BIG) {
        if (!explain_long(plan, end))
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

pid_t spawn(const struct plan *plan, const sigset_t *caught, int from[2], struct end *end) {
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
        sigprocmask(SIG_UNBLOCK, caught, NULL);
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
    from[0] = out[0], from[1] = err[0];
    for (int i = 0; i < 2; i++)
        fcntl(from[i], F_SETFL, O_NONBLOCK);
    return child;
}
