// SPDX-License-Identifier: GPL-3.0-or-later
// Reading Python objects out of a memory model. A decoder is one address space, one layout and the
// caches of what does not change: names of static types and method tables, code objects.
//
// All functions take addresses in the target and trust nothing they find there: types are checked
// by name, lengths against util/limits.h. Text comes out as UTF-8 in which a lone surrogate keeps
// its three-byte form (as Python's "surrogatepass" writes it).
#ifndef CPYTHON_DECODER_H
#define CPYTHON_DECODER_H

#include "cpython/layout.h"
#include "mem/copy.h"
#include "util/strtab.h"

// What we must tell apart; everything else is PY_KIND_OTHER.
enum py_kind {
    PY_KIND_OTHER,
    PY_KIND_STR,
    PY_KIND_BYTES,
    PY_KIND_INT,
    PY_KIND_TUPLE,
    PY_KIND_DICT,
    PY_KIND_CODE,
    PY_KIND_TYPE,
    PY_KIND_MODULE,
    PY_KIND_FUNCTION,          // Python function
    PY_KIND_BOUND_METHOD,      // types.MethodType
    PY_KIND_BUILTIN,           // builtin_function_or_method
    PY_KIND_METHOD_DESCRIPTOR, // method_descriptor
    PY_KIND_CLASS_METHOD_DESCRIPTOR,
    PY_KIND_SLOT_WRAPPER,   // wrapper_descriptor
    PY_KIND_METHOD_WRAPPER, // bound slot wrapper
    PY_KIND_GENERATOR,      // generator, coroutine, async_generator
};

struct py_type_info {
    uint64_t addr;
    enum py_kind kind;
    uint64_t flags; // tp_flags
    uint32_t name;  // tp_name in the decoder's strings
    bool heap;      // made at run time: may be freed, and is cached while memory holds still only
};

struct py_codes;
struct py_types;

struct py_decoder {
    struct mem *mem;       // where objects are read from now
    struct mem_copy *copy; // the copy behind mem while a snapshot is gathered; else NULL
    struct mem *code_mem;  // where code objects are read from; NULL: from mem. See py_code_still
    struct py_layout layout;
    struct strtab *strings; // borrowed
    struct py_types *types;
    struct py_codes *codes;
};

struct err *py_decoder_init(struct py_decoder *dec, const struct py_layout *layout, struct mem *mem,
                            struct strtab *strings);
void py_decoder_deinit(struct py_decoder *dec);
// Forgets cached addresses (after exec); ids of strings stay valid.
void py_decoder_forget(struct py_decoder *dec);

// While it is told that memory holds still (that of a core or a replay does; with mem_cache_begin() it is as
// when it was read first), classes and names that may be freed are decoded once, too. Each call, `still` or
// not, forgets those of before.
void py_decoder_still(struct py_decoder *dec, bool still);

// Tag bits of _PyStackRef (3.14+, Include/internal/pycore_stackref.h): 0 for NULL and for a
// tagged integer, otherwise the object's address. Earlier versions: the word itself.
uint64_t py_untag(const struct py_decoder *dec, uint64_t word);

// Of PyObject, behind which the fields of an object's own struct begin: ob_type is its last field.
static inline uint64_t py_head_bytes(const struct py_decoder *dec)
{
    return py_offset(&dec->layout, PY_OB_type) + 8ull;
}

struct err *py_type_info(struct py_decoder *dec, uint64_t type, struct py_type_info *ret);
struct err *py_type_of(struct py_decoder *dec, uint64_t object, struct py_type_info *ret);
struct err *py_expect(struct py_decoder *dec, uint64_t object, enum py_kind kind, const char *what);

// *ret is malloc'ed, NUL-terminated. Longer than LIMIT_STRING_CHARS: cut there, with "…".
struct err *py_str(struct py_decoder *dec, uint64_t object, char **ret, size_t *ret_bytes);
// The first `limit` characters of what is a str, or of a class derived from it; how many there are is
// *ret_chars.
struct err *py_str_part(struct py_decoder *dec, uint64_t object, size_t limit, char **ret,
                        size_t *ret_bytes, size_t *ret_chars);
struct err *py_str_id(struct py_decoder *dec, uint64_t object, uint32_t *ret);
struct err *py_bytes(struct py_decoder *dec, uint64_t object, size_t limit, uint8_t **ret,
                     size_t *ret_bytes);
// ints of up to 62 bits; ERR_LIMIT above.
struct err *py_int(struct py_decoder *dec, uint64_t object, int64_t *ret);
struct err *py_tuple_item(struct py_decoder *dec, uint64_t object, size_t index, uint64_t *ret);

// Return false to end the walk. Keys and values are addresses of objects.
typedef bool py_dict_visit(void *arg, uint64_t key, uint64_t value);
struct err *py_dict_walk(struct py_decoder *dec, uint64_t dict, py_dict_visit *visit, void *arg);
// *ret is 0 when the key is not there.
struct err *py_dict_get(struct py_decoder *dec, uint64_t dict, const char *key, uint64_t *ret);
// An attribute of the instance itself (not of its class); *ret is 0 when it has none.
struct err *py_instance_attr(struct py_decoder *dec, uint64_t object, const char *name,
                             uint64_t *ret);
// All of them. The dict of a class derived from a builtin type is walked likewise.
struct err *py_instance_walk(struct py_decoder *dec, uint64_t object, py_dict_visit *visit,
                             void *arg);
// Of the instance, in its dict or a slot of its class (__slots__); *ret is 0 when it has none.
struct err *py_attr(struct py_decoder *dec, uint64_t object, const char *name, uint64_t *ret);
// What its class, or a class that this derives from, has under that name: no builtin ones; *ret is 0 when
// none has.
struct err *py_class_attr(struct py_decoder *dec, uint64_t object, const char *name, uint64_t *ret);
struct err *py_module_dict(struct py_decoder *dec, uint64_t module, uint64_t *ret);

// Items of a list, a tuple, a set, a deque (or a class derived from it), whose type the caller knows. Return
// false to end the walk.
typedef bool py_item_visit(void *arg, uint64_t item);
struct err *py_list_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg);
struct err *py_tuple_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg);

// A class and its bases in method resolution order, LIMIT_MRO at most. Return false to end the walk. What
// was visited before an error was true.
typedef bool py_base_visit(void *arg, const struct py_type_info *base);
struct err *py_bases_walk(struct py_decoder *dec, uint64_t type, py_base_visit *visit, void *arg);
struct err *py_set_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg);
struct err *py_deque_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg);
// What stands in a queue.Queue, or in a SimpleQueue of either make. ERR_UNSUPPORTED: it is no such queue.
struct err *py_queue_walk(struct py_decoder *dec, uint64_t object, py_item_visit *visit, void *arg);

#endif
