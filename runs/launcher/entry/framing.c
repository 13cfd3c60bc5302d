/* Lines out of bytes, as runs/executors/local/host/framing.py makes them: lines end with a newline, a carriage return starts a
 * line again, long ones are cut into pieces, and what is no UTF-8 is replaced. A framed line is `<µs> <stream> <text>`. */
#include "entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVERY 1000000 /* µs between lines of a progress bar that never ends its line */
#define REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the character at `text` if it is one; else 0, and `bad` is how many bytes the replacement stands for. */
static size_t character(const unsigned char *text, size_t size, size_t *bad) {
    unsigned char c = text[0], low = 0x80, high = 0xBF;
    size_t more = c >= 0xC2 && c <= 0xDF ? 1 : c >= 0xE0 && c <= 0xEF ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : 0;
    *bad = 1;
    if (!more)
        return 0;
    if (c == 0xE0)
        low = 0xA0;
    else if (c == 0xED)
        high = 0x9F;
    else if (c == 0xF0)
        low = 0x90;
    else if (c == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i <= more; i++) {
        if (i >= size || text[i] < low || text[i] > high)
            return 0;
        *bad = i + 1;
        low = 0x80, high = 0xBF;
    }
    return more + 1;
}

void clean(const char *text, size_t size, struct buffer *to) {
    const unsigned char *at = (const unsigned char *)text, *end = at + size;
    while (at < end) {
        const unsigned char *plain = at;
        while (at < end && *at && *at < 0x80)
            at++;
        put(to, plain, (size_t)(at - plain));
        if (at == end)
            return;
        size_t bad, whole = *at ? character(at, (size_t)(end - at), &bad) : (bad = 1, 0);
        if (whole)
            put(to, at, whole);
        else
            put_text(to, REPLACEMENT);
        at += whole ? whole : bad;
    }
}

/* The nearest place at or before `cut` where no character is cut in two. */
static size_t boundary(const char *text, size_t cut) {
    for (size_t back = 0; back < 4; back++)
        if (((unsigned char)text[cut - back] & 0xC0) != 0x80)
            return cut - back;
    return cut;
}

static size_t put_line(struct framer *framer, const char *text, size_t size, int64_t at, struct buffer *lines) {
    char head[40];
    size_t count = 0, piece;
    int length = snprintf(head, sizeof head, "%lld %c ", (long long)at, framer->stream);
    do {
        piece = size > PIECE ? boundary(text, PIECE) : size;
        put(lines, head, (size_t)length);
        put(lines, text, piece);
        put(lines, "\n", 1);
        text += piece, size -= piece, count++;
    } while (size);
    return count;
}

/* A line without its newline: what a terminal would show of it at its end. */
static size_t take(struct framer *framer, const char *text, size_t size, int64_t at, struct buffer *lines) {
    struct buffer cleaned = {0};
    size_t end = size, count;
    bool returned = memchr(text, '\r', size) != NULL;
    if (returned || framer->held.size) {
        size_t from = 0;
        for (;;) { /* the last part between returns that is not empty */
            from = end;
            while (from && text[from - 1] != '\r')
                from--;
            if (from < end || !from)
                break;
            end = from - 1;
        }
        if (from < end) {
            clean(text + from, end - from, &cleaned);
        } else {
            put(&cleaned, framer->held.data, framer->held.size);
        }
        framer->held.size = 0;
    } else {
        clean(text, size, &cleaned);
    }
    count = put_line(framer, cleaned.data, cleaned.size, at, lines);
    free(cleaned.data);
    return count;
}

/* A line that is written over and over: once a second what it shows. */
static size_t progress(struct framer *framer, int64_t at, struct buffer *lines) {
    struct buffer *left = &framer->rest;
    size_t last = left->size - 1; /* a return at the very end may belong to a newline */
    while (last && left->data[last - 1] != '\r')
        last--;
    if (last) {
        size_t end = last - 1, from;
        for (;;) {
            from = end;
            while (from && left->data[from - 1] != '\r')
                from--;
            if (from < end || !from)
                break;
            end = from - 1;
        }
        if (from < end) {
            framer->held.size = 0;
            clean(left->data + from, end - from, &framer->held);
            if (framer->held.size > PIECE)
                framer->held.size = PIECE;
        }
        cut_front(left, last);
    }
    if (!framer->held.size || at - framer->shown < EVERY)
        return 0;
    framer->shown = at;
    size_t count = put_line(framer, framer->held.data, framer->held.size, at, lines);
    framer->held.size = 0;
    return count;
}

size_t frame(struct framer *framer, const char *data, size_t size, int64_t at, struct buffer *lines) {
    struct buffer *left = &framer->rest;
    size_t count = 0, done = 0, before = left->size;
    put(left, data, size);
    for (;;) {
        /* what was left before has no newline in it */
        size_t look = done > before ? done : before;
        char *end = left->size > look ? memchr(left->data + look, '\n', left->size - look) : NULL;
        if (!end)
            break;
        size_t length = (size_t)(end - left->data) - done;
        count += take(framer, left->data + done, length, at, lines);
        done += length + 1;
    }
    if (done)
        cut_front(left, done);
    if (left->size && memchr(left->data, '\r', left->size))
        count += progress(framer, at, lines);
    while (left->size > PIECE) {
        struct buffer cleaned = {0};
        size_t cut = boundary(left->data, PIECE);
        clean(left->data, cut, &cleaned);
        count += put_line(framer, cleaned.data, cleaned.size, at, lines);
        free(cleaned.data);
        cut_front(left, cut);
    }
    return count;
}

size_t frame_end(struct framer *framer, int64_t at, struct buffer *lines) {
    size_t count = 0;
    if (framer->rest.size || framer->held.size)
        count = take(framer, framer->rest.data ? framer->rest.data : "", framer->rest.size, at, lines);
    framer->rest.size = 0;
    return count;
}
