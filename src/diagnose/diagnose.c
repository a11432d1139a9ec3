// SPDX-License-Identifier: GPL-3.0-or-later
// See diagnose/diagnose.h. (The rules come with their branch.)
#include "diagnose/diagnose.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

static const char *const severities[] = {
    [DIAG_LOW] = "low", [DIAG_MEDIUM] = "medium", [DIAG_HIGH] = "high"};

const char *diag_severity_name(enum diag_severity severity)
{
    return severities[severity];
}

bool diagnosis_has(const struct diagnosis *diagnosis, enum diag_severity severity)
{
    return diagnosis->findings.count && diagnosis->findings.items[0].severity >= severity;
}

struct err *diagnose(const struct diag_input *input, struct diagnosis **ret)
{
    (void)input;
    *ret = NULL;
    return NULL;
}

void diagnosis_destroy(struct diagnosis *diagnosis)
{
    if (!diagnosis)
        return;
    vec_foreach (finding, &diagnosis->findings) {
        vec_foreach (text, &finding->evidence)
            free(*text);
        vec_deinit(&finding->evidence);
        free(finding->title);
        free(finding->advice);
    }
    vec_foreach (chain, &diagnosis->chains)
        vec_deinit(&chain->threads);
    vec_deinit(&diagnosis->findings);
    vec_deinit(&diagnosis->chains);
    free(diagnosis->verdict);
    free(diagnosis->bucket);
    free(diagnosis->fingerprint);
    free(diagnosis);
}
