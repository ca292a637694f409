/* peers.c - what chictl can ask about other nodes.  A peer's figures belong to the workers: each is asked on its own thread, and what they
 * say is summed. */
#include <netinet/in.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/nearest.h"
#include "daemon.h"

enum { SESSIONS_SHOWN = WORKERS_MAX };

static json_t *sample(uint64_t ns) { return ns ? json_number(ns) : json_null(); } /* 0: none yet */

/* --- from all workers */

/* X(field): counters and sums of struct xfer_peer_stats. */
#define PEER_SUM_LIST(X)                                                                                                       \
    X(packets_tx) X(packets_rx) X(bytes_tx) X(bytes_rx) X(acks_tx) X(acks_rx) X(retransmits) X(spurious) X(probes) X(cuts)     \
    X(marks_rx) X(marks_tx)                                                                                                   \
    X(pings) X(downs) X(moves) X(duplicates) X(tasks_out) X(tasks_in) X(answers_out) X(answers_in) X(segment_bytes_tx)                  \
    X(attached_bytes_tx) X(segment_bytes_rx) X(grants_tx) X(grants_rx) X(calls_tx) X(calls_rx) X(cancels_tx) X(cancels_rx)    \
    X(window) X(in_flight_bytes) X(in_flight) X(memory) X(memory_most) X(open_out) X(open_in) X(waiting_out) X(waiting_in) X(waiting_turn)

static void add_peer(struct xfer_peer_stats *sum, const struct xfer_peer_stats *s)
{
#define PEER_ADD(field) sum->field += s->field;
    PEER_SUM_LIST(PEER_ADD)
#undef PEER_ADD
    for (int d = 0; d < CHI_DROP_COUNT; d++)
        sum->drops[d] += s->drops[d];
    if (s->state == XFER_PEER_READY || sum->state == XFER_PEER_IDLE)
        sum->state = s->state;
    if (s->incarnation > sum->incarnation)
        sum->incarnation = s->incarnation;
    if (s->packet_bytes > sum->packet_bytes)
        sum->packet_bytes = s->packet_bytes;
    if (s->srtt_ns > sum->srtt_ns)
        sum->srtt_ns = s->srtt_ns;
    if (s->rtt_min_ns && (!sum->rtt_min_ns || s->rtt_min_ns < sum->rtt_min_ns))
        sum->rtt_min_ns = s->rtt_min_ns;
}

static json_t *failed(struct rpc_error *err, int rc) { return rpc_fail(err, RPC_FAILED, "a worker does not answer: %s", strerror(-rc)); }

static const char *state_name(const struct peer *p, const struct xfer_peer_stats *s)
{
    static const char *const names[] = {[XFER_PEER_IDLE] = "idle", [XFER_PEER_HELLO] = "hello", [XFER_PEER_READY] = "ready",
                                        [XFER_PEER_REFUSED] = "refused", [XFER_PEER_SILENT] = "down"};
    if (p->draining)
        return s->open_out + s->waiting_out ? "draining" : "drained";
    return names[s->state];
}

static uint64_t drops_of(const struct xfer_peer_stats *s)
{
    uint64_t sum = 0;
    for (int d = CHI_DROP_NONE + 1; d < CHI_DROP_COUNT; d++)
        sum += s->drops[d];
    return sum;
}

/* --- peer.list */

struct peers_query {
    struct xfer_peer_stats *stats;
    unsigned cap, count;
};
static void read_peers(void *worker, void *arg)
{
    const struct worker *w = worker;
    struct peers_query *q = arg;
    q->count = xfer_stats(w->xfer, q->stats, q->cap);
}

static json_t *list_entry(const struct peer *p, const struct xfer_peer_stats *s)
{
    json_t *o = json_pack("{s:i, s:s, s:s, s:o, s:o, s:o}", "node", (int)p->id, "name", p->name, "state", state_name(p, s), "incarnation",
                          json_number(s->incarnation), "srtt_ns", sample(s->srtt_ns), "rtt_min_ns", sample(s->rtt_min_ns));
#define PEER_JSON(field) json_object_set_new(o, #field, json_number(s->field));
    PEER_SUM_LIST(PEER_JSON)
#undef PEER_JSON
    json_object_set_new(o, "packet_bytes", json_number(s->packet_bytes));
    json_object_set_new(o, "drops", json_number(drops_of(s)));
    return o;
}

/* The peers' order here is that of the workers' tables, unless some came or went since. */
static unsigned index_of(const struct daemon *d, uint32_t node, unsigned likely)
{
    unsigned k = likely;
    if (k >= d->peer_count || d->peers[k].id != node)
        for (k = 0; k < d->peer_count && d->peers[k].id != node;)
            k++;
    return k;
}

