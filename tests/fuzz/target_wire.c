// SPDX-License-Identifier: GPL-3.0-or-later
// The byte stream of facts: reads of all kinds, in the order the stream itself says.
#include "fuzz.h"
#include "util/wire.h"

#define MAX_DEPTH 8

static void read_stream(struct wire_in *in, unsigned depth)
{
    uint8_t buffer[16];
    uint32_t tag;
    size_t size;
    struct wire_in body;
    const unsigned char *end = in->end;
    while (!in->bad && in->next < in->end) {
        const unsigned char *before = in->next;
        switch (wire_get_u8(in) % 11) {
        case 0:
            wire_get_u32(in);
            break;
        case 1:
            wire_get_u64(in);
            break;
        case 2:
            wire_get_i64(in);
            break;
        case 3:
            wire_get_bool(in);
            break;
        case 4:
            wire_get_double(in);
            break;
        case 5: {
            const char *text = wire_get_str(in, &size);
            FUZZ_CHECK(!text || ((const unsigned char *)text >= before &&
                                 (const unsigned char *)text + size <= in->next));
            break;
        }
        case 6: {
            AUTO_FREE char *text = wire_get_strdup(in);
            FUZZ_CHECK(!text || strlen(text) <= (size_t)(in->next - before));
            break;
        }
        case 7:
            wire_get_bytes(in, buffer, sizeof(buffer));
            break;
        case 8:
            FUZZ_CHECK(wire_get_count(in, 3) <= (size_t)(in->end - in->next) / 3);
            break;
        default:
            if (wire_next(in, &tag, &body)) {
                FUZZ_CHECK(body.next >= before && body.end <= in->end && body.next <= body.end);
                if (depth < MAX_DEPTH)
                    read_stream(&body, depth + 1);
            }
        }
        FUZZ_CHECK(in->end == end && in->next >= before && in->next <= in->end);
    }
    FUZZ_CHECK(!in->bad || (wire_get_u64(in) == 0 && !wire_get_str(in, &size)));
}

static void run(const uint8_t *data, size_t size)
{
    struct wire_in in = {data, data + size, false};
    read_stream(&in, 0);
}

static void seeds(void)
{
    struct wire_out out = {0};
    for (unsigned depth = 0; depth < 3; depth++) {
        wire_u8(&out, 9);
        size_t outer = wire_begin(&out, depth);
        wire_u8(&out, 5);
        wire_str(&out, "text");
        wire_u8(&out, 6);
        wire_str(&out, NULL);
        wire_u8(&out, 9);
        size_t inner = wire_begin(&out, 1000);
        wire_u8(&out, 1);
        wire_u64(&out, 1ull << 40);
        wire_u8(&out, 8);
        wire_u32(&out, 1);
        wire_u8(&out, 2);
        wire_i64(&out, -1);
        wire_u8(&out, 3);
        wire_bool(&out, true);
        wire_u8(&out, 4);
        wire_double(&out, 0.5);
        wire_end(&out, inner);
        wire_end(&out, outer);
        FUZZ_CHECK(!out.failed);
        fuzz_seed(out.bytes.items, out.bytes.count);
    }
    wire_out_deinit(&out);
}

FUZZ_TARGET(wire, run, seeds, 20000)
