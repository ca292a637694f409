/* Two processes joined by net_memif: datagrams both ways, either one killed in full traffic and started again. */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "net/net.h"
#include "wire/le.h"

enum {
    SERVER,
    CLIENT,
    ENDS,
    UDP = 7000,
    MTU = 9000,
    WINDOW = 24,
    ROUNDS = 3000,
    KILLS = 4,
    ASK = 1,
    ANSWER = 2,
    HEAD = 12
};
#define WAIT_S 30
#define STALL_NS 50000000ull

static struct shared {
    _Atomic bool stop;
    struct {
        _Alignas(64) _Atomic uint64_t answered, damaged, no_memory;
    } end[ENDS];
} * shared;
static pid_t child[ENDS];
static char folder[64] = "/tmp/chi-test-XXXXXX";

static uint32_t ip_of(int end)
{
    return 0x0a280001u + (uint32_t)end;
}

/* kind, number, then bytes that follow from the number; the length does too. */
static uint32_t length_of(uint64_t number)
{
    return HEAD + (uint32_t)(number * 7919 % (MTU - 28 - HEAD + 1));
}

static void fill(struct net_packet *p, uint32_t kind, uint64_t number)
{
    le32_put(p->data, kind);
    le64_put(p->data + 4, number);
    p->length = length_of(number);
    memset(p->data + HEAD, (int)number & 255, p->length - HEAD);
}

static bool intact(const struct net_packet *p)
{
    if (p->length < HEAD)
        return false;
    uint64_t number = le64_get(p->data + 4);
    if (p->length != length_of(number))
        return false;
    for (uint32_t i = HEAD; i < p->length; i++)
        if (p->data[i] != (uint8_t)number)
            return false;
    return true;
}

/* Answers what comes, and keeps WINDOW asks of its own out; after a stall it starts a new window. */
static void traffic(struct net *n, int end)
{
    uint64_t sent = 0, out = 0, last = net_now_ns();
    struct net_packet *in[NET_BURST];
    while (!shared->stop) {
        uint64_t now = net_now_ns();
        unsigned k = net_rx_st(n, 0, now, in);
        for (unsigned i = 0; i < k; i++) {
            if (!intact(in[i]))
                shared->end[end].damaged++;
            else if (le32_get(in[i]->data) == ANSWER) {
                shared->end[end].answered++;
                out -= out > 0;
                last = now;
            } else {
                struct net_packet *p = net_packet_get_st(n, 0);
                if (p) {
                    fill(p, ANSWER, le64_get(in[i]->data + 4));
                    p->ip = in[i]->ip;
                    p->port = in[i]->port;
                    net_send_st(n, 0, 0, p, now);
                }
            }
            net_packet_free(in[i]);
        }
        if (now - last > STALL_NS) {
            out = 0;
            last = now;
        }
        for (; out < WINDOW; out++) {
            struct net_packet *p = net_packet_get_st(n, 0);
            if (!p) {
                shared->end[end].no_memory++;
                break;
            }
            fill(p, ASK, ++sent);
            p->ip = ip_of(!end);
            p->port = UDP;
            net_send_st(n, 0, 0, p, now);
        }
        net_flush_st(n, 0);
        if (k == 0)
            sched_yield();
    }
}

static int end_run(int end)
{
    char err[NET_ERROR_BYTES], line[160], name[16];
    struct net *n;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(name, sizeof name, "memif-%d", end);
    snprintf(line, sizeof line, "net_memif0,role=%s,socket=%s/m.sock", end == SERVER ? "server" : "client", folder);
    struct net_options o = {.name = name, .memory_bytes = 128 << 20, .workers = 1, .udp_port = UDP};
    struct net_port_options p = {.name = "p0", .device = line, .ip = ip_of(end), .prefix = 24, .mtu = MTU};
    if (net_start(&o, &n, err) || net_port_add(n, &p, err) < 0 || net_thread_attach()) {
        fprintf(stderr, "%s: %s\n", name, err);
        return 1;
    }
    traffic(n, end);
    net_thread_detach();
    net_stop(n);
    return 0;
}

static void end_start(int end)
{
    fflush(NULL);
    child[end] = fork();
    assert_true(child[end] >= 0);
    if (child[end] == 0)
        _exit(end_run(end));
}

static void end_kill(int end)
{
    int status;
    assert_int_equal(kill(child[end], SIGKILL), 0);
    assert_int_equal(waitpid(child[end], &status, 0), child[end]);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it had not died of something else before */
}

/* Waits until both ends got so many answers more. */
static void both_move(void)
{
    uint64_t from[ENDS] = {shared->end[0].answered, shared->end[1].answered};
    uint64_t until = net_now_ns() + WAIT_S * 1000000000ull;
    while (shared->end[0].answered - from[0] < ROUNDS || shared->end[1].answered - from[1] < ROUNDS) {
        for (int i = 0; i < ENDS; i++)
            if (waitpid(child[i], NULL, WNOHANG) == child[i])
                fail_msg("end %d ended", i);
        if (net_now_ns() > until)
            fail_msg("after %d s: %llu and %llu answers", WAIT_S,
                     (unsigned long long)(shared->end[0].answered - from[0]),
                     (unsigned long long)(shared->end[1].answered - from[1]));
        sched_yield();
    }
    for (int i = 0; i < ENDS; i++) {
        assert_int_equal(shared->end[i].damaged, 0);
        assert_int_equal(shared->end[i].no_memory, 0);
    }
}

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(folder, sizeof folder, "/tmp/chi-test-XXXXXX");
    return shared != MAP_FAILED && mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    int rc = 0, status;
    shared->stop = true;
    for (int i = 0; i < ENDS; i++)
        if (child[i] > 0 && (waitpid(child[i], &status, 0) != child[i] || status != 0))
            rc = -1;
    munmap(shared, sizeof *shared);
    return rmdir(folder) ? -1 : rc; /* the server took its socket away */
}

static void memif__server_first(void **state)
{
    (void)state;
    end_start(SERVER);
    end_start(CLIENT);
    both_move();
}

static void memif__client_is_killed(void **state)
{
    (void)state;
    end_start(CLIENT); /* calls until there is a server */
    end_start(SERVER);
    both_move();
    for (int i = 0; i < KILLS; i++) {
        end_kill(CLIENT);
        end_start(CLIENT);
        both_move();
    }
}

static void memif__server_is_killed(void **state)
{
    (void)state;
    end_start(SERVER);
    end_start(CLIENT);
    both_move();
    for (int i = 0; i < KILLS; i++) {
        end_kill(SERVER);
        end_start(SERVER); /* over the socket that the last one left */
        both_move();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memif__server_first, setup, teardown),
        cmocka_unit_test_setup_teardown(memif__client_is_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(memif__server_is_killed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
