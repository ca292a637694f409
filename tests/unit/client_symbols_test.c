/* What libchi exports and needs, read from its own ELF file: chi_* names only, and the C library alone. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chi/client.h"

struct image {
    uint8_t *bytes;
    long size;
    const ElfW(Shdr) * sections;
    unsigned count;
};

/* libchi as this program has loaded it; a symbol that only it has leads to it. */
static int load(void **state)
{
    static struct image im;
    Dl_info info;
    void *(*anchor)(struct chi_client *, uint64_t) = chi_bulk_alloc;
    void *address;
    memcpy(&address, &anchor, sizeof address);
    if (!dladdr(address, &info) || !strstr(info.dli_fname, "libchi.so"))
        return -1;
    FILE *f = fopen(info.dli_fname, "rb");
    if (!f || fseek(f, 0, SEEK_END) || (im.size = ftell(f)) <= 0 || fseek(f, 0, SEEK_SET))
        return -1;
    im.bytes = malloc((size_t)im.size);
    if (!im.bytes || fread(im.bytes, 1, (size_t)im.size, f) != (size_t)im.size)
        return -1;
    fclose(f);
    const ElfW(Ehdr) *e = (const ElfW(Ehdr) *)im.bytes;
    im.sections = (const ElfW(Shdr) *)(im.bytes + e->e_shoff);
    im.count = e->e_shnum;
    *state = &im;
    return 0;
}

static int unload(void **state)
{
    free(((struct image *)*state)->bytes);
    return 0;
}

static const ElfW(Shdr) * section(const struct image *im, unsigned type)
{
    for (unsigned i = 0; i < im->count; i++)
        if (im->sections[i].sh_type == type)
            return &im->sections[i];
    return NULL;
}

static const char *string_at(const struct image *im, const ElfW(Shdr) * s, size_t at)
{
    return (const char *)im->bytes + im->sections[s->sh_link].sh_offset + at;
}

static void libchi__exports_only_chi_names(void **state)
{
    const struct image *im = *state;
    const ElfW(Shdr) *s = section(im, SHT_DYNSYM);
    assert_non_null(s);
    const ElfW(Sym) *sym = (const ElfW(Sym) *)(im->bytes + s->sh_offset);
    unsigned exported = 0;
    for (size_t i = 1; i < s->sh_size / sizeof *sym; i++) {
        const char *name = string_at(im, s, sym[i].st_name);
        if (sym[i].st_shndx == SHN_UNDEF || sym[i].st_shndx == SHN_ABS || !strncmp(name, "__asan", 6) ||
            !strncmp(name, "__odr_asan", 10))
            continue;
        if (strncmp(name, "chi_", 4))
            fail_msg("libchi exports %s", name);
        exported++;
    }
    assert_true(exported >= 20);
}

static void libchi__needs_only_the_c_library(void **state)
{
    static const char *const allowed[] = {"libc.so.", "ld-linux", "libasan.", "libubsan.",
                                          "libtsan.", "libm.so.", "libgcc_s."};
    const struct image *im = *state;
    const ElfW(Shdr) *s = section(im, SHT_DYNAMIC);
    assert_non_null(s);
    const ElfW(Dyn) *d = (const ElfW(Dyn) *)(im->bytes + s->sh_offset);
    unsigned needed = 0;
    for (; d->d_tag != DT_NULL; d++) {
        if (d->d_tag != DT_NEEDED)
            continue;
        const char *name = string_at(im, s, d->d_un.d_val);
        bool ok = false;
        for (unsigned i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
            ok |= !strncmp(name, allowed[i], strlen(allowed[i]));
        if (!ok)
            fail_msg("libchi needs %s", name);
        needed++;
    }
    assert_true(needed >= 1);
}

/* The program's own hook is the one that counts: libchi's is weak. */
static void libchi__panic_is_weak(void **state)
{
    const struct image *im = *state;
    const ElfW(Shdr) *s = section(im, SHT_DYNSYM);
    const ElfW(Sym) *sym = (const ElfW(Sym) *)(im->bytes + s->sh_offset);
    bool found = false;
    for (size_t i = 1; i < s->sh_size / sizeof *sym; i++) {
        if (strcmp(string_at(im, s, sym[i].st_name), "chi_panic"))
            continue;
        found = true;
        assert_int_equal(ELF64_ST_BIND(sym[i].st_info), STB_WEAK);
    }
    assert_true(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libchi__exports_only_chi_names),
        cmocka_unit_test(libchi__needs_only_the_c_library),
        cmocka_unit_test(libchi__panic_is_weak),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
