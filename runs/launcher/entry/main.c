/* Waits for the plan, runs the command, leaves a note on its end, copies what lies outside the shared folders, and ends with
 * the command's code once the outputs are collected.
 *
 *   entry                       in the step's container; KFDASH_VOLUME names the shared folder, /kfdash without it
 *   entry --install TARGET      in the launcher: puts itself there, and makes the folders beside it
 */
#include "entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COLLECTING 3600000000LL /* µs that a launcher may take for the outputs */

enum { TIMED_OUT = 124, FAILED = 125 };

static char *await_plan(size_t *size) {
    int64_t since = ticks();
    for (;;) {
        char *plan = read_whole("step/plan", size);
        if (plan)
            return plan;
        char *refused = read_whole("step/refused", size);
        if (refused)
            die(FAILED, "%.*s", (int)*size, refused);
        if (asked_to_end())
            exit(128 + 15);
        if (!launcher_lives(since))
            die(FAILED, "kfdash: the launcher beside this step does not answer; the step was not started.");
        await_news();
    }
}

static void prepare(const struct plan *plan) {
    for (size_t i = 0; i < plan->folders.count; i++)
        make_folders(plan->folders.at[i]); /* one that cannot be made is noticed by the step, where it matters */
}

static void put_json(struct buffer *to, const char *text) {
    put_text(to, "\"");
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        char escaped[8];
        if (*c == '"' || *c == '\\' || *c < 0x20)
            snprintf(escaped, sizeof escaped, "\\u%04x", *c);
        else
            snprintf(escaped, sizeof escaped, "%c", *c);
        put_text(to, escaped);
    }
    put_text(to, "\"");
}

static void leave_note(const struct end *end) {
    struct buffer note = {0};
    char text[400], code[16] = "null", signal[16] = "null";
    if (end->exit_code >= 0)
        snprintf(code, sizeof code, "%d", end->exit_code);
    if (end->signal >= 0)
        snprintf(signal, sizeof signal, "%d", end->signal);
    snprintf(text, sizeof text,
             "{\"exitCode\":%s,\"signal\":%s,\"running\":%lld,\"finished\":%lld,\"peakMemory\":%lld,\"timedOut\":%s,"
             "\"terminated\":%s,\"notFound\":%s,\"lines\":%lld,\"error\":",
             code, signal, (long long)end->began, (long long)end->finished, (long long)end->peak,
             end->timed_out ? "true" : "false", end->terminated ? "true" : "false", end->not_found ? "true" : "false",
             (long long)lines_logged());
    put_text(&note, text);
    put_json(&note, end->error);
    put_text(&note, "}");
    int64_t since = ticks();
    while (!write_whole("step/ended", note.data, note.size)) { /* the disk is full: there may be room in a moment */
        if (asked_to_end() || !launcher_lives(since))
            die(FAILED, "kfdash: how the step ended could not be written down.");
        rest(200000);
    }
    free(note.data);
}

static void copy_out(char *data, size_t size) {
    struct plan pairs = {0};
    struct buffer answer = {0};
    char why[300];
    bool first = true;
    read_plan(&pairs, data, size);
    put_text(&answer, "{\"errors\":{");
    for (size_t i = 0; i < pairs.from.count && i < pairs.to.count; i++) {
        struct stat there;
        if (stat(pairs.from.at[i], &there) != 0)
            continue; /* what was not written is registered without a file */
        if (copy_tree(pairs.from.at[i], pairs.to.at[i], why, sizeof why)) {
            make_readable(pairs.to.at[i]);
            continue;
        }
        put_text(&answer, first ? "" : ",");
        put_json(&answer, pairs.from.at[i]);
        put_text(&answer, ":");
        put_json(&answer, why);
        first = false;
    }
    put_text(&answer, "}}");
    write_whole("step/copied", answer.data, answer.size);
    free(answer.data);
}

static void await_collecting(void) {
    int64_t since = ticks();
    while (!there("step/collected") && ticks() - since < COLLECTING && launcher_lives(since)) {
        size_t size;
        char *pairs = there("step/copied") ? NULL : read_whole("step/copyout", &size);
        if (pairs)
            copy_out(pairs, size);
        free(pairs);
        await_news();
    }
}

int main(int count, char **words) {
    if (count == 3 && strcmp(words[1], "--install") == 0) {
        install(words[2]);
        return 0;
    }
    struct plan plan = {.grace = 30, .log_bytes = 200LL << 20, .log_lines = 2000000};
    struct end end = {.exit_code = -1, .signal = -1};
    size_t size;
    open_volume();
    catch_signals();
    char *text = await_plan(&size);
    if (there("step/ended")) /* this container was started again: what it did is done */
        die(FAILED, "kfdash: the step has run already.");
    read_plan(&plan, text, size);
    hold("step/held");
    write_whole("step/begun", "", 0); /* until then this container may not be there at all: an image, a secret may be missing */
    prepare(&plan);
    open_log(plan.log_bytes, plan.log_lines);
    run(&plan, &end);
    close_log();
    for (size_t i = 0; i < plan.readable.count; i++)
        make_readable(plan.readable.at[i]);
    leave_note(&end);
    await_collecting();
    return end.timed_out ? TIMED_OUT : end.code;
}
