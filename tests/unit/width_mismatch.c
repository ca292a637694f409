/* Must not compile: a field whose type is wider than its member. */
#include "chi/task.h"

struct narrow {
    struct chi_task task;
    uint32_t value;
};
CHI_FIELDS(narrow_fields) = {CHI_IN(U64, struct narrow, value)};
