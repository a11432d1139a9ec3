// SPDX-License-Identifier: GPL-3.0-or-later
// Output files: whole or not at all, readable by whom they should be, and nothing left beside them.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/outfile.h"
#include "util/guard.h"

static char folder[64];

static int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pycore-test-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

// Empties it, whatever the test left.
static int leave_folder(void **state)
{
    (void)state;
    DIR *dir = opendir(".");
    for (struct dirent *entry; (entry = readdir(dir));)
        if (unlink(entry->d_name) != 0)
            rmdir(entry->d_name);
    closedir(dir);
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static size_t count_files(void)
{
    size_t count = 0;
    DIR *dir = opendir(".");
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void assert_holds(const char *path, const char *text)
{
    char buffer[256] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, buffer, sizeof(buffer) - 1) >= 0);
    close(fd);
    assert_string_equal(buffer, text);
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    return info.st_mode & 07777;
}

static void begin(const char *path, enum outfile_kind kind, struct outfile *ret)
{
    struct err *err = outfile_begin(path, kind, ret);
    if (err)
        fail_msg("%s", err_message(err));
}

static void say(struct outfile *file, const char *text)
{
    assert_int_equal(write(file->fd, text, strlen(text)), strlen(text));
}

static void commit(struct outfile *file)
{
    struct err *err = outfile_commit(file);
    if (err)
        fail_msg("%s", err_message(err));
}

static void make(const char *path, enum outfile_kind kind, const char *text)
{
    struct outfile file;
    begin(path, kind, &file);
    say(&file, text);
    commit(&file);
}

static void assert_refused(struct err *err, const char *why)
{
    assert_non_null(err);
    if (!strstr(err_message(err), why))
        fail_msg("\"%s\" is not in \"%s\"", why, err_message(err));
    err_destroy(err);
}

// ---- Whole or not at all ---------------------------------------------------------------------

static void test_appears_when_complete(void **state)
{
    (void)state;
    struct outfile file;
    begin("report", OUTFILE_REPORT, &file);
    say(&file, "half");
    assert_int_equal(access("report", F_OK), -1);
    assert_int_equal(count_files(), 1);
    assert_true(fcntl(file.fd, F_GETFD) & FD_CLOEXEC);
    struct stat info;
    fstat(file.fd, &info);
    assert_int_equal(info.st_mode & 07777, 0600);
    say(&file, " and half");
    commit(&file);
    assert_holds("report", "half and half");
    assert_int_equal(mode_of("report"), 0600);
    assert_int_equal(count_files(), 1);
}

static void test_abort_leaves_the_old(void **state)
{
    (void)state;
    struct outfile file;
    put("report", "old", 0644);
    begin("report", OUTFILE_REPORT, &file);
    say(&file, "new");
    assert_holds("report", "old");
    outfile_abort(&file);
    assert_holds("report", "old");
    assert_int_equal(count_files(), 1);
}

static void test_failing_rename(void **state)
{
    (void)state;
    struct outfile file;
    begin("report", OUTFILE_EVIDENCE, &file);
    say(&file, "new");
    assert_int_equal(mkdir("report", 0700), 0);
    assert_refused(outfile_commit(&file), "cannot write report: ");
    assert_int_equal(count_files(), 1);
}

static void test_longest_name(void **state)
{
    (void)state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    make(name, OUTFILE_REPORT, "long");
    assert_holds(name, "long");
    assert_int_equal(count_files(), 1);
}

static void test_several_at_once(void **state)
{
    (void)state;
    struct outfile files[3];
    const char *names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        begin(names[i], OUTFILE_REPORT, &files[i]);
        say(&files[i], names[i]);
    }
    commit(&files[1]);
    outfile_abort(&files[2]);
    commit(&files[0]);
    assert_holds("a", "a");
    assert_holds("b", "b");
    assert_int_equal(count_files(), 2);
}

