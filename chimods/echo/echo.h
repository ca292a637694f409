/* echo.h - ChiMod echo: a task there and back, with and without bulk.  For clients, tests and measurements. */
#ifndef CHIMODS_ECHO_H
#define CHIMODS_ECHO_H

#include "chi/task.h"

enum { ECHO_PING = 1, ECHO_IO = 2, ECHO_DIGEST = 3, ECHO_STREAM = 4 };

/* ping: gives back value. */
struct echo_ping {
    struct chi_task task;
    uint64_t value; /* INOUT */
};
CHI_FIELDS(echo_ping_fields) = {CHI_INOUT(U64, struct echo_ping, value)};
CHI_METHOD_VAR(echo_ping_method) = CHI_METHOD(ECHO_PING, struct echo_ping, echo_ping_fields);

/* io: sums the bytes of `in` as they come, then fills `out` with byte i = (seed + i) & 255.  Both lengths are free, 0 too. */
struct echo_io {
    struct chi_task task;
    uint64_t seed; /* IN */
    uint64_t sum;  /* OUT */
    struct chi_bulk in;
    struct chi_bulk out;
    uint64_t done; /* of the target alone: bytes so far */
};
CHI_FIELDS(echo_io_fields) = {
    CHI_IN(U64, struct echo_io, seed),
    CHI_OUT(U64, struct echo_io, sum),
    CHI_BULK_IN_STREAM(struct echo_io, in),
    CHI_BULK_OUT(struct echo_io, out),
};
CHI_METHOD_VAR(echo_io_method) = CHI_METHOD(ECHO_IO, struct echo_io, echo_io_fields);

/* digest: XXH64 (seed 0) of `in`, and byte i of `back` = byte i of `in` ^ (key >> 8 * (i & 7)); back.size >= in.size, else
 * INVALID. */
struct echo_digest {
    struct chi_task task;
    uint64_t key;    /* IN; 0 gives the same bytes back */
    uint64_t digest; /* OUT */
    struct chi_bulk in;
    struct chi_bulk back;
};
CHI_FIELDS(echo_digest_fields) = {
    CHI_IN(U64, struct echo_digest, key),
    CHI_OUT(U64, struct echo_digest, digest),
    CHI_BULK_IN(struct echo_digest, in),
    CHI_BULK_OUT(struct echo_digest, back),
};
CHI_METHOD_VAR(echo_digest_method) = CHI_METHOD(ECHO_DIGEST, struct echo_digest, echo_digest_fields);

/* stream: sums the bytes of `in` as they come, and sends byte i of `back` = byte i of `in` ^ (key >> 8 * (i & 7)) before the next ones
 * are there.  It goes on when `step` more bytes came, or all; `stop`: it ends after so many bytes, without waiting for the others;
 * 0: after all.  back.size >= in.size, else INVALID.  DEADLINE when the bytes do not come. */
struct echo_stream {
    struct chi_task task;
    uint64_t key, step, stop; /* IN */
    uint64_t sum;             /* OUT */
    uint64_t early;           /* OUT: how often bytes were summed while others were still to come */
    struct chi_bulk in;
    struct chi_bulk back;
    uint64_t done; /* of the target alone: bytes so far */
};
CHI_FIELDS(echo_stream_fields) = {
    CHI_IN(U64, struct echo_stream, key),
    CHI_IN(U64, struct echo_stream, step),
    CHI_IN(U64, struct echo_stream, stop),
    CHI_OUT(U64, struct echo_stream, sum),
    CHI_OUT(U64, struct echo_stream, early),
    CHI_BULK_IN_STREAM(struct echo_stream, in),
    CHI_BULK_OUT(struct echo_stream, back),
};
CHI_METHOD_VAR(echo_stream_method) = CHI_METHOD(ECHO_STREAM, struct echo_stream, echo_stream_fields);

#endif
