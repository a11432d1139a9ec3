// SPDX-License-Identifier: GPL-3.0-or-later
// "environment" of the source: what the process had around it. "packages": of the modules on the stacks;
// "variables": names of environment variables, never a value; "fd_count" of "fd_limit" descriptors;
// "processors" that it may use, and what its cgroup allows; "throttled_*": of the cgroup, during the run.
// A limit that there is none of is null, as one is that is not known.
#include "report/json.h"

static bool is_known(const struct snap_environment *of)
{
    return of->packages.count || of->variables.count || of->fd_count > 0 || of->fd_limit > 0 ||
           of->processors > 0 || of->cgroup_processors > 0 || of->cgroup_memory_bytes > 0 ||
           of->cgroup_memory_limit_bytes > 0 || of->has_throttling;
}

void json_environment(struct json_report *report, const struct snap_environment *environment)
{
    struct json_writer *json = &report->json;
    const struct snap_environment *of = environment;
    if (!is_known(of))
        return;
    json_line(json);
    json_begin_object(json, "environment");
    json_line(json);
    json_begin_array(json, "packages");
    vec_foreach (package, &of->packages) {
        json_begin_object(json, NULL);
        json_name(report, "name", package->name);
        json_name(report, "version", package->version);
        json_end_object(json, JSON_LINE);
    }
    json_end_array(json, JSON_LINE);
    json_line(json);
    json_names(report, "variables", of->variables.items, of->variables.count);
    json_line(json);
    json_i64_if(report, "fd_count", of->fd_count > 0, of->fd_count);
    json_i64_if(report, "fd_limit", of->fd_limit > 0, of->fd_limit);
    json_i64_if(report, "processors", of->processors > 0, of->processors);
    json_line(json);
    if (of->cgroup_processors > 0)
        json_double(json, "cgroup_processors", of->cgroup_processors);
    else
        json_null(json, "cgroup_processors");
    json_i64_if(report, "cgroup_memory_bytes", of->cgroup_memory_bytes > 0,
                of->cgroup_memory_bytes);
    json_i64_if(report, "cgroup_memory_limit_bytes", of->cgroup_memory_limit_bytes > 0,
                of->cgroup_memory_limit_bytes);
    json_line(json);
    json_u64_if(report, "throttled_ns", of->has_throttling, of->throttled_ns);
    json_u64_if(report, "throttled_periods", of->has_throttling, of->throttled_periods);
    json_u64_if(report, "periods", of->has_throttling, of->periods);
    json_end_object(json, JSON_LINES);
}
