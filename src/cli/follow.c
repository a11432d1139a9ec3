// SPDX-License-Identifier: GPL-3.0-or-later
// Who belongs to a run of several processes: those that come are opened between two snapshots, what
// is no Python is remembered and left alone, what ends keeps its samples. See cli/subjects.h.
#include "cli/follow.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/search.h"
#include "util/guard.h"

#define LOOK_EVERY_NS 100000000u
#define LOOK_SHARE 50        // of the time at most 1/50 is spent with looking
#define SETTLE_NS 50000000u  // younger ones are mostly on their way to an exec
#define RETRY_NS 100000000u  // doubled each time
#define TRIES_MAX 2          // of what is no Python: it may have been in the middle of an exec
#define TRIES_STARTING_MAX 7 // of what has Python mapped, and is starting: 6 s
#define EXEC_PATIENCE_NS 5000000000u
// A server that starts a process for each request, for hours.
#define PROCESSES_MAX 10000
#define BYSTANDERS_MAX 1000 // so many are named

// ---- The source's entries ------------------------------------------------------------------------

static bool find_entry(const struct subjects *subjects, pid_t pid, uint64_t start_ticks,
                       size_t *ret_process)
{
    const struct snap_source *source = &subjects->session->source;
    for (size_t i = subjects->starts.count; i-- > 0;)
        if (snap_process_at(source, i)->pid == pid) {
            *ret_process = i;
            return subjects->starts.items[i] == start_ticks;
        }
    *ret_process = SIZE_MAX;
    return false;
}

struct err *follow_enter(struct subjects *subjects, pid_t pid, size_t *ret_process)
{
    struct session *session = subjects->session;
    struct proc_stat stat = {0};
    err_destroy(proc_thread_stat(pid, pid, &stat));
    if (find_entry(subjects, pid, stat.start_ticks, ret_process))
        return NULL;
    if (*ret_process != SIZE_MAX)
        snap_note(session->strings, &session->notes,
                  "process %d: its number was used again by another process; the samples of both "
                  "are counted together",
                  pid);
    if (!vec_push(&subjects->starts, stat.start_ticks))
        return err_create(ERR_NO_MEMORY, "process");
    TRY(session_add_process(session, pid, ret_process));
    session_process(session, *ret_process)->parent = stat.parent;
    return NULL;
}

static void enter_end(struct subjects *subjects, size_t process)
{
    if (process != SIZE_MAX)
        session_process(subjects->session, process)->ended = true;
}

// What /proc tells everybody of a process of which there are no stacks.
static struct err *enter_bystander(struct subjects *subjects, struct bystander *bystander,
                                   const char *why)
{
    struct session *session = subjects->session;
    if (bystander->process == SIZE_MAX)
        TRY(follow_enter(subjects, bystander->pid, &bystander->process));
    struct snap_process *to = session_process(session, bystander->process);
    if (to->snapshots)
        return NULL;
    struct target seen = {
        .pid = bystander->pid, .exe = proc_exe(bystander->pid), .argv = proc_argv(bystander->pid)};
    fill_program(to, session->strings, &seen, NULL);
    to->start_time_ns = proc_start_time_ns(bystander->start_ticks);
    to->why = strtab_add_cstr(session->strings, why);
    free(seen.exe);
    for (char **arg = seen.argv; arg && *arg; arg++)
        free(*arg);
    free(seen.argv);
    return NULL;
}

// ---- Bystanders ----------------------------------------------------------------------------------

static bool has_python_mapped(pid_t pid)
{
    char path[64];
    AUTO_FREE char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    return !err && strstr(text, "python");
}

static void plan_retry(struct bystander *bystander, bool starting)
{
    unsigned tries_max = starting ? TRIES_STARTING_MAX : TRIES_MAX;
    bystander->again_ns = bystander->tries < tries_max
                              ? live_now_ns() + ((uint64_t)RETRY_NS << bystander->tries)
                              : UINT64_MAX;
    bystander->tries++;
}

// Something that the report should hold is missing.
static void note_refusal(struct subjects *subjects, pid_t pid, const char *why)
{
    struct session *session = subjects->session;
    session->incomplete = true;
    snap_note(session->strings, &session->notes, "no stacks of process %d: %s", pid, why);
}

static struct err *tell_why(struct subjects *subjects, struct bystander *bystander,
                            const struct err *err)
{
    bool listed = bystander->process != SIZE_MAX || !subjects->name || subjects->children;
    if (err_code(err) != ERR_NOT_FOUND) {
        bystander->again_ns = UINT64_MAX;
        note_refusal(subjects, bystander->pid, err_message(err));
        return enter_bystander(subjects, bystander, err_message(err));
    }
    bool starting = has_python_mapped(bystander->pid);
    plan_retry(bystander, starting);
    // Whatever has the name that was looked for, but is no Python, is another program.
    if (!listed)
        return NULL;
    if (bystander->process == SIZE_MAX && subjects->bystanders.count >= BYSTANDERS_MAX) {
        subjects->uncounted++;
        return NULL;
    }
    return enter_bystander(subjects, bystander,
                           starting ? "its Python had not started" : "not a Python process");
}

