/* trace.h - a ring of the last TRACE_SIZE events of one worker, dumped when it panics.  PURE.
 * Thread: owning worker writes; the panic hook reads. */
#pragma once
#include "chi/base.h"

enum { TRACE_SIZE = 256 };
struct trace_entry {
    uint64_t now_ns;
    const char *what; /* static string */
    uint64_t a, b;
};
struct trace {
    uint64_t n; /* events so far */
    struct trace_entry e[TRACE_SIZE];
};
static inline void trace_put(struct trace *t, uint64_t now_ns, const char *what, uint64_t a, uint64_t b)
{
    struct trace_entry *e = &t->e[t->n++ % TRACE_SIZE];
    e->now_ns = now_ns;
    e->what = what;
    e->a = a;
    e->b = b;
}
