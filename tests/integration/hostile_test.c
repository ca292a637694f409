/* hostile_test.c - a client that writes into its segment what libchi never would: each submission ends with a status or is ignored,
 * is counted by reason, and neither the daemon nor an honest client notices. */
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "archive/form.h"
#include "base/prng.h"
#include "harness.h"
#include "lane/shm.h"

enum { DEPTH = 8 };
static struct node node;

struct hostile {
    int socket, fds[3];
    uint8_t *base;
    struct shm_geometry g;
    uint64_t submitted, completed;
};

static void hostile_attach(struct hostile *h)
{
    const struct shm_attach_request rq = {.magic = SHM_MAGIC, .version = SHM_VERSION, .bulk_bytes = 1 << 20, .depth = DEPTH};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct shm_attach_reply reply;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof h->fds)];
    } control;
    struct iovec iov = {&reply, sizeof reply};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    *h = (struct hostile){.g = shm_geometry_of(DEPTH, 1 << 20)};
    snprintf(a.sun_path, sizeof a.sun_path, "%.100s", node.socket);
    h->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(h->socket, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(write(h->socket, &rq, sizeof rq), sizeof rq);
    assert_int_equal(recvmsg(h->socket, &msg, 0), sizeof reply);
    assert_int_equal(reply.result, 0);
    assert_int_equal(reply.size, h->g.size);
    memcpy(h->fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof h->fds);
    h->base = mmap(NULL, h->g.size, PROT_READ | PROT_WRITE, MAP_SHARED, h->fds[0], 0);
    assert_ptr_not_equal(h->base, MAP_FAILED);
}

static void hostile_leave(struct hostile *h)
{
    munmap(h->base, h->g.size);
    for (int i = 0; i < 3; i++)
        close(h->fds[i]);
    close(h->socket);
}

static void submit(struct hostile *h, const struct shm_submit *s)
{
    const uint64_t one = 1;
    struct line *l = line_put_at((struct line *)(h->base + h->g.submit_offset), DEPTH - 1, h->submitted);
    memcpy(l->payload, s, sizeof *s);
    line_put_done(l, h->submitted++);
    assert_int_equal(write(h->fds[1], &one, sizeof one), sizeof one);
}

static const struct shm_complete *next_answer(struct hostile *h)
{
    const struct line *l = line_get((struct line *)(h->base + h->g.complete_offset), DEPTH - 1, h->completed);
    return l ? (const struct shm_complete *)l->payload : NULL;
}
static bool has_answer(void *arg) { return next_answer(arg) != NULL; }

static enum chi_status answer(struct hostile *h)
{
    until(has_answer, h, "an answer to the hostile client");
    enum chi_status st = next_answer(h)->status;
    h->completed++;
    return st;
}

static uint64_t place_named(void *ctx, const void *ptr, uint64_t size)
{
    (void)ctx;
    (void)size;
    return *(const uint64_t *)ptr;
}

/* A submission whose form lies in bulk memory: an io task with a WRITE region at `place`, wherever that is. */
static struct shm_submit region_at(struct hostile *h, uint64_t place, uint64_t size)
{
    struct echo_io io = {.task = {.pool = ECHO, .query = chi_local(), .method = &echo_io_method}};
    struct chi_ar_region regions[CHI_REGIONS_MAX];
    uint64_t in_bulk = h->g.bulk_offset;
    uint32_t nregions;
    enum chi_status st;
    io.in = (struct chi_bulk){.ptr = &place, .size = size};
    io.out = (struct chi_bulk){.ptr = &in_bulk};
    size_t n = form_save(h->base + h->g.bulk_offset, 4096, &io.task, regions, &nregions, place_named, NULL, &st);
    assert_true(n > 0);
    struct shm_submit s = {.flags = SHM_EXTERNAL};
    s.external.form_offset = s.external.answer_offset = h->g.bulk_offset;
    s.external.form_length = (uint32_t)n;
    s.external.answer_cap = 256;
    return s;
}

static void region__outside_of_the_segment_is_counted_and_refused(void **state)
{
    (void)state;
    struct hostile h;
    hostile_attach(&h);
    const struct { uint64_t place, size; } bad[] = {
        {0, 64}, {h.g.bulk_offset - 1, 64}, {h.g.size, 1}, {h.g.size - 63, 64}, {h.g.bulk_offset, h.g.bulk_bytes + 1},
        {UINT64_MAX - 1, 2}, {UINT64_MAX - 63, 64}, {h.g.size + 1, 0}, {h.g.bulk_offset, INT64_MAX},
    };
    const size_t n = sizeof bad / sizeof bad[0];
    uint64_t before = node_drop(&node, "CLIENT_REGION");
    for (size_t i = 0; i < n; i++) {
        struct shm_submit s = region_at(&h, bad[i].place, bad[i].size);
        submit(&h, &s);
        assert_int_equal(answer(&h), CHI_STATUS_INVALID);
    }
    assert_int_equal(node_drop(&node, "CLIENT_REGION"), before + n);
    struct shm_submit good = region_at(&h, h.g.bulk_offset + 4096, 64);
    submit(&h, &good);
    assert_int_equal(answer(&h), CHI_STATUS_OK); /* so it was the region that the others were refused for */
    hostile_leave(&h);
}

static void submissions__of_random_bytes_do_no_harm(void **state)
{
    (void)state;
    enum { ROUNDS = 2000 };
    struct hostile h;
    struct prng prng;
    struct chi_client *honest = node_connect(&node);
    hostile_attach(&h);
    prng_init(&prng, 7);
    for (int i = 0; i < ROUNDS; i++) {
        struct shm_submit s = region_at(&h, h.g.bulk_offset + 4096, 64);
        uint8_t *form = h.base + h.g.bulk_offset;
        for (uint64_t k = prng_below(&prng, 6); k; k--) /* the form, or the slot itself */
            if (prng_chance(&prng, 500000))
                form[prng_below(&prng, 104)] = (uint8_t)prng_next(&prng);
            else
                ((uint8_t *)&s)[prng_below(&prng, sizeof s)] = (uint8_t)prng_next(&prng);
        submit(&h, &s);
        (void)answer(&h); /* some status; each submission has one */
        if (i % 100 == 0)
            assert_int_equal(io_check(honest, chi_local(), 1000, 1000, (uint64_t)i), CHI_STATUS_OK);
    }
    hostile_leave(&h);
    chi_disconnect(honest);
}

static int setup(void **state)
{
    folder_setup(state);
    node_configure(&node, 1, NULL);
    node_start(&node);
    return 0;
}

/* A test, not the group's teardown, whose failure cmocka does not count. */
static void stop__the_daemon_ends_well(void **state)
{
    (void)state;
    assert_int_equal(node_stop(&node), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(region__outside_of_the_segment_is_counted_and_refused),
        cmocka_unit_test(submissions__of_random_bytes_do_no_harm),
        cmocka_unit_test(stop__the_daemon_ends_well),
    };
    return cmocka_run_group_tests(tests, setup, folder_teardown);
}
