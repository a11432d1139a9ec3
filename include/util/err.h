// SPDX-License-Identifier: GPL-3.0-or-later
// Error objects. A function that can fail returns `struct err *`: NULL is success, everything else
// is owned by the caller, who destroys it, wraps it with context on the way up, or turns it into a
// note. Forensics is partial by nature: the layers below the snapshot report, the snapshot decides.
#ifndef UTIL_ERR_H
#define UTIL_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum err_code {
    ERR_OTHER,
    ERR_NO_MEMORY,
    ERR_FAULT,       // address not readable: absent, unmapped, or not dumped
    ERR_BAD_DATA,    // bytes were read, but they cannot be what they should be
    ERR_UNSUPPORTED, // well-formed, but nobody taught us this version, build or machine
    ERR_LIMIT,       // a named limit (util/limits.h) was met
    ERR_PERMISSION,  // the kernel refused; the message names the rule and the cure
    ERR_GONE,        // the process or thread ended
    ERR_NOT_FOUND,   // looked for and not there
    ERR_TIMEOUT,     // a wait met its deadline
    ERR_OS,          // a system call failed; the message holds strerror
};

struct err;

// `fmt` gives one line without a trailing full stop. Never returns NULL: when memory is out, a
// static object stands in.
struct err *err_create(enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
// Appends ": strerror(errno_value)"; the code is chosen from it (EPERM/EACCES: ERR_PERMISSION,
// ESRCH: ERR_GONE, EFAULT: ERR_FAULT, ENOMEM, otherwise ERR_OS).
struct err *err_os(int errno_value, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// [addr, addr + size) could not be read. Cheap: formats nothing until asked for its message.
struct err *err_fault(uint64_t addr, uint64_t size);
// Puts "context: " before the message of `inner`, which is consumed. Keeps the code and address.
// NULL stays NULL, so a call's result can be wrapped without a test.
struct err *err_wrap(struct err *inner, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void err_destroy(struct err *err);

enum err_code err_code(const struct err *err);
// Valid until `err` is destroyed.
const char *err_message(const struct err *err);
// The faulting range of an ERR_FAULT; false for others.
bool err_fault_range(const struct err *err, uint64_t *ret_addr, uint64_t *ret_size);

#endif
