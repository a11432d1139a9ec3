// SPDX-License-Identifier: GPL-3.0-or-later
// See cpython/greenlet.h.
//
// Up to 1.x all fields are the object's own (greenlet.h, struct _greenlet):
//   stack_start, stack_stop, stack_copy, stack_saved, stack_prev, parent, run_info, top_frame
// From 2.0 on they lie in an object of C++ that it points to (weakreflist, dict, pimpl), class
// Greenlet in greenlet_greenlet.hpp (3.1+: TGreenlet.hpp):
//   vtable, [3.1+: _self,] exception state, two arguments, stack_start, stack_stop, stack_copy,
//   stack_saved, stack_prev, [3.7+: context,] _top_frame, more that differs by Python and release;
//   then of class UserGreenlet [before 3.1: _self,] _main_greenlet, _run_callable, _parent, of class
//   MainGreenlet _self, _thread_state.
// How much "more" there is, a thread's first greenlet tells: its _self is the next word that is its
// own address.
#include "cpython/greenlet.h"

#include "util/guard.h"
#include "util/hash.h"

#define BASE_TYPE "greenlet.greenlet"
#define MAIN_STOP UINT64_MAX // the first greenlet of a thread has all the rest of the stack

struct err *py_greenlet_imported(struct py_decoder *dec, uint64_t interp, bool *ret)
{
    uint64_t modules, module = 0;
    *ret = false;
    TRY(py_read(dec->mem, &dec->layout, interp, PY_IS_modules, &modules));
    if (modules)
        TRY(py_dict_get(dec, modules, "greenlet", &module));
    *ret = module != 0;
    return NULL;
}

// ---- Types --------------------------------------------------------------------------------------

struct kinship {
    const struct py_decoder *dec;
    uint64_t base; // the module's own type, or 0
    bool hub;
};

static bool visit_base(void *arg, const struct py_type_info *type)
{
    struct kinship *kinship = arg;
    const struct py_decoder *dec = kinship->dec;
    if (strtab_is(dec->strings, type->name, BASE_TYPE))
        kinship->base = type->addr;
    // gevent's, compiled by Cython or not (PURE_PYTHON).
    kinship->hub |=
        strtab_is(dec->strings, type->name, "gevent._gevent_c_hub_primitives.WaitOperationsGreenlet") ||
        strtab_is(dec->strings, type->name, "WaitOperationsGreenlet");
    return !kinship->base;
}

// Index in build->types; SIZE_MAX: it is no type that can be read.
static size_t type_slot(struct py_decoder *dec, struct py_greenlet_build *build, uint64_t type)
{
    size_t slot = hash_u64(HASH_SEED, type) % PY_GREENLET_TYPES;
    if (type && build->types[slot].type == type)
        return slot;
    struct kinship kinship = {.dec = dec};
    AUTO_ERR struct err *err = py_bases_walk(dec, type, visit_base, &kinship);
    if (err)
        return SIZE_MAX;
    build->types[slot].type = type;
    build->types[slot].base = kinship.base;
    build->types[slot].is_hub = kinship.hub;
    return slot;
}

bool py_greenlet_type(struct py_decoder *dec, struct py_greenlet_build *build, uint64_t type)
{
    size_t slot = type_slot(dec, build, type);
    return slot != SIZE_MAX && build->types[slot].base;
}

// ---- Fields -------------------------------------------------------------------------------------

// Index of stack_start, _top_frame and, if it is known, of the class's own fields.
struct places {
    size_t start, frame, user;
    bool self_first; // 3.1+
};

static struct places places_of(const struct py_decoder *dec, const struct py_greenlet *greenlet)
{
    uint16_t version = dec->layout.version;
    struct places at = {.self_first = greenlet->words[1] == greenlet->object};
    // _PyErr_StackItem* and one embedded: {type, value, traceback, previous}, 3.11+ {value, previous}.
    // Python 3.6: type, value, traceback.
    size_t exception = version >= 0x030b ? 3 : version >= 0x0307 ? 5 : 3;
    at.start = 1 + at.self_first + exception + 2;
    at.frame = at.start + 5 + (version >= 0x0307);
    return at;
}

static void find_user(struct py_greenlet_build *build, const struct py_greenlet *greenlet,
                      const struct places *at)
{
    if (build->user || greenlet->stack_stop != MAIN_STOP)
        return;
    for (size_t i = at->frame + 1; i + 3 < greenlet->word_count && !build->user; i++)
        if (greenlet->words[i] == greenlet->object)
            build->user = (uint16_t)i;
}

