// SPDX-License-Identifier: GPL-3.0-or-later
// Compressed files: which format it is (by content), and its bytes unpacked into a temporary file
// that has no name. packed.c drives, packed_sink.c writes, one packed_<library>.c a format.
#ifndef TARGET_PACKED_H
#define TARGET_PACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

// Windows of up to 128 MiB are what "zstd -22 --ultra" and "xz -9" make and what both tools unpack
// without being asked to; more is memory that a hostile file would make us allocate.
#define PACKED_WINDOW_LOG_MAX 27
#define PACKED_MEMORY_MAX (144u << 20)

// What a decoder reads from and writes to; it moves both on.
struct packed_io {
    const uint8_t *in;
    size_t in_bytes;
    uint8_t *out;
    size_t out_bytes;
    bool last; // nothing follows `in`
};

enum packed_step {
    PACKED_MORE,   // give more input or more room
    PACKED_END,    // a member (gzip), frame (zstd, lz4) or stream (xz) ended, its check was right
    PACKED_BAD,    // damaged
    PACKED_CHECK,  // all was unpacked, and its checksum is wrong
    PACKED_WINDOW, // needs more memory than PACKED_MEMORY_MAX
    PACKED_MEMORY, // out of memory
};

struct packed_decoder {
    void *(*create)(void); // NULL: out of memory
    // After PACKED_END the next call begins a new member.
    enum packed_step (*step)(void *state, struct packed_io *io);
    void (*destroy)(void *state);
};

// A format. `decoder` is NULL where pycore was built without its library, or never reads it.
struct packed_format {
    const char *name, *magic;
    size_t magic_bytes;
    const char *library; // NULL: not supported at all
    const char *command; // unpacks it by hand
    const struct packed_decoder *decoder;
};

extern const struct packed_decoder packed_gzip;
#ifdef HAVE_LIBZSTD
extern const struct packed_decoder packed_zstd;
#endif
#ifdef HAVE_LIBLZ4
extern const struct packed_decoder packed_lz4;
#endif
#ifdef HAVE_LIBLZMA
extern const struct packed_decoder packed_xz;
#endif

// NULL: none that we know.
const struct packed_format *packed_format_of(const uint8_t *head, size_t size);
// The same, also behind skippable frames (RFC 8878, 3.1.2), which some programs begin with.
const struct packed_format *packed_format_of_file(int fd);

struct packed_request {
    uint64_t max_bytes; // 0: 128 GiB, or 200 times the input if that is more
    // Looks at what was unpacked so far (in `fd`, from its beginning): whether to go on. Called at
    // the first 4 KiB, then whenever twice as much is there, and once at the end. Sets *ret_end to
    // where what is wanted ends, once it is known.
    struct err *(*look)(void *arg, int fd, uint64_t bytes, bool whole, uint64_t *ret_end);
    void *look_arg;
    // About ten times a second; in bytes of the input.
    void (*progress)(void *arg, const char *path, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_arg;
};

struct packed_result {
    int fd;         // of the unpacked bytes; the caller closes it
    uint64_t bytes; // how many
    bool cut;       // not all could be unpacked, or the checksum was wrong
    char *note;     // what, and what mends it; NULL: nothing to say
};

// An error only when nothing could be unpacked or `look` refused.
struct err *packed_open(int fd, const char *path, const struct packed_format *format,
                        const struct packed_request *request, struct packed_result *ret);

// ---- packed_sink.c: the temporary file ----------------------------------------------------------

struct packed_sink {
    int fd;
    uint64_t bytes;      // the file's length
    uint64_t max_bytes;  // no longer than this
    uint64_t free_bytes; // may be written before the disk is asked again
    const char *folder;
    bool in_memory; // no folder could be written to
};

// Below TMPDIR, else /var/tmp, else /tmp. The file has no name, so nothing stays of it, whatever
// ends us.
struct err *packed_sink_open(struct packed_sink *ret);
// Zero pages become holes. False: not all of it is there now, *ret_why says why (to be freed; NULL:
// out of memory); what is there is the beginning of it.
bool packed_sink_write(struct packed_sink *sink, const uint8_t *bytes, size_t size, char **ret_why);
// False: as above.
bool packed_sink_finish(struct packed_sink *sink, char **ret_why);

#endif
