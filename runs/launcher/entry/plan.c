/* The launcher's records: a letter and a text each, ended by NUL. */
#include "entry.h"

#include <stdlib.h>
#include <string.h>

void read_plan(struct plan *plan, char *data, size_t size) {
    char *end = data + size;
    while (data < end) {
        char *text = data + 1;
        switch (*data) {
        case 'A': add_text(&plan->argv, text); break;
        case 'E': add_text(&plan->set, text); break;
        case 'P': add_text(&plan->append, text); break;
        case 'D': add_text(&plan->folders, text); break;
        case 'F': add_text(&plan->from, text); break;
        case 'T': add_text(&plan->to, text); break;
        case 'R': add_text(&plan->readable, text); break;
        case 'L': plan->limit = strtod(text, NULL); break;
        case 'G': plan->grace = strtod(text, NULL); break;
        case 'B': plan->log_bytes = strtoll(text, NULL, 10); break;
        case 'N': plan->log_lines = strtoll(text, NULL, 10); break;
        default: break; /* a newer launcher's */
        }
        data += strlen(data) + 1;
    }
}
