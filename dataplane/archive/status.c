/* status.c - names and texts of the statuses. */
#include "chi/status.h"

const char *chi_status_name(enum chi_status s)
{
    switch ((uint32_t)s) {
#define STATUS_NAME(name, number, text)                                                                                \
    case number:                                                                                                       \
        return #name;
        CHI_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    default:
        return "UNKNOWN";
    }
}

const char *chi_status_text(enum chi_status s)
{
    switch ((uint32_t)s) {
#define STATUS_TEXT(name, number, text)                                                                                \
    case number:                                                                                                       \
        return text;
        CHI_STATUS_LIST(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

bool chi_status_known(uint32_t number)
{
    switch (number) {
#define STATUS_CASE(name, value, text) case value:
        CHI_STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
        return true;
    default:
        return false;
    }
}
