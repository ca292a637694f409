/* bench_raw_memif - what net_memif does between two cores without anything of ours above it: copy mode, ordinary pages,
 * the ring and buffers that net_port_add would choose. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench_raw_pair.h"

int main(int argc, char **argv)
{
    struct raw_pair_options o;
    char folder[] = "/tmp/chi-bench-XXXXXX", server[128], client[128], socket[64];
    if (!raw_pair_options(argc, argv, &o))
        return 2;
    if (!mkdtemp(folder)) {
        perror("bench_raw_memif: no folder for the socket");
        return 1;
    }
    snprintf(socket, sizeof socket, "%s/raw.sock", folder);
    snprintf(server, sizeof server, "net_memif0,role=server,socket=%s", socket);
    snprintf(client, sizeof client, "net_memif0,role=client,socket=%s", socket);
    struct raw_pair p = {.name = "raw_memif", .device = {server, client}, .netns = {-1, -1}, .mtu = 9000};
    int rc = raw_pair_run(&p, &o);
    unlink(socket);
    rmdir(folder);
    return rc;
}
