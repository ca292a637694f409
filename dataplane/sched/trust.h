/* trust.h - inside sched: which files a daemon takes code from. */
#pragma once
#include "chi/base.h"

/* The file that a path without symbolic links names can be changed by root and the user of this process alone: it is a regular file, it and each folder
 * above it are theirs, and neither group nor others may write there; but a folder above its own one may have the sticky bit instead, like /tmp, in
 * which nobody replaces what is another's.  `folder`: the same of a folder in place of the file.
 * Top down, so that what was looked at stays as it was, and dlopen of the same path finds what was judged: no file is held open for that, and the path
 * stays the one that a debugger, a backtrace and $ORIGIN know.
 * 0; -EPERM, -errno of lstat: err, of SCHED_ERROR_BYTES, says what, then of which name.  Control thread. */
CHI_MUST_CHECK int trust_path(const char *real, bool folder, char *err);
