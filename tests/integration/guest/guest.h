/* guest.h - ChiMod of the tests of pools and flushes: tasks that stay for a while, until they are told that their pool goes, or longer. */
#pragma once
#include "chi/task.h"

enum { GUEST_STAY = 1 };
enum guest_mode {
    GUEST_ANSWERS, /* at once */
    GUEST_PARKS,   /* run returns PENDING; `cancel` ends it with what it says */
    GUEST_SLEEPS,  /* run sleeps again and again, and ends with what chi_task_cancelled says */
    GUEST_LISTENS, /* the same, but from a subtask in the same pool that it waits for */
    GUEST_NAPS,    /* run sleeps for so many microseconds as value is at first */
    GUEST_FLUSHES, /* run flushes all pools, for 10 s at most, and ends with what that says */
    GUEST_DEAF,    /* run sleeps for 2 s, longer than a pool's end is awaited, and hears nothing */
};
struct guest_stay {
    struct chi_task task;
    uint64_t value; /* INOUT: + container + 1 */
    uint32_t mode;  /* IN */
    uint32_t node;  /* OUT */
};
CHI_FIELDS(guest_stay_fields) = {CHI_INOUT(U64, struct guest_stay, value), CHI_IN(U32, struct guest_stay, mode), CHI_OUT(U32, struct guest_stay, node)};
CHI_METHOD_VAR(guest_stay_method) = CHI_METHOD(GUEST_STAY, struct guest_stay, guest_stay_fields);
