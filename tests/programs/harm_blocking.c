// SPDX-License-Identifier: GPL-3.0-or-later
// One thread in each of 30 blocking calls: which errno values they return, and how late. Half of
// the calls end by a timeout of 50 ms, the others are woken each 50 ms by one more thread. A
// program (harm_blocking SECONDS), or a library: harm_blocking_start(), _report(fd), _stop(). A
// line for each call: "name count=N errno=0:N,EINTR:N early=N late_us=P50/P99/MAX", or "name
// unavailable=ERRNO" if it could not be prepared here. Early: a timed call that ended 1 ms or more
// before its time.
#include "harm_blocking_calls.h"

int harm_blocking_start(void); // 0: all threads are in their calls
uint64_t harm_blocking_least(void); // how often each call has returned at least
void harm_blocking_report(int fd);
void harm_blocking_stop(void); // lets the threads end; the report stays

static struct slot slots[N_CALLS];
static pthread_t waker;
static _Atomic int started;

// Lateness against the timeout or the waking. A call that ended otherwise (EINTR) has none.
static void note(struct slot *slot, int error, int64_t begin_ns, int64_t end_ns)
{
    int64_t due_ns = slot->call->wake ? (int64_t)slot->woken_ns : begin_ns + PERIOD_MS * 1000000ll;
    int64_t late_us = (end_ns - due_ns) / 1000;
    slot->errnos[error > 0 && error < MAX_ERRNO ? error : 0]++;
    if (error == slot->call->timeout) {
        slot->early += !slot->call->wake && late_us < -EARLY_US;
        slot->late_us[slot->in_time++ % MAX_LATE] = late_us < 0 ? 0 : (uint32_t)late_us;
    }
    slot->count++;
}

static void *run_slot(void *arg)
{
    struct slot *slot = arg;
    slot->tid = (pid_t)syscall(SYS_gettid);
    started++;
    while (!stopping) {
        int64_t begin_ns = now_ns();
        errno = 0;
        int error = slot->call->block(slot) < 0 ? errno : 0;
        note(slot, error, begin_ns, now_ns());
        if (slot->call->block == block_flock)
            after_flock(slot);
    }
    take_last_signals(slot);
    started--;
    return NULL;
}

static void *run_waker(void *arg)
{
    (void)arg;
    int64_t next_ns = now_ns();
    while (started > 0) {
        next_ns += PERIOD_MS * 1000000ll;
        struct timespec until = {next_ns / 1000000000, next_ns % 1000000000};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
            ;
        for (int i = 0; i < N_CALLS; i++) {
            struct slot *slot = &slots[i];
            if (slot->unavailable || !slot->call->wake)
                continue;
            slot->woken_ns = now_ns();
            slot->call->wake(slot);
        }
    }
    return NULL;
}

int harm_blocking_start(void)
{
    sigset_t all, old;
    int wanted = 0;
    sigfillset(&all);
    stopping = 0;
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int i = 0; i < N_CALLS; i++) {
        slots[i].call = &calls[i];
        errno = 0;
        if (calls[i].setup(&slots[i]) < 0)
            slots[i].unavailable = errno;
        else if (pthread_create(&slots[i].thread, NULL, run_slot, &slots[i]) == 0)
            wanted++;
    }
    while (started < wanted)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    int ret = pthread_create(&waker, NULL, run_waker, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ret;
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static const char *error_name(int error)
{
    static char number[16];
    switch (error) {
    case EINTR:
        return "EINTR";
    case EAGAIN:
        return "EAGAIN";
    case ETIMEDOUT:
        return "ETIMEDOUT";
    default:
        snprintf(number, sizeof(number), "%d", error);
        return number;
    }
}

static void report_slot(int fd, const struct slot *slot)
{
    static uint32_t late[MAX_LATE];
    if (slot->unavailable) {
        dprintf(fd, "%-16s unavailable=%s\n", slot->call->name, error_name(slot->unavailable));
        return;
    }
    uint64_t n = slot->in_time < MAX_LATE ? slot->in_time : MAX_LATE;
    memcpy(late, slot->late_us, sizeof(late));
    qsort(late, n, sizeof(late[0]), by_size);
    dprintf(fd, "%-16s count=%llu errno=", slot->call->name, (unsigned long long)slot->count);
    const char *comma = "";
    for (int i = 0; i < MAX_ERRNO; i++) {
        if (slot->errnos[i])
            dprintf(fd, "%s%s:%llu", comma, error_name(i), (unsigned long long)slot->errnos[i]);
        if (slot->errnos[i])
            comma = ",";
    }
    dprintf(fd, " early=%llu late_us=%u/%u/%u\n", (unsigned long long)slot->early,
            n ? late[n / 2] : 0, n ? late[n * 99 / 100] : 0, n ? late[n - 1] : 0);
}

uint64_t harm_blocking_least(void)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < N_CALLS; i++)
        if (!slots[i].unavailable && slots[i].count < least)
            least = slots[i].count;
    return least;
}

void harm_blocking_report(int fd)
{
    for (int i = 0; i < N_CALLS; i++)
        report_slot(fd, &slots[i]);
    dprintf(fd, "signals          sent=%llu taken=%llu\n", (unsigned long long)signals_sent,
            (unsigned long long)signals_taken);
}

void harm_blocking_stop(void)
{
    stopping = 1;
    for (int i = 0; i < N_CALLS; i++)
        if (slots[i].thread)
            pthread_join(slots[i].thread, NULL);
    if (waker)
        pthread_join(waker, NULL);
    waker = 0;
}

// SysV objects outlive their process, and so might the child.
__attribute__((destructor)) static void clean_up(void)
{
    for (int i = 0; i < N_CALLS; i++) {
        if (!slots[i].call || slots[i].unavailable)
            continue;
        if (slots[i].call->setup == setup_semget)
            semctl(slots[i].a, 0, IPC_RMID);
        else if (slots[i].call->setup == setup_msgget)
            msgctl(slots[i].a, IPC_RMID, NULL);
        else if (slots[i].call->setup == setup_child)
            kill(slots[i].a, SIGKILL);
    }
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    if (harm_blocking_start() != 0)
        return 1;
    int64_t end_ns = now_ns() + (int64_t)(seconds * 1e9);
    while (now_ns() < end_ns)
        nanosleep(&period, NULL);
    harm_blocking_stop();
    harm_blocking_report(STDOUT_FILENO);
    return 0;
}
