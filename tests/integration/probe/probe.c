#include "probe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chi/lock.h"

enum { LANES = 4 };
static struct chi_container *last; /* some container of this module: for the lane of another one */
static uint8_t *runs; /* of PROBE_ONCE, shared with who reads them; NULL: there is no file */

static enum chi_status map_runs(void)
{
    const char *path = getenv(PROBE_RUNS);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return path ? CHI_STATUS_MODULE : CHI_STATUS_OK;
    void *p = mmap(NULL, PROBE_RUNS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    runs = p == MAP_FAILED ? NULL : p;
    return runs ? CHI_STATUS_OK : CHI_STATUS_MODULE;
}

static enum chi_status probe_init(struct chi_container *c)
{
    last = c;
    if (!runs && map_runs() != CHI_STATUS_OK)
        return CHI_STATUS_MODULE;
    return chi_container_create_queue(c, 0, LANES);
}

static enum chi_status monitor_part(enum chi_monitor_mode mode, struct probe_part *t, struct chi_rctx *r)
{
    if (mode == CHI_REPLICA_AGG)
        t->sum += ((const struct probe_part *)chi_rctx_replica(r))->sum;
    return mode == CHI_REPLICA_AGG || mode == CHI_REPLICA_START ? CHI_STATUS_OK : CHI_STATUS_UNSUPPORTED;
}

static enum chi_status probe_monitor(struct chi_container *c, enum chi_monitor_mode mode, struct chi_task *task, struct chi_rctx *r)
{
    const struct probe_where *t = (const struct probe_where *)task;
    if (task->method->id == PROBE_PART)
        return monitor_part(mode, (struct probe_part *)task, r);
    if (task->method->id != PROBE_WHERE || mode > CHI_LOCAL_SCHEDULE)
        return CHI_STATUS_UNSUPPORTED;
    if (mode == CHI_GLOBAL_SCHEDULE) {
        if (t->mode == PROBE_FAIL_GLOBAL)
            return CHI_STATUS_MODULE;
        if (t->mode != PROBE_STAY_DYNAMIC)
            task->query = chi_physical((uint32_t)t->key);
        return CHI_STATUS_OK;
    }
    if (t->mode == PROBE_FAIL_LOCAL)
        return CHI_STATUS_MODULE;
    chi_rctx_set_lane(r, chi_container_lane_by_hash(t->mode == PROBE_FOREIGN_LANE ? last : c, 0, t->key));
    return CHI_STATUS_OK;
}

static void on_subtask(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    struct probe_where *parent = arg, *t = (struct probe_where *)task;
    enum chi_status st = task->status;
    parent->node = t->node;
    parent->worker = t->worker;
    chi_task_del(r, task);
    chi_complete(r, &parent->task, st);
}

static enum chi_status wait_for_subtask(struct probe_where *t, struct chi_rctx *r)
{
    struct probe_where *sub = (struct probe_where *)chi_task_new(r, &probe_where_method);
    if (!sub)
        return CHI_STATUS_NO_MEMORY;
    sub->task.pool = t->task.pool;
    sub->task.query = chi_physical((uint32_t)t->key);
    sub->key = t->key;
    chi_task_submit(r, &sub->task, on_subtask, t);
    return CHI_STATUS_PENDING;
}

/* The same on a stack of its own: asks node `key` and this one, twice each, then sleeps a little. */
static enum chi_status stay_and_wait(struct chi_container *c, struct probe_where *t, struct chi_rctx *r)
{
    struct chi_task *sub[4];
    enum chi_status st = CHI_STATUS_OK;
    unsigned n = 0;
    for (; n < 4 && (sub[n] = chi_task_new(r, &probe_where_method)); n++) {
        sub[n]->pool = t->task.pool;
        sub[n]->query = chi_physical(n % 2 ? chi_container_node(c) : (uint32_t)t->key);
        chi_task_submit(r, sub[n], NULL, NULL);
    }
    if (chi_task_wait(r, sub, n) != CHI_STATUS_OK)
        return CHI_STATUS_NO_MEMORY;
    for (unsigned i = 0; i < n; i++) {
        const struct probe_where *s = (const struct probe_where *)sub[i];
        st = st == CHI_STATUS_OK ? sub[i]->status : st;
        if (i == 0) {
            t->node = s->node;
            t->worker = s->worker;
        }
        chi_task_del(r, sub[i]);
    }
    return st == CHI_STATUS_OK ? chi_sleep_us(r, 200) : st;
}

static struct {
    struct chi_mutex lock;
    uint32_t tasks;
} counted; /* all containers of the process have it in common */

/* By a thread of the background, perhaps between two of the workers' tasks: the lock keeps them out. */
static void count_slowly(void *arg)
{
    uint32_t before = *(uint32_t *)arg;
    usleep(100);
    *(uint32_t *)arg = before + 1;
}

static enum chi_status count_locked(struct probe_where *t, struct chi_rctx *r)
{
    enum chi_status st = chi_mutex_lock(r, &counted.lock);
    if (st != CHI_STATUS_OK)
        return st;
    st = chi_offload(r, count_slowly, &counted.tasks);
    t->node = counted.tasks;
    t->worker = chi_rctx_worker(r);
    chi_mutex_unlock(r, &counted.lock);
    return st;
}

static struct chi_mutex crossed[2];

static enum chi_status take_both(struct chi_mutex *first, struct chi_mutex *second, struct chi_rctx *r)
{
    enum chi_status st = chi_mutex_lock(r, first);
    if (st != CHI_STATUS_OK)
        return st;
    st = chi_sleep_us(r, 50000);
    if (st == CHI_STATUS_OK)
        st = chi_mutex_lock(r, second);
    if (st == CHI_STATUS_OK)
        chi_mutex_unlock(r, second);
    chi_mutex_unlock(r, first);
    return st;
}

static enum chi_status run_where(struct chi_container *c, struct probe_where *t, struct chi_rctx *r)
{
    if (t->mode == PROBE_PARK) {
        chi_task_progress(r, &t->task, 3, 8);
        return CHI_STATUS_PENDING;
    }
    if (t->mode == PROBE_WAIT)
        return wait_for_subtask(t, r);
    if (t->mode == PROBE_STAY)
        return stay_and_wait(c, t, r);
    if (t->mode == PROBE_CROSS)
        return take_both(&crossed[t->key % 2], &crossed[(t->key + 1) % 2], r);
    if (t->mode == PROBE_COUNT)
        return count_locked(t, r);
    t->node = chi_container_node(c);
    t->worker = chi_rctx_worker(r);
    return CHI_STATUS_OK;
}

static void reverse(uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i < n / 2; i++) {
        uint8_t v = p[i];
        p[i] = p[n - 1 - i];
        p[n - 1 - i] = v;
    }
}

