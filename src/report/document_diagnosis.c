// SPDX-License-Identifier: GPL-3.0-or-later
// A document's verdict and findings: json_diagnosis.c wrote them.
#include "report/document_in.h"
#include "report/plain.h"
#include "util/guard.h"

static struct diagnosis *diagnosis_of(struct document_in *in, struct report_document *document)
{
    if (!document->diagnosis)
        document->diagnosis = calloc(1, sizeof(*document->diagnosis));
    if (!document->diagnosis)
        json_fault(&in->json, "no memory for the document");
    return document->diagnosis;
}

// A sentence: what stands between backticks is code, a doubled one within it is one. Like all text of
// a document it may hold anything, so it is made clean here; it is to be freed.
static char *read_words(struct document_in *in)
{
    GUARD(plain_deinit) struct plain text = {0};
    size_t size, begin = 0;
    const char *bytes = json_read_string(&in->json, &size);
    bool code = false;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '`')
            continue;
        plain_safe(&text, bytes + begin, i - begin);
        if (code && i + 1 < size && bytes[i + 1] == '`') {
            plain_str(&text, "`");
            i++;
        } else {
            code = !code;
            plain_str(&text, code ? PLAIN_CODE : PLAIN_CODE_END);
        }
        begin = i + 1;
    }
    plain_safe(&text, bytes + begin, size - begin);
    plain_str(&text, code ? PLAIN_CODE_END : "");
    in->bytes += text.size;
    if (text.failed || in->bytes > LIMIT_DOCUMENT_VALUES_BYTES)
        json_fault(&in->json, "no memory for the document");
    return in->json.err ? NULL : text.bytes ? TAKE(text.bytes) : strdup("");
}

static void read_into(struct document_in *in, char **ret)
{
    free(*ret);
    *ret = read_words(in);
}

void document_read_verdict(struct document_in *in, void *document)
{
    struct diagnosis *diagnosis = diagnosis_of(in, document);
    if (diagnosis)
        read_into(in, &diagnosis->verdict);
}

void document_read_fingerprint(struct document_in *in, void *document)
{
    struct diagnosis *diagnosis = diagnosis_of(in, document);
    if (diagnosis)
        read_into(in, &diagnosis->fingerprint);
}

void document_read_bucket(struct document_in *in, void *document)
{
    struct diagnosis *diagnosis = diagnosis_of(in, document);
    if (diagnosis)
        read_into(in, &diagnosis->bucket);
}

void document_read_word(struct document_in *in, void *document)
{
    uint32_t word = document_name(in);
    struct diagnosis *diagnosis = diagnosis_of(in, document);
    if (diagnosis)
        diagnosis->word = strtab_get(in->strings, word);
}

// ---- Chains -------------------------------------------------------------------------------------

static void read_confidence(struct document_in *in, enum snap_certainty *ret)
{
    *ret = document_enum(in, snap_certainty_name, SNAP_OBSERVED + 1, SNAP_NOT_KNOWN);
}

static void read_chain_confidence(struct document_in *in, void *into)
{
    read_confidence(in, &((struct diag_chain *)into)->certainty);
}

static void read_chain_threads(struct document_in *in, void *into)
{
    struct diag_chain *chain = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        uint32_t thread = (uint32_t)json_read_u64(&in->json, UINT32_MAX - 1);
        uint32_t *place = document_push(in, &chain->threads);
        if (place)
            *place = thread;
    }
}

static void read_behind(struct document_in *in, void *into)
{
    ((struct diag_chain *)into)->behind = json_read_u64(&in->json, SIZE_MAX);
}

static const struct field chain_fields[] = {
    FIELD(struct diag_chain, "cycle", FIELD_BOOL, cycle),
    FIELD_READ("confidence", read_chain_confidence),
    FIELD_READ("threads", read_chain_threads),
    FIELD_READ("behind", read_behind),
};

void document_read_chains(struct document_in *in, void *document)
{
    struct diagnosis *diagnosis = diagnosis_of(in, document);
    struct diag_chain *chain;
    if (!diagnosis || !json_read_array(&in->json))
        return;
    while (json_read_item(&in->json) && (chain = document_push(in, &diagnosis->chains)))
        document_fields(in, chain_fields, ARRAY_SIZE(chain_fields), chain);
}

void document_check_diagnosis(struct document_in *in, const struct report_document *document)
{
    const struct snapshot *last = report_last(&document->input);
    size_t count = last ? last->threads.count : 0;
    if (!document->diagnosis || in->json.err)
        return;
    vec_foreach (chain, &document->diagnosis->chains)
        vec_foreach (thread, &chain->threads)
            if (*thread >= count && !in->json.err)
                json_fault(&in->json, "a chain refers to thread number %u of %zu", *thread, count);
}

// ---- Findings -----------------------------------------------------------------------------------

struct finding_in {
    struct diag_finding finding;
    uint32_t id;
    size_t functions;
};

static void read_severity(struct document_in *in, void *into)
{
    ((struct finding_in *)into)->finding.severity =
        document_enum(in, diag_severity_name, DIAG_HIGH + 1, DIAG_HIGH);
}

static void read_finding_confidence(struct document_in *in, void *into)
{
    read_confidence(in, &((struct finding_in *)into)->finding.certainty);
}

static void read_title(struct document_in *in, void *into)
{
    read_into(in, &((struct finding_in *)into)->finding.title);
}

static void read_advice(struct document_in *in, void *into)
{
    read_into(in, &((struct finding_in *)into)->finding.advice);
}

static void read_evidence(struct document_in *in, void *into)
{
    struct finding_in *read = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        char **place = document_push(in, &read->finding.evidence);
        if (place)
            read_into(in, place);
    }
}

static void read_functions(struct document_in *in, void *into)
{
    struct finding_in *read = into;
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        uint32_t name = document_name(in);
        if (read->functions < ARRAY_SIZE(read->finding.bucket))
            read->finding.bucket[read->functions++] = name;
    }
}

static const struct field finding_fields[] = {
    FIELD_REQUIRED(struct finding_in, "id", FIELD_NAME, id),
    FIELD_READ("severity", read_severity),
    FIELD_READ("confidence", read_finding_confidence),
    FIELD(struct finding_in, "impact", FIELD_DOUBLE, finding.impact),
    FIELD_READ("title", read_title),
    FIELD_READ("evidence", read_evidence),
    FIELD_READ("advice", read_advice),
    FIELD_READ("functions", read_functions),
};

void document_read_findings(struct document_in *in, void *document)
{
    if (!json_read_array(&in->json))
        return;
    while (json_read_item(&in->json)) {
        struct diagnosis *diagnosis = diagnosis_of(in, document);
        struct diag_finding *place = diagnosis ? document_push(in, &diagnosis->findings) : NULL;
        struct finding_in read = {.finding.impact = -1};
        if (!place)
            return;
        document_fields(in, finding_fields, ARRAY_SIZE(finding_fields), &read);
        *place = read.finding; // also half of one: it is the diagnosis's to free
        place->id = read.id ? strtab_get(in->strings, read.id) : "";
    }
}
