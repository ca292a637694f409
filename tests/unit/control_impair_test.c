/* The text of a bad link's settings: what each word means, and what each mistake is told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "control/impair_text.h"

static char err[IMPAIR_TEXT_ERROR_BYTES];
static struct impair_settings set[IMPAIR_SIDES];

static int parse(const char *text)
{
    set[0] = set[1] = impair_none;
    err[0] = 0;
    return impair_text_parse(text, set, err);
}

static void parse__takes_every_setting(void **state)
{
    (void)state;
    if (parse("both: loss=0.1% burst=3 dup=0.01% reorder=1%/50us corrupt=0.0000001% truncate=100% delay=20us "
              "jitter=5ns rate=10G queue=256K "
              "ecn=64K mtu=1500 cut=no"))
        fail_msg("%s", err);
    for (int i = 0; i < IMPAIR_SIDES; i++) {
        const struct impair_settings *s = &set[i];
        assert_int_equal(s->loss_ppb, 1000000);
        assert_int_equal(s->burst, 3);
        assert_int_equal(s->dup_ppb, 100000);
        assert_int_equal(s->reorder_ppb, 10000000);
        assert_int_equal(s->reorder_ns, 50000);
        assert_int_equal(s->corrupt_ppb, 1);
        assert_int_equal(s->truncate_ppb, IMPAIR_PPB);
        assert_int_equal(s->delay_ns, 20000);
        assert_int_equal(s->jitter_ns, 5);
        assert_int_equal(s->rate_bps, 10000000000);
        assert_int_equal(s->queue_bytes, 256 << 10);
        assert_int_equal(s->ecn_bytes, 64 << 10);
        assert_int_equal(s->mtu_bytes, 1500);
        assert_false(s->cut);
    }
}

static void parse__takes_every_unit(void **state)
{
    static const struct {
        const char *text;
        uint64_t delay, rate, queue;
    } cases[] = {
        {"delay=7ns rate=1000 queue=1", 7, 1000, 1},
        {"delay=1.5us rate=1.5K queue=1.5K", 1500, 1500, 1536},
        {"delay=0.000001ms rate=2M queue=2M", 1, 2000000, 2 << 20},
        {"delay=10s rate=1T queue=1G", 10000000000, 1000000000000, 1 << 30},
        {"delay=0.123456789s rate=0.001G queue=01K", 123456789, 1000000, 1024},
        {"delay=0 rate=0 queue=4", 0, 0, 4},
        {"delay=0us rate=0G queue=4", 0, 0, 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (parse(cases[i].text))
            fail_msg("%s: %s", cases[i].text, err);
        assert_int_equal(set[0].delay_ns, cases[i].delay);
        assert_int_equal(set[1].rate_bps, cases[i].rate);
        assert_int_equal(set[1].queue_bytes, cases[i].queue);
    }
}

static void parse__is_for_the_direction_that_it_names(void **state)
{
    (void)state;
    assert_int_equal(parse("a-b: loss=1%"), 0);
    assert_int_equal(set[IMPAIR_A_B].loss_ppb, 10000000);
    assert_int_equal(set[IMPAIR_B_A].loss_ppb, 0);
    assert_int_equal(parse(" b-a:cut=yes ;\n both: delay=1us\t; a-b: delay=2us"), 0);
    assert_false(set[IMPAIR_A_B].cut);
    assert_true(set[IMPAIR_B_A].cut);
    assert_int_equal(set[IMPAIR_A_B].delay_ns, 2000);
    assert_int_equal(set[IMPAIR_B_A].delay_ns, 1000);
}

static void parse__leaves_what_it_does_not_name(void **state)
{
    (void)state;
    assert_int_equal(parse("loss=1% delay=5us reorder=1%/1us"), 0);
    assert_int_equal(impair_text_parse("a-b: loss=2%", set, err), 0);
    assert_int_equal(set[0].loss_ppb, 20000000);
    assert_int_equal(set[0].delay_ns, 5000);
    assert_int_equal(set[1].loss_ppb, 10000000);
    assert_int_equal(impair_text_parse("b-a: clear dup=1%", set, err), 0);
    assert_int_equal(set[0].loss_ppb, 20000000);
    assert_int_equal(set[1].loss_ppb, 0);
    assert_int_equal(set[1].delay_ns, 0);
    assert_int_equal(set[1].dup_ppb, 10000000);
    assert_int_equal(impair_text_parse("a-b: reorder=0", set, err), 0);
    assert_int_equal(set[0].reorder_ppb, 0);
    assert_int_equal(impair_text_parse("clear", set, err), 0);
    for (int i = 0; i < IMPAIR_SIDES; i++)
        assert_memory_equal(&set[i], &impair_none, sizeof impair_none);
}

#define ALL "(loss, burst, dup, reorder, corrupt, truncate, delay, jitter, rate, queue, ecn, mtu, cut, clear)"
#define SHARES "possible is a share from 0% to 100%, in steps of 0.0000001%, like 0.1%"
#define TIMES "possible is a time from 0 to 10s in ns, us, ms or s, like 20us"
#define RATES "possible is bits a second from 1K to 1T (powers of 1000), like 10G; 0: no limit"
#define SIZES "possible is bytes from 1 to 1G (powers of 1024), like 256K"
#define MTUS "possible is bytes of an IP packet from 68 to 65535; 0: no limit"
#define REORDERS "possible is SHARE/TIME, a share of packets and how much later they leave, like 1%/50us; 0: none"

static const struct {
    const char *text, *error;
} mistakes[] = {
    {"", "both: no setting is given; possible are words like loss=0.1%, or clear"},
    {"a-b:", "a-b: no setting is given; possible are words like loss=0.1%, or clear"},
    {"a-b: loss=1%;", "both: no setting is given; possible are words like loss=0.1%, or clear"},
    {"a-c: loss=1%", "there is no direction 'a-c'; possible are a-b, b-a and both"},
    {": loss=1%", "there is no direction ''; possible are a-b, b-a and both"},
    {"a-b: los=1%", "a-b: there is no setting 'los'; did you mean loss? " ALL},
    {"b-a: delay=1us jiter=1us", "b-a: there is no setting 'jiter'; did you mean jitter? " ALL},
    {"LOSS=1%", "both: there is no setting 'LOSS'; did you mean loss? " ALL},
    {"loss=1% loss=2%", "both: loss is given twice"},
    {"loss=1% clear", "both: clear stands first: it would take back what stands before it"},
    {"clear=yes", "both: clear=yes: possible is clear, without a value"},
    {"loss", "both: loss: possible is a share from 0% to 100%, in steps of 0.0000001%, like 0.1%"},
    {"loss=", "both: loss=: " SHARES},
    {"loss=0.1", "both: loss=0.1: " SHARES},
    {"loss=101%", "both: loss=101%: " SHARES},
    {"loss=-1%", "both: loss=-1%: " SHARES},
    {"loss=1%%", "both: loss=1%%: " SHARES},
    {"loss=.5%", "both: loss=.5%: " SHARES},
    {"loss=1.%", "both: loss=1.%: " SHARES},
    {"loss=1e1%", "both: loss=1e1%: " SHARES},
    {"loss=0.00000001%", "both: loss=0.00000001%: " SHARES},
    {"loss=0.0000000001%", "both: loss=0.0000000001%: " SHARES},
    {"loss=99999999999999999999%", "both: loss=99999999999999999999%: " SHARES},
    {"dup=1s", "both: dup=1s: " SHARES},
    {"corrupt=x", "both: corrupt=x: " SHARES},
    {"truncate=2", "both: truncate=2: " SHARES},
    {"burst=0", "both: burst=0: possible is a number of packets from 1 to 10000"},
    {"burst=10001", "both: burst=10001: possible is a number of packets from 1 to 10000"},
    {"burst=1.5", "both: burst=1.5: possible is a number of packets from 1 to 10000"},
    {"delay=20", "both: delay=20: " TIMES},
    {"delay=20m", "both: delay=20m: " TIMES},
    {"delay=10.000000001s", "both: delay=10.000000001s: " TIMES},
    {"delay=0.5ns", "both: delay=0.5ns: " TIMES},
    {"jitter=us", "both: jitter=us: " TIMES},
    {"rate=999", "both: rate=999: " RATES},
    {"rate=1001G", "both: rate=1001G: " RATES},
    {"rate=10Gbit", "both: rate=10Gbit: " RATES},
    {"queue=0", "both: queue=0: " SIZES},
    {"queue=0K", "both: queue=0K: " SIZES},
    {"queue=2G", "both: queue=2G: " SIZES},
    {"queue=1.0001K", "both: queue=1.0001K: " SIZES},
    {"ecn=1T", "both: ecn=1T: " SIZES},
    {"mtu=67", "both: mtu=67: " MTUS},
    {"mtu=65536", "both: mtu=65536: " MTUS},
    {"mtu=9K", "both: mtu=9K: " MTUS},
    {"reorder=1%", "both: reorder=1%: " REORDERS},
    {"reorder=1%/", "both: reorder=1%/: " REORDERS},
    {"reorder=1%/0", "both: reorder=1%/0: " REORDERS},
    {"reorder=/1us", "both: reorder=/1us: " REORDERS},
    {"reorder=1%/1us/1us", "both: reorder=1%/1us/1us: " REORDERS},
    {"cut", "both: cut: possible is yes or no"},
    {"cut=maybe", "both: cut=maybe: possible is yes or no"},
    {"a-b: ecn=64K", "a-b: ecn marks by the queue of a rate, and there is no rate"},
    {"b-a: rate=1G ecn=256K", "b-a: ecn is not below queue: the queue is full before a packet is marked"},
    {"loss=90% burst=3",
     "a-b: loss is more than burst / (burst + 1), with one packet between two bursts: lower loss, or take cut=yes"},
    {"a-b: delay=1us \x1b[31m", "a-b: there is no setting '?[31m'; did you mean loss? " ALL},
    {"a-b: 12345678901234567890123456789012345678901234567890123456789012345=1",
     "a-b: '12345678901234567890...' is too long for a word: possible are words like loss=0.1%"},
};

static void parse__names_each_mistake_and_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        assert_int_equal(parse(mistakes[i].text), -EINVAL);
        if (strcmp(err, mistakes[i].error) != 0)
            fail_msg("%s: said '%s', not '%s'", mistakes[i].text, err, mistakes[i].error);
        for (int k = 0; k < IMPAIR_SIDES; k++)
            assert_memory_equal(&set[k], &impair_none, sizeof impair_none);
    }
}

static void parse__refuses_what_is_too_long(void **state)
{
    char text[IMPAIR_TEXT_MAX + 2];
    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, "loss=1%", 7);
    text[IMPAIR_TEXT_MAX] = 0;
    assert_int_equal(parse(text), 0);
    text[IMPAIR_TEXT_MAX] = ' ';
    text[IMPAIR_TEXT_MAX + 1] = 0;
    assert_int_equal(parse(text), -EINVAL);
    assert_string_equal(err, "the settings have 2049 bytes; possible are 2048");
}

static void format__gives_back_what_parse_takes(void **state)
{
    static const struct {
        const char *text, *all;
    } cases[] = {
        {"clear",
         "loss=0 burst=1 dup=0 reorder=0 corrupt=0 truncate=0 delay=0 jitter=0 rate=0 queue=256K ecn=0 mtu=0 cut=no"},
        {"loss=0.1% burst=3 dup=0.0000001% reorder=12.5%/1500ns corrupt=100% truncate=50.00% delay=1000us "
         "jitter=1234567ns rate=1500000 "
         "queue=1000 ecn=999 mtu=65535 cut=yes",
         "loss=0.1% burst=3 dup=0.0000001% reorder=12.5%/1.5us corrupt=100% truncate=50% delay=1ms jitter=1234.567us "
         "rate=1.5M queue=1000 "
         "ecn=999 mtu=65535 cut=yes"},
        {"delay=10s rate=1T queue=1G ecn=1073741823",
         "loss=0 burst=1 dup=0 reorder=0 corrupt=0 truncate=0 delay=10s jitter=0 rate=1T "
         "queue=1G ecn=1073741823 mtu=0 cut=no"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[IMPAIR_TEXT_FORMAT_BYTES];
        struct impair_settings back[IMPAIR_SIDES] = {impair_none, impair_none};
        assert_int_equal(parse(cases[i].text), 0);
        impair_text_format(&set[0], text);
        assert_string_equal(text, cases[i].all);
        assert_int_equal(impair_text_parse(text, back, err), 0);
        assert_memory_equal(back, set, sizeof back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__takes_every_setting),
        cmocka_unit_test(parse__takes_every_unit),
        cmocka_unit_test(parse__is_for_the_direction_that_it_names),
        cmocka_unit_test(parse__leaves_what_it_does_not_name),
        cmocka_unit_test(parse__names_each_mistake_and_changes_nothing),
        cmocka_unit_test(parse__refuses_what_is_too_long),
        cmocka_unit_test(format__gives_back_what_parse_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
