#include "yaml_tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* The walk over libyaml's events. */
struct walk {
    struct yaml_tree *tree;
    struct yaml_error *err;
    struct yaml_node *open; /* the innermost mapping or list */
    unsigned depth;
    char *key; /* a mapping's key that waits for its value */
    unsigned key_line, key_column;
    bool document; /* one has begun */
    bool end;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct walk *w, const yaml_mark_t *at, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    w->err->line = (unsigned)at->line + 1;
    w->err->column = (unsigned)at->column + 1;
    vsnprintf(w->err->what, sizeof(w->err->what), format, args);
    va_end(args);
    return -EINVAL;
}

static int add_node(struct walk *w, enum yaml_kind kind, const yaml_mark_t *at, struct yaml_node **out)
{
    if (w->tree->nodes == YAML_TREE_NODES_MAX)
        return refuse(w, at, "more than %d values; a configuration needs far fewer", YAML_TREE_NODES_MAX);
    struct yaml_node *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->older = w->tree->newest;
    w->tree->newest = n;
    w->tree->nodes++;
    n->kind = kind;
    n->line = (unsigned)at->line + 1;
    n->column = (unsigned)at->column + 1;
    n->parent = w->open;
    n->key = w->key;
    n->key_line = w->key_line;
    n->key_column = w->key_column;
    w->key = NULL;
    if (!w->open)
        w->tree->root = n;
    else {
        n->index = w->open->count++;
        if (w->open->last)
            w->open->last->next = n;
        else
            w->open->first = n;
        w->open->last = n;
    }
    *out = n;
    return 0;
}

static bool wants_key(const struct walk *w)
{
    return w->open && w->open->kind == YAML_KIND_MAPPING && !w->key;
}

static int on_scalar(struct walk *w, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    if (memchr(text, 0, e->data.scalar.length))
        return refuse(w, &e->start_mark, "a NUL character in a value; remove it");
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    if (wants_key(w)) {
        w->key = copy;
        w->key_line = (unsigned)e->start_mark.line + 1;
        w->key_column = (unsigned)e->start_mark.column + 1;
        return 0;
    }
    struct yaml_node *n;
    int rc = add_node(w, YAML_KIND_SCALAR, &e->start_mark, &n);
    if (rc) {
        free(copy);
        return rc;
    }
    n->text = copy;
    return 0;
}

static int on_begin(struct walk *w, enum yaml_kind kind, const yaml_event_t *e)
{
    struct yaml_node *n;
    if (wants_key(w))
        return refuse(w, &e->start_mark, "a list or mapping in place of a key; a key is a plain word");
    if (w->depth == YAML_TREE_DEPTH_MAX)
        return refuse(w, &e->start_mark, "nested deeper than %d levels; a configuration needs no more than 4",
                      YAML_TREE_DEPTH_MAX);
    int rc = add_node(w, kind, &e->start_mark, &n);
    if (rc)
        return rc;
    w->open = n;
    w->depth++;
    return 0;
}

static int on_event(struct walk *w, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (w->document)
            return refuse(w, &e->start_mark, "a second document; a configuration file has one");
        w->document = true;
        return 0;
    case YAML_ALIAS_EVENT:
        return refuse(w, &e->start_mark, "an alias (*%.40s); write the value itself",
                      (const char *)e->data.alias.anchor);
    case YAML_SCALAR_EVENT:
        return on_scalar(w, e);
    case YAML_SEQUENCE_START_EVENT:
        return on_begin(w, YAML_KIND_LIST, e);
    case YAML_MAPPING_START_EVENT:
        return on_begin(w, YAML_KIND_MAPPING, e);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        w->open = w->open->parent;
        w->depth--;
        return 0;
    case YAML_STREAM_END_EVENT:
        w->end = true;
        return 0;
    default:
        return 0;
    }
}