// Why no snapshots are taken of it. Consumes `why`.
static struct err *stand_by(struct subjects *subjects, struct bystander who, struct err *why)
{
    GUARD(guard_err) struct err *err = why;
    if (err_code(err) == ERR_NO_MEMORY)
        return TAKE(err);
    if (err_code(err) == ERR_GONE) {
        enter_end(subjects, who.process);
        return NULL;
    }
    TRY(tell_why(subjects, &who, err));
    return vec_push(&subjects->bystanders, who) ? NULL : err_create(ERR_NO_MEMORY, "process");
}

struct err *follow_leave(struct subjects *subjects, size_t i, struct err *err)
{
    struct subject *subject = subjects->items.items[i];
    const struct live *live = subject->sampler->live;
    struct bystander who = {
        .pid = live->pid, .start_ticks = live->start_ticks, .process = subject->process};
    bool known = proc_program(who.pid, &who.program);
    if (err_code(err) == ERR_NOT_FOUND && known)
        snap_note(subjects->session->strings, &subjects->session->notes,
                  "process %d executed another program (exec), which is no Python", who.pid);
    subject_close(subject);
    subjects->items.count--;
    memmove(&subjects->items.items[i], &subjects->items.items[i + 1],
            (subjects->items.count - i) * sizeof(*subjects->items.items));
    return stand_by(subjects, who, err);
}

bool follow_is_between(struct subject *subject, const struct err *err)
{
    uint64_t now_ns = live_now_ns();
    if (err_code(err) != ERR_NOT_FOUND || !has_python_mapped(subject->sampler->live->pid))
        return false;
    if (!subject->lost_ns)
        subject->lost_ns = now_ns;
    return now_ns - subject->lost_ns < EXEC_PATIENCE_NS;
}

// ---- Opening -------------------------------------------------------------------------------------

static struct err *warm_up(struct subjects *subjects, struct subject *subject)
{
    uint64_t begun_ns = subjects->begin_ns;
    TRY(subject_warm_up(subject));
    TRY(subject_baseline(subject));
    const struct live *live = subject->sampler->live;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint64_t age_ns = now_ns - proc_start_time_ns(live->start_ticks);
    if (begun_ns && age_ns < live_now_ns() - begun_ns)
        subject_is_new(subject);
    return NULL;
}

// A full search of what is no Python (a Java with its gigabytes) is anything but free.
static bool is_worth_it(struct subjects *subjects, pid_t pid)
{
    return !subjects->pythons || pythons_guess(subjects->pythons, pid, "") != PYTHON_NONE;
}

static struct err *open_one(struct subjects *subjects, struct bystander who)
{
    struct subject *subject = NULL;
    if (!vec_reserve(&subjects->items, subjects->items.count + 1))
        return err_create(ERR_NO_MEMORY, "process");
    if (subjects->starts.count >= PROCESSES_MAX) {
        subjects->session->incomplete = true;
        snap_note(subjects->session->strings, &subjects->session->notes,
                  "more than %d processes: further ones are not in the report", PROCESSES_MAX);
        who.again_ns = UINT64_MAX;
        return vec_push(&subjects->bystanders, who) ? NULL : err_create(ERR_NO_MEMORY, "process");
    }
    struct err *err = is_worth_it(subjects, who.pid)
                          ? subject_open(subjects->session, who.pid, &subjects->sampling, &subject)
                          : err_create(ERR_NOT_FOUND, "no Python in process %d", who.pid);
    if (!err && !subject->sampler->process)
        err = err_create(ERR_PERMISSION, "%s", subject->sampler->live->refusal);
    if (!err)
        err = follow_enter(subjects, who.pid, &who.process);
    if (!err) {
        subject_enter(subject, who.process);
        err = warm_up(subjects, subject);
    }
    if (err) {
        subject_close(subject);
        return stand_by(subjects, who, err);
    }
    subjects->items.items[subjects->items.count++] = subject;
    return NULL;
}

// False: it has ended.
static bool look_at(pid_t pid, struct bystander *ret, struct proc_stat *ret_stat)
{
    AUTO_ERR struct err *err = proc_thread_stat(pid, pid, ret_stat);
    *ret = (struct bystander){.pid = pid, .process = SIZE_MAX};
    if (err || ret_stat->state == 'Z' || ret_stat->state == 'X')
        return false;
    ret->start_ticks = ret_stat->start_ticks;
    proc_program(pid, &ret->program);
    return true;
}

