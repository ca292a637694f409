/* driver.c - runs a fuzz target without libFuzzer: every file of a corpus, then random mutations of them that are the
 * same in every run.
 *
 *     PROGRAM FOLDER [MUTATIONS [SEED]]
 *     PROGRAM --write-seeds FOLDER */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "fuzz.h"

#pragma weak fuzz_seeds

enum { FILES_MAX = 4096, INPUT_MAX = 1 << 17 };

struct input {
    char name[256];
    uint8_t *data;
    size_t size;
};
static struct input inputs[FILES_MAX];
static unsigned ninputs;
static const char *seeds_folder;
static int seeds_failed;

static _Noreturn void give_up(const char *what, const char *name)
{
    fprintf(stderr, "%s: ", what);
    perror(name);
    exit(2);
}

static void write_seed(const char *name, const void *data, size_t size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", seeds_folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
        perror(path);
        seeds_failed = 1;
    }
}

static void load_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        give_up("open", path);
    static uint8_t room[INPUT_MAX];
    size_t size = fread(room, 1, sizeof room, f);
    if (ferror(f) || ninputs == FILES_MAX)
        give_up("read", path);
    fclose(f);
    struct input *in = &inputs[ninputs++];
    snprintf(in->name, sizeof in->name, "%s", name);
    in->data = malloc(size ? size : 1);
    in->size = size;
    memcpy(in->data, room, size);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

static void load_folder(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        give_up("folder", folder);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            load_file(folder, e->d_name);
    closedir(d);
    qsort(inputs, ninputs, sizeof inputs[0], by_name); /* the same order everywhere */
}

/* One change of the n bytes at p, which have room for INPUT_MAX; returns the new length. */
static size_t mutate(struct prng *prng, uint8_t *p, size_t n)
{
    static const uint64_t edges[] = {0,      1,          0x7f,       0x80,       0xff,      0x7fff,    0x8000,
                                     0xffff, 0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, UINT64_MAX};
    size_t at = n ? prng_below(prng, n) : 0, left = n - at;
    const struct input *other = &inputs[prng_below(prng, ninputs)];
    switch (prng_below(prng, 8)) {
    case 0: /* a bit */
    case 1:
        if (n)
            p[at] ^= (uint8_t)(1u << prng_below(prng, 8));
        return n;
    case 2: /* a byte */
        if (n)
            p[at] = (uint8_t)prng_next(prng);
        return n;
    case 3: { /* a number at an edge */
        uint64_t v = edges[prng_below(prng, sizeof edges / sizeof edges[0])];
        size_t width = (size_t)1 << prng_below(prng, 4);
        memcpy(p + at, &v, width < left ? width : left);
        return n;
    }
    case 4: /* cut */
        return n ? prng_below(prng, n) : 0;
    case 5: { /* take a piece out */
        size_t some = left ? 1 + prng_below(prng, left < 32 ? left : 32) : 0;
        memmove(p + at, p + at + some, left - some);
        return n - some;
    }
    case 6: { /* put a piece of another one in */
        size_t from = other->size ? prng_below(prng, other->size) : 0, some = other->size - from;
        if (some > INPUT_MAX - n)
            return n;
        memmove(p + at + some, p + at, left);
        memcpy(p + at, other->data + from, some);
        return n + some;
    }
    default: { /* overwrite with a piece of another one */
        size_t from = other->size ? prng_below(prng, other->size) : 0, some = other->size - from;
        memcpy(p + at, other->data + from, some < left ? some : left);
        return n;
    }
    }
}

static void run_mutations(uint64_t count, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    static uint8_t room[INPUT_MAX];
    for (uint64_t i = 0; i < count; i++) {
        const struct input *in = &inputs[prng_below(&prng, ninputs)];
        size_t n = in->size;
        memcpy(room, in->data, n);
        for (uint64_t changes = 1 + prng_below(&prng, 5); changes > 0; changes--)
            n = mutate(&prng, room, n);
        uint8_t *exact = malloc(n ? n : 1); /* ASan sees a read beyond the end */
        memcpy(exact, room, n);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write-seeds") == 0) {
        if (!fuzz_seeds) {
            fprintf(stderr, "%s: this target makes no seeds\n", argv[0]);
            return 2;
        }
        seeds_folder = argv[2];
        fuzz_seeds(write_seed);
        return seeds_failed;
    }
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s FOLDER [MUTATIONS [SEED]] | --write-seeds FOLDER\n", argv[0]);
        return 2;
    }
    uint64_t mutations = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    load_folder(argv[1]);
    if (ninputs == 0) {
        fprintf(stderr, "%s: no corpus in %s\n", argv[0], argv[1]);
        return 2;
    }
    printf("%u files, %llu mutations from seed %llu\n", ninputs, (unsigned long long)mutations, (unsigned long long)seed);
    fflush(stdout); /* before what may end the program */
    for (unsigned i = 0; i < ninputs; i++)
        LLVMFuzzerTestOneInput(inputs[i].data, inputs[i].size);
    run_mutations(mutations, seed);
    for (unsigned i = 0; i < ninputs; i++)
        free(inputs[i].data);
    return 0;
}
