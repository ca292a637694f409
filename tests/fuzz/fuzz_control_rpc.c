/* fuzz_control_rpc.c - a control connection that sends any bytes: cut at any place they give the same texts, each text
 * gives no answer or one line of valid JSON-RPC 2.0 with the id of its request, and a method is called only with
 * parameters that its table allows.  Input: a byte that says how the rest is cut, then the stream. */
#include <stdlib.h>
#include <string.h>

#include "control/rpc_call.h"
#include "fuzz.h"

static unsigned calls;

static const struct rpc_param some_params[] = {{"name", RPC_STRING, true, "a name"},
                                               {"count", RPC_INTEGER, false, "how many"},
                                               {"all", RPC_BOOL, false, "all of them"},
                                               {NULL, RPC_STRING, false, NULL}};

static json_t *call_some(void *ctx, json_t *params, struct rpc_error *err)
{
    const json_t *name = json_object_get(params, "name"), *count = json_object_get(params, "count"),
                 *all = json_object_get(params, "all");
    (void)err;
    CHI_ASSERT(ctx == &calls && json_is_object(params) && json_is_string(name));
    CHI_ASSERT((!count || json_is_integer(count)) && (!all || json_is_boolean(all)));
    CHI_ASSERT(json_object_size(params) == 1u + (count != NULL) + (all != NULL));
    calls++;
    return json_incref(params);
}

static json_t *call_fail(void *ctx, json_t *params, struct rpc_error *err)
{
    CHI_ASSERT(ctx == &calls && json_object_size(params) == 0);
    calls++;
    rpc_fail(err, RPC_FAILED, "it failed");
    err->data = json_pack("{s:s}", "why", "\xc3\xa4");
    return NULL;
}

static json_t *call_nothing(void *ctx, json_t *params, struct rpc_error *err)
{
    (void)err;
    CHI_ASSERT(ctx == &calls && json_object_size(params) == 0);
    calls++;
    return NULL;
}

static const struct rpc_method methods[] = {{"some", "takes some", some_params, call_some},
                                            {"fail", "fails", NULL, call_fail},
                                            {"nothing", NULL, NULL, call_nothing},
                                            {NULL, NULL, NULL, NULL}};

static void check_response(const json_t *r)
{
    const json_t *error = json_object_get(r, "error"), *result = json_object_get(r, "result");
    const json_t *id = json_object_get(r, "id");
    CHI_ASSERT(json_is_object(r) && json_object_size(r) == 3);
    CHI_ASSERT(strcmp(json_string_value(json_object_get(r, "jsonrpc")), "2.0") == 0);
    CHI_ASSERT(json_is_string(id) || json_is_number(id) || json_is_null(id));
    CHI_ASSERT((error != NULL) != (result != NULL));
    if (!error)
        return;
    CHI_ASSERT(json_is_integer(json_object_get(error, "code")) && json_is_string(json_object_get(error, "message")));
    CHI_ASSERT(json_integer_value(json_object_get(error, "code")) < 0);
}

/* The responses in a line, to be given back. */
static json_t *check_line(const char *line)
{
    size_t n = strlen(line);
    CHI_ASSERT(n > 1 && memchr(line, '\n', n) == line + n - 1);
    json_t *v = json_loadb(line, n - 1, JSON_REJECT_DUPLICATES, NULL);
    CHI_ASSERT(v);
    if (!json_is_array(v)) {
        check_response(v);
        return v;
    }
    CHI_ASSERT(json_array_size(v) >= 1 && json_array_size(v) <= RPC_BATCH_MAX);
    for (size_t i = 0; i < json_array_size(v); i++)
        check_response(json_array_get(v, i));
    return v;
}

/* One request has an answer with its id, unless it is a notification; a batch has at most one for each. */
static void check_match(const json_t *request, const json_t *response)
{
    const json_t *id = json_object_get(request, "id");
    if (json_is_array(request)) {
        CHI_ASSERT(!json_is_array(response) || json_array_size(response) <= json_array_size(request));
    } else if (json_is_object(request) && response) {
        const json_t *back = json_object_get(response, "id");
        CHI_ASSERT(json_is_object(response) && (json_is_null(back) || json_equal(id, back)));
    } else if (request) {
        CHI_ASSERT(json_is_object(request) && !id);
    } else {
        CHI_ASSERT(response && json_is_null(json_object_get(response, "id")));
    }
}

static void check_answer(const uint8_t *text, size_t n)
{
    char *copy = malloc(n ? n : 1); /* of exactly that size: ASan sees what goes beyond */
    if (n)
        memcpy(copy, text, n);
    json_t *request = json_loadb(copy, n, JSON_REJECT_DUPLICATES, NULL), *response = NULL;
    unsigned before = calls;
    char *line = rpc_answer(methods, &calls, copy, n);
    CHI_ASSERT(calls - before <= (json_is_array(request) ? json_array_size(request) : json_is_object(request)));
    if (line)
        response = check_line(line);
    check_match(request, response);
    json_decref(request);
    json_decref(response);
    free(line);
    free(copy);
}

