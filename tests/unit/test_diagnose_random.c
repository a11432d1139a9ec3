// SPDX-License-Identifier: GPL-3.0-or-later
// Whatever the values say: nothing fails, all texts are clean, and the same values give the same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scene_maker.h"

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u; // Numerical Recipes' generator: reproducible
    return *seed >> 8;
}

static uint32_t number_of_the_round;

static void random_thread(struct scene *s, uint32_t *seed)
{
    static const char *const stacks[] = {"",
                                         "f:1",
                                         "acquire! f:1#2 g:3",
                                         "~@7 ext_f~@3 f! g:1",
                                         "recv! h:2* _run:80 _run_once:9",
                                         "f:1 f:1 f:1",
                                         "acquire! wait:3 get:4 f:1 run:58 _worker:8"};
    struct snap_thread *thread =
        scene_thread(s, (enum snap_state)(next_random(seed) % SNAP_STATE_COUNT),
                     stacks[next_random(seed) % ARRAY_SIZE(stacks)]);
    struct snap_wait *wait = &thread->details->wait;
    thread->held_still = next_random(seed) % 4;
    thread->known_to_python = next_random(seed) % 4;
    thread->has_holds_gil = next_random(seed) % 2;
    thread->holds_gil = next_random(seed) % 2;
    thread->in_gc = next_random(seed) % 3 == 0;
    thread->crashed = next_random(seed) % 9 == 0;
    thread->tid = next_random(seed) % 5 ? thread->tid : 0;
    thread->pid = next_random(seed) % 7 ? 100 : 7;
    thread->name = next_random(seed) % 5 ? thread->name : 0;
    wait->kind = (enum snap_wait_kind)(next_random(seed) % SNAP_WAIT_COUNT);
    wait->object = next_random(seed) % 3;
    wait->what = next_random(seed) % 2 ? strtab_add(s->strings, "\x1b\x01\xff\n", 4) : 0;
    wait->owner = 100 + (pid_t)(next_random(seed) % 22);
    wait->owner_known = (enum snap_certainty)(next_random(seed) % 3);
    wait->owner_gone = next_random(seed) % 6 == 0;
    wait->owner_frame = next_random(seed) % 2 ? next_random(seed) % 5 : UINT32_MAX;
    wait->waiting = next_random(seed) % 2 ? next_random(seed) % 9 : UINT32_MAX;
    wait->fd_count = next_random(seed) % 3;
    wait->timeout_ns = next_random(seed) % 2 ? -1 : 5;
    wait->since_ns = next_random(seed) % 2 ? UINT64_MAX : 0;
    if (next_random(seed) % 8 == 0) {
        snap_details_deinit(thread->details);
        free(thread->details);
        thread->details = NULL;
    }
}

// An index that may be of nothing.
static uint32_t random_index(uint32_t *seed, size_t count)
{
    return next_random(seed) % 5 ? next_random(seed) % ((uint32_t)count + 2) : SNAP_NO_INDEX;
}

static void random_await(struct snap_await *await, size_t tasks, uint32_t *seed)
{
    await->kind = (enum snap_await_kind)(next_random(seed) % SNAP_AWAIT_COUNT);
    if (next_random(seed) % 2)
        await->kind = next_random(seed) % 2 ? SNAP_AWAIT_LOCK : SNAP_AWAIT_TASK;
    await->object = next_random(seed) % 3;
    await->left_ns = next_random(seed) % 4 ? -1 : 5;
    await->thread = (pid_t)(next_random(seed) % 3 ? 100 + next_random(seed) % 22 : 0);
    await->holder = random_index(seed, tasks);
    for (uint32_t i = next_random(seed) % 4; i > 0; i--)
        assert_true(vec_push(&await->tasks, random_index(seed, tasks)));
    await->task_count = await->tasks.count + next_random(seed) % 2;
}

static const char *const task_stacks[] = {
    "", "f:1*", "__aenter__:2* g:3* f:1*", "_wait:4* f:1*", "getconn:9* g:3*", "~@7 g:4* f:2*"};

