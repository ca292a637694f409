#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_schema.h"

enum { CONFIG_FILE_MAX = 1 << 20 };

/* What config_load hands out is the first member: its strings lie in `raw`. */
struct box {
    struct config config;
    struct raw_config *raw;
};

/* The first message and the first place of libcyaml's log. */
struct cyaml_notes {
    char what[160];
    unsigned line, column;
};

static void on_cyaml_log(cyaml_log_t level, void *ctx, const char *format, va_list args)
{
    struct cyaml_notes *notes = ctx;
    char text[160];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = 0;
    const char *place = strstr(text, "(line: ");
    if (place && !notes->line && sscanf(place, "(line: %u, column: %u)", &notes->line, &notes->column) < 1)
        notes->line = 0;
    if (!place && !notes->what[0])
        memcpy(notes->what, text, sizeof(text));
}

static cyaml_config_t cyaml_settings(struct cyaml_notes *notes)
{
    return (cyaml_config_t){
        .log_fn = notes ? on_cyaml_log : NULL,
        .log_ctx = notes,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

static int unreadable(const struct config_report *r, int rc, const char *why)
{
    config_report(r, 0, 0, "%s", why);
    return rc;
}

/* The whole file, *bytes_out to be freed. */
static int read_file(const struct config_report *r, uint8_t **bytes_out, size_t *size_out)
{
    char why[128];
    struct stat st;
    int rc = 0, fd = open(r->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        rc = -errno;
        snprintf(why, sizeof(why), "cannot be read (%s); name a configuration file, examples are in tools/config",
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return unreadable(r, rc, why);
    }
    if (!S_ISREG(st.st_mode))
        rc = unreadable(r, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL,
                        S_ISDIR(st.st_mode) ? "is a folder; name a configuration file in it"
                                            : "is no regular file; name one");
    else if (st.st_size > CONFIG_FILE_MAX)
        rc = unreadable(r, -EFBIG, "is larger than 1 MiB; a configuration is far smaller");
    uint8_t *bytes = rc ? NULL : malloc((size_t)st.st_size + 1);
    size_t size = 0;
    if (!rc && !bytes)
        rc = unreadable(r, -ENOMEM, "no memory to read it");
    while (!rc && size < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + size, (size_t)st.st_size - size);
        if (n < 0 && errno != EINTR) {
            rc = -errno;
            unreadable(r, rc, strerror(errno));
        } else if (n == 0)
            break;
        else if (n > 0)
            size += (size_t)n;
    }
    close(fd);
    if (rc) {
        free(bytes);
        return rc;
    }
    *bytes_out = bytes;
    *size_out = size;
    return 0;
}

/* libcyaml on a document that the schema check has passed: what it still refuses is told in its words. */
static int load_raw(const struct config_report *r, const uint8_t *bytes, size_t size, struct raw_config **out)
{
    struct cyaml_notes notes = {0};
    cyaml_config_t settings = cyaml_settings(&notes);
    cyaml_err_t e = cyaml_load_data(bytes, size, &settings, &config_schema, (cyaml_data_t **)out, NULL);
    if (e == CYAML_OK && *out)
        return 0;
    if (e == CYAML_ERR_OOM)
        return -ENOMEM;
    return config_report(r, notes.line ? notes.line : 1, notes.column ? notes.column : 1,
                         "%s; see tools/config for examples", notes.what[0] ? notes.what : cyaml_strerror(e));
}

static int load(const struct config_report *r, struct box *box)
{
    struct yaml_tree tree = {0};
    struct yaml_error syntax;
    uint8_t *bytes = NULL;
    size_t size = 0;

    int rc = read_file(r, &bytes, &size);
    if (rc)
        return rc;
    rc = yaml_tree_init(&tree, bytes, size, &syntax);
    if (rc == -EINVAL)
        config_report(r, syntax.line, syntax.column, "%s", syntax.what);
    if (!rc)
        rc = config_schema_check(r, &tree);
    if (!rc)
        rc = load_raw(r, bytes, size, &box->raw);
    if (!rc)
        rc = config_build(r, &tree, box->raw, &box->config);
    if (rc == -ENOMEM)
        unreadable(r, rc, "no memory to load it");
    yaml_tree_fini(&tree);
    free(bytes);
    return rc;
}

int config_load(const char *file, struct config **out, char *err, size_t cap)
{
    struct config_report r = {file, err, cap};
    struct box *box = calloc(1, sizeof(*box));
    if (!box)
        return unreadable(&r, -ENOMEM, "no memory to load it");
    int rc = load(&r, box);
    if (rc) {
        config_free(&box->config);
        return rc;
    }
    *out = &box->config;
    return 0;
}

void config_free(struct config *c)
{
    struct box *box = (struct box *)c;
    if (!c)
        return;
    cyaml_config_t settings = cyaml_settings(NULL);
    config_fini(c);
    if (box->raw)
        cyaml_free(&settings, &config_schema, box->raw, 0);
    free(box);
}