static void take_stack(struct py_greenlet *greenlet, size_t at)
{
    greenlet->stack_start = greenlet->words[at];
    greenlet->stack_stop = greenlet->words[at + 1];
    greenlet->stack_copy = greenlet->words[at + 2];
    greenlet->stack_saved = greenlet->words[at + 3];
    greenlet->is_main = greenlet->stack_stop == MAIN_STOP;
}

static struct err *read_cxx(struct py_decoder *dec, struct py_greenlet_build *build,
                            struct py_greenlet *ret)
{
    TRY(mem_read_u64(dec->mem, ret->object + py_head_bytes(dec) + 16, &ret->words_addr));
    if (!ret->words_addr || ret->words_addr % 8)
        return err_create(ERR_BAD_DATA, "a greenlet without its fields");
    ret->word_count = mem_read_some(dec->mem, ret->words_addr, ret->words, sizeof(ret->words)) / 8;
    struct places at = places_of(dec, ret);
    if (at.frame >= ret->word_count)
        return err_fault(ret->words_addr + 8 * ret->word_count, 8);
    take_stack(ret, at.start);
    ret->frame = ret->words[at.frame];
    if (dec->layout.version == 0x030b && at.frame + 1 < ret->word_count)
        ret->cframe = ret->words[at.frame + 1];
    find_user(build, ret, &at);
    if (build->user <= at.frame || build->user + 4u > ret->word_count)
        return NULL;
    const uint64_t *user = &ret->words[build->user];
    // Releases 3.0.0 and 3.0.1 on Python 3.12, greenlet_greenlet.hpp: class PythonState ends with
    // _prev_frame. In the others the word before is datastack_limit.
    if (dec->layout.version == 0x030c && !at.self_first && build->user == at.frame + 9)
        ret->cut_off = user[-1];
    ret->word_count = build->user + 4u;
    if (ret->is_main) {
        ret->group = ret->object;
        ret->gone = user[1] == 0;
        return NULL;
    }
    user += !at.self_first;
    ret->group = user[0];
    ret->run = user[1];
    ret->parent = user[2];
    return NULL;
}

static struct err *read_c(struct py_decoder *dec, struct py_greenlet *ret)
{
    ret->words_addr = ret->object + py_head_bytes(dec);
    ret->word_count = 8;
    TRY(mem_read(dec->mem, ret->words_addr, ret->words, 8 * ret->word_count));
    take_stack(ret, 0);
    ret->parent = ret->words[5];
    // run_info is what it will run, and the thread state's dict once it has started.
    *(ret->stack_stop ? &ret->group : &ret->run) = ret->words[6];
    ret->frame = ret->words[7];
    return NULL;
}

static bool is_frame(struct py_decoder *dec, uint64_t object)
{
    struct py_type_info type;
    AUTO_ERR struct err *err = py_type_of(dec, object, &type);
    return !err && !type.heap && strtab_is(dec->strings, type.name, "frame");
}

static struct err *settle(struct py_decoder *dec, struct py_greenlet *ret)
{
    bool active = ret->stack_start != 0, started = ret->stack_stop != 0;
    // A running one has no frame of its own: the thread state has it. One that is suspended without
    // any Python in it has none either, but what it lent of the stack was saved.
    ret->state = !active ? (started ? PY_GREENLET_DEAD : PY_GREENLET_CREATED)
                 : ret->frame || ret->stack_copy ? PY_GREENLET_SUSPENDED
                                                 : PY_GREENLET_RUNNING;
    if (ret->state != PY_GREENLET_SUSPENDED)
        ret->frame = 0;
    if ((active && !started) || (ret->frame && !is_frame(dec, ret->frame)) ||
        (ret->stack_copy &&
         (!ret->stack_saved || ret->stack_start + ret->stack_saved < ret->stack_start)))
        return err_create(ERR_BAD_DATA, "the greenlet at 0x%llx cannot be read",
                          (unsigned long long)ret->object);
    return NULL;
}

struct err *py_greenlet_read(struct py_decoder *dec, struct py_greenlet_build *build,
                             uint64_t object, struct py_greenlet *ret)
{
    uint64_t type, size;
    *ret = (struct py_greenlet){.object = object};
    if (!object || object % 8)
        return err_create(ERR_BAD_DATA, "no object");
    TRY(py_read(dec->mem, &dec->layout, object, PY_OB_type, &type));
    size_t slot = type_slot(dec, build, type);
    if (slot == SIZE_MAX || !build->types[slot].base)
        return err_create(ERR_BAD_DATA, "no greenlet");
    ret->of_hub = build->types[slot].is_hub;
    TRY(py_read(dec->mem, &dec->layout, build->types[slot].base, PY_TYPE_basicsize, &size));
    TRY(size == py_head_bytes(dec) + 24 ? read_cxx(dec, build, ret) : read_c(dec, ret));
    return settle(dec, ret);
}
