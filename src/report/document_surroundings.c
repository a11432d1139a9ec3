// SPDX-License-Identifier: GPL-3.0-or-later
// A document's crash and environment: json_details.c and json_environment.c wrote them.
#include "report/document_in.h"
#include "util/guard.h"

static void read_fault(struct document_in *in, void *into)
{
    ((struct snap_crash *)into)->fault =
        document_enum(in, snap_fault_name, SNAP_FAULT_OTHER + 1, SNAP_FAULT_OTHER);
}

static const struct field register_fields[] = {
    FIELD(struct snap_register, "name", FIELD_NAME, name),
    FIELD(struct snap_register, "value", FIELD_HEX, value),
    FIELD(struct snap_register, "points_to", FIELD_NAME, value_text),
};

static void read_registers(struct document_in *in, void *into)
{
    struct snap_crash *crash = into;
    struct snap_register *place;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (place = document_push(in, &crash->registers)))
        document_fields(in, register_fields, ARRAY_SIZE(register_fields), place);
}

static const struct field crash_fields[] = {
    FIELD_READ("fault", read_fault),
    FIELD(struct snap_crash, "cause", FIELD_NAME, cause),
    FIELD(struct snap_crash, "message", FIELD_NAME, message),
    FIELD(struct snap_crash, "instruction", FIELD_NAME, instruction),
    FIELD(struct snap_crash, "mapping", FIELD_NAME, mapping),
    FIELD(struct snap_crash, "mapping_offset", FIELD_HEX, mapping_offset),
    FIELD(struct snap_crash, "recursion", FIELD_NAME, recursion),
    FIELD(struct snap_crash, "module", FIELD_NAME, module),
    FIELD(struct snap_crash, "module_version", FIELD_NAME, module_version),
    FIELD(struct snap_crash, "build_id", FIELD_NAME, build_id),
    FIELD_READ("registers", read_registers),
};

void document_read_crash(struct document_in *in, void *document)
{
    struct snap_crash *crash = &((struct report_document *)document)->source.crash;
    crash->has = true;
    document_fields(in, crash_fields, ARRAY_SIZE(crash_fields), crash);
}

static const struct field package_fields[] = {
    FIELD(struct snap_package, "name", FIELD_NAME, name),
    FIELD(struct snap_package, "version", FIELD_NAME, version),
};

static void read_packages(struct document_in *in, void *into)
{
    struct snap_environment *environment = into;
    struct snap_package *package;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (package = document_push(in, &environment->packages)))
        document_fields(in, package_fields, ARRAY_SIZE(package_fields), package);
}

static void read_variables(struct document_in *in, void *into)
{
    struct snap_environment *environment = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        uint32_t name = document_name(in), *place = document_push(in, &environment->variables);
        if (place)
            *place = name;
    }
}

static const struct field environment_fields[] = {
    FIELD_READ("packages", read_packages),
    FIELD_READ("variables", read_variables),
    FIELD(struct snap_environment, "fd_count", FIELD_I64, fd_count),
    FIELD(struct snap_environment, "fd_limit", FIELD_I64, fd_limit),
    FIELD(struct snap_environment, "processors", FIELD_I64, processors),
    FIELD(struct snap_environment, "cgroup_processors", FIELD_DOUBLE, cgroup_processors),
    FIELD(struct snap_environment, "cgroup_memory_bytes", FIELD_I64, cgroup_memory_bytes),
    FIELD(struct snap_environment, "cgroup_memory_limit_bytes", FIELD_I64,
          cgroup_memory_limit_bytes),
    FIELD_HAS(struct snap_environment, "throttled_ns", FIELD_U64, throttled_ns, has_throttling),
    FIELD(struct snap_environment, "throttled_periods", FIELD_U64, throttled_periods),
    FIELD(struct snap_environment, "periods", FIELD_U64, periods),
};

void document_read_environment(struct document_in *in, void *document)
{
    document_fields(in, environment_fields, ARRAY_SIZE(environment_fields),
                    &((struct report_document *)document)->source.environment);
}
