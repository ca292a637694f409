#include "rpc_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

enum rpc_frame_result rpc_frame_next(struct rpc_frame *f, const char *bytes, size_t have)
{
    if (!f->depth) {
        while (f->at < have && is_space(bytes[f->at]))
            f->at++;
        f->begin = f->at;
        if (f->at == have)
            return RPC_FRAME_MORE;
        if (bytes[f->at] != '{' && bytes[f->at] != '[')
            return RPC_FRAME_BAD;
    }
    for (; f->at < have; f->at++) {
        char c = bytes[f->at];
        if (f->string) {
            if ((unsigned char)c < 32) /* not allowed in a string: a quote is missing */
                return RPC_FRAME_BAD;
            if (f->escape)
                f->escape = false;
            else if (c == '\\')
                f->escape = true;
            else if (c == '"')
                f->string = false;
        } else if (c == '"') {
            f->string = true;
        } else if (c == '{' || c == '[') {
            f->depth++;
        } else if ((c == '}' || c == ']') && --f->depth == 0) {
            f->at++;
            return RPC_FRAME_TEXT;
        }
    }
    return RPC_FRAME_MORE;
}

json_t *rpc_fail(struct rpc_error *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    err->code = code;
    vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return NULL;
}

/* A message that quotes part of a name may have cut a character in two; JSON takes whole ones only. */
static json_t *message_string(char *message)
{
    json_t *s = json_string(message);
    if (s)
        return s;
    for (char *c = message; *c; c++) {
        if ((unsigned char)*c >= 128)
            *c = '?';
    }
    return json_string(message);
}

static json_t *error_response(struct rpc_error *err, json_t *id)
{
    json_t *e = json_pack("{s:i, s:o}", "code", err->code, "message", message_string(err->message));
    if (e && err->data)
        json_object_set_new(e, "data", err->data);
    else
        json_decref(err->data);
    err->data = NULL;
    return json_pack("{s:s, s:o, s:O?}", "jsonrpc", "2.0", "error", e, "id", id ? id : json_null());
}

/* --- parameters */

static const char *const type_words[] = {
    [RPC_STRING] = "a string", [RPC_INTEGER] = "an integer", [RPC_BOOL] = "true or false"};

static bool type_ok(enum rpc_type type, const json_t *v)
{
    return type == RPC_STRING ? json_is_string(v) : type == RPC_INTEGER ? json_is_integer(v) : json_is_boolean(v);
}

static const struct rpc_param *find_param(const struct rpc_method *m, const char *name)
{
    for (const struct rpc_param *p = m->params; p && p->name; p++) {
        if (strcmp(p->name, name) == 0)
            return p;
    }
    return NULL;
}

static void unknown_param(const struct rpc_method *m, const char *name, struct rpc_error *err)
{
    struct nearest near;
    nearest_init(&near, name);
    for (const struct rpc_param *p = m->params; p && p->name; p++)
        nearest_offer(&near, p->name);
    if (near.best) {
        rpc_fail(err, RPC_INVALID_PARAMS, "%s has no parameter '%.40s'; did you mean '%s'?", m->name, name, near.best);
        err->data = json_pack("{s:s, s:s}", "parameter", name, "nearest", near.best);
    } else {
        rpc_fail(err, RPC_INVALID_PARAMS, "%s takes no parameters, but got '%.40s'", m->name, name);
        err->data = json_pack("{s:s}", "parameter", name);
    }
}

static bool check_params(const struct rpc_method *m, json_t *params, struct rpc_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(params, name, value)
    {
        const struct rpc_param *p = find_param(m, name);
        if (!p) {
            unknown_param(m, name, err);
            return false;
        }
        if (!type_ok(p->type, value)) {
            rpc_fail(err, RPC_INVALID_PARAMS, "parameter '%s' of %s must be %s", name, m->name, type_words[p->type]);
            err->data = json_pack("{s:s}", "parameter", name);
            return false;
        }
    }
    for (const struct rpc_param *p = m->params; p && p->name; p++) {
        if (p->required && !json_object_get(params, p->name)) {
            rpc_fail(err, RPC_INVALID_PARAMS, "parameter '%s' of %s is missing; it must be %s", p->name, m->name,
                     type_words[p->type]);
            err->data = json_pack("{s:s}", "parameter", p->name);
            return false;
        }
    }
    return true;
}

/* Parameters by position become parameters by name. */
static json_t *name_params(const struct rpc_method *m, json_t *params, struct rpc_error *err)
{
    const struct rpc_param *p = m->params;
    json_t *named, *value;
    size_t i;
    if (!params)
        return json_object();
    if (json_is_object(params))
        return json_incref(params);
    named = json_object();
    json_array_foreach(params, i, value)
    {
        if (!p || !p->name) {
            rpc_fail(err, RPC_INVALID_PARAMS, "%s takes at most %zu parameters, but got %zu", m->name, i,
                     json_array_size(params));
            json_decref(named);
            return NULL;
        }
        json_object_set(named, p->name, value);
        p++;
    }
    return named;
}

/* --- methods */

static const char *add_text(char *to, size_t cap, const char *sep, const char *text, const char *end)
{
    size_t at = strlen(to);
    snprintf(to + at, cap - at, "%s%s%s", at ? sep : "", text, end);
    return to;
}

static json_t *help_row(const char *name, const struct rpc_param *params, const char *help)
{
    char text[200] = "";
    for (const struct rpc_param *p = params; p && p->name; p++)
        add_text(text, sizeof(text), ", ", p->name, p->required ? "" : "?");
    return json_pack("{s:s, s:s, s:s}", "method", name, "parameters", text, "help", help ? help : "");
}

