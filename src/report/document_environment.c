// SPDX-License-Identifier: GPL-3.0-or-later
// A document's environment: json_environment.c wrote it.
#include "report/document_in.h"
#include "util/guard.h"

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
