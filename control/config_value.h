/* config_value.h - single values of a configuration, and the rules that say which of them are right.  Any thread. */
#pragma once
#include "chi/task.h"

/* Each is true and fills its outputs when all of text is such a value.  Numbers are decimal, without a leading zero. */
bool config_size(const char *text, uint64_t *out);                         /* 4096, 64K, 256M, 1G, 2T */
bool config_ip(const char *text, uint32_t *ip_out);                        /* a host's address, host order */
bool config_cidr(const char *text, uint32_t *ip_out, uint8_t *prefix_out); /* 10.40.0.1/24, prefix 1..30 */
bool config_pool_id(const char *text, struct chi_pool_id *out);            /* 100.0 */

struct config_rule;

/* The rule of a path like `ports[].mtu`; NULL when there is none. */
const struct config_rule *config_rule_find(const char *path);
bool config_rule_ok(const struct config_rule *rule, const char *text);
/* What would be right, as a phrase: "a number from 1280 to 9600". */
void config_rule_want(const struct config_rule *rule, char *out, size_t cap);
