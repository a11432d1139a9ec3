// SPDX-License-Identifier: GPL-3.0-or-later
// lock-convoy: several threads wait at one place for a lock, get it, and come back for it. The waits are
// many and short, which is what sets it apart from a lock that somebody keeps.
#include "diagnose/stack.h"
#include "util/guard.h"

// Of the samples that work or wait there.
#define MEDIUM_SHARE 0.2
#define HIGH_SHARE 0.5
#define THREADS_MIN 3
// Threads that wait there at a time, on average: with less than half of one, hardly any time is lost.
#define MEDIUM_WAITERS 0.5
#define HIGH_WAITERS 2.0
// ... or the threads that come there spend so much of their time with waiting.
#define HIGH_TIME 0.5
#define KNOWN_MAX 64 // places, taken from the last snapshot; a convoy has one
#define SEEN_MIN 20  // samples
// Threads that are seen within the function past its lock, too: they come and go. What the snapshots
// say of calls would not do, since a call that follows at the same place looks like the one before.
#define PASSING_MIN 3

// Python code that waits for work, for a result or for an end with a lock of its own: no convoy.
static bool waits_by_library(const struct diag *diag, const struct snap_frame *frame)
{
    static const char *const files[] = {"/threading.py",
                                        "/queue.py",
                                        "concurrent/futures/_base.py",
                                        "concurrent/futures/thread.py",
                                        "/selectors.py",
                                        "/socketserver.py"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (stack_is(diag, frame, files[i], NULL))
            return true;
    return false;
}

// See diag_is_shared(): with one that waits for work, all others stand behind it.
static bool is_shared(const struct diag *diag, const struct snap_frame *builtin)
{
    const char *qualname = strtab_get(diag->strings, builtin->qualname);
    return qualname && strstr(qualname, "_multiprocessing.SemLock");
}

// Where threads of the last snapshot wait for a lock, for what frames do not tell: a `with` statement
// calls no builtin.
struct known_places {
    const struct snap_frame *items[KNOWN_MAX];
    size_t count;
};

static struct known_places find_known(const struct diag *diag)
{
    struct known_places known = {0};
    for (uint32_t i = 0; i < diag->count && known.count < KNOWN_MAX; i++) {
        const struct snap_wait *wait = diag_wait(diag, i);
        struct stack stack = stack_of_thread(&diag->threads[i]);
        if (wait && diag_is_lock(wait->kind) && wait->kind != SNAP_WAIT_CONDITION &&
            !diag_is_shared(diag, wait))
            for (size_t j = 0; j < stack.count; j++)
                if (stack_frame(&stack, j)->kind == SNAP_PYTHON) {
                    known.items[known.count++] = stack_frame(&stack, j);
                    break;
                }
    }
    return known;
}

static bool is_known(const struct known_places *known, const struct snap_frame *frame)
{
    for (size_t i = 0; i < known->count; i++)
        if (stack_same_function(known->items[i], frame) && known->items[i]->line == frame->line)
            return true;
    return false;
}

// The frame in Python code that takes a lock and waits for it; DIAG_NONE: the stack waits otherwise.
static uint32_t place_of(const struct diag *diag, const struct known_places *known,
                         const struct prof_stack *from)
{
    struct stack stack = stack_of_profile(diag->profile, from);
    bool takes = false;
    for (size_t i = 0; from->state == SNAP_LOCK_WAIT && i < stack.count; i++) {
        const struct snap_frame *frame = stack_frame(&stack, i);
        if (frame->kind == SNAP_BUILTIN) {
            takes = stack_named(diag, frame->function, "acquire") ||
                    stack_named(diag, frame->function, "__enter__");
            if (!takes || is_shared(diag, frame))
                return DIAG_NONE;
        } else if (frame->kind == SNAP_NATIVE) {
            takes |= stack_named(diag, frame->function, "lock_PyThread_acquire_lock") ||
                     stack_named(diag, frame->function, "rlock_acquire");
        } else {
            return (takes || is_known(known, frame)) && !waits_by_library(diag, frame)
                       ? stack.index[i]
                       : DIAG_NONE;
        }
    }
    return DIAG_NONE;
}

struct place {
    uint32_t frame;
    pid_t pid, tid;
    uint64_t samples;
};

static int by_frame(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->frame != b->frame)
        return a->frame < b->frame ? -1 : 1;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    return a->tid < b->tid ? -1 : a->tid > b->tid;
}

