// SPDX-License-Identifier: GPL-3.0-or-later
// The report as a value: building it, and cutting it to a length by the sections' priority.
#include "report/doc.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

static void block_deinit(struct doc_block *block, size_t cells)
{
    free(block->label);
    free(block->text);
    for (size_t i = 0; block->cells && i < cells; i++)
        free(block->cells[i]);
    free(block->cells);
}

void doc_deinit(struct doc *doc)
{
    vec_foreach (section, &doc->sections) {
        size_t cells = 0;
        vec_foreach (block, &section->blocks) {
            if (block->kind == DOC_TABLE)
                cells = block->column_count;
            block_deinit(block, cells);
        }
        vec_deinit(&section->blocks);
        free(section->title);
    }
    vec_deinit(&doc->sections);
    free(doc->title);
}

static char *copy(struct doc *doc, const char *text, size_t size)
{
    char *copied = strndup(text, size);
    doc->failed |= !copied;
    return copied;
}

void doc_title(struct doc *doc, const char *title)
{
    free(doc->title);
    doc->title = copy(doc, title, strlen(title));
}

void doc_section(struct doc *doc, const char *title, const char *thing, unsigned priority,
                 unsigned share)
{
    struct doc_section section = {
        .thing = thing, .priority = priority, .share = share, .keep = SIZE_MAX};
    if (title)
        section.title = copy(doc, title, strlen(title));
    if (!vec_push(&doc->sections, section)) {
        free(section.title);
        doc->failed = true;
    }
}

static struct doc_block *add_block(struct doc *doc, struct doc_block block)
{
    struct doc_section *last =
        doc->sections.count ? &doc->sections.items[doc->sections.count - 1] : NULL;
    if (!last || doc->failed || !vec_push(&last->blocks, block)) {
        doc->failed = true;
        return NULL;
    }
    return &last->blocks.items[last->blocks.count - 1];
}

static void add_text(struct doc *doc, struct doc_block block, const char *text)
{
    struct doc_block *added = add_block(doc, block);
    if (added)
        added->text = copy(doc, text, strlen(text));
}

void doc_text(struct doc *doc, const char *text)
{
    add_text(doc, (struct doc_block){.kind = DOC_TEXT}, text);
}

void doc_strong(struct doc *doc, enum doc_style style, const char *text)
{
    add_text(doc, (struct doc_block){.kind = DOC_STRONG, .style = style}, text);
}

static void add_bullet(struct doc *doc, size_t counts, const char *label, const char *text)
{
    struct doc_block *added =
        add_block(doc, (struct doc_block){.kind = DOC_BULLET, .counts = counts});
    if (added) {
        added->label = copy(doc, label, strlen(label));
        added->text = copy(doc, text, strlen(text));
    }
}

void doc_bullet(struct doc *doc, const char *label, const char *text)
{
    add_bullet(doc, 1, label, text);
}

void doc_point(struct doc *doc, const char *label, const char *text)
{
    add_bullet(doc, 0, label, text);
}

void doc_head(struct doc *doc, enum doc_style style, size_t counts, const char *text)
{
    add_text(doc, (struct doc_block){.kind = DOC_HEAD, .style = style, .counts = counts}, text);
}

void doc_line(struct doc *doc, enum doc_style style, size_t counts, const char *text)
{
    add_text(doc, (struct doc_block){.kind = DOC_LINE, .style = style, .counts = counts}, text);
}

void doc_table(struct doc *doc, const struct doc_column *columns, size_t count)
{
    doc->columns = count;
    add_block(doc,
              (struct doc_block){.kind = DOC_TABLE, .columns = columns, .column_count = count});
}

void doc_row(struct doc *doc, enum doc_style style, size_t counts, const char *text)
{
    size_t count = doc->columns;
    char **cells = count ? calloc(count, sizeof(*cells)) : NULL;
    struct doc_block row = {.kind = DOC_ROW, .style = style, .counts = counts, .cells = cells};
    if (!cells || !add_block(doc, row)) {
        free(cells);
        doc->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(text, DOC_NEXT);
        cells[i] = copy(doc, text, size);
        text += size + (text[size] != '\0');
    }
}

