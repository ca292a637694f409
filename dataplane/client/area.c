/* area.c - room in bulk memory for forms and answers that do not fit into a slot.  A cookie keeps its area for the next
 * task; idle areas are given back when memory is short. */
#include "internal.h"

bool area_reclaim(struct chi_client *c)
{
    bool any = false;
    for (uint32_t i = 0; i < c->depth; i++) {
        struct open_task *o = &c->open[i];
        if (!o->task && o->area) {
            bulk_give(c, o->area);
            o->area = NULL;
            any = true;
        }
    }
    return any;
}

bool area_reserve(struct chi_client *c, struct open_task *o, uint64_t bytes)
{
    if (o->area && o->area->size >= bytes)
        return true;
    if (o->area)
        bulk_give(c, o->area);
    o->area = bulk_try_take(c, bytes, true);
    if (!o->area && area_reclaim(c))
        o->area = bulk_try_take(c, bytes, true);
    return o->area != NULL;
}
