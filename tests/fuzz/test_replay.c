// SPDX-License-Identifier: GPL-3.0-or-later
// Replays what fuzzing found, without a fuzzer: all targets, each in a process of its own, over
// their seeds, tests/fuzz/corpus/TARGET and some thousand random changes of these (the same ones in
// every run). An input must end within seconds and in bounded memory.
//
//   test_replay                       all targets
//   test_replay TARGET [ROUNDS]       one target, so many random changes
//   test_replay TARGET FILE|DIR...    these inputs only
//   test_replay --seeds DIR           writes DIR/TARGET/seed-N, for libFuzzer to begin with
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "util/vec.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 4
#define MAX_RESIDENT_MIB 1536
#else
#define SLOWER 1
#define MAX_RESIDENT_MIB 256
#endif
#define INPUT_LIMIT_S (10 * (SLOWER > 1 ? 3 : 1))

enum { TOO_MUCH = 77 }; // exit status

static const struct fuzz_target *const targets[] = {
#define TARGET(name) &fuzz_##name,
#include "targets.def"
#undef TARGET
};

struct input {
    uint8_t *bytes;
    size_t size;
    char name[64];
};

static VEC(struct input) pool;

// What is being tried: outlives the process that tries it.
static struct {
    size_t tried, size;
    char name[64];
    uint8_t bytes[FUZZ_MAX_BYTES];
} * current;

static void add_input(const char *name, const void *bytes, size_t size)
{
    struct input input = {.bytes = malloc(size + 1), .size = size};
    FUZZ_CHECK(input.bytes && size <= FUZZ_MAX_BYTES);
    if (size)
        memcpy(input.bytes, bytes, size);
    snprintf(input.name, sizeof(input.name), "%s", name);
    FUZZ_CHECK(vec_push(&pool, input));
}

static void clear_pool(void)
{
    vec_foreach (input, &pool)
        free(input->bytes);
    vec_deinit(&pool);
}

void fuzz_seed(const void *bytes, size_t size)
{
    char name[32];
    snprintf(name, sizeof(name), "seed-%zu", pool.count);
    add_input(name, bytes, size);
}

static void add_file(const char *path, const char *name)
{
    static uint8_t bytes[FUZZ_MAX_BYTES];
    FILE *file = fopen(path, "rb");
    if (!file) {
        printf("# %s: %s\n", path, strerror(errno));
        return;
    }
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    add_input(name, bytes, size);
}

