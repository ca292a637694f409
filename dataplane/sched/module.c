/* module.c - loading of ChiMods. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tables.h"
#include "trust.h"

static int check_method(const struct chi_method *m, const char *name, char *err)
{
    const char *field = NULL, *what = !m ? "a method without a name" : chi_method_wrong(m, &field);
    if (!what && m->id > SCHED_METHOD_ID_MAX)
        what = "a method number above the limit";
    if (!what)
        return 0;
    snprintf(err, SCHED_ERROR_BYTES, "module %s: %s (%s%s%s)", name, what, m && m->name ? m->name : "?", field ? "." : "", field ? field : "");
    return -ENOEXEC;
}

static int out_of_memory(const char *name, char *err)
{
    snprintf(err, SCHED_ERROR_BYTES, "module %s: out of memory", name);
    return -ENOMEM;
}

static int index_methods(struct sched_module *m, char *err)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->ops->nmethods; i++) {
        int rc = check_method(m->ops->methods[i], m->name, err);
        if (rc)
            return rc;
        if (m->ops->methods[i]->id >= count)
            count = m->ops->methods[i]->id + 1u;
    }
    m->by_id = calloc(count ? count : 1, sizeof *m->by_id);
    if (!m->by_id)
        return out_of_memory(m->name, err);
    m->method_count = count;
    for (uint32_t i = 0; i < m->ops->nmethods; i++) {
        struct chi_method *method = m->ops->methods[i];
        if (m->by_id[method->id]) {
            snprintf(err, SCHED_ERROR_BYTES, "module %s: method number %u is there twice", m->name, method->id);
            return -ENOEXEC;
        }
        m->by_id[method->id] = method;
        chi_method_hash(method);
    }
    return 0;
}

static int check_table(const struct chi_chimod *ops, const char *name, char *err)
{
    if (!ops || ops->abi != CHI_CHIMOD_ABI) {
        snprintf(err, SCHED_ERROR_BYTES, "module %s has ABI %u, this daemon has %u; build it against this version's headers",
                 name, ops ? ops->abi : 0, CHI_CHIMOD_ABI);
        return -ENOEXEC;
    }
    if (ops->size != sizeof *ops || !ops->name || strcmp(ops->name, name) != 0 || !ops->init ||
        (!ops->run && !ops->run_many) || (ops->nmethods && !ops->methods)) {
        snprintf(err, SCHED_ERROR_BYTES, "module %s: its table lacks its size, its name, init or run", name);
        return -ENOEXEC;
    }
    return 0;
}

/* Where the segments of the file lie that dlopen just opened. */
static int find_image(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct sched_module *m = arg;
    struct link_map *map;
    (void)size;
    if (dlinfo(m->handle, RTLD_DI_LINKMAP, &map) || map->l_addr != info->dlpi_addr || strcmp(map->l_name, info->dlpi_name) != 0)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const char *from = (const char *)info->dlpi_addr + p->p_vaddr, *to = from + p->p_memsz;
        if (p->p_type != PT_LOAD)
            continue;
        if (!m->image || from < m->image)
            m->image = from;
        if (to > m->image_end)
            m->image_end = to;
    }
    return 1;
}

/* dlopen gives what is loaded already for a name that it has seen, whatever lies there now: each version has another name, of the same file. */
static void *open_version(const struct sched_module *m)
{
    char *name = NULL;
    int folder = (int)(strrchr(m->path, '/') - m->path), dots = 2 * (int)(m->version % SCHED_VERSIONS);
    if (asprintf(&name, "%.*s/%.*s%s", folder, m->path, dots, "./././././././", m->path + folder + 1) < 0)
        return NULL;
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    free(name);
    return handle;
}

static int open_module(struct sched_module *m, char *err)
{
    m->handle = open_version(m);
    if (!m->handle) {
        const char *why = dlerror();
        snprintf(err, SCHED_ERROR_BYTES, "module %s: %s", m->name, why ? why : "out of memory");
        return -ENOEXEC;
    }
    dl_iterate_phdr(find_image, m);
    const struct chi_chimod *(*entry)(void);
    *(void **)&entry = dlsym(m->handle, "chi_chimod_entry");
    if (!entry) {
        snprintf(err, SCHED_ERROR_BYTES, "module %s: its file exports no chi_chimod_entry, so it is no ChiMod", m->name);
        return -ENOEXEC;
    }
    m->ops = entry();
    int rc = check_table(m->ops, m->name, err);
    return rc ? rc : index_methods(m, err);
}

