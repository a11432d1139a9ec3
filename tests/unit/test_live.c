// SPDX-License-Identifier: GPL-3.0-or-later
// The end of a live process: however it shows, it is told as such, and as nothing else.
#include "fake_memory.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/live.h"
#include "target/stop_private.h"

static void *sleep_on(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return NULL;
}

// A child of one thread that sleeps, and of another one when it is asked for.
static pid_t start_child(bool another)
{
    int ready[2];
    char byte;
    pthread_t thread;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (another)
            pthread_create(&thread, NULL, sleep_on, NULL);
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        if (another) // the main thread ends, its process does not
            syscall(SYS_exit, 0);
        sleep_on(NULL);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static struct live *open_child(pid_t pid)
{
    struct live *live = NULL;
    struct err *err = live_open(pid, &live);
    if (err)
        fail_msg("%s", err_message(err));
    return live;
}

static void end(pid_t pid, bool reap)
{
    siginfo_t info;
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | (reap ? 0 : WNOWAIT)), 0);
}

static void assert_told(struct live *live, enum err_code before, enum err_code after)
{
    struct err *err = live_tell_end(live, err_create(before, "some other reason"));
    assert_int_equal(err_code(err), after);
    assert_true((after == ERR_GONE) == !!strstr(err_message(err), "has ended"));
    err_destroy(err);
}

static void test_alive(void **state)
{
    (void)state;
    pid_t pid = start_child(false);
    struct live *live = open_child(pid);
    assert_false(live_is_ending(live));
    assert_true(live_has_memory(live));
    assert_told(live, ERR_FAULT, ERR_FAULT);
    assert_told(live, ERR_NOT_FOUND, ERR_NOT_FOUND);
    assert_null(live_tell_end(live, NULL));
    live_close(live);
    end(pid, true);
}

static void test_ended(void **state)
{
    (void)state;
    for (int reap = 0; reap < 2; reap++) { // a zombie, and nothing any more
        pid_t pid = start_child(false);
        struct live *live = open_child(pid);
        end(pid, reap);
        assert_true(live_is_ending(live));
        assert_false(live_has_memory(live));
        assert_told(live, ERR_FAULT, ERR_GONE);
        assert_told(live, ERR_PERMISSION, ERR_GONE);
        assert_told(live, ERR_NOT_FOUND, ERR_GONE);
        struct err *err = live_refresh(live);
        assert_int_equal(err_code(err), ERR_GONE);
        err_destroy(err);
        err = live_look(live);
        assert_int_equal(err_code(err), ERR_GONE);
        assert_non_null(strstr(err_message(err), "has ended"));
        err_destroy(err);
        live_close(live);
        if (!reap)
            end(pid, true);
    }
}

static void test_main_thread_ended(void **state)
{
    (void)state;
    pid_t pid = start_child(true);
    char path[64], text[512] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    while (!strstr(text, ") Z")) {
        FILE *stat = fopen(path, "re");
        assert_non_null(fgets(text, sizeof(text), stat));
        fclose(stat);
    }
    struct live *live = open_child(pid);
    assert_false(live_is_ending(live));
    assert_true(live_has_memory(live));
    assert_told(live, ERR_FAULT, ERR_FAULT);
    live_close(live);
    end(pid, true);
}

// The number belongs to a process that has started at another time.
static void test_reused_number(void **state)
{
    (void)state;
    pid_t pid = start_child(false);
    struct live *live = open_child(pid);
    live->start_ticks++;
    assert_true(live_is_ending(live));
    struct err *err = live_look(live);
    assert_int_equal(err_code(err), ERR_GONE);
    err_destroy(err);
    live_close(live);
    end(pid, true);
}

// Whoever collects the end of a child that is traced, its status is not lost.
static void test_kept_status(void **state)
{
    (void)state;
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    live_keep_status(pid);
    assert_false(live_kept_status(&status));
    while (live_ask(pid, &status) == LIVE_NO_ANSWER)
        usleep(1000);
    assert_int_equal(waitpid(pid, NULL, 0), -1);
    assert_true(live_kept_status(&status));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alive),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_main_thread_ended),
        cmocka_unit_test(test_reused_number),
        cmocka_unit_test(test_kept_status),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
