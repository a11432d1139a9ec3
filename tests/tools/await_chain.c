// SPDX-License-Identifier: GPL-3.0-or-later
// What cpython/coroutine.h says of objects of a process or core, as one JSON value a line.
//   await_chain PID|CORE ADDRESS...   each object's chain
//   await_chain PID|CORE --heap       how many objects the collectors know, and the generators among them
// Exit status: 0, or 2 for wrong use or what cannot be opened.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpython/coroutine.h"
#include "target/live.h"
#include "util/guard.h"

struct opened {
    struct live *live;
    struct target *target;
    struct image *image;
    struct strtab *strings;
    struct py_process *process;
};

static struct err *open_all(const char *what, struct opened *ret)
{
    char *end;
    long pid = strtol(what, &end, 10);
    ret->strings = strtab_create();
    if (!ret->strings)
        return err_create(ERR_NO_MEMORY, "strings");
    if (*end) {
        TRY(target_open_core(what, &ret->target));
    } else {
        TRY(live_open((pid_t)pid, &ret->live));
        ret->target = ret->live->target;
    }
    TRY(image_open(ret->target, &(struct image_options){0}, &ret->image));
    TRY(py_process_open(ret->target, ret->image, ret->strings, &ret->process));
    ret->process->dec.mem = ret->target->mem;
    return NULL;
}

static void close_all(struct opened *opened)
{
    py_process_close(opened->process);
    image_destroy(opened->image);
    if (opened->live)
        live_close(opened->live);
    else
        target_destroy(opened->target);
    strtab_destroy(opened->strings);
}

static const char *text(const struct opened *opened, uint32_t id)
{
    const char *found = id ? strtab_get(opened->strings, id) : NULL;
    return found ? found : "";
}

static void print_chain(struct opened *opened, uint64_t object)
{
    static const char *const kinds[] = {"generator", "coroutine", "async_generator"};
    static const char *const states[] = {"created", "suspended", "running", "done"};
    struct py_generator generator;
    struct py_frames frames = {0};
    uint64_t end;
    bool running;
    AUTO_ERR struct err *unread = py_generator_read(&opened->process->dec, object, &generator);
    AUTO_ERR struct err *err = py_await_chain(opened->process, object, &frames, &end, &running);
    printf("{\"object\": %llu, ", (unsigned long long)object);
    if (!unread)
        printf("\"kind\": \"%s\", \"state\": \"%s\", \"name\": \"%s\", \"qualname\": \"%s\", "
               "\"awaits\": %llu, ",
               kinds[generator.kind], states[generator.state], text(opened, generator.name),
               text(opened, generator.qualname), (unsigned long long)generator.awaits);
    printf("\"end\": %llu, \"running\": %s, \"error\": \"%s\", \"frames\": [",
           (unsigned long long)end, running ? "true" : "false", err ? err_message(err) : "");
    for (size_t i = 0; i < frames.count; i++)
        printf("%s[\"%s\", \"%s\", %d]", i ? ", " : "", text(opened, frames.items[i].name),
               text(opened, frames.items[i].file), frames.items[i].line.line);
    printf("]}\n");
    vec_deinit(&frames);
}

struct counts {
    struct opened *opened;
    size_t objects;
    VEC(uint64_t) generators;
};

static bool count(void *arg, uint64_t object)
{
    struct counts *counts = arg;
    struct py_type_info type;
    counts->objects++;
    AUTO_ERR struct err *err = py_type_of(&counts->opened->process->dec, object, &type);
    return err || type.kind != PY_KIND_GENERATOR || vec_push(&counts->generators, object);
}

static void print_heap(struct opened *opened)
{
    struct counts counts = {.opened = opened};
    struct py_state state = {0};
    struct py_decoder *dec = &opened->process->dec;
    struct mem *cached = mem_create_cached(dec->mem), *mem = dec->mem;
    py_state_read(opened->process, &state);
    dec->mem = cached;
    AUTO_ERR struct err *err = py_heap_walk_all(opened->process, &state, count, &counts);
    dec->mem = mem;
    printf("{\"objects\": %zu, \"error\": \"%s\", \"generators\": [", counts.objects,
           err ? err_message(err) : "");
    for (size_t i = 0; i < counts.generators.count; i++)
        printf("%s%llu", i ? ", " : "", (unsigned long long)counts.generators.items[i]);
    printf("]}\n");
    vec_deinit(&counts.generators);
    py_state_deinit(&state);
    mem_destroy(cached);
}

int main(int argc, char **argv)
{
    struct opened opened = {0};
    if (argc < 3) {
        fprintf(stderr, "usage: %s PID|CORE ADDRESS...|--heap\n", argv[0]);
        return 2;
    }
    AUTO_ERR struct err *err = open_all(argv[1], &opened);
    bool heap = strcmp(argv[2], "--heap") == 0;
    if (!err && heap)
        print_heap(&opened);
    for (int i = 2; !err && !heap && i < argc; i++)
        print_chain(&opened, strtoull(argv[i], NULL, 0));
    if (err)
        fprintf(stderr, "%s\n", err_message(err));
    close_all(&opened);
    return err ? 2 : 0;
}