void sched_module_free(struct sched_module *m)
{
    if (m->handle)
        dlclose(m->handle);
    free(m->by_id);
    free(m->path);
    free(m);
}

/* Where the links of a path lead; NULL with errno. */
static char *real_of(const char *folder, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, name ? "%s/%s.so" : "%s", folder, name) < 0) {
        errno = ENOMEM;
        return NULL;
    }
    char *real = realpath(path, NULL);
    int rc = errno;
    free(path);
    errno = rc;
    return real;
}

/* The module's file in this folder, and whether it and the folder are to be trusted.  -ENOENT: it has none. */
static int find_in(struct sched_module *m, const char *folder, char *err)
{
    char why[SCHED_ERROR_BYTES] = "";
    char *where = real_of(folder, NULL);
    free(m->path);
    m->path = where ? real_of(folder, m->name) : NULL;
    int rc = m->path ? 0 : -errno;
    if (!rc)
        rc = trust_path(where, true, why); /* it may be a link that lies there, so both */
    if (!rc)
        rc = trust_path(m->path, false, why);
    struct stat st;
    if (!rc && stat(m->path, &st) == 0) {
        m->device = st.st_dev;
        m->inode = st.st_ino;
    }
    free(where);
    if (rc == -ENOENT || rc == -ENOTDIR)
        return -ENOENT;
    if (rc)
        snprintf(err, SCHED_ERROR_BYTES, "module %s: %.210s", m->name, why[0] ? why : strerror(-rc));
    return rc;
}

static bool is_name(const char *name) { return name[0] && strlen(name) <= SCHED_NAME_MAX && !strchr(name, '/'); }

static int same_file(const struct sched_module *m, char *err)
{
    snprintf(err, SCHED_ERROR_BYTES, "module %s: %.120s is the file that is loaded; put the new version in its place with mv, not by writing into it",
             m->name, m->path);
    return -EEXIST;
}

/* From the first folder that has it.  old: the version that is loaded, or NULL. */
static int load(const char *name, const struct sched_module *old, const char *const *paths, unsigned npaths, struct sched_module **out, char *err)
{
    struct sched_module *m = calloc(1, sizeof *m);
    if (!m)
        return out_of_memory(name, err);
    snprintf(m->name, sizeof m->name, "%s", name);
    m->version = old ? old->version + 1 : 0;
    int rc = -ENOENT;
    for (unsigned i = 0; i < npaths && rc == -ENOENT; i++) {
        rc = find_in(m, paths[i], err);
        if (!rc && old && old->device == m->device && old->inode == m->inode)
            rc = same_file(m, err); /* else dlopen would take the new name for another one of the old file, also when there is a new file */
        if (!rc)
            rc = open_module(m, err);
    }
    if (rc == -ENOENT)
        snprintf(err, SCHED_ERROR_BYTES, "module %s: no %s.so in the folders of modules.path", name, name);
    if (rc)
        sched_module_free(m);
    else
        *out = m;
    return rc;
}

int sched_load(struct sched *s, const char *name, const char *const *paths, unsigned npaths, char *err)
{
    struct sched_module *m;
    if (sched_module_find(s, name))
        return 0;
    if (!is_name(name)) {
        snprintf(err, SCHED_ERROR_BYTES, "'%.40s' is no name of a module", name);
        return -EINVAL;
    }
    int rc = load(name, NULL, paths, npaths, &m, err);
    if (!rc)
        sched_module_add(s, m);
    return rc;
}

int sched_load_again(const struct sched_module *old, const char *const *paths, unsigned npaths, struct sched_module **out, char *err)
{
    int rc = load(old->name, old, paths, npaths, out, err);
    if (rc || (*out)->handle != old->handle)
        return rc;
    sched_module_free(*out); /* it changed between the look and dlopen */
    return same_file(old, err);
}

int sched_unload(struct sched *s, const char *name, char *err)
{
    struct sched_module *m = sched_module_find(s, name);
    if (!m) {
        snprintf(err, SCHED_ERROR_BYTES, "there is no module '%.40s'; mod.list names all", name);
        return -ENOENT;
    }
    const struct sched_pool *p = sched_pool_of(s, m);
    if (p) {
        snprintf(err, SCHED_ERROR_BYTES, "module %s is in use: pool %u.%u (%s) is of it", name, p->id.major, p->id.minor, p->name);
        return -EBUSY;
    }
    if (m->pools) {
        snprintf(err, SCHED_ERROR_BYTES, "module %s is in use: a pool of it is about to go, when its tasks have ended", name);
        return -EBUSY;
    }
    sched_module_take(s, m);
    sched_module_end(m);
    return 0;
}
