/* list.h - doubly linked list with its links embedded; a head is a link too.  PURE.  All O(1). */
#pragma once
#include "chi/base.h"

struct link {
    struct link *prev, *next; /* itself when it is in no list, or an empty head */
};

#define LIST_ENTRY(l, type, member) ((type *)(void *)((uint8_t *)(l)-offsetof(type, member)))

static inline void list_init(struct link *l) { l->prev = l->next = l; }
static inline bool list_empty(const struct link *head) { return head->next == head; }
static inline bool list_linked(const struct link *l) { return l->next != l; }

/* Pre: l is in no list. */
static inline void list_push(struct link *head, struct link *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

/* Takes l out of its list, if it is in one. */
static inline void list_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* The same of one that is in a list, and whose link is not looked at again before it is in another one. */
static inline void list_drop(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
}

static inline void list_to_tail(struct link *head, struct link *l)
{
    list_drop(l);
    list_push(head, l);
}
