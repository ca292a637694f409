/* forward.c - the threads that forward.  Each turns one direction, or both; the control thread gives settings through a
 * mailbox for each direction. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "net/net.h"
#include "net/raw.h"
#include "wire.h"

enum {
    IDLE_SPIN_NS = 30000, /* after the last packet: from here the thread sleeps */
    IDLE_SLEEP_MIN_NS = 50000,
    IDLE_SLEEP_MAX_NS = 6400000, /* how late the first packet after a long pause may be seen */
    IDLE_WAKE_NS = 60000,        /* how much before a packet is due the sleep ends: waking up takes a while */
    MAILBOX_NS = 50000,
    FRAME_EXTRA_BYTES = 1536, /* what a packet needs beyond its MTU: headers, head room, the rounding of drivers */
    PAGE_BYTES = 4096,        /* DPDK begins a packet in a page of its own where two do not fit into one */
};
#define MEMORY_EXTRA_BYTES (UINT64_C(64) << 20)

struct direction {
    struct raw_link *link;
    struct impair_settings next; /* the control thread's until posted, the forwarding thread's until not */
    _Atomic bool posted;
};

struct thread {
    pthread_t id;
    struct forward *f;
    unsigned first, count; /* which directions */
    int core, rc;
    bool running;
    sem_t started;
};

struct forward {
    const struct options *o;
    bool eal, busy;
    _Atomic bool stop;
    struct raw *port[IMPAIR_SIDES];
    struct direction direction[IMPAIR_SIDES];
    struct thread thread[IMPAIR_SIDES];
    struct impair_settings set[IMPAIR_SIDES]; /* the control thread's */
};

static void settings_take(struct direction *d)
{
    raw_link_set_st(d->link, &d->next);
    atomic_store_explicit(&d->posted, false, memory_order_release); /* pairs with forward_set */
}

/* Sleeps when there has been nothing to do for a while, and not beyond the release of a packet. */
static void idle(const struct thread *t, uint64_t now_ns, uint64_t since_ns, uint64_t *sleep_ns)
{
    if (now_ns - since_ns < IDLE_SPIN_NS)
        return;
    uint64_t ns = *sleep_ns;
    for (unsigned i = t->first; i < t->first + t->count; i++) {
        uint64_t due_ns = raw_link_due_ns(t->f->direction[i].link);
        if (due_ns == 0) /* the far port is full: it is asked again as a near one is */
            continue;
        if (due_ns < now_ns + IDLE_WAKE_NS + IDLE_SLEEP_MIN_NS)
            return;
        if (due_ns - now_ns - IDLE_WAKE_NS < ns)
            ns = due_ns - now_ns - IDLE_WAKE_NS;
    }
    nanosleep(&(struct timespec){0, (long)ns}, NULL);
    if (*sleep_ns < IDLE_SLEEP_MAX_NS)
        *sleep_ns *= 2;
}

static void turn(const struct thread *t)
{
    struct forward *f = t->f;
    uint64_t since_ns = net_now_ns(), sleep_ns = IDLE_SLEEP_MIN_NS;
    while (!atomic_load_explicit(&f->stop, memory_order_relaxed)) {
        uint64_t now_ns = net_now_ns();
        unsigned did = 0;
        for (unsigned i = t->first; i < t->first + t->count; i++) {
            struct direction *d = &f->direction[i];
            if (CHI_UNLIKELY(atomic_load_explicit(&d->posted, memory_order_acquire)))
                settings_take(d);
            did += raw_link_turn_st(d->link, now_ns);
        }
        if (did) {
            since_ns = now_ns;
            sleep_ns = IDLE_SLEEP_MIN_NS;
        } else if (!f->busy) {
            idle(t, now_ns, since_ns, &sleep_ns);
        }
    }
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (t->core >= 0) {
        CPU_SET((unsigned)t->core, &cpus);
        t->rc = -pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
    }
    prctl(PR_SET_TIMERSLACK, 1000); /* a sleep ends when it should, not 50 us later */
    if (!t->rc)
        t->rc = net_thread_attach();
    bool ok = !t->rc;
    sem_post(&t->started);
    if (ok) {
        turn(t);
        net_thread_detach();
    }
    return NULL;
}

static int threads_start(struct forward *f, char *err)
{
    for (unsigned i = 0; i < f->o->threads; i++) {
        struct thread *t = &f->thread[i];
        *t = (struct thread){.f = f, .first = i, .count = f->o->threads == 1 ? IMPAIR_SIDES : 1, .core = f->o->core[i]};
        sem_init(&t->started, 0, 0);
        int rc = -pthread_create(&t->id, NULL, thread_main, t);
        if (!rc) {
            t->running = true;
            while (sem_wait(&t->started)) /* a signal */
                ;
            rc = t->rc;
        }
        if (rc && t->core >= 0)
            snprintf(err, WIRE_ERROR_BYTES, "no thread runs on core %d (%s): name one that this process may use",
                     t->core, strerror(-rc));
        else if (rc)
            snprintf(err, WIRE_ERROR_BYTES, "a thread does not start: %s", strerror(-rc));
        if (rc)
            return rc;
    }
    return 0;
}