static void random_tasks(struct scene *s, uint32_t *seed)
{
    size_t count = next_random(seed) % 3 ? next_random(seed) % 12 : 100 + next_random(seed) % 80;
    bool alike = next_random(seed) % 4 == 0;
    enum snap_await_kind kind = (enum snap_await_kind)(next_random(seed) % SNAP_AWAIT_COUNT);
    uint32_t holder = random_index(seed, count);
    for (size_t i = next_random(seed) % 4; i > 0; i--) {
        struct snap_loop *loop = scene_loop(s, next_random(seed) % 22);
        loop->current = random_index(seed, count);
        loop->ready = (int64_t)(next_random(seed) % 4) - 1;
        loop->same_snapshots = next_random(seed) % 9;
        loop->same_ns = next_random(seed) % 2 ? next_random(seed) * 1000ull : UINT64_MAX;
        loop->type = next_random(seed) % 2 ? strtab_add_cstr(s->strings, "uvloop.Loop") : 0;
        loop->pid = next_random(seed) % 7 ? 100 : 7;
    }
    for (size_t i = 0; i < count; i++) {
        struct snap_task *task =
            scene_task(s, (enum snap_task_state)(next_random(seed) % SNAP_TASK_STATE_COUNT),
                       task_stacks[next_random(seed) % ARRAY_SIZE(task_stacks)]);
        task->state = next_random(seed) % 2 ? SNAP_TASK_WAITING : task->state;
        task->pid = next_random(seed) % 7 ? 100 : 7;
        task->name = next_random(seed) % 3 ? strtab_add(s->strings, "\x1b\x01\xff\n", 4) : 0;
        task->loop = random_index(seed, 3);
        task->stack = next_random(seed) % 9 ? task->stack : random_index(seed, 9);
        task->answers = next_random(seed) % 3;
        task->since_ns = next_random(seed) % 2 ? next_random(seed) * 1000ull : 0;
        if (alike) // a pile of them
            task->await.kind = kind, task->await.object = 1, task->state = SNAP_TASK_WAITING;
        else
            random_await(&task->await, count, seed);
        task->await.holder = alike ? holder : task->await.holder;
    }
    if (!s->last->suspended)
        return;
    s->last->suspended->moment = next_random(seed) % 2;
    assert_true(snap_suspended_link(s->last->suspended));
}

static void random_greenlets(struct scene *s, uint32_t *seed)
{
    size_t count = next_random(seed) % 15;
    unsigned threads = 1 + next_random(seed) % 9;
    for (size_t i = 0; i < count; i++) {
        struct snap_greenlet *greenlet = scene_greenlet(
            s, next_random(seed) % threads,
            (enum snap_greenlet_state)(next_random(seed) % SNAP_GREENLET_STATE_COUNT), "f:1 g:2");
        greenlet->parent = random_index(seed, count);
        greenlet->is_hub = next_random(seed) % 3 == 0;
        greenlet->stack = random_index(seed, 9);
        greenlet->name = next_random(seed) % 2 ? strtab_add(s->strings, "\x1b\x01", 2) : 0;
    }
}

static void random_scene(struct scene *s)
{
    uint32_t seed = number_of_the_round;
    bool run = next_random(&seed) % 2;
    for (uint32_t i = 0; run && i < 25; i++) {
        for (uint32_t j = next_random(&seed) % 20; j > 0; j--)
            random_thread(s, &seed);
        scene_next(s);
    }
    for (uint32_t j = next_random(&seed) % 20; j > 0; j--)
        random_thread(s, &seed);
    if (next_random(&seed) % 2)
        random_tasks(s, &seed);
    if (next_random(&seed) % 2)
        random_greenlets(s, &seed);
    s->source.of_core = next_random(&seed) % 2;
    s->source.signal.signo = (int)(next_random(&seed) % 34);
    s->source.environment.processors = (int64_t)(next_random(&seed) % 4) - 1;
}

// Each text is clean but for the marks, and they come in pairs.
static void check_text(const char *text)
{
    int open = 0;
    assert_non_null(text);
    for (; *text; text++) {
        assert_true((unsigned char)*text >= 0x20 || *text == 1 || *text == 2);
        open += *text == 1 ? 1 : *text == 2 ? -1 : 0;
        assert_true(open == 0 || open == 1);
    }
    assert_int_equal(open, 0);
}

static void check_diagnosis(const struct diagnosis *diagnosis)
{
    check_text(diagnosis->verdict);
    check_text(diagnosis->bucket);
    for (size_t i = 0; i < diagnosis->findings.count; i++) {
        const struct diag_finding *finding = &diagnosis->findings.items[i];
        check_text(finding->title);
        check_text(finding->advice);
        for (size_t j = 0; j < finding->evidence.count; j++)
            check_text(finding->evidence.items[j]);
        assert_true(finding->impact <= 1);
        assert_true(finding->certainty != SNAP_NOT_KNOWN);
        if (i)
            assert_true(finding->severity <= diagnosis->findings.items[i - 1].severity);
    }
}

static void test_random_values(void **state)
{
    (void)state;
    for (number_of_the_round = 1; number_of_the_round <= 2000; number_of_the_round++) {
        char *verdicts[2];
        char *ids[2];
        for (int i = 0; i < 2; i++) {
            struct scene scene = scene_create(false);
            random_scene(&scene);
            scene_report(&scene);
            struct diagnosis *diagnosis = scene_diagnose(&scene);
            assert_non_null(diagnosis);
            check_diagnosis(diagnosis);
            verdicts[i] = strdup(diagnosis->verdict);
            ids[i] = scene_ids(diagnosis);
            diagnosis_destroy(diagnosis);
            scene_destroy(&scene);
        }
        assert_string_equal(verdicts[0], verdicts[1]);
        assert_string_equal(ids[0], ids[1]);
        for (int i = 0; i < 2; i++) {
            free(verdicts[i]);
            free(ids[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
