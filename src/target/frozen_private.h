// SPDX-License-Identifier: GPL-3.0-or-later
// What the files that make a frozen copy share: see target/frozen.h.
#ifndef TARGET_FROZEN_PRIVATE_H
#define TARGET_FROZEN_PRIVATE_H

#include "target/frozen.h"
#include "target/stop_private.h"

#define FROZEN_STATUS_BYTES 16384

// ---- frozen_check.c: what is there, and may it be done ------------------------------------------

// What a child does not have as its parent has it.
enum frozen_lack {
    FROZEN_SHARED,      // the parent goes on changing it
    FROZEN_DONT_FORK,   // not there: MADV_DONTFORK
    FROZEN_WIPE_ON_FORK // zeros: MADV_WIPEONFORK
};
struct frozen_range {
    uint64_t start, end;
    enum frozen_lack lack;
    bool copied;                   // is to be copied under the stop
    uint64_t arena_offset;         // to there
    struct target_mapping mapping; // without its path, which is `path`
    char *path;
};
VEC_DEFINE(frozen_ranges, struct frozen_range);

struct frozen_survey {
    struct frozen_estimate estimate;
    struct frozen_ranges ranges;
};
struct err *frozen_survey(pid_t pid, struct frozen_survey *ret);
void frozen_survey_deinit(struct frozen_survey *survey);

// frozen_memory.c. How much more memory the process may have before a cgroup's limit (v1 or v2) or
// the machine's end is met. *ret_group: that cgroup, NULL when it is the machine.
uint64_t frozen_free_memory(pid_t pid, char **ret_group);

// ---- frozen_inject.c: one system call in a stopped thread ---------------------------------------

#define BORROW_ROOM 16384 // two signal frames; 11 KB are AMX tiles

struct borrowed {
    pid_t pid, tid;
    int mem_fd; // /proc/PID/mem, for writing
    uint64_t call_ip, sigreturn_ip;
    // The thread as it was.
    unsigned char gregset[ARCH_MAX_RAW * 8];
    uint64_t signal_mask;
    uint64_t stack_at; // the bytes below its stack that were changed
    size_t stack_bytes;
    unsigned char stack[BORROW_ROOM];
    uint64_t sp, child_sp; // where its signal frames lie
    bool taken;
    bool stop_again; // a SIGSTOP came while it was ours
};

// Looks for the code; before the stop.
struct err *borrow_prepare(pid_t pid, struct borrowed *ret);
void borrow_deinit(struct borrowed *borrowed);
struct borrow_refusal {
    const char *text;
    bool passes; // it will be otherwise in a moment
};
// Can this stopped thread be lent? False: *ret_why says why not.
bool borrow_may(const struct borrowed *borrowed, const struct live_thread *thread,
                struct borrow_refusal *ret_why);
// Takes it; on an error it is as before.
struct err *borrow_take(struct borrowed *borrowed, const struct live_thread *thread);
// Executes a call. `deadline_ns` (CLOCK_MONOTONIC) does not end a clone that the kernel is busy
// with: on_late() is then called, once. *ret_child: the process that a clone made, stopped, which
// the kernel kills when we end; 0: none.
struct borrow_late {
    void (*function)(void *arg);
    void *arg;
};
struct err *borrow_call(struct borrowed *borrowed, int64_t number, const uint64_t args[6],
                        uint64_t deadline_ns, const struct borrow_late *late, int64_t *ret,
                        pid_t *ret_child);
// Registers, signal mask and stack bytes as they were. To be called once it was taken, whatever
// happened: nothing is left undone unless the thread was killed.
struct err *borrow_give_back(struct borrowed *borrowed, uint64_t deadline_ns);
// Waits for a tracee's next stop. ERR_GONE: it has ended. *ret_status as of waitpid(2).
struct err *borrow_await(pid_t tid, uint64_t deadline_ns, int *ret_status);

// ---- frozen_tracer.c: the process that does it --------------------------------------------------

// What pycore and the tracer share; set up before the fork.
struct frozen_job {
    pid_t pid;
    uint64_t deadline_ns;
    const struct frozen_ranges *ranges;
    unsigned char *arena;  // shared between the two: copies of `ranges`
    uint64_t *arena_bytes; // [ranges], in it, too: how many bytes of each were had
    int socket;            // its end
    int result_fd;         // a memory file for what is long
    int parent_pidfd;      // -1: the kernel has none
};
_Noreturn void frozen_tracer(const struct frozen_job *job);

// Messages of the tracer, by a socket of type SOCK_SEQPACKET. Text after it: of an error. The first
// one, when all is well, carries a descriptor of /proc/CHILD/mem.
struct frozen_message {
    int32_t code; // enum err_code, -1: no error
    pid_t child;
    int64_t taken_at_ns;
    uint64_t pause_ns;
    uint64_t result_bytes; // in result_fd
};

// ---- frozen_talk.c ------------------------------------------------------------------------------

// Fills message->code. fd -1: none goes with it.
void frozen_tell(int socket, const struct err *err, struct frozen_message *message, int fd);
// The registers of all threads, for result_fd.
struct err *frozen_write_threads(int fd, const struct regsets_threads *threads,
                                 uint64_t *ret_size);

#endif
