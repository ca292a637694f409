/* echo.c - a ChiMod echo whose ping has another field table, as an older or newer version would. */
#include "chi/chimod.h"

struct ping {
    struct chi_task task;
    uint64_t value;
    uint32_t more;
};
CHI_FIELDS(ping_fields) = {CHI_INOUT(U64, struct ping, value), CHI_IN(U32, struct ping, more)};
CHI_METHOD_VAR(ping_method) = CHI_METHOD(1, struct ping, ping_fields);

static enum chi_status init(struct chi_container *c) { return chi_container_create_queue(c, 0, 1); }
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    (void)task;
    (void)r;
    return CHI_STATUS_OK;
}
static struct chi_method *const methods[] = {&ping_method};
static const struct chi_chimod echo = {
    .abi = CHI_CHIMOD_ABI, .size = sizeof(struct chi_chimod), .name = "echo", .methods = methods, .nmethods = 1, .init = init, .run = run,
};
CHI_CHIMOD(echo)
