#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/device.h"
#include "net/eal.h"

enum {
    MEMIF_RING_LOG2 = 9,  /* descriptors x buffers of 9000 bytes stay in the caches: see bench_raw_memif */
    RING_FRAMES = 512,    /* af_packet */
    FRAMES_A_BLOCK = 4,   /* af_packet: four times a multiple of 1024 is whole pages */
    PACKET_HEAD_MAX = 66, /* af_packet: what the kernel puts before a frame */
    PACKET_HEAD_MIN = 32, /* what the driver reckons with */
    XDP_CHUNK_MIN = 2048, /* af_xdp: the kernel takes no smaller packets, */
    XDP_HEADROOM = 256,   /* and keeps so much before a frame that comes in: without it large ones vanish */
};

static bool hex_run(const char **p, int least, int most)
{
    int n = 0;
    while (n < most && isxdigit((unsigned char)**p))
        (*p)++, n++;
    return n >= least;
}

bool net_device_is_pci(const char *device)
{
    const char *p = device;
    for (int i = 0; i < 2; i++) {
        const char *q = p;
        bool long_form = i == 0 && hex_run(&q, 4, 8) && *q == ':';
        if (long_form)
            p = q + 1;
        if (!hex_run(&p, 2, 2) || *p++ != ':')
            return false;
        if (hex_run(&p, 2, 2) && *p == '.' && p[1] >= '0' && p[1] <= '7' && (p[2] == 0 || p[2] == ','))
            return true;
        if (!long_form)
            return false;
    }
    return false;
}

/* Finds ",key=value" in a device line; the value's start and length. */
static const char *arg_find(const char *line, const char *key, size_t *length)
{
    size_t n = strlen(key);
    for (const char *p = strchr(line, ','); p; p = strchr(p, ',')) {
        p++;
        if (strncmp(p, key, n) == 0 && p[n] == '=') {
            *length = strcspn(p + n + 1, ",");
            return p + n + 1;
        }
    }
    return NULL;
}

static bool arg_copy(const char *line, const char *key, char *out, size_t cap)
{
    size_t n;
    const char *v = arg_find(line, key, &n);
    out[0] = 0;
    if (!v || n >= cap)
        return false;
    memcpy(out, v, n);
    out[n] = 0;
    return true;
}

