// SPDX-License-Identifier: GPL-3.0-or-later
// One text in the making, and what the families of objects (repr_*.c) share. Functions that write an
// object return false when it could not be read: then nothing, or a beginning, was written, and
// repr_object() says so in its place.
#ifndef CPYTHON_REPR_PRIVATE_H
#define CPYTHON_REPR_PRIVATE_H

#include "cpython/repr.h"
#include "util/vec.h"

// The builtin type that a class derives from, as far as it matters for its text.
struct repr_base;

struct repr_class {
    uint64_t addr;
    struct py_type_info info;     // of the class itself
    const struct repr_base *base; // NULL: none that is known
    uint64_t base_addr;
    bool is_type;   // its instances are classes
    bool of_python; // made by a class statement
    bool own_repr;  // a class statement between it and `base` defines __repr__
    bool is_enum;
    uint64_t fields; // namedtuple's _fields, dataclass's __dataclass_fields__; 0: it is none
};

struct repr {
    struct py_decoder *dec;
    const struct py_repr_options *options;
    VEC(char) text;
    uint64_t path[PY_REPR_DEPTH_MAX]; // what is being written, outermost first
    unsigned depth;
    size_t objects; // still to be read
    size_t hidden;
    bool full, no_memory;
    // An environment is written: values of the dict that lies at this depth are not shown.
    bool hide_values;
    unsigned hide_depth;
    VEC(struct repr_class *) classes; // met so far; each stays where it is
};

typedef bool repr_fn(struct repr *repr, uint64_t object, const struct repr_class *class);

struct repr_base {
    const char *name; // tp_name
    repr_fn *write;
    enum {
        REPR_PLAIN,    // says nothing of the program's data
        REPR_VALUE,    // hidden under a secret name
        REPR_INSTANCE, // under a secret name only its type and address are shown
    } kind;
};

// ---- Writing ------------------------------------------------------------------------------------

void repr_put(struct repr *repr, const char *bytes, size_t size);
void repr_puts(struct repr *repr, const char *text);
void repr_printf(struct repr *repr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// An object within this one. False: no more is to be written (the budget, or the text, is used up).
bool repr_object(struct repr *repr, uint64_t object);
// One that has a name: hidden if that is a secret one.
bool repr_named(struct repr *repr, const char *name, size_t size, uint64_t object);
// "name=value"
bool repr_field(struct repr *repr, const char *name, size_t size, uint64_t object);
// "<hidden str>"
void repr_hidden(struct repr *repr, uint64_t object);
// Within an environment: a dict's values, a list's "NAME=value".
bool repr_hides_values(const struct repr *repr);
// Begins what has parts. False: `cycle` or "<list of 3>" was written in its place.
bool repr_enter(struct repr *repr, uint64_t object, const char *cycle, const char *what,
                size_t count);
void repr_leave(struct repr *repr);
// May another of `count` items be written? Writes the comma, or what is said of the rest.
bool repr_next(struct repr *repr, size_t index, size_t count);

// ---- Reading ------------------------------------------------------------------------------------

// Size of an object's head: where its own fields begin.
uint64_t repr_head(const struct repr *repr);
bool repr_u64(struct repr *repr, uint64_t addr, uint64_t *ret);
bool repr_bytes(struct repr *repr, uint64_t addr, void *ret, size_t size);
bool repr_read(struct repr *repr, uint64_t object, enum py_field_id field, uint64_t *ret);
// True: no error. Takes it, and remembers when it was memory.
bool repr_ok(struct repr *repr, struct err *err);
// The class of an object; NULL: it has none that can be one, or was freed.
const struct repr_class *repr_class_of(struct repr *repr, uint64_t object);
const struct repr_class *repr_class(struct repr *repr, uint64_t type);
const char *repr_type_name(struct repr *repr, const struct repr_class *class); // tp_name
// Behind the last dot.
const char *repr_short_name(struct repr *repr, const struct repr_class *class);
// "module.Qualified.Name"; without "builtins".
void repr_full_name(struct repr *repr, const struct repr_class *class);
// Of the class or those that it derives from, written in Python; *ret 0: none has it.
bool repr_class_attr(struct repr *repr, const struct repr_class *class, const char *name,
                     uint64_t *ret);
// An attribute of the instance, in its dict or a slot; 0: it has none.
uint64_t repr_attr(struct repr *repr, uint64_t object, const char *name);
bool repr_int(struct repr *repr, uint64_t object, int64_t *ret);
bool repr_is_none(struct repr *repr, uint64_t object);
// A str's text if it is short enough to be a name; false: it is none.
bool repr_key(struct repr *repr, uint64_t object, char *ret, size_t room, size_t *ret_size);

// ---- Families -----------------------------------------------------------------------------------

repr_fn repr_str, repr_bytes_object, repr_bytearray;                           // repr_text.c
repr_fn repr_long, repr_bool, repr_float, repr_complex, repr_decimal;          // repr_number.c
repr_fn repr_range, repr_slice;                                                //
repr_fn repr_tuple, repr_list, repr_deque, repr_set;                           // repr_sequence.c
repr_fn repr_dict, repr_ordered_dict, repr_default_dict, repr_mapping_proxy;   // repr_dict.c
repr_fn repr_datetime, repr_date, repr_time, repr_timedelta, repr_timezone;    // repr_time.c
repr_fn repr_function, repr_method, repr_builtin, repr_module, repr_type;      // repr_callable.c
repr_fn repr_generator, repr_weakref, repr_cell, repr_partial;                 //
repr_fn repr_exception, repr_file, repr_buffered, repr_text_file, repr_socket; // repr_instance.c
repr_fn repr_lock, repr_code, repr_opaque;
repr_fn repr_ndarray, repr_numpy_scalar; // repr_numpy.c
repr_fn repr_instance;

// Text in quotes, with what cannot be printed escaped.
enum repr_quotes { REPR_STR, REPR_BYTES, REPR_BYTEARRAY };
void repr_quoted(struct repr *repr, const char *text, size_t size, enum repr_quotes quotes);
// Enum members, dataclasses, namedtuples, UUID, paths, fractions; false: it is none of these.
bool repr_known_class(struct repr *repr, uint64_t object, const struct repr_class *class,
                      bool *ret_written);
void repr_double(struct repr *repr, double value, bool with_point);

#endif
