#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/ipc.h"

static const struct ipc_limits limits = {1 << 20, 64};

static unsigned fds_open(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void ipc_create__request_out_of_range(void **state)
{
    (void)state;
    static const struct {
        struct shm_attach_request rq;
        int rc;
    } cases[] = {
        {{0x31494842, SHM_VERSION, 4096, 4, 0}, -EPROTO},
        {{SHM_MAGIC, SHM_VERSION + 1, 4096, 4, 0}, -EPROTO},
        {{SHM_MAGIC, SHM_VERSION, 4096, 4, 1}, -EINVAL},
        {{SHM_MAGIC, SHM_VERSION, 4096, 0, 0}, -EINVAL},
        {{SHM_MAGIC, SHM_VERSION, 4096, 1, 0}, -EINVAL},
        {{SHM_MAGIC, SHM_VERSION, 4096, 3, 0}, -EINVAL},
        {{SHM_MAGIC, SHM_VERSION, 4096, 128, 0}, -EINVAL},
        {{SHM_MAGIC, SHM_VERSION, 4096, 1u << 31, 0}, -EINVAL},
        {{SHM_MAGIC, SHM_VERSION, (1 << 20) + 1, 4, 0}, -EINVAL},
        {{SHM_MAGIC, SHM_VERSION, UINT64_MAX, 4, 0}, -EINVAL},
    };
    unsigned before = fds_open();
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ipc_channel *ch = NULL;
        assert_int_equal(ipc_create(&cases[i].rq, &limits, &ch), cases[i].rc);
        assert_null(ch);
    }
    const struct ipc_limits none = {UINT64_MAX, UINT32_MAX};
    const struct shm_attach_request huge = {SHM_MAGIC, SHM_VERSION, UINT64_MAX - 4095, 4, 0},
                                    deep = {SHM_MAGIC, SHM_VERSION, 0, 2 * SHM_DEPTH_MAX, 0};
    struct ipc_channel *ch = NULL;
    assert_int_equal(ipc_create(&huge, &none, &ch), -EINVAL);
    assert_int_equal(ipc_create(&deep, &none, &ch), -EINVAL);
    assert_int_equal(fds_open(), before);
}

static void ipc_create__geometry(void **state)
{
    (void)state;
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, 5000, 64, 0};
    struct ipc_channel *ch;
    assert_int_equal(ipc_create(&rq, &limits, &ch), 0);
    const struct shm_header *h = (const struct shm_header *)ch->base;
    struct stat st;
    assert_int_equal(fstat(ch->memfd, &st), 0);
    assert_int_equal(st.st_size, ch->size);
    assert_true(h->magic == SHM_MAGIC && h->version == SHM_VERSION && h->size == ch->size && h->depth == 64);
    assert_true(h->submit_offset == 4096 && h->complete_offset == 8192 && h->bulk_offset == 12288);
    assert_true(h->bulk_bytes == 8192 + 64 * SHM_AREA_BYTES && h->bulk_offset + h->bulk_bytes == h->size);
    assert_true(ch->bulk_offset == h->bulk_offset && ch->bulk_bytes == h->bulk_bytes);
    ipc_destroy(ch);
    ipc_destroy(NULL);
}

static void ipc_create__no_bulk_is_legal(void **state)
{
    (void)state;
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, 0, 2, 0};
    struct ipc_channel *ch;
    assert_int_equal(ipc_create(&rq, &limits, &ch), 0);
    assert_int_equal(ch->bulk_bytes, 4096); /* the areas for forms */
    ipc_destroy(ch);
}

/* Who gets the descriptor can neither truncate the segment under us nor lift the seals. */
static void ipc_create__sealed(void **state)
{
    (void)state;
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, 4096, 4, 0};
    struct ipc_channel *ch;
    assert_int_equal(ipc_create(&rq, &limits, &ch), 0);
    assert_int_equal(ftruncate(ch->memfd, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(ch->memfd, (off_t)ch->size + 4096), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(fcntl(ch->memfd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(errno, EPERM);
    /* A hole is allowed, and reads as zeros: no fault. */
    assert_int_equal(fallocate(ch->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)ch->size), 0);
    assert_int_equal(*(volatile uint8_t *)(ch->base + ch->size - 1), 0);
    ipc_destroy(ch);
}

static void ipc_create__descriptors(void **state)
{
    (void)state;
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, 4096, 4, 0};
    unsigned before = fds_open();
    struct ipc_channel *ch;
    assert_int_equal(ipc_create(&rq, &limits, &ch), 0);
    const int fds[] = {ch->memfd, ch->worker_event, ch->client_event, ch->client_wake};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fds_open(), before + 4);
    ipc_destroy(ch);
    assert_int_equal(fds_open(), before);
}

/* However many descriptors are left, there is an answer and no leak. */
static void ipc_create__out_of_descriptors(void **state)
{
    (void)state;
    const struct shm_attach_request rq = {SHM_MAGIC, SHM_VERSION, 4096, 4, 0};
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(0); /* the lowest free number */
    assert_true(next >= 0);
    close(next);
    unsigned before = fds_open();
    for (unsigned left = 0; left < 4; left++) {
        low = old;
        low.rlim_cur = (rlim_t)next + left;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        struct ipc_channel *ch = NULL;
        int rc = ipc_create(&rq, &limits, &ch);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(rc, -EMFILE);
        assert_null(ch);
        assert_int_equal(fds_open(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipc_create__request_out_of_range), cmocka_unit_test(ipc_create__geometry),
        cmocka_unit_test(ipc_create__no_bulk_is_legal),     cmocka_unit_test(ipc_create__sealed),
        cmocka_unit_test(ipc_create__descriptors),          cmocka_unit_test(ipc_create__out_of_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
