#include "net/arp.h"
#include "net/be.h"

enum { OP_REQUEST = 1, OP_REPLY = 2, HARDWARE_ETHERNET = 1 };

void arp_init(struct arp *a, const struct frame_local *me)
{
    memset(a, 0, sizeof *a);
    a->me = *me;
}

static unsigned slot_of(const struct arp *a, uint32_t ip)
{
    unsigned s = (ip * 2654435761u) >> (32 - ARP_SLOTS_SHIFT);
    while (a->slot[s] && a->n[a->slot[s] - 1].ip != ip)
        s = (s + 1) % ARP_SLOTS;
    return s;
}

static struct arp_neighbour *find(struct arp *a, uint32_t ip)
{
    unsigned s = slot_of(a, ip);
    return a->slot[s] ? &a->n[a->slot[s] - 1] : NULL;
}

/* Who makes room for a neighbour that we send to, or NULL: strangers first, then who was silent longest. */
static struct arp_neighbour *replaceable(struct arp *a, uint64_t now_ns)
{
    struct arp_neighbour *found = NULL;
    if (now_ns - a->room_ns < ARP_ROOM_NS)
        return NULL;
    a->room_ns = now_ns;
    uint64_t longest = 0;
    bool found_stranger = false;
    for (unsigned i = 0; i < a->count; i++) {
        struct arp_neighbour *n = &a->n[i];
        uint64_t silent = now_ns - (n->heard_ns > n->asked_ns ? n->heard_ns : n->asked_ns);
        bool stranger = !n->wanted || (!n->known && now_ns - n->since_ns >= ARP_ANSWER_NS);
        if ((!stranger && silent < ARP_SILENT_NS) || stranger < found_stranger)
            continue;
        if (!found || stranger > found_stranger || silent > longest) {
            found = n;
            longest = silent;
            found_stranger = stranger;
        }
    }
    return found;
}

static struct arp_neighbour *find_or_add(struct arp *a, uint32_t ip, uint64_t now_ns, bool wanted)
{
    struct arp_neighbour *n = find(a, ip);
    if (n)
        return n;
    if (a->count < ARP_MAX) {
        n = &a->n[a->count];
        a->slot[slot_of(a, ip)] = ++a->count;
    } else if (!wanted || (n = replaceable(a, now_ns)) == NULL)
        return NULL;
    bool replaced = n->ip != 0;
    memset(n, 0, sizeof *n);
    n->ip = ip;
    n->wanted = wanted;
    n->since_ns = now_ns;
    if (replaced) {
        memset(a->slot, 0, sizeof a->slot);
        for (uint16_t i = 0; i < a->count; i++)
            a->slot[slot_of(a, a->n[i].ip)] = (uint16_t)(i + 1);
    }
    return n;
}

static unsigned line_of(uint32_t ip)
{
    return (ip * 2654435761u) >> (32 - ARP_VIEW_SHIFT);
}

/* Shows a neighbour to the other workers.  They read while this writes, and see by the sequence that they did. */
static void view_write(struct arp_view *v, const struct arp_neighbour *n)
{
    struct arp_line *l = &v->line[line_of(n->ip)];
    uint64_t head[sizeof l->head / 8];
    memcpy(head, &n->head, sizeof head);
    __atomic_store_n(&l->sequence, l->sequence + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE); /* pairs with the acquire fence in arp_view_find */
    __atomic_store_n(&l->ip, n->ip, __ATOMIC_RELAXED);
    __atomic_store_n(&l->heard_ns, n->heard_ns, __ATOMIC_RELAXED);
    for (size_t i = 0; i < sizeof head / 8; i++)
        __atomic_store_n(&l->head[i], head[i], __ATOMIC_RELAXED);
    __atomic_store_n(&l->sequence, l->sequence + 1, __ATOMIC_RELEASE); /* pairs with the first load there */
}

