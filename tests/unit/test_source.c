// SPDX-License-Identifier: GPL-3.0-or-later
// Source lines as the target may read them: what a line is, what is refused, whose rights count.
#include "fake_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "target/source.h"

#define NOBODY 65534
#define A_GROUP 54321

static char dir[64];

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void put_file(const char *name, const char *text, size_t size)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, size), size);
    close(fd);
}

#define PUT(name, text) put_file((name), (text), sizeof(text) - 1)

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/pycore-test-XXXXXX");
    // Others must be able to enter: the tests are about the files in it.
    return mkdtemp(dir) && chmod(dir, 0755) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static void assert_line(struct source *source, const char *file, int32_t line, const char *expected)
{
    bool newer = true;
    const char *text = source_line(source, file, line, &newer);
    if (!text != !expected || (text && strcmp(text, expected) != 0))
        fail_msg("%s:%d is \"%s\", not \"%s\"", file, line, text ? text : "NULL",
                 expected ? expected : "NULL");
    assert_false(newer);
}

// ---- Lines --------------------------------------------------------------------------------------

static void test_lines(void **state)
{
    (void)state;
    PUT("unix.py", "first\n\n  third\t\nlast\n");
    PUT("dos.py", "first\r\nsecond\r\n\r\nlast");
    PUT("open.py", "only");
    PUT("empty.py", "");
    PUT("zero.py", "a\0b\nnext\n");
    struct source *source = source_create_root(dir);
    for (int round = 0; round < 2; round++) {
        assert_line(source, "/unix.py", 1, "first");
        assert_line(source, "/unix.py", 2, "");
        assert_line(source, "/unix.py", 3, "  third\t");
        assert_line(source, "/unix.py", 4, "last");
        assert_line(source, "/unix.py", 5, NULL);
        assert_line(source, "/unix.py", 0, NULL);
        assert_line(source, "/unix.py", -1, NULL);
        assert_line(source, "/unix.py", INT32_MAX, NULL);
        assert_line(source, "/unix.py", INT32_MIN, NULL);
        assert_line(source, "/dos.py", 1, "first");
        assert_line(source, "/dos.py", 2, "second");
        assert_line(source, "/dos.py", 3, "");
        assert_line(source, "/dos.py", 4, "last");
        assert_line(source, "/dos.py", 5, NULL);
        assert_line(source, "/open.py", 1, "only");
        assert_line(source, "/open.py", 2, NULL);
        assert_line(source, "/empty.py", 1, NULL);
        assert_line(source, "/zero.py", 1, "a"); // text ends there; the next line is another
        assert_line(source, "/zero.py", 2, "next");
    }
    source_destroy(source);
}

static void test_no_source(void **state)
{
    (void)state;
    bool newer = true;
    struct source *none = source_create_root(NULL), *bad = source_create_root("/nonexistent/x");
    assert_null(source_line(none, "/etc/passwd", 1, &newer));
    assert_false(newer);
    assert_null(source_line(bad, "/etc/passwd", 1, &newer));
    assert_null(source_line(NULL, "/etc/passwd", 1, &newer));
    struct source *source = source_create_root(dir);
    PUT("<string>", "x\n");
    assert_line(source, "<string>", 1, NULL);
    assert_line(source, NULL, 1, NULL);
    assert_line(source, "", 1, NULL);
    assert_line(source, "/", 1, NULL);
    assert_line(source, "/not/there.py", 1, NULL);
    source_destroy(none);
    source_destroy(bad);
    source_destroy(source);
    source_destroy(NULL);
}

static void test_many_files(void **state)
{
    (void)state;
    char name[32], text[32];
    struct source *source = source_create_root(dir);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 150; i++) {
            snprintf(name, sizeof(name), "/many%d.py", i);
            snprintf(text, sizeof(text), "line of %d", i);
            if (!round)
                put_file(name, text, strlen(text));
            assert_line(source, name, 1, text);
        }
    source_destroy(source);
}

// ---- What is not opened -------------------------------------------------------------------------

static void test_regular_files_only(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("fifo.py"), 0644), 0);
    assert_int_equal(mkdir(path_of("dir.py"), 0755), 0);
    int fd = open(path_of("huge.py"), O_WRONLY | O_CREAT, 0644);
    assert_int_equal(ftruncate(fd, (16 << 20) + 1), 0);
    close(fd);
    struct source *source = source_create_root(dir);
    alarm(20); // an open that waits for a writer would end the test
    assert_line(source, "/fifo.py", 1, NULL);
    alarm(0);
    assert_line(source, "/dir.py", 1, NULL);
    assert_line(source, "/huge.py", 1, NULL);
    source_destroy(source);
    source = source_create_root("/");
    assert_line(source, "/dev/zero", 1, NULL);
    source_destroy(source);
}

static void test_nothing_outside_of_the_root(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("root"), 0755), 0);
    assert_int_equal(mkdir(path_of("root/sub"), 0755), 0);
    PUT("secret.py", "outside\n");
    PUT("root/secret.py", "inside\n");
    char target[128];
    snprintf(target, sizeof(target), "%s/secret.py", dir);
    assert_int_equal(symlink("../secret.py", path_of("root/up.py")), 0);
    assert_int_equal(symlink("../../../../secret.py", path_of("root/sub/far.py")), 0);
    assert_int_equal(symlink("/secret.py", path_of("root/absolute.py")), 0);
    assert_int_equal(symlink(target, path_of("root/real.py")), 0);
    assert_int_equal(symlink("/proc/self/root", path_of("root/magic")), 0);
    char root[128];
    snprintf(root, sizeof(root), "%s/root", dir);
    struct source *source = source_create_root(root);
    assert_line(source, "/../secret.py", 1, "inside");
    assert_line(source, "/sub/../../../secret.py", 1, "inside");
    assert_line(source, "/up.py", 1, "inside");
    assert_line(source, "/sub/far.py", 1, "inside");
    assert_line(source, "/absolute.py", 1, "inside");
    assert_line(source, "/real.py", 1, NULL); // there is no such path below the root
    assert_line(source, "/magic/etc/passwd", 1, NULL);
    source_destroy(source);
}

