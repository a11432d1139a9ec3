// SPDX-License-Identifier: GPL-3.0-or-later
// How the process ended: the signal, what it hit, and where.
#include <inttypes.h>

#include "report/page.h"
#include "util/guard.h"

#define TEXT_COLUMNS 600
#define REGISTERS_SHOWN 8

void page_say_signal(struct page *page)
{
    const struct snap_signal *signal = &page->input->source->signal;
    const struct strtab *strings = page->names.strings;
    if (!signal->signo)
        return;
    GUARD(plain_deinit) struct plain line = {0};
    plain_str(&line, "Ended by ");
    plain_id(&line, strings, signal->name, 40, PLAIN_KEEP_START);
    plain_add(&line, " (signal %d)", signal->signo);
    if (signal->code_text) {
        plain_str(&line, ": ");
        plain_id(&line, strings, signal->code_text, 120, PLAIN_KEEP_START);
    } else if (signal->has_code) {
        plain_add(&line, ", code %d", signal->code);
    }
    if (signal->has_fault_address)
        plain_add(&line, ", at address 0x%" PRIx64, signal->fault_address);
    if (signal->has_sender)
        plain_add(&line, ", sent by process %d of user %u", (int)signal->sender_pid,
                  (unsigned)signal->sender_uid);
    if (signal->tid)
        plain_add(&line, ", in thread %d", (int)signal->tid);
    plain_str(&line, ".");
    doc_bullet(page->doc, "Signal", plain_text(&line));
    page->failed |= line.failed;
}

static void say(struct page *page, const char *label, struct plain *line)
{
    if (line->size)
        doc_bullet(page->doc, label, plain_text(line));
    page->failed |= line->failed;
    plain_clear(line);
}

static void add_code(struct plain *line, const struct page *page, uint32_t id)
{
    plain_str(line, PLAIN_CODE);
    plain_id(line, page->names.strings, id, TEXT_COLUMNS, PLAIN_KEEP_START);
    plain_str(line, PLAIN_CODE_END);
}

static void say_text(struct page *page, struct plain *line, const char *label, uint32_t id)
{
    if (id)
        add_code(line, page, id);
    say(page, label, line);
}

// What lies at the fault address, and the module that the crash is in.
static void say_places(struct page *page, struct plain *line, const struct snap_crash *crash)
{
    if (crash->mapping) {
        add_code(line, page, crash->mapping);
        plain_add(line, " + 0x%" PRIx64, crash->mapping_offset);
    }
    say(page, "Address", line);
    if (crash->module) {
        add_code(line, page, crash->module);
        if (crash->module_version) {
            plain_str(line, ", version ");
            add_code(line, page, crash->module_version);
        }
        if (crash->build_id) {
            plain_str(line, ", build ID ");
            add_code(line, page, crash->build_id);
        }
    }
    say(page, "Module", line);
}

// The innermost frame of the crashed thread that has a line of Python.
static void say_python(struct page *page, struct plain *line)
{
    const struct snapshot *last = page->moment;
    for (size_t t = 0; last && t < last->threads.count; t++) {
        const struct snap_thread *thread = &last->threads.items[t];
        for (size_t i = 0; thread->crashed && i < thread->frames.count; i++) {
            const struct snap_frame *frame = &thread->frames.items[i];
            if (frame->kind != SNAP_PYTHON)
                continue;
            add_code(line, page, frame->qualname ? frame->qualname : frame->function);
            plain_str(line, " " PLAIN_CODE);
            plain_id(line, page->names.strings, frame->file, TEXT_COLUMNS, PLAIN_KEEP_END);
            if (frame->line >= 0)
                plain_add(line, ":%" PRId32, frame->line);
            plain_str(line, PLAIN_CODE_END ", thread ");
            page_say_thread(line, page, thread->name, thread->pid, thread->tid);
            say(page, "Python", line);
            return;
        }
    }
}

static void say_registers(struct page *page, struct plain *line, const struct snap_registers *from)
{
    size_t shown =
        page->options->full || from->count < REGISTERS_SHOWN ? from->count : REGISTERS_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        const struct snap_register *reg = &from->items[i];
        plain_str(line, i ? "; " : "");
        add_code(line, page, reg->name);
        plain_add(line, " = 0x%" PRIx64, reg->value);
        if (reg->value_text) {
            plain_str(line, ", ");
            add_code(line, page, reg->value_text);
        }
    }
    if (shown < from->count)
        plain_add(line, "; %zu more with --full", from->count - shown);
    say(page, "Registers", line);
}

void page_crash(struct page *page)
{
    const struct snap_crash *crash = &page->input->source->crash;
    GUARD(plain_deinit) struct plain line = {0};
    if (!crash->has)
        return;
    doc_section(page->doc, "Crash", NULL, 0, 0);
    say_text(page, &line, "Cause", crash->cause);
    say_text(page, &line, "Message", crash->message);
    page_say_signal(page);
    say_text(page, &line, "Recursion", crash->recursion);
    say_python(page, &line);
    say_places(page, &line, crash);
    say_text(page, &line, "Code", crash->instruction);
    say_registers(page, &line, &crash->registers);
}
