/* fanout.c - net_af_packet's groups of sockets get numbers that are free.
 *
 * The driver joins the sockets of a port in a group (PACKET_FANOUT) whose number it makes of its process and interface; two daemons in
 * one network namespace have the same one now and then, and the later one's port does not open.  The kernel can choose
 * (PACKET_FANOUT_FLAG_UNIQUEID, packet(7)): the first socket of a port asks it to, the others join that group. */
#define _GNU_SOURCE
#include "net/fanout.h"

#include <dlfcn.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

#include "chi/base.h"

static __thread struct {
    bool opens;
    int group; /* -1: no socket has one yet */
} port;

void fanout_choose(bool opens)
{
    port.opens = opens;
    port.group = -1;
}

static int join(int (*next)(int, int, int, const void *, socklen_t), int fd, uint32_t wants)
{
    int chosen = 0;
    socklen_t n = sizeof chosen;
    uint32_t how = wants & ~UINT16_MAX; /* its low half is the number */
    how = port.group < 0 ? how | (uint32_t)PACKET_FANOUT_FLAG_UNIQUEID << 16 : how | (uint32_t)port.group;
    int rc = next(fd, SOL_PACKET, PACKET_FANOUT, &how, sizeof how);
    if (rc == 0 && port.group < 0 && getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &chosen, &n) == 0)
        port.group = chosen & UINT16_MAX;
    return rc;
}

/* Stands in front of the C library's function of this name, for every driver in the process. */
__attribute__((visibility("default"))) int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    int (*next)(int, int, int, const void *, socklen_t);
    uint32_t wants;
    *(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
    CHI_ASSERT(next);
    if (!port.opens || level != SOL_PACKET || name != PACKET_FANOUT || n != sizeof wants)
        return next(fd, level, name, value, n);
    memcpy(&wants, value, sizeof wants);
    return join(next, fd, wants);
}