json_t *peers_list(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    unsigned peers = d->peer_count;
    /* The buffer outlives a call that times out: it is given up then, not freed. */
    struct peers_query *q = calloc(1, sizeof *q + (peers + 1) * sizeof(struct xfer_peer_stats));
    struct xfer_peer_stats *sum = calloc(peers + 1, sizeof *sum);
    json_t *list = json_array();
    int rc = q && sum ? 0 : -ENOMEM;
    (void)params;
    for (uint32_t w = 0; w < d->rt->workers && d->net && !rc; w++) {
        *q = (struct peers_query){.stats = (struct xfer_peer_stats *)(q + 1), .cap = peers};
        rc = worker_call(d->rt, w, read_peers, q);
        for (unsigned i = 0; i < q->count && i < peers && !rc; i++)
            add_peer(&sum[index_of(d, q->stats[i].node, i)], &q->stats[i]); /* sum[peers]: of none any more */
    }
    for (unsigned k = 0; k < peers && !rc; k++)
        json_array_append_new(list, list_entry(&d->peers[k], &sum[k]));
    free(sum);
    if (rc != -ETIMEDOUT)
        free(q);
    if (!rc)
        return list;
    json_decref(list);
    return failed(err, rc);
}

/* --- peer.show */

struct peer_query {
    uint32_t node;
    struct xfer_peer_stats stats;
    struct xfer_session_stats session[SESSIONS_SHOWN];
    unsigned sessions;
};
static void read_peer(void *worker, void *arg)
{
    const struct worker *w = worker;
    struct peer_query *q = arg;
    memset(&q->stats, 0, sizeof q->stats);
    (void)xfer_stats_of(w->xfer, q->node, &q->stats);
    q->sessions = xfer_sessions_of(w->xfer, q->node, q->session, SESSIONS_SHOWN);
}

/* The peer of that id or name, or NULL with the nearest. */
static const struct peer *find(const struct daemon *d, const char *word, struct rpc_error *err)
{
    const struct peer *best = NULL;
    unsigned nearest = UINT_MAX;
    for (unsigned i = 0; i < d->peer_count; i++) {
        const struct peer *p = &d->peers[i];
        char id[16];
        snprintf(id, sizeof id, "%u", p->id);
        unsigned by_id = nearest_distance(word, id), by_name = nearest_distance(word, p->name);
        if (strcmp(id, word) == 0 || strcmp(p->name, word) == 0)
            return p;
        if (by_id < nearest || by_name < nearest) {
            nearest = by_id < by_name ? by_id : by_name;
            best = p;
        }
    }
    if (!best) {
        rpc_fail(err, RPC_INVALID_PARAMS, "there is no peer '%.40s': the cluster has none", word);
        return NULL;
    }
    rpc_fail(err, RPC_INVALID_PARAMS, "there is no peer '%.40s'; did you mean %u, %s?", word, best->id, best->name);
    err->data = json_pack("{s:s, s:s}", "parameter", "peer", "nearest", best->name);
    return NULL;
}

struct figure {
    const char *key;
    uint64_t value;
};

static void group(json_t *to, const char *name, const struct figure *f, size_t n)
{
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, f[i].key, json_number(f[i].value));
    json_object_set_new(to, name, o);
}
#define GROUP(to, name, figures) group(to, name, figures, sizeof figures / sizeof figures[0])

