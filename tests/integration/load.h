/* load.h - what the tests of ports and peers have in common: a client that keeps tasks under way all the while, and waits for
 * what chictl shows. */
#pragma once
#include <pthread.h>

#include "harness.h"

#define LOAD __attribute__((unused)) static

LOAD const struct chi_query there = {CHI_QUERY_PHYSICAL, 0, 2};

/* --- a client that sends pings to node 2 without end, OUT at once, and checks each */

enum { OUT = 16 };
static struct {
    pthread_t thread;
    const struct node *node;
    uint64_t ended; /* atomic */
    uint64_t wrong; /* atomic: tasks with another status than OK, or another value */
    uint32_t status; /* atomic: of the last of them */
    bool stop;      /* atomic */
} load;

LOAD void *load_run(void *arg)
{
    struct chi_client *c = arg;
    struct echo_ping t[OUT] = {0};
    uint64_t next = 1, sent[OUT], out = 0;
    for (bool stop = false; !stop || out;) {
        stop = __atomic_load_n(&load.stop, __ATOMIC_RELAXED);
        for (unsigned i = 0; i < OUT; i++) {
            if (t[i].task.status == CHI_STATUS_PENDING)
                continue;
            if (t[i].task.method) {
                if (t[i].task.status != CHI_STATUS_OK || t[i].value != sent[i]) {
                    __atomic_store_n(&load.status, t[i].task.status, __ATOMIC_RELAXED);
                    __atomic_fetch_add(&load.wrong, 1, __ATOMIC_RELAXED);
                }
                __atomic_fetch_add(&load.ended, 1, __ATOMIC_RELAXED);
                out--;
                t[i].task.method = NULL;
            }
            if (stop)
                continue;
            sent[i] = next++;
            t[i] = ping_to(there, sent[i]);
            t[i].task.timeout_us = 60000000;
            out += chi_submit(c, &t[i].task) == CHI_STATUS_PENDING;
        }
        for (unsigned i = 0; i < OUT; i++)
            if (t[i].task.status == CHI_STATUS_PENDING) { /* not in a spin: the daemons need the cores */
                chi_wait(c, &t[i].task, 1000000);
                break;
            }
    }
    chi_disconnect(c);
    return NULL;
}

LOAD void load_start(const struct node *n)
{
    memset(&load, 0, sizeof load);
    load.node = n;
    assert_int_equal(pthread_create(&load.thread, NULL, load_run, node_connect(n)), 0);
}

LOAD bool load_moved(void *from) { return __atomic_load_n(&load.ended, __ATOMIC_RELAXED) > *(uint64_t *)from + 10 * OUT; }
LOAD void load_goes_on(const char *when)
{
    uint64_t from = __atomic_load_n(&load.ended, __ATOMIC_RELAXED);
    until(load_moved, &from, when);
}

/* Each task that was sent ended well, and node 2 ran each once. */
LOAD void load_stop(void)
{
    __atomic_store_n(&load.stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(load.thread, NULL), 0);
    if (load.wrong)
        fail_msg("%llu of %llu tasks went wrong, the last with %s", (unsigned long long)load.wrong, (unsigned long long)load.ended,
                 chi_status_name((enum chi_status)load.status));
}

LOAD uint64_t tasks_run(const struct node *n)
{
    json_t *s = node_call(n, "stats");
    uint64_t v = (uint64_t)json_integer_value(json_object_get(json_object_get(s, "workers"), "tasks_run"));
    json_decref(s);
    return v;
}

/* --- chictl */

struct link_wait {
    const struct node *node;
    const char *port, *link;
};
LOAD bool has_link(void *arg)
{
    const struct link_wait *w = arg;
    json_t *list = node_call(w->node, "port.list"), *p;
    bool holds = false;
    size_t i;
    json_array_foreach (list, i, p)
        if (strcmp(json_string_value(json_object_get(p, "name")), w->port) == 0)
            holds = strcmp(json_string_value(json_object_get(p, "link")), w->link) == 0;
    json_decref(list);
    return holds;
}
LOAD void expect_link(const struct node *n, const char *port, const char *link)
{
    struct link_wait w = {n, port, link};
    until(has_link, &w, link);
}

/* In port.list: why the link is down; NULL: nothing is said. */
struct why_wait {
    const struct node *node;
    const char *port, *says;
};
LOAD bool has_why(void *arg)
{
    const struct why_wait *w = arg;
    json_t *list = node_call(w->node, "port.list"), *p;
    bool holds = false;
    size_t i;
    json_array_foreach (list, i, p)
        if (strcmp(json_string_value(json_object_get(p, "name")), w->port) == 0) {
            const char *why = json_string_value(json_object_get(p, "why_down"));
            holds = w->says ? why && strstr(why, w->says) : !why;
        }
    json_decref(list);
    return holds;
}
LOAD void expect_why(const struct node *n, const char *port, const char *says)
{
    struct why_wait w = {n, port, says};
    until(has_why, &w, says ? says : "nothing to say of its link");
}