static int ports_open(struct forward *f, char *err)
{
    const struct options *o = f->o;
    const uint32_t packets = o->packets + RAW_PACKETS;
    const uint64_t packet_bytes = (o->mtu + FRAME_EXTRA_BYTES + PAGE_BYTES - 1u) / PAGE_BYTES * PAGE_BYTES;
    char name[32], why[NET_ERROR_BYTES];
    snprintf(name, sizeof name, "wire-%d", (int)getpid());
    const struct net_options eal = {
        .name = name,
        .memory_bytes = MEMORY_EXTRA_BYTES + IMPAIR_SIDES * packets * packet_bytes,
        .workers = 1,
        .udp_port = 1,
    };
    int rc = raw_start(&eal, why);
    f->eal = !rc;
    for (unsigned i = 0; !rc && i < IMPAIR_SIDES; i++)
        rc = raw_open(o->device[i], 0, o->mtu, packets, &f->port[i], why);
    if (rc) {
        snprintf(err, WIRE_ERROR_BYTES, "%s%s%s",
                 !f->eal      ? ""
                 : f->port[0] ? "--b: "
                              : "--a: ",
                 why, rc == -ENOMEM ? " (here it follows from --packets and --mtu)" : "");
        return rc;
    }
    for (unsigned i = 0; !rc && i < IMPAIR_SIDES; i++) {
        rc = raw_link_open(f->port[i], f->port[!i], o->seed + i, o->packets, &f->direction[i].link);
        if (!rc)
            raw_link_set_st(f->direction[i].link, &f->set[i]);
    }
    if (rc)
        snprintf(err, WIRE_ERROR_BYTES, "no memory for %u packets under way: lower --packets", o->packets);
    return rc;
}

int forward_start(const struct options *o, struct forward **out, char *err)
{
    struct forward *f = calloc(1, sizeof *f);
    if (!f) {
        snprintf(err, WIRE_ERROR_BYTES, "no memory");
        return -ENOMEM;
    }
    f->o = o;
    f->busy = o->busy;
    memcpy(f->set, o->settings, sizeof f->set);
    int rc = ports_open(f, err);
    if (!rc)
        rc = threads_start(f, err);
    if (rc) {
        forward_stop(f);
        forward_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void forward_stop(struct forward *f)
{
    atomic_store(&f->stop, true);
    for (unsigned i = 0; i < IMPAIR_SIDES; i++) {
        if (f->thread[i].running)
            pthread_join(f->thread[i].id, NULL);
        f->thread[i].running = false;
    }
}

void forward_close(struct forward *f)
{
    for (unsigned i = 0; i < IMPAIR_SIDES; i++)
        raw_link_close(f->direction[i].link);
    for (unsigned i = 0; i < IMPAIR_SIDES; i++)
        if (f->port[i])
            raw_close(f->port[i]);
    if (f->eal)
        raw_stop();
    free(f);
}

void forward_set(struct forward *f, const struct impair_settings set[IMPAIR_SIDES])
{
    for (unsigned i = 0; i < IMPAIR_SIDES; i++) {
        f->direction[i].next = f->set[i] = set[i];
        atomic_store_explicit(&f->direction[i].posted, true, memory_order_release); /* pairs with turn */
    }
    for (unsigned i = 0; i < IMPAIR_SIDES; i++)
        while (atomic_load_explicit(&f->direction[i].posted, memory_order_acquire))
            nanosleep(&(struct timespec){0, MAILBOX_NS}, NULL);
}

static json_t *number(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *direction_json(const struct forward *f, unsigned side)
{
    const struct impair_stats *from = raw_link_stats(f->direction[side].link);
    struct impair_stats s;
    char settings[IMPAIR_TEXT_FORMAT_BYTES];
#define STAT_READ(name) s.name = __atomic_load_n(&from->name, __ATOMIC_RELAXED);
    IMPAIR_STAT_LIST(STAT_READ)
#undef STAT_READ
    impair_text_format(&f->set[side], settings);
    json_t *o = json_pack("{s:s, s:s}", "direction", impair_side_names[side], "settings", settings);
#define STAT_JSON(name) json_object_set_new(o, #name, number(s.name));
    IMPAIR_STAT_LIST(STAT_JSON)
#undef STAT_JSON
    /* Read while it counts: what is under way is about that. */
    int64_t held = (int64_t)(s.received + s.duplicated - s.sent - s.lost - s.queue_drops - s.cut - s.over_mtu - s.too_long -
                             s.no_memory - s.unsent);
    json_object_set_new(o, "under_way", number(held > 0 ? (uint64_t)held : 0));
    return o;
}

json_t *forward_stats(const struct forward *f)
{
    json_t *ports = json_array(), *directions = json_array();
    for (unsigned i = 0; i < IMPAIR_SIDES; i++) {
        json_array_append_new(ports, json_pack("{s:s, s:s, s:s}", "port", i ? "b" : "a", "device", f->o->device[i],
                                               "link", raw_up(f->port[i]) ? "up" : "down"));
        json_array_append_new(directions, direction_json(f, i));
    }
    return json_pack("{s:o, s:o, s:o}", "seed", number(f->o->seed), "ports", ports, "directions", directions);
}