static enum chi_status run_fields(struct probe_fields *t)
{
    uint8_t *p = t->region.ptr;
    t->a++;
    for (int i = 0; i < 3; i++)
        t->b[i]++;
    t->c++;
    t->d += 1;
    t->e = !t->e;
    reverse((uint8_t *)t->text.data, t->text.len);
    reverse(t->bytes.data, t->bytes.len);
    for (uint64_t i = 0; i < t->region.size; i++)
        p[i]++;
    t->region.used = t->region.size;
    return CHI_STATUS_OK;
}

static enum chi_status run_hand(struct probe_hand *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        t->number[i] *= 2;
    memset(t->half.ptr, 'h', t->half.size / 2);
    t->half.used = t->half.size / 2;
    return CHI_STATUS_OK;
}

static enum chi_status run_hold(const struct probe_hold *t)
{
    uint8_t *gate = t->gate.ptr;
    __atomic_store_n(&gate[1], 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&gate[0], __ATOMIC_ACQUIRE) == 0)
        ;
    return CHI_STATUS_OK;
}

static void on_large(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    struct probe_large *parent = arg, *t = (struct probe_large *)task;
    enum chi_status st = task->status;
    if (st == CHI_STATUS_OK) {
        parent->bytes.len = t->bytes.len;
        memcpy(parent->bytes.data, t->bytes.data, t->bytes.len);
    }
    chi_task_del(r, task);
    chi_complete(r, &parent->task, st);
}

static enum chi_status send_large(struct probe_large *t, struct chi_rctx *r)
{
    struct probe_large *sub = (struct probe_large *)chi_task_new(r, &probe_large_method);
    if (!sub)
        return CHI_STATUS_NO_MEMORY;
    sub->task.pool = t->task.pool;
    sub->task.query = chi_physical(t->to);
    sub->want = t->want;
    sub->bytes.len = t->want > sizeof sub->bytes.data ? t->want : t->bytes.len; /* a form that cannot be made */
    memcpy(sub->bytes.data, t->bytes.data, t->bytes.len);
    chi_task_submit(r, &sub->task, on_large, t);
    return CHI_STATUS_PENDING;
}

static enum chi_status run_large(struct probe_large *t, struct chi_rctx *r)
{
    switch (t->mode) {
    case PROBE_LARGE_SEND:
        return send_large(t, r);
    case PROBE_LARGE_PARK:
        return CHI_STATUS_PENDING;
    case PROBE_LARGE_HOG:
        for (uint64_t size = UINT64_C(1) << 40; size >= 64; size /= 2)
            while (chi_mem_get(r, size))
                ;
        return CHI_STATUS_OK;
    default:
        reverse(t->bytes.data, t->bytes.len);
        if (t->want)
            t->bytes.len = t->want;
        return CHI_STATUS_OK;
    }
}

static void on_list(struct chi_rctx *r, struct chi_task *task, void *arg)
{
    struct probe_list *parent = arg, *t = (struct probe_list *)task;
    enum chi_status st = task->status;
    memcpy(parent->number, t->number, sizeof t->number);
    chi_task_del(r, task);
    chi_complete(r, &parent->task, st);
}

