// SPDX-License-Identifier: GPL-3.0-or-later
// --save: what a session reads is put into a capture, and its report is made from what is put
// there. The way back is in replaying.h.
#ifndef CLI_RECORDING_H
#define CLI_RECORDING_H

#include "capture/capture.h"
#include "cli/session.h"

struct recording;

// Something of the run's facts: which process, Python, signal are in the session's source already.
struct err *recording_create(struct session *session, bool is_core, struct recording **ret);
void recording_destroy(struct recording *recording);
struct recorder *recording_recorder(struct recording *recording);

// What snapshot_build() needs, from the recorded memory. Valid until the next one.
struct err *recording_take_live(struct recording *recording, const struct sampler *sampler,
                                const struct sample *sample, struct snap_input *ret,
                                struct image **ret_image, bool *ret_new_image);
struct err *recording_take_core(struct recording *recording, struct target *core,
                                struct image *image, struct snap_input *ret,
                                struct image **ret_image);
// Once the snapshot is built, and all of its facts are in it.
struct err *recording_keep(struct recording *recording, const struct snapshot *snapshot);
// There will be no capture; the report says why.
void recording_give_up(struct recording *recording, const char *why);
// All snapshots are taken: notes of the session from here on are those of the run's end.
void recording_mark(struct recording *recording);
// Once all notes are made that are not the report's own. `lines` may be NULL. Prints errors; false
// when there is no capture.
bool recording_write(struct recording *recording, const struct prof_run *run, struct source *lines,
                     const char *command);

#endif