/* libyaml's own complaint.  Its reader (bytes that are no text) knows an offset only. */
static int on_syntax(struct walk *w, const yaml_parser_t *p, const uint8_t *bytes, size_t size)
{
    yaml_mark_t at = p->problem_mark;
    if (p->error == YAML_MEMORY_ERROR)
        return -ENOMEM;
    if (p->error == YAML_READER_ERROR) {
        size_t end = p->problem_offset < size ? p->problem_offset : size;
        at = (yaml_mark_t){0};
        for (size_t i = 0; i < end; i++) {
            at.column = bytes[i] == '\n' ? 0 : at.column + 1;
            at.line += bytes[i] == '\n';
        }
        return refuse(w, &at, "not text: %s; a configuration is YAML in UTF-8", p->problem ? p->problem : "bad bytes");
    }
    if (!p->context)
        return refuse(w, &at, "not YAML: %s", p->problem ? p->problem : "syntax error");
    return refuse(w, &at, "not YAML: %s, %s that began in line %zu", p->problem ? p->problem : "syntax error",
                  p->context, p->context_mark.line + 1);
}

int yaml_tree_init(struct yaml_tree *t, const uint8_t *bytes, size_t size, struct yaml_error *err)
{
    struct walk w = {.tree = t, .err = err};
    yaml_parser_t parser;
    int rc = 0;

    *t = (struct yaml_tree){0};
    *err = (struct yaml_error){.line = 1, .column = 1};
    if (!yaml_parser_initialize(&parser))
        return -ENOMEM;
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, bytes, size);
    while (!rc && !w.end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            rc = on_syntax(&w, &parser, bytes, size);
            break;
        }
        rc = on_event(&w, &event);
        yaml_event_delete(&event);
    }
    free(w.key);
    yaml_parser_delete(&parser);
    return rc;
}

void yaml_tree_fini(struct yaml_tree *t)
{
    for (struct yaml_node *n = t->newest, *older; n; n = older) {
        older = n->older;
        free(n->key);
        free(n->text);
        free(n);
    }
    *t = (struct yaml_tree){0};
}

/* The child that the first step of a path names (`.key`, `key` or `[3]`), and the rest of the path. */
static const struct yaml_node *step(const struct yaml_node *n, const char **path)
{
    const char *p = *path;
    const struct yaml_node *c = n->first;
    if (*p == '[') {
        char *end;
        unsigned long index = strtoul(p + 1, &end, 10);
        while (c && c->index != index)
            c = c->next;
        *path = *end == ']' ? end + 1 : end;
        return n->kind == YAML_KIND_LIST ? c : NULL;
    }
    p += *p == '.';
    size_t length = strcspn(p, ".[");
    while (c && !(c->key && strncmp(c->key, p, length) == 0 && c->key[length] == 0))
        c = c->next;
    *path = p + length;
    return c;
}

const struct yaml_node *yaml_tree_at(const struct yaml_tree *t, const char *path, bool *exact_out)
{
    const struct yaml_node *n = t->root;
    while (n && *path) {
        const struct yaml_node *child = step(n, &path);
        if (!child) {
            *exact_out = false;
            return n;
        }
        n = child;
    }
    *exact_out = n != NULL;
    return n;
}

void yaml_node_path(const struct yaml_node *n, bool any_index, char *out, size_t cap)
{
    const struct yaml_node *chain[YAML_TREE_DEPTH_MAX + 1];
    unsigned depth = 0;
    size_t at = 0;

    for (; n && n->parent && depth <= YAML_TREE_DEPTH_MAX; n = n->parent)
        chain[depth++] = n;
    out[0] = 0;
    while (depth-- && at < cap) {
        const struct yaml_node *c = chain[depth];
        if (c->key)
            at += (size_t)snprintf(out + at, cap - at, "%s%.60s", at ? "." : "", c->key);
        else if (any_index)
            at += (size_t)snprintf(out + at, cap - at, "[]");
        else
            at += (size_t)snprintf(out + at, cap - at, "[%u]", c->index);
    }
}
