// SPDX-License-Identifier: GPL-3.0-or-later
// The readers of /proc, on real children with nasty names.
#include "fake_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "target/proc.h"

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/pycore-test-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

struct child {
    pid_t pid;
    int input; // closing it ends the child
    uint64_t map; // what it mapped
};

static void *wait_in_thread(void *arg)
{
    prctl(PR_SET_NAME, "x) T (y");
    for (;;)
        pause();
    return arg;
}

// A child with that name, one mapping of `file` (NULL: none), one more thread, asleep in read().
static struct child start_child(const char *name, const char *file)
{
    int input[2], output[2];
    struct child child = {0};
    assert_int_equal(pipe(input), 0);
    assert_int_equal(pipe(output), 0);
    child.pid = fork();
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        pthread_t thread;
        void *map = NULL;
        char byte;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_NAME, name);
        close(input[1]);
        if (file) {
            int fd = open(file, O_RDONLY);
            map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 8192);
            close(fd);
        }
        if (pthread_create(&thread, NULL, wait_in_thread, NULL) != 0 ||
            write(output[1], &map, sizeof(map)) != sizeof(map))
            _exit(1);
        while (read(input[0], &byte, 1) < 0 && errno == EINTR)
            ;
        _exit(0);
    }
    close(input[0]);
    close(output[1]);
    child.input = input[1];
    assert_int_equal(read(output[0], &child.map, sizeof(child.map)), sizeof(child.map));
    close(output[0]);
    return child;
}

static void end_child(const struct child *child)
{
    int status;
    close(child->input);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// Both threads asleep, which takes a moment.
static void wait_until_asleep(const struct child *child, pid_t ret_tids[2])
{
    struct proc_tids tids = {0};
    for (int i = 0; i < 60000; i++) {
        struct proc_stat first, second;
        assert_ok(proc_tasks(child->pid, &tids));
        assert_int_equal(tids.count, 2);
        memcpy(ret_tids, tids.items, 2 * sizeof(*ret_tids));
        assert_ok(proc_thread_stat(child->pid, tids.items[0], &first));
        assert_ok(proc_thread_stat(child->pid, tids.items[1], &second));
        if (first.state == 'S' && second.state == 'S' && second.comm[0] == 'x')
            break;
        usleep(1000);
    }
    vec_deinit(&tids);
}

static void test_stat(void **state)
{
    (void)state;
    static const char *const names[] = {"a) R 1 (b", ")", "((((", "", "123456789012345", "a\nb) Z"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct child child = start_child(names[i], NULL);
        pid_t tids[2];
        struct proc_stat stat;
        wait_until_asleep(&child, tids);
        assert_int_equal(proc_thread_count(child.pid), 2);
        assert_int_equal(tids[0], child.pid);
        assert_ok(proc_thread_stat(child.pid, child.pid, &stat));
        assert_string_equal(stat.comm, names[i]);
        assert_int_equal(stat.state, 'S');
        assert_true(stat.cpu_ticks < 1000);
        int64_t age_ns = (int64_t)time(NULL) * 1000000000 -
                         (int64_t)proc_start_time_ns(stat.start_ticks);
        assert_true(age_ns > -2000000000 && age_ns < 100000000000);
        assert_ok(proc_thread_stat(child.pid, tids[1], &stat));
        assert_string_equal(stat.comm, "x) T (y");
        end_child(&child);
    }
}

static void test_status(void **state)
{
    (void)state;
    // The kernel escapes a newline here; otherwise a thread could give itself another user.
    struct child child = start_child("a\nUid:\t7", NULL);
    uid_t uids[4];
    gid_t gids[4], groups[64], mine[64];
    assert_true(proc_uids(child.pid, uids, gids));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(uids[i], getuid());
        assert_int_equal(gids[i], getgid());
    }
    int count = getgroups(ARRAY_SIZE(mine), mine);
    assert_true(count >= 0);
    assert_int_equal(proc_groups(child.pid, groups, ARRAY_SIZE(groups)), count);
    for (int i = 0; i < count; i++) {
        bool found = false;
        for (int j = 0; j < count; j++)
            found |= groups[j] == mine[i];
        assert_true(found);
    }
    assert_int_equal(proc_groups(child.pid, groups, 0), 0);
    assert_int_equal(proc_tracer(child.pid, child.pid), 0);
    assert_true(proc_namespace_tid(child.pid, child.pid) > 0);
    end_child(&child);
    assert_false(proc_uids(child.pid, uids, gids));
    assert_int_equal(proc_namespace_tid(child.pid, child.pid), child.pid);
}

