// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_python.h.
#include "fake_python.h"

#define STATIC_TYPE 0
#define NEWEST_PATCH 100

void fake_python_init(struct fake_python *py, uint16_t version, uint8_t build, size_t bytes)
{
    struct py_layout layout;
    memset(py, 0, sizeof(*py));
    fake_memory_init(&py->memory, bytes);
    py->strings = strtab_create();
    assert_non_null(py->strings);
    assert_ok(py_layout_static(version, NEWEST_PATCH, build, &layout));
    py->dec = &py->process.dec;
    assert_ok(py_decoder_init(py->dec, &layout, py->memory.mem, py->strings));
    static const struct {
        const char *name;
        size_t place;
    } types[] = {
        {"type", offsetof(struct fake_python, type)},
        {"str", offsetof(struct fake_python, str)},
        {"bytes", offsetof(struct fake_python, bytes)},
        {"int", offsetof(struct fake_python, integer)},
        {"tuple", offsetof(struct fake_python, tuple)},
        {"dict", offsetof(struct fake_python, dict)},
        {"code", offsetof(struct fake_python, code)},
        {"module", offsetof(struct fake_python, module)},
        {"frame", offsetof(struct fake_python, frame)},
        {"builtin_function_or_method", offsetof(struct fake_python, builtin)},
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        *(uint64_t *)((char *)py + types[i].place) = fake_type(py, types[i].name, STATIC_TYPE);
    fake_set(py, py->type, PY_OB_type, py->type);
    fake_set(py, py->type, PY_TYPE_flags, STATIC_TYPE | 1ull << 31); // Py_TPFLAGS_TYPE_SUBCLASS
    struct py_process *process = &py->process;
    if (version == 0x0306) {
        process->head_addr = fake_alloc(&py->memory, 8);
        process->current_addr = fake_alloc(&py->memory, 8);
        process->gil_cond = fake_alloc(&py->memory, 128);
        process->gil_end = process->gil_cond + 128;
    } else {
        process->runtime = fake_alloc(&py->memory, 4096);
        process->head_addr = process->runtime + fake_offset(py, PY_RT_interpreters_head);
        py->gil = py_layout_has(&layout, PY_RT_gil) ? process->runtime + fake_offset(py, PY_RT_gil)
                                                    : fake_alloc(&py->memory, 512);
        fake_set(py, py->gil, PY_GIL_enabled, 1);
    }
}

void fake_python_deinit(struct fake_python *py)
{
    py_decoder_deinit(py->dec);
    strtab_destroy(py->strings);
    fake_memory_deinit(&py->memory);
}

void fake_each_build(void (*test)(struct fake_python *py), size_t bytes)
{
    static const struct {
        uint16_t version;
        uint8_t build;
    } builds[] = {
        {0x0306, PY_BUILD_RELEASE}, {0x0307, PY_BUILD_RELEASE},
        {0x0309, PY_BUILD_RELEASE}, {0x0309, PY_BUILD_DEBUG | PY_BUILD_TRACE_REFS},
        {0x030a, PY_BUILD_RELEASE}, {0x030b, PY_BUILD_RELEASE},
        {0x030c, PY_BUILD_RELEASE}, {0x030d, PY_BUILD_RELEASE},
        {0x030e, PY_BUILD_RELEASE}, {0x030e, PY_BUILD_FREE_THREADED},
        {0x030f, PY_BUILD_RELEASE},
    };
    for (size_t i = 0; i < ARRAY_SIZE(builds); i++) {
        struct fake_python py;
        fake_python_init(&py, builds[i].version, builds[i].build, bytes);
        test(&py);
        fake_python_deinit(&py);
    }
}

bool fake_set(struct fake_python *py, uint64_t base, enum py_field_id field, uint64_t value)
{
    if (!py_layout_has(&py->dec->layout, field))
        return false;
    fake_put(&py->memory, base + fake_offset(py, field), &value,
             py->dec->layout.fields[field].width);
    return true;
}

uint32_t fake_offset(struct fake_python *py, enum py_field_id field)
{
    return py_offset(&py->dec->layout, field);
}

uint64_t fake_object(struct fake_python *py, uint64_t type, size_t size)
{
    // Managed dicts lie before the object.
    uint64_t object = fake_alloc(&py->memory, size + 48) + 32;
    fake_set(py, object, PY_OB_type, type);
    // One reference: ob_refcnt, or ob_ref_local of free-threaded builds.
    uint32_t count = 1;
    bool free_threaded = py->process.dec.layout.build & PY_BUILD_FREE_THREADED;
    fake_put(&py->memory, object + (free_threaded ? 12 : fake_offset(py, PY_OB_type) - 8), &count,
             sizeof(count));
    return object;
}

uint64_t fake_type(struct fake_python *py, const char *name, uint64_t flags)
{
    uint64_t type = fake_object(py, py->type, 1200);
    uint64_t text = fake_alloc(&py->memory, strlen(name) + 1);
    fake_put(&py->memory, text, name, strlen(name) + 1);
    fake_set(py, type, PY_TYPE_name, text);
    fake_set(py, type, PY_TYPE_flags, flags);
    return type;
}

// ---- Values -------------------------------------------------------------------------------------

static void set_str_state(struct fake_python *py, uint64_t str, unsigned kind, bool compact,
                          bool ascii)
{
    // interned = 1, kind, compact, ascii, ready where there is one.
    uint32_t start = fake_offset(py, PY_STR_kind_bit);
    uint32_t ready = py->dec->layout.version < 0x030c ? 1u << 5 : 0;
    fake_set(py, str, PY_STR_state,
             1 | (kind | (uint32_t)compact << 3 | (uint32_t)ascii << 4 | ready) << start);
}

uint64_t fake_str(struct fake_python *py, const char *ascii)
{
    size_t size = strlen(ascii), header = fake_offset(py, PY_STR_ascii_data);
    uint64_t str = fake_object(py, py->str, header + size + 1);
    fake_set(py, str, PY_STR_length, size);
    set_str_state(py, str, 1, true, true);
    fake_put(&py->memory, str + header, ascii, size + 1);
    return str;
}

uint64_t fake_str_kind(struct fake_python *py, const void *chars, size_t count, unsigned kind,
                       bool compact)
{
    size_t header = fake_offset(py, PY_STR_compact_data), size = count * kind;
    uint64_t str = fake_object(py, py->str, header + size + 16), data = str + header;
    fake_set(py, str, PY_STR_length, count);
    set_str_state(py, str, kind, compact, false);
    if (!compact) {
        data = fake_alloc(&py->memory, size + 16);
        fake_set(py, str, PY_STR_data, data);
    }
    fake_put(&py->memory, data, chars, size);
    return str;
}

uint64_t fake_bytes(struct fake_python *py, const void *bytes, size_t size)
{
    size_t header = fake_offset(py, PY_BYTES_data);
    uint64_t object = fake_object(py, py->bytes, header + size + 1);
    fake_set(py, object, PY_BYTES_size, size);
    fake_put(&py->memory, object + header, bytes, size);
    return object;
}

uint64_t fake_int(struct fake_python *py, int64_t value)
{
    uint64_t object = fake_object(py, py->integer, 64);
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value, count = 0;
    for (; left; left >>= 30, count++) {
        uint32_t digit = left & 0x3fffffff;
        fake_put(&py->memory, object + fake_offset(py, PY_LONG_digits) + 4 * count, &digit, 4);
    }
    if (py->dec->layout.version >= 0x030c)
        fake_set(py, object, PY_LONG_size, count << 3 | (value == 0 ? 1 : value < 0 ? 2 : 0));
    else
        fake_set(py, object, PY_LONG_size, value < 0 ? 0 - count : count);
    return object;
}

uint64_t fake_tuple(struct fake_python *py, const uint64_t *items, size_t count)
{
    size_t header = fake_offset(py, PY_TUPLE_items);
    uint64_t object = fake_object(py, py->tuple, header + 8 * count);
    fake_set(py, object, PY_TUPLE_size, count);
    fake_put(&py->memory, object + header, items, 8 * count);
    return object;
}

// ---- Dicts --------------------------------------------------------------------------------------

uint64_t fake_keys(struct fake_python *py, enum fake_keys kind, const uint64_t *keys,
                   const uint64_t *values, size_t count, unsigned log2_size)
{
    bool modern = py->dec->layout.version >= 0x030b;
    size_t index = log2_size <= 7 ? 1 : log2_size <= 15 ? 2 : 4;
    // Up to 3.10 the width follows from the size itself: 256 slots already take two bytes.
    if (!modern)
        index = 1ull << log2_size <= 0xff ? 1 : 1ull << log2_size <= 0xffff ? 2 : 4;
    size_t indices = index << log2_size, stride = kind == FAKE_GENERAL || !modern ? 24 : 16;
    size_t header = fake_offset(py, PY_DK_indices);
    uint64_t object = fake_alloc(&py->memory, header + indices + count * stride);
    fake_set(py, object, PY_DK_size, 1ull << log2_size);
    fake_set(py, object, PY_DK_log2_size, log2_size);
    fake_set(py, object, PY_DK_log2_index_bytes,
             log2_size + (index == 1   ? 0u
                          : index == 2 ? 1u
                                       : 2u));
    fake_set(py, object, PY_DK_kind, kind);
    fake_set(py, object, PY_DK_nentries, count);
    memset(fake_at(&py->memory, object + header), 0xff, indices); // DKIX_EMPTY
    for (size_t i = 0; i < count; i++) {
        uint64_t entry = object + header + indices + i * stride + (stride - 16);
        if (stride == 24)
            fake_put_u64(&py->memory, entry - 8, 0x1234567890abcdef); // the hash
        fake_put_u64(&py->memory, entry, keys[i]);
        fake_put_u64(&py->memory, entry + 8, kind == FAKE_SPLIT ? 0 : values[i]);
    }
    return object;
}

uint64_t fake_dict(struct fake_python *py, uint64_t keys, uint64_t values)
{
    uint64_t object = fake_object(py, py->dict, 128);
    fake_set(py, object, PY_DICT_keys, keys);
    fake_set(py, object, PY_DICT_values, values);
    return object;
}

uint64_t fake_dict_of(struct fake_python *py, const uint64_t *keys, const uint64_t *values,
                      size_t count)
{
    unsigned log2_size = 3;
    while (count > (2ull << log2_size) / 3)
        log2_size++;
    return fake_dict(py, fake_keys(py, FAKE_GENERAL, keys, values, count, log2_size), 0);
}

// ---- Code and frames ----------------------------------------------------------------------------

uint64_t fake_code_object(struct fake_python *py, const struct fake_code *code)
{
    bool modern = py->dec->layout.version >= 0x030b;
    size_t header = modern ? fake_offset(py, PY_CO_code_adaptive) : 512;
    uint64_t object = fake_object(py, py->code, header + code->bytecode_bytes + 16);
    fake_set(py, object, PY_CO_firstlineno, (uint32_t)code->first_line);
    fake_set(py, object, PY_CO_stacksize, code->stack_size);
    fake_set(py, object, PY_CO_nlocalsplus, code->slots);
    fake_set(py, object, PY_CO_firsttraceable, code->first_traceable);
    if (code->name) {
        fake_set(py, object, PY_CO_name, fake_str(py, code->name));
        fake_set(py, object, PY_CO_qualname, fake_str(py, code->name));
    }
    if (code->file)
        fake_set(py, object, PY_CO_filename, fake_str(py, code->file));
    fake_set(py, object, PY_CO_linetable, fake_bytes(py, code->line_table, code->line_table_bytes));
    fake_set(py, object, PY_CO_names, code->names ? code->names : fake_tuple(py, NULL, 0));
    if (modern) {
        fake_set(py, object, PY_CO_ob_size, code->bytecode_bytes / 2);
        fake_set(py, object, PY_CO_exceptiontable, fake_bytes(py, "", 0));
        fake_put(&py->memory, object + header, code->bytecode, code->bytecode_bytes);
    } else {
        fake_set(py, object, PY_CO_code, fake_bytes(py, code->bytecode, code->bytecode_bytes));
    }
    return object;
}

uint64_t fake_first_instruction(struct fake_python *py, uint64_t code)
{
    return code + fake_offset(py, PY_CO_code_adaptive);
}

struct call_row {
    uint16_t version;
    uint8_t code[32];
    size_t code_bytes;
    int32_t offset;
    size_t slot; // of the value stack
    uint8_t lines[8];
    size_t lines_bytes;
};

// dis.dis("f()") of each version, and a line table: line 11 up to the call, which is on line 12.
static const struct call_row call_rows[] = {
    {0x0306, {116, 0, 131, 0, 1, 0, 100, 0, 83, 0}, 10, 2, 0, {0, 1, 2, 1}, 4},
    {0x030a, {116, 0, 131, 0, 1, 0, 100, 0, 83, 0}, 10, 2, 0, {2, 1, 8, 1}, 4},
    {0x030b,
     {151, 0, 116, 1, [14] = 166, [18] = 171, [28] = 1, [30] = 9},
     32,
     18,
     1,
     {0xd8, 0, 0, 0x87, 0, 0xdf, 0, 0},
     8},
    {0x030c,
     {151, 0, 116, 1, [12] = 171, [20] = 1, [22] = 9},
     24,
     12,
     1,
     {0xdd, 0, 0, 0xdd, 0, 0},
     6},
    {0x030d,
     {149, 0, 91, 1, [12] = 53, [20] = 32, [22] = 30},
     24,
     12,
     0,
     {0xdd, 0, 0, 0xdd, 0, 0},
     6},
    {0x030e,
     {128, 0, 92, 1, [12] = 52, [20] = 31, [22] = 27},
     24,
     12,
     0,
     {0xdd, 0, 0, 0xdd, 0, 0},
     6},
    {0x030f,
     {128, 0, [4] = 91, 1, [14] = 50, [22] = 29, [24] = 33},
     26,
     14,
     0,
     {0xde, 0, 0, 0xdd, 0, 0},
     6},
};

struct fake_call fake_calling_code(struct fake_python *py, const char *name, const char *file)
{
    const struct call_row *row = call_rows;
    for (size_t i = 0; i < ARRAY_SIZE(call_rows); i++)
        if (call_rows[i].version <= py->dec->layout.version)
            row = &call_rows[i];
    uint64_t global = fake_str(py, "f");
    struct fake_code code = {.name = name,
                             .file = file,
                             .first_line = 10,
                             .slots = 3,
                             .stack_size = 4,
                             .bytecode = row->code,
                             .bytecode_bytes = row->code_bytes,
                             .line_table = row->lines,
                             .line_table_bytes = row->lines_bytes,
                             .names = fake_tuple(py, &global, 1)};
    return (struct fake_call){fake_code_object(py, &code), row->offset,
                              row->slot + (row->version >= 0x030b ? 3 : 0), 7};
}

uint64_t fake_builtin(struct fake_python *py, const char *module, const char *name)
{
    uint64_t object = fake_object(py, py->builtin, 64), ml = fake_alloc(&py->memory, 64);
    uint64_t text = fake_alloc(&py->memory, strlen(name) + 1);
    fake_put(&py->memory, text, name, strlen(name) + 1);
    fake_set(py, ml, PY_ML_name, text);
    fake_set(py, object, PY_CFUNC_ml, ml);
    fake_set(py, object, PY_CFUNC_module, fake_str(py, module));
    return object;
}

void fake_put_slot(struct fake_python *py, uint64_t frame, size_t slot, uint64_t object)
{
    bool modern = py->dec->layout.version >= 0x030b;
    frame += fake_offset(py, modern ? PY_IF_localsplus : PY_FO_localsplus);
    fake_put_u64(&py->memory, frame + 8 * slot, object | (py->dec->layout.version >= 0x030e));
}

uint64_t fake_frame(struct fake_python *py, uint64_t code, uint64_t back, int32_t offset,
                    size_t slots, unsigned owner)
{
    uint16_t version = py->dec->layout.version;
    uint64_t frame;
    if (version < 0x030b) {
        size_t header = fake_offset(py, PY_FO_localsplus);
        frame = fake_object(py, py->frame, header + 8 * slots);
        fake_set(py, frame, PY_FO_back, back);
        fake_set(py, frame, PY_FO_code, code);
        fake_set(py, frame, PY_FO_ob_size, slots);
        fake_set(py, frame, PY_FO_valuestack, frame + header);
        fake_set(py, frame, PY_FO_lasti,
                 (uint32_t)(version == 0x030a && offset > 0 ? offset / 2 : offset));
        fake_set(py, frame, PY_FO_gen, owner == 1 ? frame : 0);
        return frame;
    }
    frame = fake_alloc(&py->memory, fake_offset(py, PY_IF_localsplus) + 8 * slots);
    fake_set(py, frame, PY_IF_previous, back);
    fake_set(py, frame, PY_IF_owner, owner);
    if (owner < 3) {
        fake_set(py, frame, PY_IF_code, code | (version >= 0x030e)); // a tagged reference
        fake_set(py, frame, PY_IF_instr, fake_first_instruction(py, code) + (uint64_t)offset);
    }
    return frame;
}

// ---- Interpreters -------------------------------------------------------------------------------

uint64_t fake_interpreter(struct fake_python *py, uint64_t next, int64_t id)
{
    uint64_t interp = fake_alloc(&py->memory, 12000);
    fake_set(py, interp, PY_IS_next, next);
    fake_set(py, interp, PY_IS_id, (uint64_t)id);
    fake_set(py, interp, PY_IS_ceval_gil, py->gil);
    fake_put_u64(&py->memory, py->process.head_addr, interp);
    return interp;
}

uint64_t fake_thread(struct fake_python *py, uint64_t interp, uint64_t ident, uint64_t native_id,
                     uint64_t frame)
{
    uint64_t tstate = fake_alloc(&py->memory, 3000), head = interp, newest;
    head += fake_offset(py, PY_IS_threads_head);
    memcpy(&newest, fake_at(&py->memory, head), 8);
    fake_set(py, tstate, PY_TS_next, newest);
    fake_put_u64(&py->memory, head, tstate);
    fake_set(py, tstate, PY_TS_interp, interp);
    fake_set(py, tstate, PY_TS_thread_id, ident);
    fake_set(py, tstate, PY_TS_native_thread_id, native_id);
    fake_set(py, tstate, PY_TS_frame, frame);
    fake_set(py, tstate, PY_TS_current_frame, frame);
    if (py_layout_has(&py->dec->layout, PY_TS_cframe)) {
        uint64_t cframe = fake_alloc(&py->memory, 64);
        fake_set(py, cframe, PY_CF_current_frame, frame);
        fake_set(py, tstate, PY_TS_cframe, cframe);
    }
    return tstate;
}

void fake_gil(struct fake_python *py, uint64_t tstate)
{
    if (py->process.current_addr) {
        fake_put_u64(&py->memory, py->process.current_addr, tstate);
        return;
    }
    fake_set(py, py->gil, PY_GIL_locked, tstate != 0);
    if (tstate)
        fake_set(py, py->gil, PY_GIL_last_holder, tstate); // it stays set after a release
}
