/* Folders and copies, with the rights of the step's user. Nothing here follows a link out of a tree. */
#include "entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEPEST 200 /* folders within folders */

bool make_folders(const char *path) {
    char made[PATH_MAX];
    struct stat is;
    if (strlen(path) >= sizeof made)
        return false;
    strcpy(made, path);
    for (char *at = made + 1;; at++) {
        if (*at && *at != '/')
            continue;
        char was = *at;
        *at = 0;
        if (mkdir(made, 0777) == 0)
            chmod(made, 0777); /* whatever the umask says: launcher and step are different users */
        *at = was;
        if (!was)
            break;
    }
    return stat(made, &is) == 0 && S_ISDIR(is.st_mode);
}

static bool fails(char *why, size_t room, const char *path) {
    snprintf(why, room, "%s (%.200s)", strerror(errno), path);
    return false;
}

static bool copy_file(const char *from, const char *to, mode_t mode, char *why, size_t room) {
    static char block[256 * 1024];
    int source = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK), target;
    ssize_t got = 0;
    if (source < 0)
        return fails(why, room, from);
    target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (target < 0) {
        close(source);
        return fails(why, room, to);
    }
    fchmod(target, 0666 | (mode & 0111));
    while ((got = read(source, block, sizeof block)) > 0) {
        for (ssize_t done = 0, some; done < got; done += some)
            if ((some = write(target, block + done, (size_t)(got - done))) <= 0) {
                close(source), close(target);
                return fails(why, room, to);
            }
    }
    close(source);
    if (close(target) != 0 || got < 0)
        return fails(why, room, got < 0 ? from : to);
    return true;
}

/* `top` is where the tree begins, as the file system has it: links within a tree are followed as far as they stay below. */
static bool copy_below(const char *from, const char *to, const char *top, int depth, char *why, size_t room) {
    struct stat is;
    char real[PATH_MAX];
    if (lstat(from, &is) != 0)
        return fails(why, room, from);
    if (S_ISLNK(is.st_mode)) {
        size_t length = strlen(top);
        bool within = !depth || (realpath(from, real) && !strncmp(real, top, length) && real[length] == '/');
        if (!within || stat(from, &is) != 0 || (depth && !S_ISREG(is.st_mode)))
            return true; /* leads elsewhere, or nowhere: left out */
    }
    if (S_ISREG(is.st_mode))
        return copy_file(from, to, is.st_mode, why, room);
    if (!S_ISDIR(is.st_mode))
        return true;
    if (depth > DEEPEST)
        return errno = ELOOP, fails(why, room, from);
    make_folders(to);
    DIR *folder = opendir(from);
    if (!folder)
        return fails(why, room, from);
    bool done = true;
    for (struct dirent *entry; done && (entry = readdir(folder));) {
        char source[PATH_MAX], target[PATH_MAX];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (snprintf(source, sizeof source, "%s/%s", from, entry->d_name) >= (int)sizeof source ||
            snprintf(target, sizeof target, "%s/%s", to, entry->d_name) >= (int)sizeof target) {
            errno = ENAMETOOLONG;
            done = fails(why, room, from);
            break;
        }
        done = copy_below(source, target, top, depth + 1, why, room);
    }
    closedir(folder);
    return done;
}

bool copy_tree(const char *from, const char *to, char *why, size_t room) {
    char top[PATH_MAX], parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", to);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent) {
        *slash = 0;
        make_folders(parent);
    }
    if (!realpath(from, top))
        return fails(why, room, from);
    return copy_below(from, to, top, 0, why, room);
}

static void walk(const char *path, int depth) {
    struct stat is;
    if (lstat(path, &is) != 0 || depth > DEEPEST)
        return;
    if (!S_ISLNK(is.st_mode))
        chmod(path, is.st_mode | (S_ISDIR(is.st_mode) || is.st_mode & 0100 ? 0555 : 0444));
    if (S_ISDIR(is.st_mode)) {
        DIR *folder = opendir(path);
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            char inside[PATH_MAX];
            if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
                snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name) < (int)sizeof inside)
                walk(inside, depth + 1);
        }
        if (folder)
            closedir(folder);
    }
}

void make_readable(const char *path) { walk(path, 0); }
