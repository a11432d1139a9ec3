// SPDX-License-Identifier: GPL-3.0-or-later
// The watcher of bench/pause.py: a thread inside the target that does nothing but read the clock,
// and writes down each gap of more than 20 us in which it gave up its processor voluntarily. A
// preemption by another program is involuntary; a thread that never sleeps is voluntarily off its
// processor only when a tracer stops it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MAX_GAPS = 100000, GAP_NS = 20000 };

struct record {
    volatile uint64_t count, preemptions;
    uint64_t gaps_ns[MAX_GAPS];
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long voluntary_switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

static void *watch(void *arg)
{
    struct record *record = arg;
    long switches = voluntary_switches();
    uint64_t last_ns = now_ns();
    for (;;) {
        uint64_t here_ns = now_ns(), gap_ns = here_ns - last_ns;
        last_ns = here_ns;
        if (gap_ns <= GAP_NS)
            continue;
        long before = switches;
        switches = voluntary_switches();
        if (switches == before)
            record->preemptions++;
        else if (record->count < MAX_GAPS)
            record->gaps_ns[record->count++] = gap_ns;
        last_ns = now_ns();
    }
    return NULL;
}

int start_watcher(const char *path)
{
    pthread_t thread;
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct record)) != 0)
        return -1;
    void *place = mmap(NULL, sizeof(struct record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return place == MAP_FAILED ? -1 : pthread_create(&thread, NULL, watch, place);
}
