#include "pools.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "chi/client.h"
#include "chimods/admin/admin.h"

/* Any of the requests. */
union request {
    struct chi_task task;
    struct admin_pool_get get;
    struct admin_pool_destroy destroy;
    struct admin_pool_expand expand;
    struct admin_pool_contract contract;
    struct chi_flush_task flush;
};

static bool put_name(json_t *params, const char *key, admin_name *to, char *err, size_t cap)
{
    const char *text = json_string_value(json_object_get(params, key));
    size_t n = text ? strlen(text) : 0;
    if (!n || n > sizeof to->data) {
        snprintf(err, cap, text ? "%s has %zu letters; right are 1 to %zu" : "--%s is missing", key, n, sizeof to->data);
        return false;
    }
    to->len = (uint32_t)n;
    memcpy(to->data, text, n);
    return true;
}

/* A number of the parameters, or what it is without one; false: it is none of these tasks. */
static bool put_number(json_t *params, const char *key, json_int_t otherwise, uint32_t *to, char *err, size_t cap)
{
    json_t *given = json_object_get(params, key);
    json_int_t v = given ? json_integer_value(given) : otherwise;
    if (v < 0 || v > UINT32_MAX) {
        snprintf(err, cap, "--%s is %" JSON_INTEGER_FORMAT "; right is a number from 0 to %u", key, v, UINT32_MAX);
        return false;
    }
    *to = (uint32_t)v;
    return true;
}

static bool fill_create(union request *q, json_t *p, char *err, size_t cap)
{
    q->task.method = &admin_pool_get_method;
    return put_name(p, "name", &q->get.name, err, cap) && put_name(p, "module", &q->get.module, err, cap) &&
           put_number(p, "containers", 1, &q->get.containers, err, cap);
}
static bool fill_destroy(union request *q, json_t *p, char *err, size_t cap)
{
    q->task.method = &admin_pool_destroy_method;
    return put_name(p, "name", &q->destroy.name, err, cap);
}
static bool fill_expand(union request *q, json_t *p, char *err, size_t cap)
{
    q->task.method = &admin_pool_expand_method;
    return put_name(p, "name", &q->expand.name, err, cap) && put_number(p, "containers", 1, &q->expand.containers, err, cap) &&
           put_number(p, "node", 0, &q->expand.on, err, cap);
}
static bool fill_contract(union request *q, json_t *p, char *err, size_t cap)
{
    q->task.method = &admin_pool_contract_method;
    return put_name(p, "name", &q->contract.name, err, cap) && put_number(p, "containers", 1, &q->contract.containers, err, cap);
}

/* Of a pool by its number; what has a name is looked up first (pools_call). */
static bool fill_flush(union request *q, json_t *p, char *err, size_t cap)
{
    struct chi_pool_id id;
    const char *text = json_string_value(json_object_get(p, "pool"));
    int end = 0;
    bool right = !text || (sscanf(text, "%u.%u%n", &id.major, &id.minor, &end) == 2 && !text[end]);
    if (!right)
        snprintf(err, cap, "'%.40s' is no pool's number", text);
    chi_flush_init(&q->flush, text ? &id : NULL, 0);
    return right;
}

static const struct admin_end *end_create(const union request *q) { return &q->get.end; }
static const struct admin_end *end_destroy(const union request *q) { return &q->destroy.end; }
static const struct admin_end *end_expand(const union request *q) { return &q->expand.end; }
static const struct admin_end *end_contract(const union request *q) { return &q->contract.end; }

/* The same of a flush, which has no words of its own. */
static const struct admin_end *end_flush(const union request *q)
{
    static struct admin_end end;
    end = (struct admin_end){.status = q->flush.end};
    if (q->flush.end != CHI_STATUS_OK && q->flush.node)
        end.why.len = (uint32_t)snprintf(end.why.data, sizeof end.why.data, "node %u: %s", q->flush.node, chi_status_text((enum chi_status)q->flush.end));
    return &end;
}

