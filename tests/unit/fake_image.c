// SPDX-License-Identifier: GPL-3.0-or-later
// See fake_image.h.
#include "fake_image.h"

static uint64_t make_names(struct fake_python *py, const uint64_t *idents, size_t count)
{
    uint64_t class = fake_type(py, "Thread", 1u << 9), key = fake_str(py, "_name");
    uint64_t keys[8], values[8], offset = 16 + fake_offset(py, PY_OB_type);
    fake_set(py, class, PY_TYPE_dictoffset, offset);
    for (size_t i = 0; i < count; i++) {
        uint64_t name = fake_str(py, i ? "worker" : "MainThread");
        keys[i] = fake_int(py, (int64_t)idents[i]);
        values[i] = fake_object(py, class, 64);
        fake_put_u64(&py->memory, values[i] + offset, fake_dict_of(py, &key, &name, 1));
    }
    uint64_t active = fake_dict_of(py, keys, values, count), active_key = fake_str(py, "_active");
    uint64_t module = fake_object(py, py->module, 96), module_key = fake_str(py, "threading");
    fake_set(py, module, PY_MODULE_dict, fake_dict_of(py, &active_key, &active, 1));
    return fake_dict_of(py, &module_key, &module, 1);
}

// Three frames, of which the innermost calls a builtin; a shim and a generator where there are any.
static uint64_t make_frames(struct fake_python *py)
{
    struct fake_call main = fake_calling_code(py, "main", "app.py");
    struct fake_call work = fake_calling_code(py, "work", "lib.py");
    bool shims = py->dec->layout.version >= 0x030c;
    uint64_t frame = shims ? fake_frame(py, 0, 0, 0, 0, 3) : 0;
    frame = fake_frame(py, main.code, frame, main.offset, main.slots, 0);
    frame = fake_frame(py, work.code, frame, work.offset, work.slots, 1);
    if (shims)
        frame = fake_frame(py, 0, frame, 0, 0, 3);
    frame = fake_frame(py, work.code, frame, work.offset, work.slots, 0);
    fake_put_slot(py, frame, work.slot, fake_builtin(py, "time", "sleep"));
    return frame;
}

// What tells the version, and that it is a release build.
static uint64_t make_sys(struct fake_python *py)
{
    uint64_t key = fake_str(py, "hexversion");
    uint64_t value = fake_int(py, (int64_t)py->dec->layout.version << 16 | 0x00f0);
    return fake_dict_of(py, &key, &value, 1);
}

size_t fake_image(struct fake_python *py, uint16_t version, uint8_t build, size_t threads)
{
    static const uint64_t idents[] = {0x7f0000001000, 0x7f0000002000, 0x7f0000003000};
    fake_python_init(py, version, build, 192 << 10);
    uint64_t interp = fake_interpreter(py, 0, 0), holder = 0;
    fake_set(py, interp, PY_IS_sysdict, make_sys(py));
    for (size_t i = 0; i < threads && i < ARRAY_SIZE(idents); i++) {
        if (i == 2)
            interp = fake_interpreter(py, interp, 1);
        fake_set(py, interp, PY_IS_modules, make_names(py, idents, i + 1));
        holder = fake_thread(py, interp, idents[i], 100 + i, make_frames(py));
    }
    fake_gil(py, holder);
    return py->memory.used;
}
