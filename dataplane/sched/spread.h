/* spread.h - queries for several containers: which nodes they are on, and the tree by which a task gets there.
 *
 * A node that has such a task runs it in its own containers, and sends it to other nodes, each of which does the same with its part of the nodes.
 * So a part is a run of the pool's members, its nodes in ascending order, and travels in the query of the task's form: as long as the two nodes
 * know the same containers (`table`), both mean the same ones by it.
 * Functions of a pool's table (sched.h), which does not change.  Thread: any, in a read section, or as one of the table's users. */
#pragma once
#include "sched.h"

/* The containers first .. first + count - 1, as far as they are on members low .. high - 1. */
struct spread {
    uint32_t first, count, low, high;
};

/* Fills in order, members and hash from containers and node_of.  Control thread, before anybody finds it. */
void spread_table(struct sched_table *t);

static inline bool query_is_for_several(const struct chi_query *q) { return q->kind == CHI_QUERY_RANGE || q->kind == CHI_QUERY_BROADCAST; }
/* Of such a query.  OK; INVALID: of no containers, or another kind; NO_CONTAINER: the pool has not so many. */
enum chi_status spread_of(const struct sched_table *t, const struct chi_query *q, struct spread *out);
/* As a query that travels, and back: OK; INVALID: another kind; MOVED: the nodes' tables differ; NO_CONTAINER: it is not for this node. */
struct chi_query spread_query(const struct sched_table *t, const struct spread *s);
enum chi_status spread_read(const struct sched_table *t, const struct chi_query *q, uint32_t node, struct spread *out);

/* How many of the containers are on a member; *ids are they, ascending. */
uint32_t spread_on(const struct sched_table *t, const struct spread *s, uint32_t member, const uint32_t **ids);
/* How many there are.  Pre of all below: at least one. */
uint32_t spread_size(const struct sched_table *t, const struct spread *s);
/* The member that is this node, or t->member_count. */
uint32_t spread_member(const struct sched_table *t, uint32_t node);
/* Splits all but member `self` into at most `most` (2 or more) parts, in order, each of which begins at a member that has containers; returns how many. */
uint32_t spread_split(const struct sched_table *t, const struct spread *s, uint32_t self, uint32_t most, struct spread *parts);
/* Without its first member; false: nothing is left. */
bool spread_skip(const struct sched_table *t, struct spread *s);
