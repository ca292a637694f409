/* yaml_tree.h - a YAML document as a tree that knows the line of everything in it: libcyaml keeps no lines.
 * Control thread.  Memory: the heap, freed by yaml_tree_fini.  One document of mappings, lists and scalars; aliases are
 * refused, so nothing expands.  Limits: below (docs/LIMITS.md). */
#pragma once
#include "chi/base.h"

enum { YAML_TREE_DEPTH_MAX = 8, YAML_TREE_NODES_MAX = 32768 };

enum yaml_kind { YAML_KIND_SCALAR, YAML_KIND_LIST, YAML_KIND_MAPPING };

struct yaml_node {
    struct yaml_node *parent, *first, *last, *next;
    struct yaml_node *older; /* all nodes of the tree, for fini */
    enum yaml_kind kind;
    unsigned line, column;         /* of the value, from 1 */
    unsigned key_line, key_column; /* children of a mapping */
    unsigned index, count;         /* position among the siblings; number of children */
    char *key;                     /* children of a mapping */
    char *text;                    /* scalars; without NUL inside */
};

struct yaml_tree {
    struct yaml_node *root; /* NULL: an empty document */
    struct yaml_node *newest;
    unsigned nodes;
};

struct yaml_error {
    unsigned line, column;
    char what[160];
};

/* Returns 0, or -EINVAL with *err, -ENOMEM.  In all cases fini is to be called. */
CHI_MUST_CHECK int yaml_tree_init(struct yaml_tree *t, const uint8_t *bytes, size_t size, struct yaml_error *err);
void yaml_tree_fini(struct yaml_tree *t);

/* The node of a path like `ports[0].mtu`, or the deepest node above it that there is. */
const struct yaml_node *yaml_tree_at(const struct yaml_tree *t, const char *path, bool *exact_out);
/* The path of a node, NUL-terminated, cut at cap.  any_index: `ports[].mtu` in place of `ports[0].mtu`. */
void yaml_node_path(const struct yaml_node *n, bool any_index, char *out, size_t cap);