// A folder's files, by name, so that each run has the same order. Missing folders are empty.
static void add_path(const char *path)
{
    struct dirent **entries;
    struct stat stat_of;
    const char *slash = strrchr(path, '/');
    if (stat(path, &stat_of) == 0 && !S_ISDIR(stat_of.st_mode)) {
        add_file(path, slash ? slash + 1 : path);
        return;
    }
    int count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char whole[4096];
        snprintf(whole, sizeof(whole), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            add_file(whole, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

// ---- Random changes -----------------------------------------------------------------------------

static uint64_t seed;

static size_t below(size_t limit)
{
    return limit ? (fake_random(&seed) >> 16) % limit : 0;
}

static size_t mutate_once(uint8_t *bytes, size_t size)
{
    static const uint64_t numbers[] = {
        0,           1,          2,         7,          8,          0x7f,          0x80,
        0xff,        0x100,      0x7fff,    0xffff,     0x7fffffff, 0x80000000,    0xffffffff,
        0x100000000, 1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX, UINT64_MAX - 7};
    size_t at = below(size), count = 1 + below(16), width = 1u << below(4);
    uint64_t value = numbers[below(ARRAY_SIZE(numbers))];
    switch (below(8)) {
    case 0:
        if (size)
            bytes[at] ^= (uint8_t)(1u << below(8));
        return size;
    case 1:
        if (size)
            bytes[at] = (uint8_t)below(256);
        return size;
    case 2:
    case 3:
        if (size >= width)
            memcpy(bytes + below(size - width + 1), &value, width);
        return size;
    case 4: // from elsewhere in it
        if (size > count)
            memmove(bytes + below(size - count), bytes + below(size - count), count);
        return size;
    case 5: // inserted
        if (size + count > FUZZ_MAX_BYTES)
            return size;
        memmove(bytes + at + count, bytes + at, size - at);
        for (size_t i = 0; i < count; i++)
            bytes[at + i] = (uint8_t)below(256);
        return size + count;
    case 6: // taken out
        if (size <= count || at + count > size)
            return size;
        memmove(bytes + at, bytes + at + count, size - at - count);
        return size - count;
    default: // cut
        return below(8) ? size : at;
    }
}

static void mutate(void)
{
    const struct input *input = &pool.items[below(pool.count)];
    current->size = input->size;
    memcpy(current->bytes, input->bytes, input->size);
    snprintf(current->name, sizeof(current->name), "%.40s, changed", input->name);
    for (size_t i = 1 + below(6); i > 0; i--)
        current->size = mutate_once(current->bytes, current->size);
}

// ---- One target ---------------------------------------------------------------------------------

static long resident_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss >> 10;
}

// A copy of its own: a byte too far is one behind an allocation.
static void try_current(const struct fuzz_target *target)
{
    struct itimerval limit = {.it_value = {.tv_sec = INPUT_LIMIT_S}}, off = {0};
    uint8_t *bytes = malloc(current->size ? current->size : 1);
    FUZZ_CHECK(bytes);
    memcpy(bytes, current->bytes, current->size);
    setitimer(ITIMER_REAL, &limit, NULL);
    target->run(bytes, current->size);
    setitimer(ITIMER_REAL, &off, NULL);
    free(bytes);
    current->tried++;
    if (resident_mib() > MAX_RESIDENT_MIB)
        _exit(TOO_MUCH);
}

static void try_all(const struct fuzz_target *target, unsigned rounds)
{
    vec_foreach (input, &pool) {
        current->size = input->size;
        memcpy(current->bytes, input->bytes, input->size);
        snprintf(current->name, sizeof(current->name), "%s", input->name);
        try_current(target);
    }
    seed = 0x5eed5eed5eed;
    for (unsigned i = 0; i < rounds && pool.count; i++) {
        mutate();
        try_current(target);
    }
}

// So that it can be looked at, and go into the corpus.
static void keep_culprit(const struct fuzz_target *target)
{
    const char *folder = getenv("builddir");
    char path[4096];
    snprintf(path, sizeof(path), "%s%scrash-%s", folder ? folder : "", folder ? "/tests/" : "",
             target->name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(current->bytes, 1, current->size, file) != current->size)
        path[0] = '\0';
    if (file)
        fclose(file);
    printf("# %s: input \"%s\" of %zu bytes, kept as %s\n", target->name, current->name,
           current->size, path);
    printf("# again: tests/fuzz/test_replay %s %s\n", target->name, path);
}

static bool run_target(const struct fuzz_target *target, unsigned rounds)
{
    struct rusage usage;
    int status;
    *current = (__typeof__(*current)){.tried = 0};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        try_all(target, rounds);
        clear_pool();
        exit(0); // leaks are told at exit
    }
    FUZZ_CHECK(pid > 0 && wait4(pid, &status, 0, &usage) == pid);
    long mib = usage.ru_maxrss >> 10;
    printf("# %s: %zu inputs (%zu of the corpus), %ld MiB, %ld.%02ld s\n", target->name,
           current->tried, pool.count, mib, (long)usage.ru_utime.tv_sec,
           (long)usage.ru_utime.tv_usec / 10000);
    if (status == 0)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == TOO_MUCH)
        printf("# %s: more than %d MiB\n", target->name, MAX_RESIDENT_MIB);
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("# %s: took longer than %d s\n", target->name, INPUT_LIMIT_S);
    else
        printf("# %s: ended by %s %d\n", target->name, WIFSIGNALED(status) ? "signal" : "status",
               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    keep_culprit(target);
    return false;
}

static void gather(const struct fuzz_target *target)
{
    const char *top = getenv("srcdir");
    char path[4096];
    clear_pool();
    target->seeds();
    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", top ? top : ".", target->name);
    add_path(path);
}

static int write_seeds(const char *folder)
{
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        char path[4096];
        clear_pool();
        targets[i]->seeds();
        snprintf(path, sizeof(path), "%s/%s", folder, targets[i]->name);
        mkdir(path, 0777);
        vec_foreach (input, &pool) {
            snprintf(path, sizeof(path), "%s/%s/%s", folder, targets[i]->name, input->name);
            FILE *file = fopen(path, "wb");
            if (!file || (input->size && fwrite(input->bytes, input->size, 1, file) != 1) ||
                fclose(file) != 0) {
                perror(path);
                return 1;
            }
        }
    }
    clear_pool();
    return 0;
}

int main(int argc, char **argv)
{
    current =
        mmap(NULL, sizeof(*current), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FUZZ_CHECK(current != MAP_FAILED);
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        return write_seeds(argv[2]);
    bool all_good = true;
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        if (argc > 1 && strcmp(argv[1], targets[i]->name) != 0)
            continue;
        char *end = NULL;
        unsigned rounds =
            argc > 2 ? (unsigned)strtoul(argv[2], &end, 10) : 1 + targets[i]->rounds / SLOWER;
        if (end && *end) {
            rounds = 0;
            clear_pool();
            for (int arg = 2; arg < argc; arg++)
                add_path(argv[arg]);
        } else {
            gather(targets[i]);
        }
        bool good = run_target(targets[i], rounds);
        printf("%sok %zu - %s\n", good ? "" : "not ", ++count, targets[i]->name);
        all_good &= good;
    }
    clear_pool();
    munmap(current, sizeof(*current));
    printf("1..%zu\n", count);
    return count && all_good ? 0 : 1;
}