bool arp_view_find(const struct arp_view *v, uint32_t ip, uint64_t now_ns, struct frame_head *out)
{
    const struct arp_line *l = &v->line[line_of(ip)];
    uint64_t head[sizeof l->head / 8];
    uint32_t sequence = __atomic_load_n(&l->sequence, __ATOMIC_ACQUIRE);
    bool ours = __atomic_load_n(&l->ip, __ATOMIC_RELAXED) == ip;
    uint64_t heard_ns = __atomic_load_n(&l->heard_ns, __ATOMIC_RELAXED);
    for (size_t i = 0; i < sizeof head / 8; i++)
        head[i] = __atomic_load_n(&l->head[i], __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    bool whole = !(sequence & 1) && __atomic_load_n(&l->sequence, __ATOMIC_RELAXED) == sequence;
    /* Heard of later than this turn began is fresh too. */
    if (!whole || !ours || (now_ns > heard_ns && now_ns - heard_ns >= ARP_REFRESH_NS))
        return false;
    memcpy(out, head, sizeof head);
    return true;
}

enum chi_drop arp_rx(struct arp *a, uint8_t *p, uint32_t n, uint64_t now_ns, bool *reply)
{
    static const uint8_t no_mac[6];
    uint8_t *b = p + FRAME_ETHER;
    *reply = false;
    if (n < ARP_BYTES || be16_get(b) != HARDWARE_ETHERNET || be16_get(b + 2) != ETHERTYPE_IPV4 || b[4] != 6 ||
        b[5] != 4)
        return CHI_DROP_LINK_ARP;
    uint16_t op = be16_get(b + 6);
    const uint8_t *mac = b + 8;
    uint32_t from = be32_get(b + 14), to = be32_get(b + 24);
    if ((op != OP_REQUEST && op != OP_REPLY) || (mac[0] & 1) || memcmp(mac, no_mac, 6) == 0 || from == a->me.ip)
        return CHI_DROP_LINK_ARP;

    if (from != 0 &&
        (from & a->me.mask) == (a->me.ip & a->me.mask)) { /* 0: somebody looks whether an address is free */
        struct arp_neighbour *x = to == a->me.ip ? find_or_add(a, from, now_ns, false) : find(a, from);
        if (x) {
            frame_head_init(&x->head, &a->me, from, mac);
            x->known = true;
            x->heard_ns = now_ns;
            if (a->view && x->wanted)
                view_write(a->view, x);
        }
    }
    if (op == OP_REQUEST && to == a->me.ip) {
        memcpy(p, mac, 6);
        memcpy(p + 6, a->me.mac, 6);
        be16_put(b + 6, OP_REPLY);
        memmove(b + 18, b + 8, 10);
        memcpy(b + 8, a->me.mac, 6);
        be32_put(b + 14, a->me.ip);
        *reply = true;
    }
    return CHI_DROP_NONE;
}

const struct frame_head *arp_find(struct arp *a, uint32_t ip, uint64_t now_ns, bool *ask)
{
    struct arp_neighbour *n = find(a, ip);
    if (CHI_UNLIKELY(n && !n->wanted)) {
        n->wanted = true;
        if (a->view && n->known)
            view_write(a->view, n);
    }
    if (CHI_LIKELY(n && n->known && now_ns - n->heard_ns < ARP_REFRESH_NS)) {
        *ask = false;
        return &n->head;
    }
    if (!n)
        n = find_or_add(a, ip, now_ns, true);
    *ask = n && (n->asked_ns == 0 || now_ns - n->asked_ns >= ARP_ASK_NS);
    if (*ask)
        n->asked_ns = now_ns ? now_ns : 1;
    return n && n->known ? &n->head : NULL;
}

void arp_request_lost(struct arp *a, const uint8_t *p, uint32_t n)
{
    const uint8_t *b = p + FRAME_ETHER;
    if (n != ARP_BYTES || be16_get(p + 12) != ETHERTYPE_ARP || be16_get(b + 6) != OP_REQUEST)
        return;
    struct arp_neighbour *x = find(a, be32_get(b + 24));
    if (x)
        x->asked_ns = 0;
}

void arp_request(const struct arp *a, uint32_t ip, uint8_t *p)
{
    uint8_t *b = p + FRAME_ETHER;
    memset(p, 0, ARP_BYTES);
    memset(p, 0xff, 6);
    memcpy(p + 6, a->me.mac, 6);
    be16_put(p + 12, ETHERTYPE_ARP);
    be16_put(b, HARDWARE_ETHERNET);
    be16_put(b + 2, ETHERTYPE_IPV4);
    b[4] = 6;
    b[5] = 4;
    be16_put(b + 6, OP_REQUEST);
    memcpy(b + 8, a->me.mac, 6);
    be32_put(b + 14, a->me.ip);
    be32_put(b + 24, ip);
}