/* The number of an argument, 0 when it is absent or none. */
static uint32_t arg_number(const char *line, const char *key)
{
    char text[16];
    return arg_copy(line, key, text, sizeof text) ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static bool line_append(struct device *d, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool line_append(struct device *d, const char *format, ...)
{
    size_t used = strlen(d->line);
    va_list list;
    va_start(list, format);
    int n = vsnprintf(d->line + used, sizeof d->line - used, format, list);
    va_end(list);
    return n >= 0 && (size_t)n < sizeof d->line - used;
}

/* Appends the name and all arguments of `line` but `key`. */
static bool line_without(struct device *d, const char *line, const char *key)
{
    size_t n = strlen(key);
    bool ok = line_append(d, "%s", d->name);
    for (const char *p = strchr(line, ','); p; p = strchr(p + 1, ','))
        if (strncmp(p + 1, key, n) != 0 || p[1 + n] != '=')
            ok = ok && line_append(d, ",%.*s", (int)strcspn(p + 1, ","), p + 1);
    return ok;
}

void device_socket(const char *line, char out[108])
{
    arg_copy(line, "socket", out, 108);
}

/* True when a process listens on this path.  Asked of the kernel's list and not by a connection: the PMD of a live server ends its
 * process when a connection is closed while it takes it in. */
static bool socket_served(const char *path)
{
    char line[512], found[128];
    unsigned flags;
    bool served = false;
    FILE *f = fopen("/proc/net/unix", "re");
    while (f && !served && fgets(line, sizeof line, f)) /* address: references protocol flags type state inode path */
        served = sscanf(line, "%*s %*x %*x %x %*x %*x %*u %127[^\n]", &flags, found) == 2 && (flags & 1u << 16) &&
                 strcmp(found, path) == 0;
    if (f)
        fclose(f);
    return served;
}

/* A socket file on which nobody listens is left over from a process that was killed. */
static int socket_clean(const char *path, char *err)
{
    struct stat st;
    if (stat(path, &st))
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return net_fail(err, -EEXIST, "%s exists and is no socket: name another file in socket=", path);
    if (socket_served(path))
        return net_fail(err, -EADDRINUSE, "another process serves %s: end it, or name another socket", path);
    if (unlink(path) == 0)
        return 0;
    return net_fail(err, -errno, "%s is in the way (%s): remove it", path, strerror(errno));
}

static int socket_folder(const char *path, char *err)
{
    char folder[108];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return 0;
    *slash = 0;
    if (mkdir(folder, 0700) == 0 || errno == EEXIST)
        return 0;
    return net_fail(err, -errno, "the folder %s of a memif socket cannot be made: %s", folder, strerror(errno));
}

static int memif_prepare(struct device *d, const char *line, uint32_t ip, uint32_t frame_bytes, bool own_socket,
                         char *err)
{
    char role[16], abstract[8];
    size_t n;
    arg_copy(line, "role", role, sizeof role);
    arg_copy(line, "socket-abstract", abstract, sizeof abstract);
    d->memif_client = strcmp(role, "server") != 0 && strcmp(role, "master") != 0;
    if (!arg_copy(line, "socket", d->socket, sizeof d->socket))
        return net_fail(err, -EINVAL, "%s: needs socket=PATH of at most 107 bytes", d->name);

    uint32_t bsize = arg_number(line, "bsize");
    if (arg_find(line, "bsize", &n) && bsize < frame_bytes)
        return net_fail(err, -EINVAL, "%s: bsize=%u is less than a frame of %u bytes: leave it out", d->name, bsize,
                        frame_bytes);
    if (!bsize)
        bsize = (frame_bytes + 63) & ~63u;
    if (bsize > UINT16_MAX - 64)
        return net_fail(err, -EINVAL, "%s: bsize=%u is more than 65471: leave it out", d->name, bsize);
    d->room_bytes = bsize;

    bool ok = line_without(d, line, "bsize");
    /* The client's bsize lays out the buffers.  A server's is only compared with the room of its packets by drivers
     * newer than DPDK 22.11: where it is not more, they trust the client's lengths.  So a server says more, and a
     * client with a larger MTU cannot write past our packets. */
    ok = ok && line_append(d, ",bsize=%u", d->memif_client ? bsize : bsize + 64);
    if (!arg_find(line, "rsize", &n))
        ok = ok && line_append(d, ",rsize=%d", MEMIF_RING_LOG2);
    if (!arg_find(line, "mac", &n)) /* the same after a restart, so that neighbours need not learn it anew */
        ok = ok && line_append(d, ",mac=02:43:%02x:%02x:%02x:%02x", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
    if (!abstract[0]) /* a file has permissions, an abstract socket has none */
        ok = ok && line_append(d, ",socket-abstract=no");
    if (!ok)
        return net_fail(err, -ENAMETOOLONG, "%s: the device line is too long", d->name);
    if (abstract[0] && strcmp(abstract, "no") != 0)
        return 0;
    int rc = socket_folder(d->socket, err);
    return rc || d->memif_client || own_socket ? rc : socket_clean(d->socket, err);
}

static int iface_ioctl(const char *iface, unsigned long request, struct ifreq *r)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memset(r, 0, sizeof *r);
    snprintf(r->ifr_name, sizeof r->ifr_name, "%s", iface);
    int rc = ioctl(fd, request, r) ? -errno : 0;
    close(fd);
    return rc;
}

int device_iface_mtu(const char *iface)
{
    struct ifreq r;
    int rc = iface_ioctl(iface, SIOCGIFMTU, &r);
    return rc ? rc : r.ifr_mtu;
}

bool device_is_iface(const char *line)
{
    return strlen(line) < IF_NAMESIZE && !strchr(line, ',') && if_nametoindex(line) != 0;
}

void device_iface(const char *line, char out[16])
{
    if (device_is_iface(line))
        snprintf(out, 16, "%s", line);
    else
        arg_copy(line, "iface", out, 16);
}

enum device_link device_iface_link(const char *iface, unsigned ifindex)
{
    struct ifreq r;
    unsigned now = if_nametoindex(iface);
    if (!now || (ifindex && now != ifindex) || iface_ioctl(iface, SIOCGIFFLAGS, &r))
        return DEVICE_LINK_GONE;
    return (r.ifr_flags & IFF_UP) && (r.ifr_flags & IFF_RUNNING) ? DEVICE_LINK_UP : DEVICE_LINK_DOWN;
}

bool device_iface_xdp(const char *iface, char *why)
{
    struct ethtool_channels c = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq r = {.ifr_data = (char *)&c};
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", iface);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -errno : ioctl(fd, SIOCETHTOOL, &r);
    if (fd >= 0)
        close(fd);
    unsigned queues = rc ? 1 : c.rx_count + c.combined_count; /* a driver that cannot say has one */
    if (queues <= 1)
        return true;
    snprintf(why, NET_ERROR_BYTES, "the interface has %u receive queues, of which net_af_xdp would read one", queues);
    return false;
}

/* What the kernel says of the interface under a device. */
static int iface_check(const struct device *d, uint32_t ip, uint16_t mtu, int *mtu_out, char *err)
{
    struct ifreq r;
    int kernel_mtu = device_iface_mtu(d->iface);
    if (kernel_mtu < 0)
        return net_fail(err, kernel_mtu, "%s: there is no interface %s (ip link shows what there is): %s", d->name,
                        d->iface, strerror(-kernel_mtu));
    if (iface_ioctl(d->iface, SIOCGIFFLAGS, &r) || !(r.ifr_flags & IFF_UP))
        return net_fail(err, -ENETDOWN, "%s: the interface %s is down: ip link set dev %s up", d->name, d->iface,
                        d->iface);
    if (kernel_mtu < mtu || kernel_mtu > 9600)
        return net_fail(err, -EMSGSIZE, "%s: the MTU of %s is %d, the port's is %u: ip link set dev %s mtu %u", d->name,
                        d->iface, kernel_mtu, mtu, d->iface, mtu);
    if (iface_ioctl(d->iface, SIOCGIFADDR, &r) == 0) {
        const struct sockaddr_in *a = (const struct sockaddr_in *)&r.ifr_addr;
        if (ntohl(a->sin_addr.s_addr) == ip)
            return net_fail(err, -EADDRINUSE,
                            "%s: the kernel has this port's address on %s too and would answer for us: "
                            "ip addr flush dev %s",
                            d->name, d->iface, d->iface);
    }
    *mtu_out = kernel_mtu;
    return 0;
}

static int iface_prepare(struct device *d, const char *line, uint32_t ip, uint16_t mtu, int *kernel_mtu, char *err)
{
    if (!arg_copy(line, "iface", d->iface, sizeof d->iface) || !d->iface[0])
        return net_fail(err, -EINVAL, "%s: needs iface=NAME of at most 15 bytes", d->name);
    d->ifindex = if_nametoindex(d->iface);
    return iface_check(d, ip, mtu, kernel_mtu, err);
}

/* Six pairs of hex digits with colons between them. */
static bool mac_read(const char *text, uint8_t out[6])
{
    for (int i = 0; i < 6; i++, text += 3) {
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) || text[2] != (i < 5 ? ':' : 0))
            return false;
        out[i] = (uint8_t)strtoul(text, NULL, 16);
    }
    return true;
}

