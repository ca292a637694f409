/* idle.c - the idle ladder: spin, then pause between turns, then sleep on the doorbell with a time-out that doubles.  A thread with several workers
 * sleeps when all of them would.
 *
 * Ports that can interrupt end the sleep too: they are armed one turn before it, so that this turn sees what came
 * earlier.  A port that cannot (net_memif, net_af_packet) is looked at again after a short time-out.  The worker is an
 * offline QSBR reader while it sleeps. */
#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "carrier.h"
#include "internal.h"

enum {
    IDLE_PAUSE_NS = 5000,          /* after the last work: from here the core rests between turns, */
    IDLE_SPIN_NS = 30000,          /* and from here it sleeps */
    IDLE_SLEEP_MIN_NS = 50000,
    IDLE_SLEEP_MAX_NS = 6400000,   /* how late the first packet after a long pause may be seen; a wake-up costs 20 to 40 us */
    IDLE_SLEEP_WOKEN_NS = 10000000, /* all ports interrupt: a client's submission rings, but one that met the falling asleep (ipc.h) */
};

int idle_init(struct worker *w)
{
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0)
        return -errno;
    w->sleep_ns = IDLE_SLEEP_MIN_NS;
    struct epoll_event ev = {.events = EPOLLIN};
    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->bell.event_fd, &ev) ? -errno : 0;
}

void idle_fini(struct worker *w)
{
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    w->epoll_fd = -1;
}

/* Announces the sleep to all who may bring work, then looks once more.  True: stay awake. */
static bool work_came(struct worker *w)
{
    doorbell_arm(&w->bell);
    bool came = route_waiting(w) || wait_came(w) || (w->parked && __atomic_load_n(&w->watch_now, __ATOMIC_RELAXED));
    for (struct ipc_channel *ch = w->channels; ch; ch = ch->next)
        if (!ch->detached && ipc_sleep_st(ch))
            came = true;
    return came;
}

static void awake(struct worker *w)
{
    doorbell_disarm(&w->bell);
    for (struct ipc_channel *ch = w->channels; ch; ch = ch->next)
        ipc_awake_st(ch);
}

/* What came at the epoll of a worker, which one that lies around it only tells of. */
static void take_events(struct worker *w)
{
    struct epoll_event ev;
    if (epoll_wait(w->epoll_fd, &ev, 1, 0) > 0)
        doorbell_drain(&w->bell);
}

static void sleep_for(struct worker *const *w, uint32_t n, int epoll_fd, uint64_t ns)
{
    struct timespec ts = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    struct epoll_event ev;
    rcu_thread_offline();
    int came = epoll_pwait2(epoll_fd, &ev, 1, &ts, NULL); /* a signal or an early wake only means one turn more */
    rcu_thread_online();
    uint64_t now = net_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        w[i]->stats.sleeps++;
        if (w[i]->epoll_fd != epoll_fd)
            take_events(w[i]);
        else if (came > 0)
            doorbell_drain(&w[i]->bell);
        w[i]->rctx.now_ns = now; /* it counts for no turn */
    }
}

static void disarm_ports(struct worker *w)
{
    if (w->ports_armed)
        net_wake_disarm_st(w->rt->net, w->index);
    w->ports_armed = false;
}

/* Its thread never sleeps, or the one that is to have it. */
static bool is_busy(const struct worker *w)
{
    const struct carrier *c = __atomic_load_n(&w->carrier, __ATOMIC_ACQUIRE);
    return __atomic_load_n(&c->busy, __ATOMIC_RELAXED);
}

uint64_t idle_wants(struct worker *w, unsigned did)
{
    uint64_t now = w->rctx.now_ns; /* when the turn began, and the last one ended */
    if (w->busy_from_ns)
        w->stats.busy_ns += now - w->busy_from_ns;
    w->busy_from_ns = did ? now : 0;
    if (did) {
        disarm_ports(w);
        w->idle_since_ns = now;
        w->sleep_ns = IDLE_SLEEP_MIN_NS;
        return 0;
    }
    w->stats.turns_idle++;
    if (now - w->idle_since_ns < IDLE_PAUSE_NS || is_busy(w))
        return 0;
    caa_cpu_relax();
    if (now - w->idle_since_ns < IDLE_SPIN_NS || w->rctx.wake_ns <= now || route_pending(w))
        return 0;
    if (w->rt->net && !w->ports_armed && net_wake_arm_st(w->rt->net, w->index, w->epoll_fd)) {
        w->ports_armed = true;
        return 0;
    }
    uint64_t ns = w->rt->net && !w->ports_armed ? w->sleep_ns : IDLE_SLEEP_WOKEN_NS;
    return w->rctx.wake_ns - now < ns ? w->rctx.wake_ns - now : ns;
}

bool idle_sleep(struct worker *const *w, uint32_t n, int epoll_fd, uint64_t ns)
{
    bool came = false;
    for (uint32_t i = 0; i < n; i++)
        came |= work_came(w[i]);
    if (!came)
        sleep_for(w, n, epoll_fd, ns);
    for (uint32_t i = 0; i < n; i++) {
        awake(w[i]);
        disarm_ports(w[i]);
        if (w[i]->sleep_ns < IDLE_SLEEP_MAX_NS)
            w[i]->sleep_ns *= 2;
    }
    return !came;
}

void idle_turn(struct worker *w, unsigned did)
{
    uint64_t ns = idle_wants(w, did);
    if (ns)
        (void)idle_sleep(&w, 1, w->epoll_fd, ns);
}
