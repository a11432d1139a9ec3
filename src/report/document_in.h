// SPDX-License-Identifier: GPL-3.0-or-later
// A document while it is read. Each kind of object is a table of fields; document_fields() reads one
// into a struct. What is wrong is a fault of in->json, and ends all reading.
#ifndef REPORT_DOCUMENT_IN_H
#define REPORT_DOCUMENT_IN_H

#include <string.h>

#include "report/document.h"
#include "report/json_reader.h"
#include "util/limits.h"

struct document_line { // source text
    uint32_t file;     // ids
    int32_t line;
    uint32_t text;
    bool newer;
};
VEC_DEFINE(document_lines, struct document_line);
VEC_DEFINE(document_snapshots, struct snapshot *);
VEC_DEFINE(document_indexes, uint32_t);

struct report_document {
    struct strtab *strings;
    struct snap_source source;
    struct snap_notes notes;
    struct document_snapshots snapshots;
    struct snapshot *last;            // "last_snapshot"; NULL: there is none
    struct snap_suspended *suspended; // until it is known of which snapshot; NULL: there is nothing
    struct prof_report *profile;
    struct diagnosis *diagnosis; // NULL: none was written
    struct document_lines lines; // by file and line
    bool has_snapshots;          // or moments, beside a profile
    struct report_input input;
};

struct profile_in;

struct document_in {
    struct json_reader json;
    struct strtab *strings; // of the document
    struct report_document *document;
    struct profile_in *profile; // while it is read
    uint64_t bytes;             // of the values that were read
};

// ---- Fields -------------------------------------------------------------------------------------

// Into what a field's value goes. Null leaves it as it is.
enum field_kind {
    FIELD_U64,
    FIELD_U32,
    FIELD_INT,  // int, pid_t
    FIELD_LINE, // int32_t, not negative
    FIELD_I64,
    FIELD_BOOL,
    FIELD_HEX, // uint64_t
    FIELD_DOUBLE,
    FIELD_NAME,   // uint32_t, an id
    FIELD_NAMES,  // struct snap_notes
    FIELD_WORD,   // an enum: which of `words`
    FIELD_STATE,  // enum snap_state; one that is not known is SNAP_UNKNOWN
    FIELD_STATES, // uint64_t[SNAP_STATE_COUNT]
    FIELD_OTHER,  // `read` reads it; `into` is the whole struct
};

struct field {
    const char *key;
    enum field_kind kind;
    size_t at;  // offset in the struct
    size_t has; // offset of a bool that becomes true when it is there and not null; 0: none
    bool required;
    const char *const *words; // NULL-terminated
    void (*read)(struct document_in *in, void *into);
};

#define FIELD(type, name, field_kind, member)                         \
    {                                                                 \
        .key = name, .kind = field_kind, .at = offsetof(type, member) \
    }
#define FIELD_HAS(type, name, field_kind, member, has_member)          \
    {                                                                  \
        .key = name, .kind = field_kind, .at = offsetof(type, member), \
        .has = offsetof(type, has_member)                              \
    }
#define FIELD_REQUIRED(type, name, field_kind, member)                                  \
    {                                                                                   \
        .key = name, .kind = field_kind, .at = offsetof(type, member), .required = true \
    }
#define FIELD_READ(name, function)                         \
    {                                                      \
        .key = name, .kind = FIELD_OTHER, .read = function \
    }

enum { FIELDS_MAX = 64 }; // of one table

// Reads one object: each field at most once, in any order; others are skipped.
void document_fields(struct document_in *in, const struct field *fields, size_t count, void *into);
// The id of a string; 0 for null.
uint32_t document_name(struct document_in *in);

// Which of `count` values `name(i)` names; `otherwise` for a word that is none of them.
#define document_enum(in, name, count, otherwise)                                    \
    ({                                                                               \
        size_t size_, at_ = 0;                                                       \
        const char *text_ = json_read_string(&(in)->json, &size_);                   \
        while (at_ < (size_t)(count) &&                                              \
               (strlen(name(at_)) != size_ || memcmp(name(at_), text_, size_) != 0)) \
            at_++;                                                                   \
        (__typeof__(otherwise))(at_ < (size_t)(count) ? at_ : (size_t)(otherwise));  \
    })

// Appends an item and gives its place; NULL after a fault. What is appended is all zeros.
#define document_push(in, vec)                                                            \
    ((__typeof__((vec)->items))document_grow((in), (void **)&(vec)->items, &(vec)->count, \
                                             &(vec)->capacity, sizeof(*(vec)->items)))
void *document_grow(struct document_in *in, void **items, size_t *count, size_t *capacity,
                    size_t item_bytes);

// ---- Parts --------------------------------------------------------------------------------------

// document_snapshots.c. `ret_function`: "function_id", which is required then; NULL: not read.
// `ret_locals` gets the frame's variables, of frame 0; NULL: they are not kept.
void document_frame(struct document_in *in, struct snap_frame *ret, uint32_t *ret_function,
                    struct snap_locals *ret_locals);
