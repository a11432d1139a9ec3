// SPDX-License-Identifier: GPL-3.0-or-later
// See report/unique.h.
#include "report/unique.h"

#include <stdlib.h>

#include "report/names.h"
#include "util/guard.h"
#include "util/strtab.h"

#define NO_FUNCTION UINT32_MAX // of processes and threads (view.h)
#define SEVERAL (UINT32_MAX - 1)

// By view frame: the id of its name, within the scope. By that id: the one function that has it.
static bool find_owners(const struct view *view, enum unique_scope scope, struct strtab *names,
                        uint32_t *ret_name_of, uint32_t *ret_owner)
{
    GUARD(plain_deinit) struct plain text = {0};
    for (size_t i = 0; i < view->frame_count; i++) {
        const struct view_frame *frame = &view->frames[i];
        plain_clear(&text);
        if (scope == UNIQUE_IN_FILE)
            plain_add(&text, "%s\n", frame->file);
        plain_str(&text, frame->name);
        size_t before = strtab_count(names);
        uint32_t id = ret_name_of[i] = strtab_add(names, plain_text(&text), text.size);
        if (!id || text.failed)
            return false;
        if (strtab_count(names) > before)
            ret_owner[id] = frame->function;
        else if (ret_owner[id] != frame->function)
            ret_owner[id] = SEVERAL;
    }
    return true;
}

static char *with_place(const struct view *view, const struct names *names, size_t index)
{
    const struct view_frame *frame = &view->frames[index];
    struct plain text = {0};
    plain_str(&text, frame->name);
    plain_str(&text, " (");
    size_t before = text.size;
    if (frame->kind == VIEW_PYTHON) {
        names_path(&text, names, view->profile->functions[frame->function].file);
        if (frame->first_line > 0)
            plain_add(&text, ":%d", (int)frame->first_line);
    } else {
        plain_str(&text, frame->module);
    }
    if (text.size == before && !text.failed) // it has none
        text.bytes[text.size = before - 2] = '\0';
    else
        plain_str(&text, ")");
    if (!text.failed)
        return text.bytes;
    plain_deinit(&text);
    return NULL;
}

static bool make_texts(struct unique *unique, const struct names *names, const uint32_t *name_of,
                       const uint32_t *owner)
{
    const struct view *view = unique->view;
    for (size_t i = 0; i < view->frame_count; i++) {
        if (owner[name_of[i]] != SEVERAL || view->frames[i].function == NO_FUNCTION)
            continue;
        unique->texts[i] = with_place(view, names, i);
        if (!unique->texts[i])
            return false;
    }
    return true;
}

struct err *unique_init(struct unique *unique, const struct view *view,
                        const struct report_input *input, const struct report_options *options,
                        enum unique_scope scope)
{
    struct names names = {0};
    struct strtab *texts = strtab_create();
    AUTO_FREE uint32_t *name_of = calloc(view->frame_count + 1, sizeof(*name_of));
    AUTO_FREE uint32_t *owner = calloc(view->frame_count + 1, sizeof(*owner));
    *unique = (struct unique){.view = view, .texts = calloc(view->frame_count + 1, sizeof(char *))};
    bool done = unique->texts && texts && name_of && owner && names_init(&names, input, options) &&
                find_owners(view, scope, texts, name_of, owner) &&
                make_texts(unique, &names, name_of, owner);
    names_deinit(&names);
    strtab_destroy(texts);
    if (done)
        return NULL;
    unique_deinit(unique);
    return err_create(ERR_NO_MEMORY, "no memory for the report");
}

void unique_deinit(struct unique *unique)
{
    for (size_t i = 0; unique->texts && i < unique->view->frame_count; i++)
        free(unique->texts[i]);
    free(unique->texts);
    unique->texts = NULL;
}

const char *unique_name(const struct unique *unique, size_t frame)
{
    return unique->texts[frame] ? unique->texts[frame] : unique->view->frames[frame].name;
}