struct err *subjects_meet(struct subjects *subjects, pid_t pid)
{
    struct bystander who;
    struct proc_stat stat;
    subjects->several = true;
    if (!look_at(pid, &who, &stat))
        return err_create(ERR_NOT_FOUND, "no process %d", pid);
    return open_one(subjects, who);
}

// ---- Looking -------------------------------------------------------------------------------------

static bool is_subject(const struct subjects *subjects, pid_t pid)
{
    vec_foreach (subject, &subjects->items)
        if ((*subject)->sampler->live->pid == pid)
            return true;
    return false;
}

static bool is_bystander(const struct subjects *subjects, pid_t pid)
{
    vec_foreach (bystander, &subjects->bystanders)
        if (bystander->pid == pid)
            return true;
    return false;
}

static bool is_member(const struct subjects *subjects, pid_t pid)
{
    return is_subject(subjects, pid) || is_bystander(subjects, pid);
}

// Those that ended are forgotten. True: *ret is to be opened (again), and is none any more.
static bool next_bystander(struct subjects *subjects, struct bystander *ret)
{
    for (size_t i = 0; i < subjects->bystanders.count;) {
        struct bystander *have = &subjects->bystanders.items[i], now;
        struct proc_stat stat;
        bool alive = look_at(have->pid, &now, &stat) && now.start_ticks == have->start_ticks;
        bool same =
            now.program.inode == have->program.inode && now.program.device == have->program.device;
        if (alive && same && live_now_ns() < have->again_ns) {
            i++;
            continue;
        }
        now.process = have->process;
        now.tries = same ? have->tries : 0;
        if (!alive)
            enter_end(subjects, have->process);
        *have = subjects->bystanders.items[--subjects->bystanders.count];
        if (!alive)
            continue;
        *ret = now;
        return true;
    }
    return false;
}

// Where the kernel does not list children: all processes whose parent is one of these.
static bool collect_by_parent(const struct subjects *subjects, struct proc_tids *ret)
{
    struct proc_tids all = {0};
    AUTO_ERR struct err *err = proc_processes(&all);
    bool done = !err;
    for (size_t i = 0; done && i < all.count; i++) {
        struct proc_stat stat;
        AUTO_ERR struct err *gone = proc_thread_stat(all.items[i], all.items[i], &stat);
        if (!gone && is_member(subjects, stat.parent))
            done = vec_push(ret, all.items[i]);
    }
    vec_deinit(&all);
    return done;
}

static bool collect_children(const struct subjects *subjects, struct proc_tids *ret)
{
    vec_foreach (subject, &subjects->items)
        if (!proc_children((*subject)->sampler->live->pid, ret))
            return collect_by_parent(subjects, ret);
    vec_foreach (bystander, &subjects->bystanders)
        if (!proc_children(bystander->pid, ret))
            return collect_by_parent(subjects, ret);
    return true;
}

static bool collect_named(const struct subjects *subjects, struct proc_tids *ret)
{
    struct proc_tids all = {0};
    AUTO_ERR struct err *err = proc_processes(&all);
    bool done = !err;
    for (size_t i = 0; done && i < all.count; i++)
        if (search_matches(subjects->name, all.items[i]))
            done = vec_push(ret, all.items[i]);
    vec_deinit(&all);
    return done;
}

static bool is_settled(const struct subjects *subjects, const struct proc_stat *stat)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return !subjects->begin_ns || now_ns >= proc_start_time_ns(stat->start_ticks) + SETTLE_NS;
}

// One that is not known yet; false: there is none.
static bool next_new(struct subjects *subjects, struct bystander *ret)
{
    struct proc_tids found = {0};
    bool any = false;
    if (subjects->children)
        collect_children(subjects, &found);
    if (subjects->name)
        collect_named(subjects, &found);
    for (size_t i = 0; !any && i < found.count; i++) {
        struct proc_stat stat;
        any = found.items[i] != getpid() && !is_member(subjects, found.items[i]) &&
              look_at(found.items[i], ret, &stat) && !stat.kernel_thread &&
              is_settled(subjects, &stat);
    }
    vec_deinit(&found);
    return any;
}

struct err *subjects_follow(struct subjects *subjects, bool *ret_more)
{
    struct bystander who;
    uint64_t begin_ns = live_now_ns();
    *ret_more = false;
    if (!subjects->several || begin_ns < subjects->next_look_ns)
        return NULL;
    *ret_more = next_bystander(subjects, &who) || next_new(subjects, &who);
    uint64_t now_ns = live_now_ns(), rest_ns = (now_ns - begin_ns) * LOOK_SHARE;
    if (*ret_more)
        return open_one(subjects, who);
    subjects->next_look_ns = now_ns + (rest_ns > LOOK_EVERY_NS ? rest_ns : LOOK_EVERY_NS);
    return NULL;
}
