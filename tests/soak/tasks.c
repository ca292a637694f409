/* tasks.c - a task: drawn, made, and compared to the byte. */
#include <xxhash.h>

#include "soak.h"

enum { GUARD = 64, GUARD_BYTE = 0xa5, REST_BYTE = 0xee, SMALL = 64, MIDDLE = 1 << 20 };

uint64_t draw_between(struct prng *p, uint64_t from, uint64_t to) { return from + prng_below(p, to - from + 1); }

/* As many of each order of magnitude. */
static uint64_t draw_log(struct prng *p, uint64_t from, uint64_t to)
{
    uint64_t bits = draw_between(p, (uint64_t)(63 - __builtin_clzll(from)), (uint64_t)(63 - __builtin_clzll(to)));
    uint64_t size = (UINT64_C(1) << bits) + prng_below(p, UINT64_C(1) << bits);
    return size < to ? size : to;
}

static uint64_t draw_size(struct prng *p, uint64_t most)
{
    uint64_t shape = prng_below(p, 100), middle = most < MIDDLE ? most : MIDDLE;
    if (shape < 20)
        return prng_below(p, SMALL + 1);
    return shape == 99 ? draw_log(p, middle, most) : draw_log(p, SMALL, middle);
}

void draw_job(struct prng *p, const struct options *o, bool calm, struct draw *out)
{
    uint64_t kind = prng_below(p, 10);
    *out = (struct draw){.kind = kind < 4 ? PING : kind < 6 ? IO : kind < 8 ? DIGEST : ONCE};
    out->remote = prng_below(p, 10) < 8;
    out->in = draw_size(p, o->region);
    out->out = draw_size(p, o->region);
    bool hasty = prng_below(p, 10) == 0;
    uint64_t timeout_us = draw_log(p, 1000, 500000);
    out->timeout_us = hasty && !calm ? (uint32_t)timeout_us : 2000000 * o->hang_s;
}

/* --- regions */

static bool region_take(struct chi_client *c, struct chi_bulk *b, uint64_t size)
{
    uint8_t *p = chi_bulk_alloc(c, size + 2 * GUARD);
    if (!p)
        return false;
    memset(p, GUARD_BYTE, GUARD);
    memset(p + GUARD + size, GUARD_BYTE, GUARD);
    *b = (struct chi_bulk){.ptr = p + GUARD, .size = size};
    return true;
}

static bool filled_with(const uint8_t *p, uint64_t n, uint8_t byte)
{
    return n == 0 || (p[0] == byte && memcmp(p, p + 1, n - 1) == 0);
}

static bool guards_whole(const struct chi_bulk *b)
{
    const uint8_t *p = b->ptr;
    return !p || (filled_with(p - GUARD, GUARD, GUARD_BYTE) && filled_with(p + b->size, GUARD, GUARD_BYTE));
}

void job_free(struct job *j, struct chi_client *c)
{
    if (j->in.ptr)
        chi_bulk_free(c, (uint8_t *)j->in.ptr - GUARD);
    if (j->out.ptr)
        chi_bulk_free(c, (uint8_t *)j->out.ptr - GUARD);
    j->in.ptr = j->out.ptr = NULL;
    j->state = JOB_FREE;
}

static uint64_t key_of(uint64_t id) { return id * 0xd6e8feb86659fd93u; }

bool job_make(struct job *j, struct chi_client *c, const struct draw *d, uint64_t id, uint32_t other)
{
    static struct chi_method *const methods[KINDS] = {&echo_ping_method, &echo_io_method, &echo_digest_method, &probe_once_method};
    *j = (struct job){.draw = *d, .id = id};
    if (d->kind == DIGEST)
        j->draw.out = d->in;
    if (d->kind != PING && (!region_take(c, &j->in, d->in) || !region_take(c, &j->out, j->draw.out))) {
        job_free(j, c);
        return false;
    }
    if (j->out.ptr)
        memset(j->out.ptr, REST_BYTE, j->out.size);
    if (j->in.ptr)
        probe_fill(j->in.ptr, j->in.size, id);
    struct chi_task head = {.pool = d->kind == ONCE ? (struct chi_pool_id){200, 0} : ECHO, .query = d->remote ? chi_physical(other) : chi_local(),
                            .timeout_us = d->timeout_us, .method = methods[d->kind]};
    switch (d->kind) {
    case PING:
        j->u.ping = (struct echo_ping){.task = head, .value = key_of(id)};
        break;
    case IO:
        for (uint64_t i = 0; i < j->in.size; i++)
            j->sum += ((uint8_t *)j->in.ptr)[i];
        j->u.io = (struct echo_io){.task = head, .seed = id, .in = j->in, .out = j->out};
        break;
    case DIGEST:
        j->u.digest = (struct echo_digest){.task = head, .key = key_of(id), .in = j->in, .back = j->out};
        break;
    default:
        j->u.once = (struct probe_once){.task = head, .id = id, .in = j->in, .out = j->out};
    }
    return true;
}

