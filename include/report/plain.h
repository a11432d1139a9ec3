// SPDX-License-Identifier: GPL-3.0-or-later
// Text for people: util/plain.h has it, for all layers that write some.
#ifndef REPORT_PLAIN_H
#define REPORT_PLAIN_H

#include "util/plain.h"

#endif
