// SPDX-License-Identifier: GPL-3.0-or-later
// What was asked of modules' files, kept so that the same questions can be answered without them:
// that is how a capture opens on a machine that has none of the target's binaries.
//
// An image opened with a record takes its list of modules, build IDs and unwind tables from the
// target's mappings and memory alone and opens no file; .debug_frame, which is in no memory, comes
// from the record (image_debug_elf). Names (symbols by name and by address, sections, source lines
// of addresses, what file a module was) are answered from the record. While recording they are
// asked of another image, that of the running process or core, first, and kept, also that there is
// no answer. Code registered for debuggers is read from memory in both.
//
// For a replay to say the same, its target needs the same mappings (path, start, end, offset,
// inode, device, permissions, deleted), auxv values and kind TARGET_CORE as the one that was
// recorded, and the memory that was read through that one.
//
// When modules change: refresh the source's image, image_record_set_epoch(), give the target the
// new mappings, image_refresh(). Nothing is to be asked of the image in between.
#ifndef IMAGE_RECORD_H
#define IMAGE_RECORD_H

#include "image/image.h"
#include "util/wire.h"

struct image_record;

struct image_record *image_record_create(void);
void image_record_destroy(struct image_record *record);

// While recording: where what is not in the record yet is asked. It must be open whenever an image
// with this record is used. NULL: nowhere, only what is recorded is known.
void image_record_set_source(struct image_record *record, struct image *source);
// Another program, or other modules, from here on: what was recorded so far answers no question
// that is asked from now on. Replays must call it at the same moments. Starts at 0.
void image_record_set_epoch(struct image_record *record, uint32_t epoch);

// All of it, as one stream. Deterministic: the same questions give the same bytes, in whatever
// order they were asked.
void image_record_write(const struct image_record *record, struct wire_out *out);
// Fills an empty record from a stream that holds nothing else; every count, length and number is
// bounded. ERR_BAD_DATA: the record is of no use.
struct err *image_record_read(struct image_record *record, struct wire_in *in);

#endif
