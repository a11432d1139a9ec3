// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/when.h.
#include "cli/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "util/guard.h"

static const struct name_row {
    const char *name;
    enum when_what what;
} name_rows[] = {{"cpu", WHEN_CPU}, {"rss", WHEN_RSS},  {"memory", WHEN_RSS},
                 {"mem", WHEN_RSS}, {"vms", WHEN_VMS},  {"threads", WHEN_THREADS},
                 {"fds", WHEN_FDS}, {"files", WHEN_FDS}};

static void skip_blank(const char **at)
{
    *at += strspn(*at, " \t");
}

static bool take_word(const char **at, const char *word)
{
    size_t size = strlen(word);
    skip_blank(at);
    if (strncasecmp(*at, word, size) != 0 || isalnum((unsigned char)(*at)[size]))
        return false;
    *at += size;
    return true;
}

static bool take_name(const char **at, enum when_what *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(name_rows); i++)
        if (take_word(at, name_rows[i].name)) {
            *ret = name_rows[i].what;
            return true;
        }
    return false;
}

static bool take_comparison(const char **at, struct when_term *ret)
{
    skip_blank(at);
    if (**at != '>' && **at != '<')
        return false;
    ret->above = *(*at)++ == '>';
    ret->or_equal = **at == '=';
    *at += ret->or_equal;
    return true;
}

static bool is_size(enum when_what what)
{
    return what == WHEN_RSS || what == WHEN_VMS;
}

// "2G", "2GB", "2GiB": one unit, and what people write behind it.
static void take_size_unit(const char **at, double *value)
{
    static const char units[] = "KMGT";
    const char *unit = **at ? strchr(units, toupper((unsigned char)**at)) : NULL;
    if (unit) {
        for (const char *step = units; step <= unit; step++)
            *value *= 1024;
        (*at)++;
        *at += **at == 'i';
    }
    *at += **at == 'B';
}

static bool take_value(const char **at, enum when_what what, double *ret)
{
    char *end;
    skip_blank(at);
    // strtod() would take "inf", "nan" and hexadecimal numbers, too.
    if (strspn(*at, "0123456789.") == 0)
        return false;
    size_t digits = strspn(*at, "0123456789.");
    errno = 0;
    *ret = strtod(*at, &end);
    if (errno || end != *at + digits)
        return false;
    *at = end;
    if (what == WHEN_CPU || is_size(what))
        skip_blank(at);
    if (what == WHEN_CPU)
        *at += **at == '%';
    else if (is_size(what))
        take_size_unit(at, ret);
    return true;
}

static bool take_term(const char **at, struct when *when)
{
    struct when_term term;
    if (when->count == WHEN_TERMS_MAX || !take_name(at, &term.what) ||
        !take_comparison(at, &term) || !take_value(at, term.what, &term.limit) ||
        isalnum((unsigned char)**at))
        return false;
    when->terms[when->count++] = term;
    return true;
}

static bool take_time(const char **at, uint64_t *ret_ns)
{
    char word[32];
    skip_blank(at);
    size_t size = strcspn(*at, " \t");
    if (size >= sizeof(word))
        return false;
    memcpy(word, *at, size);
    word[size] = '\0';
    *at += size;
    return parse_time(word, true, ret_ns);
}

bool when_parse(const char *text, struct when *ret)
{
    *ret = (struct when){0};
    const char *at = text;
    for (bool more = true; more;) {
        if (!take_term(&at, ret))
            return false;
        skip_blank(&at);
        more = *at == ',' || take_word(&at, "and");
        at += more && *at == ',';
    }
    if (take_word(&at, "for") && !take_time(&at, &ret->for_ns))
        return false;
    skip_blank(&at);
    return !*at;
}

bool when_needs(const struct when *when, enum when_what what)
{
    for (size_t i = 0; i < when->count; i++)
        if (when->terms[i].what == what)
            return true;
    return false;
}

static bool term_holds(const struct when_term *term, double value)
{
    if (value == term->limit)
        return term->or_equal;
    return term->above ? value > term->limit : value < term->limit;
}

bool when_holds(const struct when *when, const struct when_values *values)
{
    for (size_t i = 0; i < when->count; i++) {
        const struct when_term *term = &when->terms[i];
        if (!values->has[term->what] || !term_holds(term, values->of[term->what]))
            return false;
    }
    return true;
}

static void say_size(FILE *out, double bytes)
{
    static const char units[] = "KMGT";
    double value = bytes / 1024;
    size_t unit = 0;
    for (; value >= 999.5 && units[unit + 1]; unit++)
        value /= 1024;
    fprintf(out, value < 9.95 && unit ? "%.1f%c" : "%.0f%c", value, units[unit]);
}

void when_say(FILE *out, const struct when *when, const struct when_values *values)
{
    const char *before = "";
    for (size_t i = 0; i < ARRAY_SIZE(name_rows); i++) {
        enum when_what what = name_rows[i].what;
        bool first = i == 0 || name_rows[i - 1].what != what; // the others are other names of it
        if (!first || !when_needs(when, what))
            continue;
        fprintf(out, "%s%s ", before, name_rows[i].name);
        before = ", ";
        if (!values->has[what])
            fputs("?", out);
        else if (is_size(what))
            say_size(out, values->of[what]);
        else
            fprintf(out, what == WHEN_CPU ? "%.0f %%" : "%.0f", values->of[what]);
    }
}
