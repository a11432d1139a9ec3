// SPDX-License-Identifier: GPL-3.0-or-later
// Which ELF image speaks for a module: its file, or what of it lies in the target's memory. See
// image/elf.h.
#include "image/elf.h"

#include "image/image_private.h"

Elf *image_elf(struct image *image, struct module *module)
{
    struct image_module *self = (struct image_module *)module;
    Elf *elf = image_module_elf(self);
    if (elf || self->rebuilt_tried)
        return elf ? elf : self->rebuilt;
    self->rebuilt_tried = true;
    self->rebuilt = image_rebuild(image->target->mem, self, &self->rebuilt_bytes);
    return self->rebuilt;
}

Elf *image_debug_elf(struct image *image, struct module *module)
{
    struct image_module *self = (struct image_module *)module;
    return image->record ? image_record_debug_elf(self) : image_module_fetched_debug_elf(self);
}

Elf *image_local_debug_elf(struct image *image, struct module *module)
{
    (void)image;
    return image_module_debug_elf((struct image_module *)module);
}