static json_t *call_help(const struct rpc_method *methods)
{
    json_t *rows = json_array();
    for (const struct rpc_method *m = methods; m->name; m++)
        json_array_append_new(rows, help_row(m->name, m->params, m->help));
    json_array_append_new(rows, help_row("help", NULL, "this list"));
    return rows;
}

static void unknown_method(const struct rpc_method *methods, const char *name, struct rpc_error *err)
{
    struct nearest near;
    nearest_init(&near, name);
    for (const struct rpc_method *m = methods; m->name; m++)
        nearest_offer(&near, m->name);
    nearest_offer(&near, "help");
    rpc_fail(err, RPC_UNKNOWN_METHOD, "unknown method '%.60s'; did you mean '%s'?", name, near.best);
    err->data = json_pack("{s:s}", "nearest", near.best);
}

static json_t *run(const struct rpc_method *methods, void *ctx, const char *name, json_t *params, struct rpc_error *err)
{
    static const struct rpc_method help = {.name = "help"};
    const struct rpc_method *m = methods;
    json_t *result = NULL;
    while (m->name && strcmp(m->name, name) != 0)
        m++;
    if (!m->name && strcmp(name, help.name) == 0)
        m = &help;
    if (!m->name) {
        unknown_method(methods, name, err);
        return NULL;
    }
    json_t *named = name_params(m, params, err);
    if (named && check_params(m, named, err))
        result = m == &help ? call_help(methods) : m->call(ctx, named, err);
    json_decref(named);
    if (!result && !err->code)
        rpc_fail(err, RPC_INTERNAL, "%s gave no result", m->name);
    return result;
}

/* The response to one request, NULL when none is due. */
static json_t *answer_one(const struct rpc_method *methods, void *ctx, json_t *request)
{
    struct rpc_error err = {0};
    json_t *id = json_object_get(request, "id"), *params = json_object_get(request, "params");
    const char *version = json_string_value(json_object_get(request, "jsonrpc"));
    const char *method = json_string_value(json_object_get(request, "method"));
    bool id_ok = !id || json_is_string(id) || json_is_number(id) || json_is_null(id);

    if (!json_is_object(request))
        rpc_fail(&err, RPC_INVALID_REQUEST, "a request must be an object");
    else if (!version || strcmp(version, "2.0") != 0)
        rpc_fail(&err, RPC_INVALID_REQUEST, "\"jsonrpc\" must be \"2.0\"");
    else if (!method)
        rpc_fail(&err, RPC_INVALID_REQUEST, "\"method\" must be a string");
    else if (!id_ok)
        rpc_fail(&err, RPC_INVALID_REQUEST, "\"id\" must be a string, a number or null");
    else if (params && !json_is_object(params) && !json_is_array(params))
        rpc_fail(&err, RPC_INVALID_REQUEST, "\"params\" must be an object or an array");
    if (err.code)
        return error_response(&err, id_ok ? id : NULL);

    json_t *result = run(methods, ctx, method, params, &err);
    if (!id) { /* a notification: nobody listens */
        json_decref(result);
        json_decref(err.data);
        return NULL;
    }
    if (!result)
        return error_response(&err, id);
    json_decref(err.data);
    return json_pack("{s:s, s:o, s:O}", "jsonrpc", "2.0", "result", result, "id", id);
}

static json_t *answer_batch(const struct rpc_method *methods, void *ctx, json_t *batch)
{
    struct rpc_error err = {0};
    json_t *responses, *request;
    size_t i;
    if (json_array_size(batch) == 0)
        rpc_fail(&err, RPC_INVALID_REQUEST, "an empty batch");
    else if (json_array_size(batch) > RPC_BATCH_MAX)
        rpc_fail(&err, RPC_INVALID_REQUEST, "a batch of %zu requests; at most %d", json_array_size(batch),
                 RPC_BATCH_MAX);
    if (err.code)
        return error_response(&err, NULL);
    responses = json_array();
    json_array_foreach(batch, i, request)
    {
        json_t *response = answer_one(methods, ctx, request);
        if (response)
            json_array_append_new(responses, response);
    }
    if (json_array_size(responses) == 0) {
        json_decref(responses);
        return NULL;
    }
    return responses;
}

/* One line; takes the response. */
static char *to_line(json_t *response)
{
    size_t n = json_dumpb(response, NULL, 0, JSON_COMPACT);
    char *line = n ? malloc(n + 2) : NULL;
    if (line) {
        json_dumpb(response, line, n, JSON_COMPACT);
        memcpy(line + n, "\n", 2);
    }
    json_decref(response);
    return line;
}

char *rpc_answer_error(int code, const char *message)
{
    struct rpc_error err = {0};
    rpc_fail(&err, code, "%s", message);
    return to_line(error_response(&err, NULL));
}

char *rpc_answer(const struct rpc_method *methods, void *ctx, const char *text, size_t length)
{
    json_error_t where;
    json_t *request = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    if (!request) {
        struct rpc_error err = {0};
        rpc_fail(&err, RPC_PARSE, "not JSON: %.120s (at byte %d)", where.text, where.position);
        return to_line(error_response(&err, NULL));
    }
    json_t *response = json_is_array(request) ? answer_batch(methods, ctx, request) : answer_one(methods, ctx, request);
    json_decref(request);
    return response ? to_line(response) : NULL;
}