/* Frames bytes that come in pieces as if they had come at once, and answers each text. */
static void check_frames(const uint8_t *bytes, size_t n, uint8_t cut)
{
    struct rpc_frame whole = {0}, parts = {0};
    size_t have = 0;
    for (;;) {
        size_t from = whole.at;
        enum rpc_frame_result r = rpc_frame_next(&whole, (const char *)bytes, n), p;
        CHI_ASSERT(whole.begin >= from && whole.begin <= whole.at && whole.at <= n);
        while ((p = rpc_frame_next(&parts, (const char *)bytes, have)) == RPC_FRAME_MORE && have < n)
            have += 1 + cut % (n - have);
        CHI_ASSERT(p == r && parts.begin == whole.begin && parts.at == whole.at);
        if (r != RPC_FRAME_TEXT) {
            CHI_ASSERT(r == RPC_FRAME_BAD || whole.at == n);
            return;
        }
        CHI_ASSERT(whole.at - whole.begin >= 2 && strchr("{[", bytes[whole.begin]) &&
                   strchr("}]", bytes[whole.at - 1]));
        check_answer(bytes + whole.begin, whole.at - whole.begin);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char message[300];
    if (size < 1 || size > RPC_REQUEST_MAX)
        return 0;
    json_object_seed(1); /* the order of members is the same in each run */
    uint8_t *exact = malloc(size);
    memcpy(exact, data + 1, size - 1);
    check_frames(exact, size - 1, data[0]);
    check_answer(exact, size - 1); /* also what no frame would hold */
    size_t n = size - 1 < sizeof message - 1 ? size - 1 : sizeof message - 1;
    memcpy(message, exact, n);
    message[n] = 0;
    char *line = rpc_answer_error(RPC_FAILED, message);
    json_decref(check_line(line));
    free(line);
    free(exact);
    return 0;
}

/* --- seeds */

static void emit_text(void (*emit)(const char *, const void *, size_t), const char *name, const char *text)
{
    emit(name, text, strlen(text));
}

#define CALL(rest) "{\"jsonrpc\":\"2.0\"," rest "}"

void fuzz_seeds(void (*emit)(const char *name, const void *data, size_t size))
{
    emit_text(emit, "named.json",
              "a" CALL("\"method\":\"some\",\"params\":{\"name\":\"x\",\"count\":3,\"all\":true},\"id\":1"));
    emit_text(emit, "by_position.json", "b" CALL("\"method\":\"some\",\"params\":[\"x\",3,false],\"id\":\"two\""));
    emit_text(emit, "too_many.json", "b" CALL("\"method\":\"fail\",\"params\":[1],\"id\":2.5"));
    emit_text(emit, "missing.json", "b" CALL("\"method\":\"some\",\"params\":{},\"id\":null"));
    emit_text(emit, "wrong_type.json", "b" CALL("\"method\":\"some\",\"params\":{\"name\":4},\"id\":3"));
    emit_text(emit, "unknown_param.json", "b" CALL("\"method\":\"some\",\"params\":{\"nam\":\"\\u00e4\"},\"id\":3"));
    emit_text(emit, "unknown_method.json", "b" CALL("\"method\":\"soma\\u0000\\ud83d\\ude00\",\"id\":3"));
    emit_text(emit, "long_names.json",
              "b" CALL("\"method\":\"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
                       "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
                       "x\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\",\"id\":3"));
    emit_text(emit, "help.json", "b" CALL("\"method\":\"help\",\"id\":4"));
    emit_text(emit, "fail.json", "b" CALL("\"method\":\"fail\",\"id\":5"));
    emit_text(emit, "nothing.json", "b" CALL("\"method\":\"nothing\",\"id\":6"));
    emit_text(emit, "notification.json", "b" CALL("\"method\":\"nothing\""));
    emit_text(emit, "id_object.json", "b" CALL("\"method\":\"nothing\",\"id\":{}"));
    emit_text(emit, "batch.json", "c[" CALL("\"method\":\"fail\",\"id\":1") ",4," CALL("\"method\":\"fail\"") "]");
    emit_text(emit, "batch_silent.json", "c[" CALL("\"method\":\"fail\"") "]");
    emit_text(emit, "batch_empty.json", "c[]");
    emit_text(emit, "batch_long.json",
              "c[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
              "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]");
    emit_text(emit, "stream.json",
              "d " CALL("\"method\":\"fail\",\"id\":1") "\n\t[{}]" CALL("\"method\":\"help\"") " {");
    emit_text(emit, "strings.json", "a{\"}]\\\"\\\\\":[{\"\\u007d\":\"{\"}]} {\"\n\"}");
    emit_text(emit, "duplicates.json", "a{\"id\":1,\"id\":2}");
    emit_text(emit, "closing.json", "a{]}}");
    emit_text(emit, "not_json.json", "a{oops}");
    emit_text(emit, "numbers.json", "a[1e999,-0,99999999999999999999]");
    emit_text(emit, "nothing_at_all.json", "a");
}