/* mac=: an address of the port's own.  The kernel's IP stack then takes what comes for others' and lets it be. */
static int own_mac(struct device *d, const char *line, char *err)
{
    static const uint8_t none[6];
    char text[24];
    size_t n;
    const char *given = arg_find(line, "mac", &n);
    if (!given)
        return 0;
    d->own_mac = arg_copy(line, "mac", text, sizeof text) && mac_read(text, d->mac) && !(d->mac[0] & 1) && memcmp(d->mac, none, 6) != 0;
    return d->own_mac ? 0
                      : net_fail(err, -EINVAL, "%s: mac=%.*s is no address of one station, as in mac=02:43:0a:28:00:01: leave it out", d->name,
                                 (int)n, given);
}

static int af_packet_prepare(struct device *d, const char *line, uint32_t ip, uint16_t mtu, uint16_t queues, char *err)
{
    size_t n;
    int kernel_mtu = 0;
    int rc = iface_prepare(d, line, ip, mtu, &kernel_mtu, err);
    rc = rc ? rc : own_mac(d, line, err);
    if (rc)
        return rc;
    uint32_t need_bytes = (uint32_t)kernel_mtu + FRAME_HEADER_BYTES + PACKET_HEAD_MAX;
    uint32_t framesz = arg_number(line, "framesz"), blocksz = arg_number(line, "blocksz");
    if (!framesz)
        framesz = (need_bytes + 1023) & ~1023u;
    if (framesz < need_bytes || framesz > UINT16_MAX - 1024)
        return net_fail(err, -EMSGSIZE,
                        "%s: framesz=%u does not suit an interface MTU of %d (%u at least): leave it out", d->name,
                        framesz, kernel_mtu, need_bytes);
    bool ok = line_without(d, line, "mac");
    if (!arg_find(line, "framesz", &n))
        ok = ok && line_append(d, ",framesz=%u", framesz);
    if (!blocksz)
        ok = ok && line_append(d, ",blocksz=%u", framesz * FRAMES_A_BLOCK);
    else if (blocksz % framesz != 0) /* the driver reckons with frames side by side */
        return net_fail(err, -EINVAL, "%s: blocksz=%u is no multiple of framesz=%u: leave both out", d->name, blocksz,
                        framesz);
    if (!arg_find(line, "framecnt", &n))
        ok = ok && line_append(d, ",framecnt=%d", RING_FRAMES);
    if (!arg_find(line, "qpairs", &n) && queues > 1)
        ok = ok && line_append(d, ",qpairs=%u", queues);
    d->room_bytes = framesz - PACKET_HEAD_MIN;
    return ok ? 0 : net_fail(err, -ENAMETOOLONG, "%s: the device line is too long", d->name);
}

