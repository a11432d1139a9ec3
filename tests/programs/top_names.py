#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads with names that are wide, hostile or both, and one that works: something for top to show."""

import sys
import threading
import time

NAMES = ["zażółć-预订", "red\x1b[31m\x1b[2J", "two\nlines"]


def größe_berechnen():
    value = 1
    while True:
        for step in range(2000):
            value = (value * 31 + step) % 10007


for name in NAMES:
    threading.Thread(target=time.sleep, args=(600,), name=name, daemon=True).start()
threading.Thread(target=größe_berechnen, name="worker", daemon=True).start()
print("READY")
sys.stdout.flush()
time.sleep(600)