void document_read_last(struct document_in *in, void *document);
void document_read_snapshots(struct document_in *in, void *document);

// document_crash.c: into a struct snap_thread; into a struct report_document
void document_read_exceptions(struct document_in *in, void *thread);
void document_read_crash(struct document_in *in, void *document);

// document_locals.c: into a struct snap_thread
void document_read_hidden(struct document_in *in, void *thread);
// "locals" into a struct snap_locals
void document_read_locals(struct document_in *in, struct snap_locals *ret);

// document_environment.c: of a struct report_document
void document_read_environment(struct document_in *in, void *document);

// document_diagnosis.c: of a struct report_document. What it says of the last snapshot is checked once
// all is read.
void document_read_verdict(struct document_in *in, void *document);
void document_read_word(struct document_in *in, void *document);
void document_read_fingerprint(struct document_in *in, void *document);
void document_read_bucket(struct document_in *in, void *document);
void document_read_chains(struct document_in *in, void *document);
void document_read_findings(struct document_in *in, void *document);
void document_check_diagnosis(struct document_in *in, const struct report_document *document);

// document_processes.c: of a struct profile_in, and of a struct snapshot
void document_read_processes(struct document_in *in, void *profile);
void document_read_parts(struct document_in *in, void *snapshot);

// document_profile_tasks.c: of a struct profile_in; and its checks
void document_read_profile_tasks(struct document_in *in, void *profile);
void document_read_await_sites(struct document_in *in, void *profile);
void document_check_profile_tasks(struct document_in *in, const struct profile_in *profile);

// document_details.c: into a struct snap_thread
void document_read_wait(struct document_in *in, void *thread);
void document_read_held(struct document_in *in, void *thread);
void document_check_details(struct document_in *in, const struct snap_thread *thread);
// Its details, made if there are none; NULL after a fault.
struct snap_details *document_details_of(struct document_in *in, struct snap_thread *thread);

// document_tasks.c: of a struct report_document; of a struct snap_thread
void document_read_suspended(struct document_in *in, void *document);
void document_read_loops(struct document_in *in, void *document);
void document_read_tasks(struct document_in *in, void *document);
void document_read_greenlets(struct document_in *in, void *document);
void document_read_turn(struct document_in *in, void *thread);
void document_read_generators(struct document_in *in, void *document); // document_generators.c
// Made if there is none; NULL after a fault.
struct snap_suspended *document_suspended_of(struct document_in *in);
// The stack with these frames, which an item of a list has.
void document_read_stack(struct document_in *in, uint32_t *ret);
// Once all is read: gives it to the snapshot that it is of.
void document_place_suspended(struct document_in *in, struct report_document *document);

// document_profile.c
void document_read_profile(struct document_in *in, void *document);

struct profile_text { // a line with its source text
    uint32_t line;    // index in the profile's lines
    uint32_t text;
    bool newer;
};

// A profile while it is read: its lists, and the sums in `report`.
struct profile_in {
    struct prof_report report;
    VEC(struct prof_function) functions;
    VEC(struct prof_line) lines;
    VEC(struct prof_edge) edges;
    VEC(struct snap_frame) frames;
    VEC(uint32_t) frame_function;
    VEC(struct prof_stack) stacks; // .frames are not set: stack_frames[stack_first[i]...]
    VEC(size_t) stack_first;
    struct document_indexes stack_frames;
    struct document_indexes awaiting; // of the stack that is being read
    VEC(struct prof_task) tasks;
    VEC(struct prof_await_site) awaits; // .frames are not set: stack_frames[await_first[i]...]
    VEC(size_t) await_first;
    VEC(struct prof_thread) threads;
    VEC(struct prof_process) processes;
    VEC(struct prof_moment) moments;
    struct document_indexes moment_stacks;
    VEC(struct profile_text) texts;
    VEC(struct prof_node) nodes;
    bool has_moments;
    struct json_mark tree; // its place; .at NULL: there is none
};

#define EDGE_THROUGH_ABSENT UINT64_MAX

// document_profile.c: appends a list of numbers; how many
size_t document_read_indexes(struct document_in *in, struct document_indexes *ret);

// document_check.c: what the profile says of its own parts is there; false after a fault.
bool document_check(struct document_in *in, const struct profile_in *profile);
void document_index(struct document_in *in, const char *what, size_t item, uint32_t index,
                    size_t count);
void document_index_or_none(struct document_in *in, const char *what, size_t item, uint32_t index,
                            size_t count);
// ... and so is what tasks, loops and greenlets say of each other.
void document_check_suspended(struct document_in *in, const struct snap_suspended *suspended);
// document_tree.c: profile->nodes, as the document has them
void document_read_tree(struct document_in *in, struct profile_in *profile);

#endif
