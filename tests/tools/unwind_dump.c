// SPDX-License-Identifier: GPL-3.0-or-later
// Native stacks of all threads of a core, by our rows and by libdwfl, side by side.
//   unwind_dump CORE [--partial] [--quiet] [--bench ROUNDS] [--exe FILE]
// --partial starts from pc and stack pointer alone. Exit status: 0 all equal, 1 differences, 2
// wrong use or a core that cannot be opened. Frames that were found by other means than call frame
// information are not compared: libdwfl goes on by guesses of its own.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "image/elf.h"
#include "unwind/reference.h"
#include "unwind/unwind.h"
#include "util/guard.h"

struct settings {
    const char *core, *exe;
    bool partial, quiet;
    unsigned rounds;
};

struct tally {
    size_t threads, frames, different, based, reference_based, recovered, refused;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool exact(const struct unwind_frame *frame)
{
    return frame->how <= UNWIND_STUB;
}

// How many leading frames are the same.
static size_t common(const struct unwind_stack *a, const struct unwind_stack *b)
{
    size_t i = 0;
    while (i < a->frames.count && i < b->frames.count &&
           a->frames.items[i].pc == b->frames.items[i].pc &&
           (!b->frames.items[i].sp || a->frames.items[i].sp == b->frames.items[i].sp))
        i++;
    return i;
}

static bool agree(const struct unwind_stack *ours, const struct unwind_stack *theirs, size_t same)
{
    if (same == theirs->frames.count && same == ours->frames.count)
        return true;
    // Ours may know less only where it says so, and may go on where theirs ended: libdwfl does not
    // tell a base from a row that it cannot apply (up to 0.188 it takes rbx for lost in prologues).
    if (same == theirs->frames.count)
        return ours->end == UNWIND_END_BASE || !exact(&ours->frames.items[same]) ||
               ours->frames.items[same].how == UNWIND_STUB;
    if (same < ours->frames.count)
        return !exact(&ours->frames.items[same]);
    return ours->end == UNWIND_END_NO_INFO || ours->end == UNWIND_END_CORRUPT ||
           ours->end == UNWIND_END_MEMORY || ours->end == UNWIND_END_BASE;
}

static const char *place(struct image *image, const struct unwind_frame *frame, char *text,
                         size_t size)
{
    uint64_t addr = frame->exact_pc ? frame->pc : frame->pc - 1;
    struct module *module = image_module_at(image, addr);
    if (module)
        snprintf(text, size, "%s+0x%lx",
                 strrchr(module->path, '/') ? strrchr(module->path, '/') + 1 : module->path,
                 (unsigned long)(addr - module->bias));
    else
        snprintf(text, size, "?");
    return text;
}

static void print_stack(struct image *image, const struct unwind_stack *stack, size_t from,
                        const char *title)
{
    char text[256];
    for (size_t i = from; i < stack->frames.count; i++) {
        const struct unwind_frame *frame = &stack->frames.items[i];
        printf("  %-5s #%-3zu %016lx sp %016lx cfa %016lx %-13s%s%s %s\n", title, i,
               (unsigned long)frame->pc, (unsigned long)frame->sp, (unsigned long)frame->cfa,
               unwind_how_name(frame->how), frame->exact_pc ? " exact" : "",
               frame->signal ? " signal" : "", place(image, frame, text, sizeof(text)));
    }
    const char *why = unwind_end_text(stack->end);
    printf("  %-5s end: %s (0x%lx)%s\n", title, why ? why : "base", (unsigned long)stack->end_addr,
           stack->recovered ? ", recovered" : "");
}

static void compare(const struct settings *settings, struct unwinder *unwinder,
                    struct target *target, struct image *image, struct tally *tally)
{
    struct unwind_stack ours = {0}, theirs = {0};
    vec_foreach (thread, &target->threads) {
        if (!thread->has_regs)
            continue;
        struct unwind_start start = {.regs = thread->regs, .complete = true};
        reference_unwind(unwinder, target->mem, &start, &theirs);
        start.complete = !settings->partial;
        unwind(unwinder, target->mem, &start, &ours);
        size_t same = common(&ours, &theirs);
        bool refused = settings->partial && ours.end == UNWIND_END_REGISTER;
        bool equal = agree(&ours, &theirs, same) || (refused && same == ours.frames.count);
        tally->threads++;
        tally->frames += ours.frames.count;
        tally->different += !equal;
        tally->refused += refused;
        tally->based += ours.end == UNWIND_END_BASE;
        tally->reference_based += theirs.end == UNWIND_END_BASE;
        tally->recovered += ours.recovered;
        if (!equal || !settings->quiet) {
            printf("thread %d: %zu frames, reference %zu, same %zu%s\n", thread->tid,
                   ours.frames.count, theirs.frames.count, same, equal ? "" : "  DIFFERENT");
            print_stack(image, &ours, equal ? 0 : same > 2 ? same - 2 : 0, "ours");
            if (!equal)
                print_stack(image, &theirs, same > 2 ? same - 2 : 0, "dwfl");
        }
    }
    unwind_stack_deinit(&ours);
    unwind_stack_deinit(&theirs);
}

typedef void walk_fn(struct unwinder *, struct mem *, const struct unwind_start *,
                     struct unwind_stack *);

static double per_frame(struct unwinder *unwinder, struct target *target, walk_fn *walk,
                        unsigned rounds)
{
    struct unwind_stack stack = {0};
    size_t frames = 0;
    uint64_t start_ns = now_ns();
    for (unsigned i = 0; i < rounds; i++)
        vec_foreach (thread, &target->threads) {
            struct unwind_start start = {.regs = thread->regs, .complete = true};
            walk(unwinder, target->mem, &start, &stack);
            frames += stack.frames.count;
        }
    uint64_t spent_ns = now_ns() - start_ns;
    unwind_stack_deinit(&stack);
    return frames ? (double)spent_ns / (double)frames : 0;
}

static void bench(struct unwinder *unwinder, struct target *target, unsigned rounds)
{
    double cold = per_frame(unwinder, target, unwind, 1);
    double warm = per_frame(unwinder, target, unwind, rounds);
    double reference_cold = per_frame(unwinder, target, reference_unwind, 1);
    double reference_warm = per_frame(unwinder, target, reference_unwind, rounds / 10 + 1);
    printf("ns per frame: rows cold %.0f, warm %.1f; libdwfl cold %.0f, warm %.0f (%.0f times)\n",
           cold, warm, reference_cold, reference_warm, reference_warm / warm);
}

static bool parse(int argc, char **argv, struct settings *ret)
{
    *ret = (struct settings){0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--partial") == 0)
            ret->partial = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            ret->quiet = true;
        else if (strcmp(argv[i], "--bench") == 0 && i + 1 < argc)
            ret->rounds = (unsigned)atoi(argv[++i]);
        else if (strcmp(argv[i], "--exe") == 0 && i + 1 < argc)
            ret->exe = argv[++i];
        else if (!ret->core)
            ret->core = argv[i];
        else
            return false;
    }
    return ret->core != NULL;
}

int main(int argc, char **argv)
{
    struct settings settings;
    struct target *target = NULL;
    struct image *image = NULL;
    struct unwinder *unwinder = NULL;
    if (!parse(argc, argv, &settings)) {
        fprintf(stderr, "usage: %s CORE [--partial] [--quiet] [--bench ROUNDS] [--exe FILE]\n",
                argv[0]);
        return 2;
    }
    AUTO_ERR struct err *err = target_open_core(settings.core, &target);
    if (!err)
        err = image_open(target, &(struct image_options){.exe = settings.exe}, &image);
    if (!err)
        err = unwinder_create(target, image, &unwinder);
    if (err) {
        fprintf(stderr, "%s\n", err_message(err));
        return 2;
    }
    image_jit_refresh(image, target->mem);
    if (settings.rounds)
        bench(unwinder, target, settings.rounds);
    struct tally tally = {0};
    compare(&settings, unwinder, target, image, &tally);
    struct unwind_stats stats = unwinder_stats(unwinder);
    printf(
        "%zu threads, %zu frames, %zu different; to the base: %zu, reference %zu; recovered %zu, "
        "refused %zu; rows built %lu, hits %lu, reference walks %lu\n",
        tally.threads, tally.frames, tally.different, tally.based, tally.reference_based,
        tally.recovered, tally.refused, (unsigned long)stats.rows_built,
        (unsigned long)stats.row_hits, (unsigned long)stats.reference_walks);
    unwinder_destroy(unwinder);
    image_destroy(image);
    target_destroy(target);
    return tally.different ? 1 : 0;
}
