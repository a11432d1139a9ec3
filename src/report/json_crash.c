// SPDX-License-Identifier: GPL-3.0-or-later
// What is known beyond stacks. Of a thread, "exceptions": in flight ("raised"), then those that it
// handles, innermost first, each followed by what belongs to it ("cause", "context", "member" of a group;
// "of" is the index of the one that it belongs to). "message" is its str(), null where only the
// program's own code would tell; then "arguments" is repr() of its args. "traceback": outermost first;
// "lines_left_out" of the middle of a long one are not there, and "cut" says that its inner end could
// not be read. "hidden": something that looked like a secret was taken out of the texts.
//
// Of a core, "crash": "fault" (which kind), "cause" in one sentence, the faulting "instruction" (bytes,
// and what they mean where libcapstone was at hand), what lies at the fault address ("mapping" and the
// offset in it), the "module" the crash is in with the version of its package and its build ID, the
// "message" the program left (a fatal error of Python, an assertion, the C library's or C++'s), the
// function whose "recursion" used up the stack, and "registers" that say something.
#include "report/json_crash.h"

static void exception(struct json_report *report, const struct snap_exception *from)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_text(json, "role", snap_exception_role_name(from->role));
    json_u64_if(report, "of", from->of != UINT32_MAX, from->of);
    json_name(report, "type", from->type);
    json_name(report, "message", from->message);
    if (!from->message)
        json_name(report, "arguments", from->arguments);
    if (from->notes.count)
        json_names(report, "notes", from->notes.items, from->notes.count);
    if (from->members)
        json_u64(json, "members", from->members);
    if (from->hidden)
        json_bool(json, "hidden", true);
    json_begin_array(json, "traceback");
    vec_foreach (line, &from->traceback) {
        json_begin_object(json, NULL);
        json_name(report, "function", line->function);
        json_name(report, "file", line->file);
        json_u64_if(report, "line", line->line >= 0, (uint64_t)line->line);
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINE);
    if (from->lines_left_out)
        json_u64(json, "lines_left_out", from->lines_left_out);
    if (from->cut)
        json_bool(json, "cut", true);
    json_end_object(json, JSON_LINE);
}

void json_exceptions(struct json_report *report, const struct snap_thread *thread)
{
    struct json_writer *json = &report->json;
    if (!thread->details || !thread->details->exceptions.count)
        return;
    json_line(json);
    json_begin_array(json, "exceptions");
    vec_foreach (from, &thread->details->exceptions) {
        json_line(json);
        exception(report, from);
    }
    json_end_array(json, JSON_LINES);
}

static void registers(struct json_report *report, const struct snap_registers *from)
{
    struct json_writer *json = &report->json;
    json_line(json);
    json_begin_array(json, "registers");
    vec_foreach (reg, from) {
        json_line(json);
        json_begin_object(json, NULL);
        json_name(report, "name", reg->name);
        json_hex(json, "value", reg->value);
        json_name(report, "points_to", reg->value_text);
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINES);
}

void json_crash(struct json_report *report, const struct snap_crash *crash)
{
    struct json_writer *json = &report->json;
    if (!crash->has)
        return;
    json_line(json);
    json_begin_object(json, "crash");
    json_text(json, "fault", snap_fault_name(crash->fault));
    json_name(report, "cause", crash->cause);
    json_name(report, "message", crash->message);
    json_line(json);
    json_name(report, "instruction", crash->instruction);
    json_name(report, "mapping", crash->mapping);
    if (crash->mapping)
        json_hex(json, "mapping_offset", crash->mapping_offset);
    else
        json_null(json, "mapping_offset");
    json_name(report, "recursion", crash->recursion);
    json_line(json);
    json_name(report, "module", crash->module);
    json_name(report, "module_version", crash->module_version);
    json_name(report, "build_id", crash->build_id);
    registers(report, &crash->registers);
    json_end_object(json, JSON_LINES);
}