void doc_more(struct doc *doc, size_t count)
{
    if (doc->sections.count)
        doc->sections.items[doc->sections.count - 1].more += count;
}

// ---- Cutting -------------------------------------------------------------------------------------

size_t doc_units(const struct doc_section *section)
{
    size_t units = 0;
    vec_foreach (block, &section->blocks)
        units += block->counts > 0;
    return units;
}

size_t doc_hidden(const struct doc_section *section, size_t keep)
{
    size_t units = 0, hidden = section->more;
    vec_foreach (block, &section->blocks)
        if (block->counts > 0 && ++units > keep)
            hidden += block->counts;
    return hidden;
}

size_t doc_end(const struct doc_section *section, size_t keep)
{
    size_t units = 0;
    for (size_t i = 0; i < section->blocks.count; i++)
        if (section->blocks.items[i].counts > 0 && ++units > keep)
            return i;
    return section->blocks.count;
}

static size_t measure(struct doc *doc, doc_render_fn *render, void *arg,
                      const struct doc_section *section, size_t keep)
{
    AUTO_FREE char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    if (!out) {
        doc->failed = true;
        return 0;
    }
    render(out, section, keep, arg);
    doc->failed |= fclose(out) != 0;
    return size;
}

// As many units of the section as fit; a remnant of less than three is not worth a heading.
static size_t fit_section(struct doc *doc, doc_render_fn *render, void *arg,
                          struct doc_section *section, size_t room)
{
    size_t low = 0, high = doc_units(section);
    while (low < high) {
        size_t middle = low + (high - low + 1) / 2;
        if (measure(doc, render, arg, section, middle) <= room)
            low = middle;
        else
            high = middle - 1;
    }
    section->keep = low < 3 && section->priority > 1 ? 0 : low;
    return section->keep ? measure(doc, render, arg, section, low) : 0;
}

void doc_fit(struct doc *doc, doc_render_fn *render, void *arg, size_t limit)
{
    size_t count = doc->sections.count, total = 0, least = 0, last = 0;
    AUTO_FREE size_t *sizes = calloc(count + 1, sizeof(*sizes));
    if (!sizes) {
        doc->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const struct doc_section *section = &doc->sections.items[i];
        sizes[i] = measure(doc, render, arg, section, SIZE_MAX);
        total += sizes[i];
        if (!section->thing)
            least += sizes[i];
        if (section->priority > last)
            last = section->priority;
    }
    if (total <= limit)
        return;
    size_t room = limit > least ? limit - least : 0;
    for (size_t priority = 0; priority <= last; priority++)
        for (size_t i = 0; i < count; i++) {
            struct doc_section *section = &doc->sections.items[i];
            if (section->priority != priority || !section->thing)
                continue;
            size_t mine = section->share ? limit * section->share / 100 : room;
            if (mine > room)
                mine = room;
            if (sizes[i] > mine)
                sizes[i] = fit_section(doc, render, arg, section, mine);
            room -= sizes[i] < room ? sizes[i] : room;
        }
}

char *doc_left_out(struct doc *doc)
{
    GUARD(plain_deinit) struct plain text = {0};
    vec_foreach (section, &doc->sections)
        if (section->keep == 0 && section->title && doc_units(section)) {
            plain_str(&text, text.size ? ", " : "Left out for length: ");
            plain_add(&text, "%s (", section->title);
            plain_things(&text, doc_hidden(section, 0), section->thing);
            plain_str(&text, ")");
        }
    if (!text.size)
        return NULL;
    plain_str(&text, "; --full shows them");
    doc->failed |= text.failed;
    return text.failed ? NULL : TAKE(text.bytes);
}
