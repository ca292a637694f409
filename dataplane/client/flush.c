/* flush.c - a flush, by its task. */
#include "chi/flush.h"

#include "internal.h"

enum chi_status chi_client_flush(struct chi_client *c, const struct chi_pool_id *pool, uint32_t timeout_us)
{
    struct chi_flush_task f;
    memset(&f, 0, sizeof f);
    chi_flush_init(&f, pool, timeout_us);
    enum chi_status st = chi_submit(c, &f.task);
    if (st != CHI_STATUS_PENDING)
        return st;
    chi_wait(c, &f.task, -1); /* it ends by its deadline, or with the daemon */
    return chi_flush_status(&f);
}
