/* Frames what comes on stdin as `entry` does: records of `<µs> <bytes>\n` and so many bytes each; framed lines on stdout. */
#include "../../runs/launcher/entry/entry.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    struct framer framer = {.stream = 'o'};
    struct buffer lines = {0};
    long long at = 0;
    size_t size;
    while (scanf("%lld %zu", &at, &size) == 2) {
        char *data = malloc(size + 1);
        if (!data || getchar() != '\n' || fread(data, 1, size, stdin) != size)
            return 1;
        frame(&framer, data, size, at, &lines);
        free(data);
    }
    frame_end(&framer, at, &lines);
    fwrite(lines.data ? lines.data : "", 1, lines.size, stdout);
    return 0;
}