static enum device_kind kind_of(const char *line)
{
    static const struct {
        const char *prefix;
        enum device_kind kind;
    } kinds[] = {{"net_memif", DEVICE_MEMIF},
                 {"net_af_packet", DEVICE_AF_PACKET},
                 {"eth_af_packet", DEVICE_AF_PACKET},
                 {"net_af_xdp", DEVICE_AF_XDP},
                 {"net_ring", DEVICE_RING},
                 {"net_null", DEVICE_NULL}};
    if (net_device_is_pci(line))
        return DEVICE_PCI;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(line, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
            return kinds[i].kind;
    return DEVICE_OTHER;
}

int device_prepare(struct device *d, const char *line, uint32_t ip, uint16_t mtu, uint16_t queues, bool own_socket, char *err)
{
    memset(d, 0, sizeof *d);
    size_t name = strcspn(line, ",");
    if (!name || name >= sizeof d->name || strlen(line) >= sizeof d->line)
        return net_fail(err, -EINVAL,
                        "device \"%.60s\": starts with a name of 1 to %zu bytes, as in net_memif0,role=server,...",
                        line, sizeof d->name - 1);
    memcpy(d->name, line, name);
    d->kind = kind_of(line);
    d->room_bytes = (uint32_t)mtu + FRAME_HEADER_BYTES;
    if (d->kind == DEVICE_MEMIF)
        return memif_prepare(d, line, ip, d->room_bytes, own_socket, err);
    if (d->kind == DEVICE_AF_PACKET)
        return af_packet_prepare(d, line, ip, mtu, queues, err);
    int kernel_mtu, rc = d->kind == DEVICE_AF_XDP ? iface_prepare(d, line, ip, mtu, &kernel_mtu, err) : 0;
    if (rc)
        return rc;
    if (d->kind == DEVICE_AF_XDP)
        d->room_bytes = d->room_bytes + XDP_HEADROOM < XDP_CHUNK_MIN ? XDP_CHUNK_MIN : d->room_bytes + XDP_HEADROOM;
    memcpy(d->line, line, strlen(line) + 1);
    return 0;
}
