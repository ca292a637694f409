/* @name@_mod.c - the ChiMod: its table, and the way from a task to what the method does. */
#include <chi/chimod.h>

#include "@name@.h"

/* One queue, with a lane for each worker. */
static enum chi_status init(struct chi_container *c)
{
    return chi_container_create_queue(c, 0, chi_container_workers(c));
}

static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    (void)r;
    switch (task->method->id) {
    case @NAME@_SUM:
        return @name@_sum_run((struct @name@_sum *)task);
    default:
        return CHI_STATUS_NO_METHOD;
    }
}

static struct chi_method *const methods[] = {&@name@_sum_method};
static const struct chi_chimod @name@ = {
    .abi = CHI_CHIMOD_ABI,
    .size = sizeof(struct chi_chimod),
    .name = "@name@",
    .methods = methods,
    .nmethods = sizeof methods / sizeof methods[0],
    .init = init,
    .run = run,
};
CHI_CHIMOD(@name@)
