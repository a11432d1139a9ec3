// SPDX-License-Identifier: GPL-3.0-or-later
// See snapshot/crash.h.
#include "snapshot/crash.h"

#include <string.h>

#include "snapshot/crash_private.h"
#include "util/guard.h"

// "48 8b 40 08  mov rax, qword ptr [rax + 8]"
static uint32_t say_instruction(const struct crash_site *site)
{
    char bytes[3 * sizeof(site->code) + 1] = "";
    size_t size = site->instruction.size ? site->instruction.size : site->code_bytes;
    for (size_t i = 0; i < size; i++)
        snprintf(bytes + 3 * i, 4, "%02x ", site->code[i]);
    if (!size)
        return 0;
    bytes[3 * size - 1] = '\0';
    return crash_text(site, "%s%s%s", bytes, site->instruction.size ? "  " : "",
                      site->instruction.text);
}

struct err *snap_crash_build(const struct snap_input *input, struct image *image,
                             const struct snapshot *snapshot, struct snap_crash *ret)
{
    struct crash_site site;
    if (!input->is_core || !input->target->signal.signo)
        return NULL;
    crash_site_find(input, image, snapshot, &site);
    vec_deinit(&ret->registers);
    *ret = (struct snap_crash){.has = true};
    crash_classify(&site, ret);
    ret->message = crash_message(&site);
    crash_module(&site, ret);
    // Who ended himself, or was sent a signal, was in no instruction of interest.
    if (ret->fault == SNAP_FAULT_ABORT || ret->fault == SNAP_FAULT_SENT)
        return NULL;
    ret->instruction = site.has_regs ? say_instruction(&site) : 0;
    return crash_registers(&site, &ret->registers);
}