/* --- the end */

static uint64_t io_wrong_at(const uint8_t *p, uint64_t n, uint64_t seed)
{
    for (uint64_t i = 0; i < n; i++)
        if (p[i] != (uint8_t)(seed + i))
            return i;
    return n;
}

/* Where the first wrong byte of the answer's region is, or its size; *used: what the task says that came. */
static uint64_t wrong_at(const struct job *j, uint64_t *used)
{
    switch (j->draw.kind) {
    case IO:
        *used = j->u.io.out.used;
        return io_wrong_at(j->out.ptr, j->out.size, j->id);
    case DIGEST:
        *used = j->u.digest.back.used;
        return probe_wrong_at(j->out.ptr, j->out.size, j->id, key_of(j->id));
    case ONCE:
        *used = j->u.once.out.used;
        return probe_wrong_at(j->out.ptr, j->out.size, ~j->id, 0);
    default:
        return *used = 0;
    }
}

static bool ok_is_wrong(const struct job *j, char *err, size_t cap)
{
    uint64_t used, at = wrong_at(j, &used);
    bool field = (j->draw.kind == PING && j->u.ping.value != key_of(j->id)) || (j->draw.kind == IO && j->u.io.sum != j->sum) ||
                 (j->draw.kind == DIGEST && j->u.digest.digest != XXH64(j->in.ptr, j->in.size, 0));
    *err = 0;
    if (field)
        snprintf(err, cap, "a field of the answer is wrong");
    else if (used != j->out.size)
        snprintf(err, cap, "%llu bytes came back", (unsigned long long)used);
    else if (at != j->out.size)
        snprintf(err, cap, "byte %llu of the answer is 0x%02x", (unsigned long long)at, ((uint8_t *)j->out.ptr)[at]);
    else if (j->in.ptr && probe_wrong_at(j->in.ptr, j->in.size, j->id, 0) != j->in.size)
        snprintf(err, cap, "the region that it read has changed");
    return *err != 0;
}

bool job_is_wrong(struct job *j, char *err, size_t cap)
{
    if (!guards_whole(&j->in) || !guards_whole(&j->out)) {
        snprintf(err, cap, "bytes beside a region have changed");
        return true;
    }
    if (j->u.task.status == CHI_STATUS_OK)
        return ok_is_wrong(j, err, cap);
    if (j->in.ptr)
        memset(j->in.ptr, REST_BYTE, j->in.size);
    if (j->out.ptr)
        memset(j->out.ptr, REST_BYTE, j->out.size);
    return false;
}

bool job_rest_is_wrong(const struct job *j, char *err, size_t cap)
{
    if (guards_whole(&j->in) && guards_whole(&j->out) && filled_with(j->in.ptr, j->in.size, REST_BYTE) &&
        filled_with(j->out.ptr, j->out.size, REST_BYTE))
        return false;
    snprintf(err, cap, "its memory has changed after its end");
    return true;
}

void job_describe(const struct job *j, char *text, size_t cap)
{
    static const char *const names[KINDS] = {"ping", "io", "digest", "once"};
    snprintf(text, cap, "task %llu (%s, %s, %llu bytes there, %llu back, time-out %u us, %s)", (unsigned long long)j->id, names[j->draw.kind],
             j->draw.remote ? "remote" : "local", (unsigned long long)j->in.size, (unsigned long long)j->out.size, j->draw.timeout_us,
             chi_status_name((enum chi_status)j->u.task.status));
}

uint32_t status_may(uint32_t status)
{
    switch (status) {
    case CHI_STATUS_OK:
        return MAY_OK;
    case CHI_STATUS_DEADLINE:
        return MAY_DEADLINE;
    case CHI_STATUS_UNREACHABLE:
        return MAY_UNREACHABLE;
    case CHI_STATUS_PEER_DOWN:
        return MAY_DOWN;
    case CHI_STATUS_PEER_RESTARTED:
        return MAY_RESTART;
    case CHI_STATUS_DISCONNECTED:
        return MAY_DISCONNECT;
    default:
        return 0;
    }
}
