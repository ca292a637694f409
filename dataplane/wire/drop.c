#include "drop.h"

static const char *const names[] = {
#define DROP_NAME(name, text) [CHI_DROP_##name] = #name,
    CHI_DROP_LIST(DROP_NAME)
#undef DROP_NAME
};

static const char *const texts[] = {
#define DROP_TEXT(name, text) [CHI_DROP_##name] = text,
    CHI_DROP_LIST(DROP_TEXT)
#undef DROP_TEXT
};

const char *chi_drop_name(enum chi_drop d)
{
    return (unsigned)d < CHI_DROP_COUNT ? names[d] : "UNKNOWN";
}

const char *chi_drop_text(enum chi_drop d)
{
    return (unsigned)d < CHI_DROP_COUNT ? texts[d] : "unknown reason";
}
