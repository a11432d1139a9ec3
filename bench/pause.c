// SPDX-License-Identifier: GPL-3.0-or-later
// The watcher of bench/pause.py: a thread inside the target that does nothing but read the clock,
// and writes down each gap of more than 5 us in which it gave up its processor voluntarily. A
// preemption by another program is involuntary; a thread that never sleeps is voluntarily off its
// processor only when a tracer stops it.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MAX_GAPS = 1 << 16, GAP_NS = 5000 };

struct record {
    volatile uint64_t count, preemptions;
    uint64_t gaps_ns[MAX_GAPS]; // a ring
};

static struct record *record;

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

int prepare(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*record)) != 0)
        return -1;
    void *place = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (place == MAP_FAILED)
        return -1;
    memset(place, 0, sizeof(*record)); // or writing a gap down would be one
    record = place;
    return 0;
}

// Never returns. `cpu`: where to stay; -1: anywhere.
void watch(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof(set), &set);
    }
    long switches = voluntary_switches();
    uint64_t last_ns = now_ns();
    for (;;) {
        uint64_t here_ns = now_ns(), gap_ns = here_ns - last_ns;
        last_ns = here_ns;
        if (gap_ns <= GAP_NS)
            continue;
        long before = switches;
        switches = voluntary_switches();
        if (switches == before) {
            record->preemptions++;
        } else {
            record->gaps_ns[record->count % MAX_GAPS] = gap_ns;
            record->count++;
        }
        last_ns = now_ns();
    }
}
