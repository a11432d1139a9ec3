// SPDX-License-Identifier: GPL-3.0-or-later
// What is wrong: "verdict" in one sentence, the "word" that it begins with, "fingerprint" and "bucket" (the
// same for the same trouble, whatever the run), "chains" of threads that wait for each other ("threads":
// indexes in the last snapshot's; each waits for the next one, the last for the first one in a "cycle";
// "behind": how many wait for them, directly or through others), and "findings", most severe first.
// "impact" is a share; null where there is none. "functions": the program's own ones that it is about.
//
// In sentences, what is the target's own stands between backticks; one within it is doubled.
#include "report/json.h"
#include "report/plain.h"
#include "util/guard.h"

static void words(struct json_report *report, const char *key, const char *text)
{
    struct plain plain = {0};
    bool code = false;
    if (!text) {
        json_null(&report->json, key);
        return;
    }
    for (; *text; text++) {
        if (*text == PLAIN_CODE[0] || *text == PLAIN_CODE_END[0]) {
            code = *text == PLAIN_CODE[0];
            plain_str(&plain, "`");
        } else if (*text == '`') {
            plain_str(&plain, code ? "``" : "'");
        } else {
            plain_bytes(&plain, text, 1);
        }
    }
    if (plain.failed)
        json_null(&report->json, key);
    else
        json_string(&report->json, key, plain_text(&plain), plain.size);
    plain_deinit(&plain);
}

static void finding(struct json_report *report, const struct diag_finding *from)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_line(json);
    json_text(json, "id", from->id);
    json_text(json, "severity", diag_severity_name(from->severity));
    json_text(json, "confidence", snap_certainty_name(from->certainty));
    if (from->impact >= 0)
        json_double(json, "impact", from->impact);
    else
        json_null(json, "impact");
    json_line(json);
    words(report, "title", from->title);
    json_line(json);
    json_begin_array(json, "evidence");
    vec_foreach (text, &from->evidence) {
        json_line(json);
        words(report, NULL, *text);
    }
    json_end_array(json, JSON_LINES);
    json_line(json);
    words(report, "advice", from->advice);
    json_line(json);
    json_begin_array(json, "functions");
    for (size_t i = 0; i < ARRAY_SIZE(from->bucket); i++)
        if (from->bucket[i])
            json_name(report, NULL, from->bucket[i]);
    json_end_array(json, JSON_LINE);
    json_end_object(json, JSON_LINES);
}

static void chain(struct json_report *report, const struct diag_chain *from)
{
    struct json_writer *json = &report->json;
    json_begin_object(json, NULL);
    json_bool(json, "cycle", from->cycle);
    json_text(json, "confidence", snap_certainty_name(from->certainty));
    json_begin_array(json, "threads");
    vec_foreach (thread, &from->threads)
        json_u64(json, NULL, *thread);
    json_end_array(json, JSON_LINE);
    json_u64(json, "behind", from->behind);
    json_end_object(json, JSON_LINE);
}

void json_diagnosis(struct json_report *report)
{
    const struct diagnosis *diagnosis = report->input->diagnosis;
    struct json_writer *json = &report->json;
    if (diagnosis) {
        json_line(json);
        words(report, "verdict", diagnosis->verdict);
        json_line(json);
        json_text(json, "word", diagnosis->word);
        json_text(json, "fingerprint", diagnosis->fingerprint);
        words(report, "bucket", diagnosis->bucket);
        json_line(json);
        json_begin_array(json, "chains");
        vec_foreach (one, &diagnosis->chains) {
            json_line(json);
            chain(report, one);
        }
        json_end_array(json, JSON_LINES);
    }
    json_line(json);
    json_begin_array(json, "findings");
    for (size_t i = 0; diagnosis && i < diagnosis->findings.count; i++) {
        json_line(json);
        finding(report, &diagnosis->findings.items[i]);
    }
    json_end_array(json, JSON_LINES);
}
