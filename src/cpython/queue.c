// SPDX-License-Identifier: GPL-3.0-or-later
// What stands in queues between threads: see cpython/decoder.h.
#include "cpython/lock.h"
#include "util/guard.h"
#include "util/limits.h"

// Modules/_queuemodule.c of 3.13+, RingBuf: `count` items from index `first` on, round the end.
static struct err *walk_ring(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg)
{
    uint64_t first, items, room, count, item;
    TRY(py_read(dec->mem, &dec->layout, object, PY_SQUEUE_first, &first));
    TRY(py_read(dec->mem, &dec->layout, object, PY_SQUEUE_items, &items));
    TRY(py_read(dec->mem, &dec->layout, object, PY_SQUEUE_room, &room));
    TRY(py_read(dec->mem, &dec->layout, object, PY_SQUEUE_count, &count));
    if (count > room || first > room || count > LIMIT_DICT_ENTRIES)
        return err_create(ERR_BAD_DATA, "queue at 0x%llx has an impossible length",
                          (unsigned long long)object);
    for (uint64_t i = 0; i < count; i++) {
        TRY(mem_read_u64(dec->mem, items + 8 * ((first + i) % room), &item));
        if (item && !visit(arg, item))
            return NULL;
    }
    return NULL;
}

struct err *py_queue_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg)
{
    uint64_t inside = 0;
    if (py_is_a(dec, object, "_queue.SimpleQueue")) {
        if (!py_layout_has(&dec->layout, PY_SQUEUE_list))
            return walk_ring(dec, object, visit, arg);
        TRY(py_read(dec->mem, &dec->layout, object, PY_SQUEUE_list, &inside));
        return py_list_walk(dec, inside, visit, arg);
    }
    // Lib/queue.py: Queue.queue, _PySimpleQueue._queue
    const char *attribute = py_is_a(dec, object, "Queue")            ? "queue"
                            : py_is_a(dec, object, "_PySimpleQueue") ? "_queue"
                                                                     : NULL;
    if (attribute)
        TRY(py_instance_attr(dec, object, attribute, &inside));
    if (!inside || !py_is_a(dec, inside, "collections.deque"))
        return err_create(ERR_UNSUPPORTED, "no queue that is known");
    return py_deque_walk(dec, inside, visit, arg);
}