static json_t *say_create(const union request *q)
{
    char id[24];
    snprintf(id, sizeof id, "%u.%u", q->get.major, q->get.minor);
    return json_pack("{s:s, s:i, s:b}", "pool", id, "containers", (int)q->get.count, "made", q->get.made);
}
static json_t *say_destroy(const union request *q)
{
    (void)q;
    return json_pack("{s:b}", "gone", 1);
}
static json_t *say_expand(const union request *q) { return json_pack("{s:i}", "containers", (int)q->expand.count); }
static json_t *say_contract(const union request *q) { return json_pack("{s:i}", "containers", (int)q->contract.count); }

static json_t *say_flush(const union request *q) { return json_pack("{s:b, s:i}", "flushed", 1, "counts", (int)q->flush.counts); }

static const struct offer {
    const char *method;
    bool (*fill)(union request *q, json_t *params, char *err, size_t cap);
    const struct admin_end *(*end)(const union request *q);
    json_t *(*say)(const union request *q);
} offers[] = {
    {"pool.create", fill_create, end_create, say_create},
    {"pool.destroy", fill_destroy, end_destroy, say_destroy},
    {"pool.expand", fill_expand, end_expand, say_expand},
    {"pool.contract", fill_contract, end_contract, say_contract},
    {"flush", fill_flush, end_flush, say_flush},
};

static const struct offer *offer_of(const char *method)
{
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++)
        if (strcmp(offers[i].method, method) == 0)
            return &offers[i];
    return NULL;
}

bool pools_offers(const char *method) { return offer_of(method) != NULL; }

static enum call_result run(const struct call_to *to, struct chi_client *c, const struct offer *o, union request *q, unsigned timeout_ms, json_t **result_out,
                            char *err, size_t cap)
{
    q->task.pool = (struct chi_pool_id){ADMIN_MAJOR, 0};
    q->task.query = chi_local();
    q->task.timeout_us = timeout_ms * 1000;
    chi_submit(c, &q->task);
    chi_wait(c, &q->task, -1); /* it ends by its deadline, or with the daemon */
    const struct admin_end *end = o->end(q);
    enum chi_status st = admin_status(&q->task, end);
    bool said = q->task.status == CHI_STATUS_OK && end->why.len;
    if (st == CHI_STATUS_DISCONNECTED) {
        snprintf(err, cap, "the %s on %s went away", to->who, to->path);
        return CALL_UNREACHABLE;
    }
    if (st != CHI_STATUS_OK) {
        snprintf(err, cap, "%s: %.*s", chi_status_name(st), said ? (int)end->why.len : (int)strlen(chi_status_text(st)),
                 said ? end->why.data : chi_status_text(st));
        return CALL_REFUSED;
    }
    *result_out = o->say(q);
    if (end->node) /* it is done, but for that */
        json_object_set_new(*result_out, "missing", json_stringn(end->why.data, end->why.len));
    return CALL_OK;
}

/* A pool of a flush by its name: its number takes the name's place. */
static enum call_result find_pool(const struct call_to *to, json_t *params, unsigned timeout_ms, char *err, size_t cap)
{
    json_t *shown = NULL, *name = json_object_get(params, "pool");
    if (!name)
        return CALL_OK;
    enum call_result r = call_method(to, "pool.show", json_pack("{s:O}", "name", name), timeout_ms, &shown, err, cap);
    if (r == CALL_OK)
        json_object_set(params, "pool", json_object_get(shown, "pool"));
    json_decref(shown);
    return r;
}

enum call_result pools_call(const struct call_to *to, const char *method, json_t *params, unsigned timeout_ms, json_t **result_out, char *err, size_t cap)
{
    const struct offer *o = offer_of(method);
    union request q;
    struct chi_client *c;
    memset(&q, 0, sizeof q);
    enum call_result r = o->fill == fill_flush ? find_pool(to, params, timeout_ms, err, cap) : CALL_OK;
    if (r) {
        json_decref(params);
        return r;
    }
    bool right = o->fill(&q, params, err, cap);
    json_decref(params);
    if (!right)
        return CALL_REFUSED;
    int rc = chi_connect(to->path, &(struct chi_client_options){.bulk_bytes = 1 << 20, .depth = 2}, &c);
    if (rc) {
        snprintf(err, cap, "no %s lets a client in on %s (%s); %s", to->who, to->path, strerror(-rc), to->mend);
        return CALL_UNREACHABLE;
    }
    r = run(to, c, o, &q, timeout_ms, result_out, err, cap);
    chi_disconnect(c);
    return r;
}
