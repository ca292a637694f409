#include "task/ledger.h"

void ledger_init(struct ledger *l)
{
    *l = (struct ledger){.taken = 0};
    list_init(&l->open);
}

void ledger_take(struct ledger *l, struct ledger_entry *e)
{
    *e = (struct ledger_entry){.state = LEDGER_TAKEN};
    list_push(&l->open, &e->link);
    l->taken++;
}

void ledger_accept(struct ledger *l, struct ledger_entry *e, uint64_t now_ns, uint64_t by, const void *caller)
{
    CHI_ASSERT(e->state == LEDGER_TAKEN && "a task is accepted once");
    e->state = LEDGER_ACCEPTED;
    e->number = ++l->accepted;
    e->accepted_ns = now_ns;
    e->by = by;
    e->caller = caller;
}

void ledger_end(struct ledger_entry *e, uint32_t status)
{
    CHI_ASSERT(e->state == LEDGER_ACCEPTED && "a task ends once");
    CHI_ASSERT(status != CHI_STATUS_PENDING && chi_status_known(status) && "a task ends with a status");
    e->state = LEDGER_ENDED;
    e->status = (uint16_t)status;
}

void ledger_return(struct ledger *l, struct ledger_entry *e)
{
    CHI_ASSERT(e->state == LEDGER_ENDED && "a task comes back when it ended");
    e->state = LEDGER_TAKEN;
    l->ended++;
}

void ledger_give_back(struct ledger *l, struct ledger_entry *e)
{
    if (e->state == LEDGER_ENDED)
        ledger_return(l, e);
    CHI_ASSERT(e->state == LEDGER_TAKEN && "a record goes back once, when its task ended");
    e->state = LEDGER_FREE;
    list_remove(&e->link);
    l->given_back++;
}

bool ledger_is_closed(const struct ledger *l)
{
    return list_empty(&l->open) && l->taken == l->given_back && l->accepted == l->ended;
}