static void test_blocked_syscall(void **state)
{
    (void)state;
    struct child child = start_child("sleeper", NULL);
    pid_t tids[2];
    struct arch_regs regs;
    char path[64], *text = NULL;
    wait_until_asleep(&child, tids);
    snprintf(path, sizeof(path), "/proc/%d/syscall", child.pid);
    struct err *err = proc_read_file(path, &text, NULL);
    bool allowed = !err && text[0] != 'r';
    err_destroy(err);
    free(text);
    if (allowed) {
        assert_true(proc_blocked_syscall(child.pid, child.pid, &regs));
        assert_int_equal(regs.syscall, 0); // read
        assert_int_equal(regs.args[2], 1); // one byte
        assert_true(regs.sp && regs.ip);
        assert_true(proc_blocked_syscall(child.pid, tids[1], &regs));
        assert_int_equal(regs.syscall, 34); // pause
    }
    end_child(&child);
    assert_false(proc_blocked_syscall(child.pid, child.pid, &regs));
    if (!allowed) {
        print_message("/proc/PID/syscall cannot be read here\n");
        skip();
    }
}

static void test_clock(void **state)
{
    (void)state;
    struct proc_clock before, after;
    int fd = proc_open_thread(getpid(), getpid(), "schedstat");
    if (fd < 0) {
        print_message("this kernel has no schedstat\n");
        skip();
    }
    assert_true(proc_read_clock(fd, &before));
    struct timespec start, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < 20000000);
    usleep(1000);
    assert_true(proc_read_clock(fd, &after));
    assert_true(after.cpu_ns >= before.cpu_ns + 20000000);
    assert_true(after.cpu_ns < before.cpu_ns + 2000000000);
    assert_true(after.slices > before.slices);
    close(fd);
    assert_false(proc_read_clock(-1, &after));
    assert_true(proc_open_thread(getpid(), 0, "schedstat") < 0);
}

// ---- Mappings -----------------------------------------------------------------------------------

static void check_mapping(const char *name, bool unlink_it, const char *suffix)
{
    char path[256], *real;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct stat info;
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 16384), 0);
    assert_int_equal(fstat(fd, &info), 0);
    close(fd);
    struct child child = start_child("mapper", path);
    real = realpath(path, NULL);
    assert_non_null(real);
    if (unlink_it)
        unlink(path);
    struct target_mappings mappings = {0};
    assert_ok(proc_mappings(child.pid, &mappings));
    const struct target_mapping *found = NULL;
    bool stack = false;
    uint64_t last = 0;
    vec_foreach(mapping, &mappings) {
        assert_true(mapping->start >= last && mapping->end > mapping->start);
        last = mapping->end;
        if (mapping->start == child.map)
            found = mapping;
        stack |= mapping->path && strcmp(mapping->path, "[stack]") == 0;
    }
    assert_non_null(found);
    assert_true(stack);
    assert_int_equal(found->end - found->start, 4096);
    assert_int_equal(found->offset, 8192);
    assert_int_equal(found->inode, info.st_ino);
    assert_true(found->readable && !found->writable && found->executable);
    assert_int_equal(found->deleted, unlink_it);
    assert_string_equal(found->path, real);
    assert_string_equal(found->path + strlen(found->path) - strlen(suffix), suffix);
    proc_mappings_clear(&mappings);
    free(real);
    end_child(&child);
}

