/* device.h - a device line of the configuration taken apart, checked, and completed with what the MTU asks for.
 * Control thread.  Memory: the caller's struct.  No DPDK type here. */
#pragma once
#include "net/net.h"

enum device_kind { DEVICE_PCI, DEVICE_MEMIF, DEVICE_AF_PACKET, DEVICE_AF_XDP, DEVICE_RING, DEVICE_NULL, DEVICE_OTHER };
enum device_link { DEVICE_LINK_UP, DEVICE_LINK_DOWN, DEVICE_LINK_GONE };
enum { DEVICE_LINE_BYTES = 512, DEVICE_NAME_BYTES = 64, FRAME_HEADER_BYTES = 18 /* Ethernet and a VLAN tag */ };

struct device {
    enum device_kind kind;
    char name[DEVICE_NAME_BYTES]; /* "net_memif0" or the PCI address */
    char line[DEVICE_LINE_BYTES]; /* for DPDK */
    char iface[16];               /* af_packet, af_xdp: the kernel's interface, */
    unsigned ifindex;             /* and which one: another of that name is another one */
    bool own_mac;                 /* af_packet: mac= gives it an address that is not the interface's: */
    uint8_t mac[6];
    char socket[108];             /* memif */
    bool memif_client;            /* it calls, and must call again when the other side went away */
    uint32_t room_bytes;          /* the longest frame that the driver may store into one packet */
};

/* Takes `line` apart and fills *d.  memif: bsize, rsize, mac, socket-abstract=no where they are absent; the socket's
 * folder is made, a socket that nobody serves any more is removed unless `own_socket`.  af_packet: frame sizes for the
 * MTU, and `queues` where they are absent, and no mac=, which the driver does not know; it and af_xdp: the interface is
 * looked at.  Returns 0, or -errno with a line in err. */
CHI_MUST_CHECK int device_prepare(struct device *d, const char *line, uint32_t ip, uint16_t mtu, uint16_t queues,
                                  bool own_socket, char *err);

/* The socket of a memif device line, "" when it has none: to see whether this process serves it already. */
void device_socket(const char *line, char out[108]);

/* True when a device line is the name of a kernel interface that there is. */
bool device_is_iface(const char *line);
/* The kernel interface that a device line names, by itself or as iface=; "" for none. */
void device_iface(const char *line, char out[16]);
/* True: an XDP socket would get all that the interface receives; else why not, in `why` (NET_ERROR_BYTES). */
bool device_iface_xdp(const char *iface, char *why);
/* Its link; ifindex 0: of any interface of that name. */
enum device_link device_iface_link(const char *iface, unsigned ifindex);
/* The MTU of a kernel interface, or -errno. */
int device_iface_mtu(const char *iface);