// ---- Who may read it -------------------------------------------------------------------------

static void test_modes(void **state)
{
    (void)state;
    put("report", "old", 0640);
    make("report", OUTFILE_REPORT, "new");
    assert_holds("report", "new");
    assert_int_equal(mode_of("report"), 0640);
    put("core", "old", 0644);
    make("core", OUTFILE_EVIDENCE, "new");
    assert_holds("core", "new");
    assert_int_equal(mode_of("core"), 0600);
}

static void test_mode_of_others(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    put("report", "old", 0666);
    assert_int_equal(chown("report", 65534, 65534), 0);
    make("report", OUTFILE_REPORT, "new");
    assert_int_equal(mode_of("report"), 0600);
    put("grouped", "old", 0640);
    assert_int_equal(chown("grouped", (uid_t)-1, 65534), 0);
    make("grouped", OUTFILE_REPORT, "new");
    struct stat info;
    stat("grouped", &info);
    assert_int_equal(info.st_gid, 65534);
    assert_int_equal(info.st_mode & 07777, 0640);
}

// ---- What is there already -------------------------------------------------------------------

static void test_links(void **state)
{
    (void)state;
    put("real", "old", 0600);
    assert_int_equal(symlink("real", "near"), 0);
    assert_int_equal(symlink("near", "far"), 0);
    assert_int_equal(symlink("to-be", "dangling"), 0);
    assert_int_equal(symlink("loop", "loop"), 0);
    make("far", OUTFILE_REPORT, "new");
    assert_holds("real", "new");
    make("dangling", OUTFILE_EVIDENCE, "made");
    assert_holds("to-be", "made");
    struct stat info;
    assert_int_equal(lstat("far", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    struct outfile file;
    assert_refused(outfile_begin("loop", OUTFILE_REPORT, &file), strerror(ELOOP));
    assert_refused(outfile_check("loop"), strerror(ELOOP));
}

static void test_traps(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct outfile file;
    put("victim", "kept", 0600);
    assert_int_equal(symlink("victim", "link"), 0);
    assert_int_equal(lchown("link", 65534, 65534), 0);
    assert_int_equal(mkfifo("fifo", 0666), 0);
    assert_int_equal(chown("fifo", 65534, 65534), 0);
    assert_int_equal(chmod(".", 01777), 0);
    const char *traps[] = {"link", "fifo"};
    for (size_t i = 0; i < ARRAY_SIZE(traps); i++) {
        assert_refused(outfile_begin(traps[i], OUTFILE_REPORT, &file), "somebody else");
        assert_refused(outfile_check(traps[i]), "somebody else");
    }
    // In a folder of one's own it is one's own affair.
    assert_int_equal(chmod(".", 0755), 0);
    make("link", OUTFILE_REPORT, "new");
    assert_holds("victim", "new");
}

static void test_pipes_and_devices(void **state)
{
    (void)state;
    char buffer[8] = "";
    struct outfile file;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    begin("fifo", OUTFILE_EVIDENCE, &file);
    assert_true(file.in_place);
    say(&file, "text");
    commit(&file);
    assert_int_equal(read(reader, buffer, sizeof(buffer)), 4);
    close(reader);
    assert_int_equal(count_files(), 1);
    begin("/dev/full", OUTFILE_REPORT, &file);
    assert_int_equal(write(file.fd, "x", 1), -1);
    outfile_abort(&file);
    assert_null(outfile_check("/dev/null"));
}

// An open file, by its number: written on where it stands, and never replaced.
static void test_open_descriptors(void **state)
{
    (void)state;
    char path[64];
    int fd = open("log", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "before ", 7), 7);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    make(path, OUTFILE_REPORT, "report");
    assert_int_equal(symlink(path, "link"), 0);
    assert_null(outfile_check("link"));
    make("link", OUTFILE_REPORT, " again");
    assert_int_equal(write(fd, " after", 6), 6);
    close(fd);
    assert_holds("log", "before report again after");
}

// Evidence replaces the file that was named, not one that a link leads to.
static void test_link_to_file(void **state)
{
    (void)state;
    struct outfile file;
    put("mine", "mine", 0644);
    assert_int_equal(symlink("mine", "link"), 0);
    AUTO_ERR struct err *err = outfile_begin("link", OUTFILE_EVIDENCE, &file);
    assert_non_null(err);
    assert_holds("mine", "mine");
    assert_int_equal(unlink("mine"), 0);
    make("link", OUTFILE_EVIDENCE, "new");
    assert_holds("mine", "new");
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int why;
    } rows[] = {
        {"", ENOENT},  {"no/such/folder", ENOENT}, {"folder", EISDIR}, {"new/", EISDIR},
        {"/", EISDIR}, {"file/below", ENOTDIR},
    };
    assert_int_equal(mkdir("folder", 0700), 0);
    put("file", "", 0600);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct outfile file;
        struct err *err = outfile_begin(rows[i].path, OUTFILE_REPORT, &file);
        // "new/" is a folder that does not exist.
        if (err && rows[i].why == EISDIR && strstr(err_message(err), strerror(ENOENT)))
            err_destroy(err);
        else
            assert_refused(err, strerror(rows[i].why));
        struct err *check = outfile_check(rows[i].path);
        assert_non_null(check);
        err_destroy(check);
    }
    assert_int_equal(count_files(), 2);
    assert_null(outfile_check("file"));
    assert_null(outfile_check("free"));
}

