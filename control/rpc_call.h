/* rpc_call.h - from the text of a request to the text of its answer.  Control thread; no I/O. */
#pragma once
#include "rpc.h"

/* Where the JSON texts of a byte stream begin and end. */
struct rpc_frame {
    size_t begin, at; /* of the current text; looked at up to here */
    unsigned depth;
    bool string, escape;
};
enum rpc_frame_result {
    RPC_FRAME_MORE, /* needs more bytes; begin == at: between two texts */
    RPC_FRAME_TEXT, /* bytes begin..at are one; the next call looks for the next one */
    RPC_FRAME_BAD,  /* no JSON object or array can come of this: where the next one begins is not known */
};
enum rpc_frame_result rpc_frame_next(struct rpc_frame *f, const char *bytes, size_t have);

/* The answer to a request or batch, one line with its newline, to be freed; NULL when none is due (notifications). */
char *rpc_answer(const struct rpc_method *methods, void *ctx, const char *text, size_t length);
/* The line for an error that belongs to no request; to be freed. */
char *rpc_answer_error(int code, const char *message);