static void test_mappings(void **state)
{
    (void)state;
    check_mapping("plain", false, "/plain");
    check_mapping("two\nlines", false, "/two\nlines");
    check_mapping("\n7f00-7f01 r-xp 00000000 00:00 0 [fake]\n", false, " [fake]\n");
    check_mapping("with  blanks ", false, "/with  blanks ");
    check_mapping("gone", true, "/gone");
    check_mapping("gone\n (deleted)x", true, "\n (deleted)x");
}

static void test_not_there(void **state)
{
    (void)state;
    struct target_mappings mappings = {0};
    struct proc_tids tids = {0};
    struct proc_stat stat;
    struct child child = start_child("short", NULL);
    end_child(&child);
    assert_err(proc_mappings(child.pid, &mappings), ERR_NOT_FOUND, "/maps");
    assert_err(proc_tasks(child.pid, &tids), ERR_GONE, "process");
    assert_err(proc_thread_stat(child.pid, child.pid, &stat), ERR_NOT_FOUND, "/stat");
    assert_int_equal(proc_thread_count(child.pid), 0);
    assert_null(proc_exe(child.pid));
    assert_null(proc_argv(child.pid));
    vec_deinit(&tids);
}

static void test_exe_and_argv(void **state)
{
    (void)state;
    char expected[4096] = "", *cmdline;
    size_t size, at = 0;
    assert_true(readlink("/proc/self/exe", expected, sizeof(expected) - 1) > 0);
    char *exe = proc_exe(getpid());
    assert_string_equal(exe, expected);
    free(exe);
    assert_ok(proc_read_file("/proc/self/cmdline", &cmdline, &size));
    assert_int_equal(cmdline[size], '\0');
    char **argv = proc_argv(getpid());
    assert_non_null(argv);
    for (size_t i = 0; argv[i]; i++) {
        assert_string_equal(argv[i], cmdline + at);
        at += strlen(argv[i]) + 1;
        free(argv[i]);
    }
    assert_int_equal(at, size);
    free(argv);
    free(cmdline);
}

static bool has_pid(const struct proc_tids *pids, pid_t pid)
{
    for (size_t i = 0; i < pids->count; i++)
        if (pids->items[i] == pid)
            return true;
    return false;
}

static void test_kin(void **state)
{
    (void)state;
    struct child child = start_child("kin", NULL);
    struct proc_tids all = {0}, children = {0}, none = {0};
    struct proc_stat stat;
    assert_null(proc_processes(&all));
    assert_true(has_pid(&all, getpid()));
    assert_true(has_pid(&all, child.pid));
    assert_null(proc_thread_stat(child.pid, child.pid, &stat));
    assert_int_equal(stat.parent, getpid());
    if (!proc_children(getpid(), &children)) {
        end_child(&child);
        vec_deinit(&all);
        skip(); // a kernel without CONFIG_PROC_CHILDREN
    }
    assert_true(has_pid(&children, child.pid));
    assert_true(proc_children(child.pid, &none));
    assert_int_equal(none.count, 0);
    struct proc_program mine, its;
    assert_true(proc_program(getpid(), &mine) && proc_program(child.pid, &its));
    assert_true(mine.inode == its.inode && mine.device == its.device);
    assert_true(proc_same_program(getpid(), child.pid));
    assert_true(proc_may_share_pages(getpid()));
    assert_true(proc_may_share_pages(child.pid));
    end_child(&child);
    vec_clear(&children);
    assert_true(proc_children(getpid(), &children));
    assert_false(has_pid(&children, child.pid));
    assert_false(proc_program(child.pid, &its));
    vec_deinit(&all);
    vec_deinit(&children);
    vec_deinit(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat),          cmocka_unit_test(test_status),
        cmocka_unit_test(test_blocked_syscall), cmocka_unit_test(test_clock),
        cmocka_unit_test(test_mappings),      cmocka_unit_test(test_not_there),
        cmocka_unit_test(test_exe_and_argv),  cmocka_unit_test(test_kin),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
