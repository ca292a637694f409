/* poll.c - takes in completions, and notices that the daemon has gone. */
#include <errno.h>
#include <sys/socket.h>

#include "internal.h"
#include "wire/le.h"

enum { CHECK_NS = 1000000 };

static void end_task(struct chi_client *c, uint32_t cookie, enum chi_status st)
{
    struct open_task *o = &c->open[cookie];
    o->task->status = st;
    o->task = NULL;
    c->free_cookies[c->nfree++] = (uint16_t)cookie;
}

/* Loads the OUT fields.  A length that came back must lie within its region; how much of it was placed there only the
 * daemon knows. */
static enum chi_status load_out(struct chi_client *c, uint32_t cookie, const uint8_t *body, uint32_t length)
{
    struct open_task *o = &c->open[cookie];
    struct chi_ar_region *regions = &c->regions[cookie * CHI_REGIONS_MAX];
    for (uint32_t i = 0; i < o->nregions; i++)
        regions[i].used = CHI_USED_UNKNOWN;
    struct chi_archive ar;
    chi_ar_init(&ar, CHI_AR_INPUT_OUT, (uint8_t *)(uintptr_t)body, length, regions, o->nregions);
    return chi_ar_task(&ar, o->task->method, o->task);
}

/* A task for several containers: statuses of `count` of them end the body, behind the outputs of those that ended well. */
__attribute__((noinline)) static enum chi_status load_many(struct chi_client *c, uint32_t cookie, const struct shm_complete *m, uint32_t status,
                                                           uint32_t length, uint32_t count)
{
    const struct open_task *o = &c->open[cookie];
    struct chi_replicas *to = o->task->replicas;
    const uint8_t *body = length <= SHM_COMPLETE_INLINE ? m->bytes : o->area && length <= o->area->size ? c->base + o->area->offset : NULL;
    if (!body || 2 * count > length || status == CHI_STATUS_PENDING || !chi_status_known(status))
        return CHI_STATUS_ARCHIVE;
    uint32_t first = SHM_READ(m->first), outputs = length - 2 * count;
    for (uint32_t i = 0; to && i < count && i < to->cap; i++) {
        uint32_t st = le16_get(body + outputs + 2 * i);
        to->each[i] = (struct chi_replica){first + i, chi_status_known(st) ? st : CHI_STATUS_ARCHIVE};
        to->count = i + 1;
    }
    if (outputs == 0 && status != CHI_STATUS_OK)
        return (enum chi_status)status;
    enum chi_status st = load_out(c, cookie, body, outputs);
    return status == CHI_STATUS_OK ? st : (enum chi_status)status;
}

static bool take_in(struct chi_client *c, const struct shm_complete *m)
{
    uint32_t cookie = SHM_READ(m->cookie), status = SHM_READ(m->status), length = SHM_READ(m->length), replicas = SHM_READ(m->replicas);
    if (CHI_UNLIKELY(cookie >= c->depth || !c->open[cookie].task))
        return false;
    if (CHI_UNLIKELY(c->open[cookie].task == &c->posted)) {
        end_task(c, cookie, CHI_STATUS_OK);
        return false;
    }
    if (CHI_UNLIKELY(replicas)) {
        status = load_many(c, cookie, m, status, length, replicas);
    } else if (CHI_LIKELY(status == CHI_STATUS_OK)) {
        const struct block *area = c->open[cookie].area;
        if (CHI_LIKELY(length <= SHM_COMPLETE_INLINE))
            status = load_out(c, cookie, m->bytes, length);
        else if (area && length <= area->size)
            status = load_out(c, cookie, c->base + area->offset, length);
        else
            status = CHI_STATUS_ARCHIVE;
    } else if (status == CHI_STATUS_PENDING || !chi_status_known(status)) {
        status = CHI_STATUS_ARCHIVE;
    }
    end_task(c, cookie, (enum chi_status)status);
    return true;
}

static unsigned take_all(struct chi_client *c)
{
    unsigned n = 0;
    for (const struct line *l; (l = line_get(c->complete, c->mask, c->complete_at)); c->complete_at++)
        n += take_in(c, (const struct shm_complete *)l->payload);
    return n;
}

/* True when the daemon closed the connection.  What it sends after its reply is dropped. */
static bool control_closed(const struct chi_client *c)
{
    char waste[64];
    ssize_t n = recv(c->control, waste, sizeof waste, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

unsigned poll_control(struct chi_client *c, bool hangup)
{
    if (c->gone || !(hangup || control_closed(c)))
        return 0;
    c->gone = true;
    unsigned n = take_all(c); /* what it completed before it went */
    for (uint32_t i = 0; i < c->depth; i++) {
        if (c->open[i].task) {
            n += c->open[i].task != &c->posted;
            end_task(c, i, CHI_STATUS_DISCONNECTED);
        }
    }
    return n;
}

static unsigned poll_idle(struct chi_client *c)
{
    c->idle = 0;
    uint64_t now = clock_ns();
    if (now - c->checked_ns < CHECK_NS)
        return 0;
    c->checked_ns = now;
    return poll_control(c, false);
}

unsigned poll_once(struct chi_client *c, uint32_t weight)
{
    unsigned n = take_all(c);
    if (n)
        return n;
    uint32_t before = c->idle;
    c->idle += weight;
    if (CHI_UNLIKELY(before / POLL_SETTLE != c->idle / POLL_SETTLE))
        submit_settle(c);
    return CHI_UNLIKELY(c->idle >= POLL_IDLE_MAX) ? poll_idle(c) : 0;
}

unsigned chi_poll(struct chi_client *c) { return poll_once(c, POLL_WEIGHT_CALL); }
