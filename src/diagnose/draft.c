// SPDX-License-Identifier: GPL-3.0-or-later
// Making a finding, sentence by sentence.
#include <string.h>

#include "diagnose/diag.h"
#include "util/guard.h"

void draft_begin(struct draft *draft, struct diag *diag, enum diag_severity severity,
                 enum snap_certainty certainty, double impact)
{
    *draft = (struct draft){.diag = diag};
    draft->finding.id = diag->now->id;
    draft->finding.severity = severity;
    draft->finding.certainty = certainty;
    draft->finding.impact = impact > 1 ? 1 : impact;
}

static char *take(struct draft *draft)
{
    char *text = draft->text.failed ? NULL : strdup(plain_text(&draft->text));
    plain_clear(&draft->text);
    draft->diag->failed |= !text;
    if (text && text[0] >= 'a' && text[0] <= 'z') // "the main thread ..."
        text[0] = (char)(text[0] - 'a' + 'A');
    return text;
}

void draft_title(struct draft *draft)
{
    free(draft->finding.title);
    draft->finding.title = take(draft);
}

void draft_evidence(struct draft *draft)
{
    AUTO_FREE char *text = take(draft);
    if (text && vec_push(&draft->finding.evidence, text))
        text = NULL;
    else
        draft->diag->failed = true;
}

void draft_advice(struct draft *draft, const char *advice)
{
    free(draft->finding.advice);
    draft->finding.advice = strdup(advice);
    draft->diag->failed |= !draft->finding.advice;
}

void draft_name(struct draft *draft, uint32_t name)
{
    uint32_t *bucket = draft->finding.bucket;
    for (size_t i = 0; name && i < ARRAY_SIZE(draft->finding.bucket); i++) {
        if (bucket[i] == name)
            return;
        if (!bucket[i]) {
            bucket[i] = name;
            return;
        }
    }
}

// By their bytes: numbers of strings differ from run to run.
static void sort_names(const struct strtab *strings, uint32_t *bucket, size_t count)
{
    for (size_t i = 1; i < count && bucket[i]; i++)
        for (size_t j = i; j > 0; j--) {
            const char *a = strtab_get(strings, bucket[j - 1]), *b = strtab_get(strings, bucket[j]);
            if (!a || !b || strcmp(a, b) <= 0)
                break;
            uint32_t other = bucket[j];
            bucket[j] = bucket[j - 1];
            bucket[j - 1] = other;
        }
}

void draft_end(struct draft *draft)
{
    struct diag_finding *finding = &draft->finding;
    sort_names(draft->diag->strings, finding->bucket, ARRAY_SIZE(finding->bucket));
    plain_deinit(&draft->text);
    if (vec_push(&draft->diag->out->findings, *finding))
        return;
    draft->diag->failed = true;
    vec_foreach (text, &finding->evidence)
        free(*text);
    vec_deinit(&finding->evidence);
    free(finding->title);
    free(finding->advice);
}

bool diag_has_told(const struct diag *diag, const char *rule)
{
    vec_foreach (finding, &diag->out->findings)
        if (strcmp(finding->id, rule) == 0)
            return true;
    return false;
}
