/* trust.c - see trust.h. */
#include "trust.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sched.h"

static int judge(const char *path, bool last, bool may_stick, bool folder, char *err)
{
    struct stat st;
    if (lstat(path, &st)) {
        int rc = -errno;
        snprintf(err, SCHED_ERROR_BYTES, "%.60s: %.180s", strerror(-rc), path);
        return rc;
    }
    const char *why = NULL;
    if (last && !folder ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode))
        why = last && !folder ? "this is no file" : "this is no folder";
    else if (st.st_uid != 0 && st.st_uid != geteuid())
        why = "this belongs neither to root nor to the daemon's user (chown)";
    else if (st.st_mode & (S_IWGRP | S_IWOTH) && !(may_stick && st.st_mode & S_ISVTX))
        why = "others may write to this (chmod go-w)";
    if (why)
        snprintf(err, SCHED_ERROR_BYTES, "%s: %.180s", why, path);
    return why ? -EPERM : 0;
}

int trust_path(const char *real, bool folder, char *err)
{
    char part[PATH_MAX];
    size_t n = strlen(real);
    CHI_ASSERT(real[0] == '/' && n < sizeof part);
    const char *own = folder ? real + n : strrchr(real, '/'); /* where the last folder's name ends: it takes no sticky bit */
    int rc = judge("/", n == 1, n != 1 && own != real, folder, err);
    for (size_t i = 1; i < n && !rc; i++) {
        if (real[i + 1] != '/' && real[i + 1])
            continue;
        memcpy(part, real, i + 1);
        part[i + 1] = 0;
        rc = judge(part, i + 1 == n, real + i + 1 < own, folder, err);
    }
    return rc;
}
