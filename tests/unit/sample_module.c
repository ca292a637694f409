/* A module that the environment's SAMPLE makes wrong in one way; without it, it is good. */
#include <stdlib.h>
#include <string.h>

#include "chi/chimod.h"

static const struct chi_field fields[] = {CHI_ROW("f", sizeof(struct chi_task), 1, CHI_DIR_IN, CHI_T_U64)};
#define METHOD(number) {"M", fields, NULL, NULL, sizeof(struct chi_task) + 8, 0, 1, number, {0, 0}}

static void serialize(struct chi_archive *ar, struct chi_task *task)
{
    (void)ar;
    (void)task;
}
static enum chi_status init(struct chi_container *c)
{
    (void)c;
    return CHI_STATUS_OK;
}
static enum chi_status run(struct chi_container *c, struct chi_task *task, struct chi_rctx *r)
{
    (void)c;
    (void)task;
    (void)r;
    return CHI_STATUS_OK;
}
static void run_many(struct chi_container *c, struct chi_task **tasks, unsigned n, struct chi_rctx *r)
{
    (void)c;
    (void)tasks;
    (void)n;
    (void)r;
}

static struct chi_method first = METHOD(1), last = METHOD(1023);
static struct chi_method *methods[] = {&last, &first};
static struct chi_chimod table = {.abi = CHI_CHIMOD_ABI, .size = sizeof table, .name = "sample", .methods = methods,
                                  .nmethods = 2, .init = init, .run = run};

static void spoil_table(const char *how)
{
    if (!strcmp(how, "abi"))
        table.abi++;
    else if (!strcmp(how, "size"))
        table.size--;
    else if (!strcmp(how, "name"))
        table.name = "simple";
    else if (!strcmp(how, "no name"))
        table.name = NULL;
    else if (!strcmp(how, "no init"))
        table.init = NULL;
    else if (!strcmp(how, "no run"))
        table.run = NULL;
    else if (!strcmp(how, "no methods"))
        table.methods = NULL;
    else if (!strcmp(how, "run_many"))
        table.run = NULL, table.run_many = run_many;
    else if (!strcmp(how, "none"))
        table.methods = NULL, table.nmethods = 0;
}

static void spoil_method(const char *how)
{
    if (!strcmp(how, "null method"))
        methods[1] = NULL;
    else if (!strcmp(how, "method name"))
        first.name = NULL;
    else if (!strcmp(how, "number"))
        last.id = 1024;
    else if (!strcmp(how, "twice"))
        last.id = 1;
    else if (!strcmp(how, "small"))
        first.size = sizeof(struct chi_task) - 1;
    else if (!strcmp(how, "large"))
        first.size = CHI_TASK_BYTES_MAX + 1;
    else if (!strcmp(how, "fields"))
        first.nfields = CHI_FIELDS_MAX + 1;
    else if (!strcmp(how, "row"))
        first.size--;
    else if (!strcmp(how, "no fields"))
        first.fields = NULL;
    else if (!strcmp(how, "one hand"))
        first.fields = NULL, first.nfields = 0, first.serialize_in = serialize;
    else if (!strcmp(how, "by hand"))
        first.fields = NULL, first.nfields = 0, first.serialize_in = first.serialize_out = serialize;
    else if (!strcmp(how, "largest"))
        first.size = CHI_TASK_BYTES_MAX;
    else if (!strcmp(how, "smallest"))
        first.fields = fields, first.nfields = 0, first.size = sizeof(struct chi_task);
}

CHI_API const struct chi_chimod *chi_chimod_entry(void);
const struct chi_chimod *chi_chimod_entry(void)
{
    const char *how = getenv("SAMPLE");
    if (!how)
        return &table;
    if (!strcmp(how, "no table"))
        return NULL;
    spoil_table(how);
    spoil_method(how);
    return &table;
}
