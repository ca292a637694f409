/* watch.h - looks after open ports: see eth.h.  Control thread. */
#pragma once

struct eth;
struct rte_intr_handle;

/* From watch_add until watch_remove the port may be restarted; then it is as it was last, and nobody else's. */
void watch_add(struct eth *e);
void watch_remove(struct eth *e);

/* Opens the gates of the queues that are there: by whoever started the port, and by the watch when more of them are. */
void watch_gates_open(struct eth *e);

/* The handle for interrupts that was made last, once; NULL: none since the last call.  net_memif makes one in the set-up of each
 * queue, and nothing else says whether the other side has that queue. */
struct rte_intr_handle *watch_handle_made(void);

/* A memif server's port is closed, and was the last one on its socket: ends what listens there.  In the EAL's interrupt thread. */
void watch_unserve(const char *socket_path);

/* Runs f(e) in the EAL's interrupt thread and waits for its end: net_memif frees what a connection had both when the
 * other side goes and when the port closes, without a lock; in one thread they cannot meet.  In this thread if there is
 * no alarm. */
void watch_run(void (*f)(struct eth *e), struct eth *e);
