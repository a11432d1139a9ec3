// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers as the reports write them: as many digits as they carry, with thousands separated.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "report/plain.h"

void plain_count(struct plain *plain, uint64_t value)
{
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%" PRIu64, value);
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            plain_str(plain, ",");
        plain_bytes(plain, &digits[i], 1);
    }
}

void plain_plural(struct plain *plain, uint64_t value, const char *thing)
{
    size_t size = strlen(thing);
    bool hisses =
        size > 1 && (strcmp(thing + size - 1, "s") == 0 || strcmp(thing + size - 2, "ch") == 0);
    plain_add(plain, "%s%s", thing, value == 1 ? "" : hisses ? "es" : "s");
}

void plain_things(struct plain *plain, uint64_t value, const char *thing)
{
    plain_count(plain, value);
    plain_str(plain, " ");
    plain_plural(plain, value, thing);
}

// Two significant digits below 10, whole numbers from 100 on, no trailing ".0".
static void add_scaled(struct plain *plain, double value, const char *unit)
{
    char digits[32];
    snprintf(digits, sizeof(digits),
             value < 0.995   ? "%.2f"
             : value < 99.95 ? "%.1f"
                             : "%.0f",
             value);
    if (strchr(digits, '.')) {
        size_t size = strlen(digits);
        while (digits[size - 1] == '0')
            digits[--size] = '\0';
        if (digits[size - 1] == '.')
            digits[size - 1] = '\0';
    }
    plain_add(plain, "%s %s", digits, unit);
}

void plain_duration(struct plain *plain, uint64_t ns)
{
    uint64_t s = (ns + 500000000) / 1000000000;
    if (ns == 0)
        plain_str(plain, "0 s");
    else if (ns < 1000)
        plain_add(plain, "%" PRIu64 " ns", ns);
    else if (ns < 99500)
        add_scaled(plain, (double)ns / 1e3, "us");
    else if (ns < 999500000)
        add_scaled(plain, (double)ns / 1e6, "ms");
    else if (s < 120)
        add_scaled(plain, (double)ns / 1e9, "s");
    else if (s < 7200)
        plain_add(plain, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else {
        plain_count(plain, s / 3600);
        plain_add(plain, " h %" PRIu64 " min", s % 3600 / 60);
    }
}

void plain_percent(struct plain *plain, double share)
{
    double percent = share * 100;
    if (!(percent > 0))
        plain_str(plain, "0");
    else if (percent < 0.005)
        plain_str(plain, "<0.01");
    else if (percent < 0.095)
        plain_add(plain, "%.2f", percent);
    else if (percent < 9.95)
        plain_add(plain, "%.1f", percent);
    else
        plain_add(plain, "%.0f", percent);
}

void plain_range(struct plain *plain, double low, double high)
{
    int digits = high < 0.0995 ? 1 : 0;
    plain_add(plain, "%.*f-%.*f", digits, low * 100, digits, high * 100);
}

void plain_time(struct plain *plain, int64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm fields;
    char text[64];
    if (gmtime_r(&seconds, &fields) &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &fields))
        plain_str(plain, text);
    else
        plain_add(plain, "%" PRId64 " s since 1970", (int64_t)seconds);
}
