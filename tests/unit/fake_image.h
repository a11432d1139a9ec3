// SPDX-License-Identifier: GPL-3.0-or-later
// A whole process image of a Python in a fake memory: interpreters, threads that are in the middle
// of a call of a builtin, their names. What fuzzing damages.
#ifndef FAKE_IMAGE_H
#define FAKE_IMAGE_H

#include "fake_python.h"

// Up to three threads (tids 100 and up, pthread_self() 0x7f0000001000 and up), of which the third
// is of a second interpreter; three frames each. Returns the bytes used from FAKE_BASE on.
size_t fake_image(struct fake_python *py, uint16_t version, uint8_t build, size_t threads);

#endif