// Threads that are in the function without waiting there. 0, too: out of memory.
static size_t count_passing(struct diag *diag, uint32_t function, uint32_t place)
{
    const struct prof_report *profile = diag->profile;
    AUTO_FREE struct diag_number *seen = calloc(profile->stack_count + 1, sizeof(*seen));
    size_t count = 0, threads = 0;
    diag->failed |= !seen;
    for (size_t i = 0; seen && i < profile->stack_count; i++) {
        const struct prof_stack *from = &profile->stacks[i];
        bool in = false, waits = false;
        for (size_t j = 0; j < from->frame_count; j++) {
            in |= profile->frame_function[from->frames[j]] == function;
            waits |= from->frames[j] == place && from->state == SNAP_LOCK_WAIT;
        }
        if (in && !waits)
            seen[count++] = (struct diag_number){.pid = from->pid, .tid = from->tid};
    }
    if (seen)
        numbers_sort(seen, count);
    for (size_t i = 0; i < count; i++)
        threads += i == 0 || seen[i - 1].pid != seen[i].pid || seen[i - 1].tid != seen[i].tid;
    return threads;
}

static void look_at(struct diag *diag, const struct place *places, size_t count)
{
    const struct prof_report *profile = diag->profile;
    uint64_t samples = 0;
    size_t threads = 0;
    for (size_t i = 0; i < count; i++) {
        samples += places[i].samples;
        threads +=
            i == 0 || places[i].tid != places[i - 1].tid || places[i].pid != places[i - 1].pid;
    }
    uint32_t index = profile->frame_function[places[0].frame];
    double share = (double)samples / (double)(samples + profile->samples_working);
    double waiters = (double)samples / (double)profile->snapshots;
    if (threads < THREADS_MIN || samples < SEEN_MIN || share < MEDIUM_SHARE ||
        waiters < MEDIUM_WAITERS)
        return;
    bool many = waiters >= HIGH_WAITERS || waiters >= HIGH_TIME * (double)threads;
    size_t passing = count_passing(diag, index, places[0].frame);
    if (passing < PASSING_MIN)
        return;
    const struct prof_function *function = &profile->functions[index];
    struct draft draft;
    draft_begin(&draft, diag, many && share >= HIGH_SHARE ? DIAG_HIGH : DIAG_MEDIUM, SNAP_INFERRED,
                share);
    plain_things(&draft.text, threads, "thread");
    plain_str(&draft.text, " queue up for a lock in ");
    say_frame(&draft.text, diag, &profile->frames[places[0].frame]);
    plain_add(&draft.text, ", again and again: on average %.1f wait there at a time.",
              waiters);
    draft_title(&draft);
    plain_things(&draft.text, samples, "sample");
    plain_str(&draft.text, " wait there, ");
    plain_count(&draft.text, profile->samples_working);
    plain_str(&draft.text, " work anywhere; ");
    plain_things(&draft.text, passing, "thread");
    plain_str(&draft.text, " were seen past it.");
    draft_evidence(&draft);
    draft_name(&draft, function->function);
    draft_advice(&draft,
                 "Do less while holding it, or split it: a lock per shard, a copy per thread, "
                 "work handed over by a queue.");
    draft_end(&draft);
}

void rule_lock_convoy(struct diag *diag)
{
    const struct prof_report *profile = diag->profile;
    if (!profile)
        return;
    AUTO_FREE struct place *places = calloc(profile->stack_count + 1, sizeof(*places));
    size_t count = 0;
    struct known_places known = find_known(diag);
    for (size_t i = 0; places && i < profile->stack_count; i++) {
        const struct prof_stack *from = &profile->stacks[i];
        uint32_t frame = place_of(diag, &known, from);
        if (frame != DIAG_NONE)
            places[count++] = (struct place){frame, from->pid, from->tid, from->samples};
    }
    diag->failed |= !places;
    if (places)
        qsort(places, count, sizeof(*places), by_frame);
    size_t told = diag->out->findings.count + DIAG_TOLD_MAX;
    for (size_t i = 0, next; i < count && diag->out->findings.count < told; i = next) {
        for (next = i + 1; next < count && places[next].frame == places[i].frame;)
            next++;
        look_at(diag, &places[i], next - i);
    }
}