static void add_groups(json_t *o, const struct xfer_peer_stats *s)
{
    const struct figure path[] = {{"window_bytes", s->window}, {"in_flight_bytes", s->in_flight_bytes}, {"in_flight", s->in_flight},
                                  {"packet_bytes", s->packet_bytes}, {"marks_rx", s->marks_rx}, {"marks_tx", s->marks_tx}};
    const struct figure traffic[] = {{"packets_tx", s->packets_tx}, {"packets_rx", s->packets_rx}, {"bytes_tx", s->bytes_tx},
                                     {"bytes_rx", s->bytes_rx}, {"segment_bytes_tx", s->segment_bytes_tx},
                                     {"segment_bytes_rx", s->segment_bytes_rx}, {"attached_bytes_tx", s->attached_bytes_tx},
                                     {"acks_tx", s->acks_tx}, {"acks_rx", s->acks_rx}};
    const struct figure loss[] = {{"retransmits", s->retransmits}, {"spurious", s->spurious}, {"duplicates", s->duplicates},
                                  {"probes", s->probes}, {"cuts", s->cuts}, {"pings", s->pings}, {"downs", s->downs},
                                  {"moves", s->moves}};
    const struct figure tasks[] = {{"tasks_out", s->tasks_out}, {"answers_in", s->answers_in}, {"tasks_in", s->tasks_in},
                                   {"answers_out", s->answers_out}, {"open_out", s->open_out}, {"open_in", s->open_in},
                                   {"cancels_tx", s->cancels_tx}, {"cancels_rx", s->cancels_rx}};
    const struct figure room[] = {{"memory_bytes", s->memory}, {"memory_most_bytes", s->memory_most}, {"grants_tx", s->grants_tx},
                                  {"grants_rx", s->grants_rx}, {"calls_tx", s->calls_tx}, {"calls_rx", s->calls_rx},
                                  {"waiting_out", s->waiting_out}, {"waiting_in", s->waiting_in}, {"waiting_turn", s->waiting_turn}};
    GROUP(o, "path", path);
    json_object_set_new(json_object_get(o, "path"), "srtt_ns", sample(s->srtt_ns));
    json_object_set_new(json_object_get(o, "path"), "rtt_min_ns", sample(s->rtt_min_ns));
    GROUP(o, "traffic", traffic);
    GROUP(o, "loss", loss);
    GROUP(o, "tasks", tasks);
    GROUP(o, "room", room);
    json_t *drops = json_object();
    for (int d = CHI_DROP_NONE + 1; d < CHI_DROP_COUNT; d++)
        json_object_set_new(drops, chi_drop_name((enum chi_drop)d), json_number(s->drops[d]));
    json_object_set_new(o, "drops", drops);
}

static void add_session(json_t *list, uint32_t worker, const struct xfer_session_stats *s)
{
    const struct figure f[] = {{"srtt_ns", s->srtt_ns}, {"rtt_var_ns", s->rtt_var_ns}, {"rtt_min_ns", s->rtt_min_ns}, {"pto_ns", s->pto_ns},
                               {"window_bytes", s->window}, {"in_flight_bytes", s->in_flight_bytes}, {"in_flight", s->in_flight},
                               {"probes", s->probes}, {"packet_bytes", s->packet_bytes}, {"credit_bytes", s->credit},
                               {"unasked_bytes", s->unasked}, {"open_out", s->open_out}};
    json_t *o = json_pack("{s:i, s:i, s:b, s:b}", "worker", (int)worker, "peer_worker", (int)s->worker, "sends", s->sends, "paced", s->paced);
    for (size_t i = 0; i < sizeof f / sizeof f[0]; i++)
        json_object_set_new(o, f[i].key, json_number(f[i].value));
    json_array_append_new(list, o);
}

static json_t *shown(const struct peer *p, const struct xfer_peer_stats *sum, json_t *sessions)
{
    char ip[CONFIG_PEER_IPS * INET_ADDRSTRLEN];
    size_t at = 0;
    for (unsigned i = 0; i < p->ips; i++)
        at += (size_t)snprintf(ip + at, sizeof ip - at, "%s%u.%u.%u.%u", i ? "," : "", p->ip[i] >> 24, p->ip[i] >> 16 & 255,
                               p->ip[i] >> 8 & 255, p->ip[i] & 255);
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:o}", "node", (int)p->id, "name", p->name, "ip", ip, "state", state_name(p, sum), "incarnation",
                          json_number(sum->incarnation));
    add_groups(o, sum);
    json_object_set_new(o, "sessions", sessions);
    return o;
}

json_t *peers_show(void *ctx, json_t *params, struct rpc_error *err)
{
    const struct daemon *d = ctx;
    const struct peer *p = find(d, json_string_value(json_object_get(params, "peer")), err);
    if (!p)
        return NULL;
    struct peer_query *q = calloc(1, sizeof *q); /* as in peers_list */
    struct xfer_peer_stats sum = {0};
    json_t *sessions = json_array();
    int rc = q ? 0 : -ENOMEM;
    for (uint32_t w = 0; w < d->rt->workers && d->net && !rc; w++) {
        q->node = p->id;
        rc = worker_call(d->rt, w, read_peer, q);
        if (rc)
            break;
        add_peer(&sum, &q->stats);
        for (unsigned i = 0; i < q->sessions && i < SESSIONS_SHOWN; i++)
            add_session(sessions, w, &q->session[i]);
    }
    if (rc != -ETIMEDOUT)
        free(q);
    if (!rc)
        return shown(p, &sum, sessions);
    json_decref(sessions);
    return failed(err, rc);
}
