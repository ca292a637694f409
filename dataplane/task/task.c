#include "task.h"

#include <errno.h>
#include <sys/mman.h>

static const uint32_t class_bytes[TASK_CLASSES] = {TASK_BYTES_SMALL, TASK_BYTES_MIDDLE, CHI_FORM_BYTES_MAX};
CHI_STATIC_ASSERT(CHI_TASK_BYTES_MAX <= CHI_FORM_BYTES_MAX, "the largest class holds any struct");
CHI_STATIC_ASSERT(sizeof(struct task) % 16 == 0, "the body is aligned");

static uint32_t class_count(uint32_t tasks, int c)
{
    uint32_t n = c == 0 ? tasks : c == 1 ? tasks / 4 : tasks / 64;
    return n < 16 ? 16 : n;
}

int task_pools_init(struct task_pools *p, uint32_t tasks)
{
    size_t at[TASK_CLASSES + 1], bytes = 0;
    for (int c = 0; c < TASK_CLASSES; c++) {
        at[c] = bytes;
        bytes += pool_bytes(class_count(tasks, c), sizeof(struct task) + class_bytes[c]);
    }
    at[TASK_CLASSES] = bytes;
    uint32_t lists = class_count(tasks, 1);
    uint32_t list_bytes = CHI_REGIONS_MAX * sizeof(struct chi_ar_region);
    bytes += pool_bytes(lists, list_bytes);

    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *p = (struct task_pools){.memory = memory == MAP_FAILED ? NULL : memory, .memory_bytes = bytes};
    LEDGER(ledger_init(&p->ledger));
    if (!p->memory)
        return -ENOMEM;
    madvise(p->memory, bytes, MADV_HUGEPAGE); /* fewer TLB misses where the kernel has them; else no harm */
    for (int c = 0; c < TASK_CLASSES; c++)
        pool_init(&p->body[c], (uint8_t *)p->memory + at[c], class_count(tasks, c), sizeof(struct task) + class_bytes[c]);
    pool_init(&p->regions, (uint8_t *)p->memory + at[TASK_CLASSES], lists, list_bytes);
    return 0;
}

void task_pools_fini(struct task_pools *p)
{
    if (p->memory)
        munmap(p->memory, p->memory_bytes);
    p->memory = NULL;
}

struct chi_ar_region *task_regions_get(struct task_pools *p, struct task *t)
{
    if (!t->regions)
        t->regions = pool_try_get(&p->regions);
    return t->regions;
}