// ---- A live target's files ----------------------------------------------------------------------

struct child {
    pid_t pid;
    int input;
};

// A child in `dir`; with uid not 0, as that user, in no group but A_GROUP.
static struct child start_child(uid_t uid)
{
    int input[2], output[2];
    struct child child;
    assert_int_equal(pipe(input), 0);
    assert_int_equal(pipe(output), 0);
    child.pid = fork();
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        gid_t group = A_GROUP;
        char byte = 'r';
        close(input[1]);
        if (chdir(dir) != 0)
            _exit(1);
        if (uid && (setgroups(1, &group) != 0 || setresgid(uid, uid, uid) != 0 ||
                    setresuid(uid, uid, uid) != 0))
            _exit(1);
        // After the change of user, which takes these back.
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prctl(PR_SET_DUMPABLE, 1);
        if (write(output[1], &byte, 1) != 1)
            _exit(1);
        while (read(input[0], &byte, 1) < 0 && errno == EINTR)
            ;
        _exit(0);
    }
    close(input[0]);
    close(output[1]);
    child.input = input[1];
    char byte;
    assert_int_equal(read(output[0], &byte, 1), 1);
    close(output[0]);
    return child;
}

static void end_child(const struct child *child)
{
    int status;
    close(child->input);
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
}

static void test_live(void **state)
{
    (void)state;
    PUT("live.py", "of the target\n");
    struct child child = start_child(0);
    struct source *source = source_create_live(child.pid);
    assert_line(source, "live.py", 1, "of the target"); // relative to its working directory
    assert_line(source, path_of("live.py"), 1, "of the target");
    assert_line(source, "./live.py", 1, "of the target");
    source_destroy(source);
    end_child(&child);
    source = source_create_live(child.pid); // it has ended
    assert_line(source, path_of("live.py"), 1, NULL);
    source_destroy(source);
}

static void put_private(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
    put_file(name, "private\n", 8);
    assert_int_equal(chown(path_of(name), uid, gid), 0);
    assert_int_equal(chmod(path_of(name), mode), 0);
}

static void test_rights_of_the_target(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root can be another user\n");
        skip();
    }
    put_private("root.py", 0, 0, 0600);
    put_private("group0.py", 0, 0, 0640); // root's group, which the target is not in
    put_private("own.py", NOBODY, 0, 0600);
    put_private("group.py", 0, A_GROUP, 0640);
    put_private("other.py", 1234, 1234, 0600);
    put_private("all.py", 0, 0, 0644);
    gid_t before[64], after[64];
    int groups = getgroups(64, before);
    struct child child = start_child(NOBODY);
    struct source *source = source_create_live(child.pid);
    assert_line(source, "root.py", 1, NULL);
    assert_line(source, path_of("group0.py"), 1, NULL);
    assert_line(source, path_of("other.py"), 1, NULL);
    assert_line(source, path_of("own.py"), 1, "private");
    assert_line(source, path_of("group.py"), 1, "private");
    assert_line(source, path_of("all.py"), 1, "private");
    // Ours are what they were.
    assert_int_equal(setfsuid((uid_t)-1), 0);
    assert_int_equal(setfsgid((gid_t)-1), getegid());
    assert_int_equal(getgroups(64, after), groups);
    assert_memory_equal(before, after, (size_t)groups * sizeof(gid_t));
    int fd = open(path_of("other.py"), O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    source_destroy(source);
    end_child(&child);
    // A target that is root may read them all.
    child = start_child(0);
    source = source_create_live(child.pid);
    assert_line(source, path_of("other.py"), 1, "private");
    source_destroy(source);
    end_child(&child);
}

static void test_newer_than_the_process(void **state)
{
    (void)state;
    bool newer;
    const uint64_t second = 1000000000, start = 1700000000u * second;
    struct timespec times[2] = {{.tv_sec = 1700000010}, {.tv_sec = 1700000010}};
    PUT("newer.py", "a\n");
    PUT("older.py", "a\n");
    assert_int_equal(utimensat(AT_FDCWD, path_of("newer.py"), times, 0), 0);
    times[0].tv_sec = times[1].tv_sec = 1699999990;
    assert_int_equal(utimensat(AT_FDCWD, path_of("older.py"), times, 0), 0);
    struct source *source = source_create_root(dir);
    assert_non_null(source_line(source, "/newer.py", 1, &newer));
    assert_false(newer); // when it started is not known
    source_set_start(source, start);
    assert_non_null(source_line(source, "/newer.py", 1, &newer));
    assert_true(newer);
    assert_non_null(source_line(source, "/older.py", 1, &newer));
    assert_false(newer);
    assert_null(source_line(source, "/newer.py", 9, &newer));
    assert_false(newer);
    source_destroy(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_no_source),
        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_regular_files_only),
        cmocka_unit_test(test_nothing_outside_of_the_root),
        cmocka_unit_test(test_live),
        cmocka_unit_test(test_rights_of_the_target),
        cmocka_unit_test(test_newer_than_the_process),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