static void test_inputs(void **state)
{
    (void)state;
    put("core", "", 0600);
    assert_int_equal(symlink("core", "link"), 0);
    assert_true(outfile_is("link", "core"));
    assert_true(outfile_is("./core", "core"));
    assert_false(outfile_is("other", "core"));
    assert_false(outfile_is("other", "other"));
}

// ---- Signals ---------------------------------------------------------------------------------

static int in_child(void (*child)(int), int arg)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        child(arg);
        _exit(42);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void end_by(int signo)
{
    struct outfile file;
    signal(signo, SIG_DFL); // cmocka catches some, sanitizers others
    begin("core", OUTFILE_EVIDENCE, &file);
    say(&file, "half");
    if (count_files() == 1)
        raise(signo);
}

static void test_signals(void **state)
{
    (void)state;
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGABRT, SIGSEGV};
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        int status = in_child(end_by, signals[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signals[i]);
        assert_int_equal(count_files(), 0);
    }
}

static void do_nothing(int signo)
{
    (void)signo;
}

// A command that goes on after Ctrl-C completes its file.
static void catch_and_go_on(int signo)
{
    struct outfile file;
    signal(signo, do_nothing);
    begin("core", OUTFILE_EVIDENCE, &file);
    raise(signo);
    say(&file, "whole");
    commit(&file);
}

static void test_caught_signal(void **state)
{
    (void)state;
    assert_int_equal(in_child(catch_and_go_on, SIGINT), 42 << 8);
    assert_holds("core", "whole");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_appears_when_complete),
        IN_FOLDER(test_abort_leaves_the_old),
        IN_FOLDER(test_failing_rename),
        IN_FOLDER(test_longest_name),
        IN_FOLDER(test_several_at_once),
        IN_FOLDER(test_modes),
        IN_FOLDER(test_mode_of_others),
        IN_FOLDER(test_links),
        IN_FOLDER(test_traps),
        IN_FOLDER(test_pipes_and_devices),
        IN_FOLDER(test_open_descriptors),
        IN_FOLDER(test_link_to_file),
        IN_FOLDER(test_refusals),
        IN_FOLDER(test_inputs),
        IN_FOLDER(test_signals),
        IN_FOLDER(test_caught_signal),
    };
    return cmocka_run_group_tests_name("outfile", tests, NULL, NULL);
}