static enum chi_status run_list(struct probe_list *t, struct chi_rctx *r)
{
    if (!t->to) {
        for (uint32_t i = 0; i < t->count; i++)
            t->number[i] *= 2;
        return CHI_STATUS_OK;
    }
    struct probe_list *sub = (struct probe_list *)chi_task_new(r, &probe_list_method);
    if (!sub)
        return CHI_STATUS_NO_MEMORY;
    sub->task.pool = t->task.pool;
    sub->task.query = chi_physical(t->to);
    sub->count = t->count;
    memcpy(sub->number, t->number, sizeof t->number);
    chi_task_submit(r, &sub->task, on_list, t);
    return CHI_STATUS_PENDING;
}

static enum chi_status run_once(struct probe_once *t)
{
    if (!runs || t->id >= PROBE_RUNS_BYTES)
        return CHI_STATUS_INVALID;
    __atomic_fetch_add(&runs[t->id], 1, __ATOMIC_RELAXED);
    if (probe_wrong_at(t->in.ptr, t->in.size, t->id, 0) != t->in.size)
        __atomic_fetch_or(&runs[t->id], PROBE_WRONG, __ATOMIC_RELAXED);
    probe_fill(t->out.ptr, t->out.size, ~t->id);
    t->out.used = t->out.size;
    return CHI_STATUS_OK;
}

static enum chi_status run_part(uint32_t container, struct probe_part *t)
{
    uint64_t at = t->base + container;
    if (!runs || at >= PROBE_RUNS_BYTES)
        return CHI_STATUS_INVALID;
    __atomic_fetch_add(&runs[at], 1, __ATOMIC_RELAXED);
    if (probe_wrong_at(t->in.ptr, t->in.size, t->base, 0) != t->in.size)
        __atomic_fetch_or(&runs[at], PROBE_WRONG, __ATOMIC_RELAXED);
    memset(t->mark.ptr, (int)container + 1, t->mark.size);
    t->mark.used = t->mark.size;
    t->sum = container + 1;
    return container == t->park ? CHI_STATUS_PENDING : container == t->bad ? CHI_STATUS_MODULE : CHI_STATUS_OK;
}

static enum chi_status ask_nested(struct probe_nested *t, struct chi_rctx *r)
{
    struct chi_task *sub = chi_task_new(r, &probe_nested_method);
    if (!sub)
        return CHI_STATUS_NO_MEMORY;
    memcpy(&((struct probe_nested *)sub)->to, &t->to, sizeof *t - offsetof(struct probe_nested, to));
    ((struct probe_nested *)sub)->to = 0;
    sub->pool = t->task.pool;
    sub->query = chi_physical(t->to);
    chi_task_submit(r, sub, NULL, NULL);
    enum chi_status st = chi_task_wait(r, &sub, 1);
    if (st != CHI_STATUS_OK)
        return st;
    st = sub->status;
    t->points = ((struct probe_nested *)sub)->points;
    t->tail = ((struct probe_nested *)sub)->tail;
    chi_task_del(r, sub);
    return st;
}

static enum chi_status run_nested(struct probe_nested *t, struct chi_rctx *r)
{
    if (t->to)
        return ask_nested(t, r);
    t->tail.bytes = t->more; /* 0 when it is not there */
    for (uint32_t i = 0; i < t->points.len; i++) {
        t->tail.bytes += t->points.data[i].x;
        t->points.data[i].y = 3u * t->points.data[i].x;
    }
    if (t->spoil)
        t->points.len = PROBE_POINTS + 1;
    return CHI_STATUS_OK;
}

static enum chi_status probe_run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    switch (task->method->id) {
    case PROBE_WHERE:
        return run_where(c, (struct probe_where *)task, r);
    case PROBE_FIELDS:
        return run_fields((struct probe_fields *)task);
    case PROBE_HAND:
        return run_hand((struct probe_hand *)task);
    case PROBE_HOLD:
        return run_hold((const struct probe_hold *)task);
    case PROBE_MIXED:
        ((struct probe_mixed *)task)->twice = 2 * ((struct probe_mixed *)task)->value;
        return CHI_STATUS_OK;
    case PROBE_LARGE:
        return run_large((struct probe_large *)task, r);
    case PROBE_LIST:
        return run_list((struct probe_list *)task, r);
    case PROBE_ONCE:
        return run_once((struct probe_once *)task);
    case PROBE_PART:
        return run_part(chi_container_id(c), (struct probe_part *)task);
    case PROBE_NESTED:
        return run_nested((struct probe_nested *)task, r);
    default:
        return CHI_STATUS_NO_METHOD;
    }
}

static struct chi_method *const methods[] = {&probe_where_method, &probe_fields_method, &probe_hand_method, &probe_hold_method,
                                             &probe_mixed_method, &probe_large_method, &probe_list_method, &probe_once_method,
                                             &probe_part_method, &probe_nested_method};
static const struct chi_chimod probe = {
    .abi = CHI_CHIMOD_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "probe",
    .methods = methods,
    .nmethods = sizeof methods / sizeof methods[0],
    .init = probe_init,
    .run = probe_run,
    .monitor = probe_monitor,
};
CHI_CHIMOD(probe)
