#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of a program that is full of them is in what is written of it by default: live, of its core and
of captures, with --locals, in every format. tests/programs/planted.py has them."""

import gzip
import os
import re
import tempfile

import harm
import support

PROGRAM = support.path("tests/programs/planted.py")
ARGUMENTS = [
    "--password=SECRETa01", "--db-password", "SECRETa02", "-p", "SECRETa03", "-pSECRETa04", "--url",
    "https://bob:SECRETa05@h/x", "bob:SECRETa06@db:5432/app", "-u", "bob:SECRETa07",
    "--user=bob:SECRETa08", "--auth", "bob:SECRETa09", "-DdbPassword=SECRETa10", "--env",
    "API_TOKEN=SECRETa11", "--dsn", "host=h password=SECRETa12", "--header", "X-Api-Key: SECRETa13",
    "--json", '{"password": "SECRETa14"}', "ghp_SECRETa15abcdefghijklmnop1", "--api-token",
    "-SECRETa16xyz", "--token:SECRETa17", "/p:SECRETa18", "AccountKey=SECRETa20;x=1", "--set",
    "db.password=SECRETa21", "--passwd", "SECRETa22", "-P", "SECRETa23", "--pass", "SECRETa26",
    "-token", "SECRETa27", "--pw=SECRETa28", "password:SECRETa29", "--oauth2-bearer", "SECRETa30",
    "redis://:SECRETa31@h:6379/0", "https://SECRETa33:x-oauth-basic@github.com/x"]
ENVIRONMENT = {"HARMLESS": "SECRETv01", "DB_PASSWORD": "SECRETv02"}
FORMATS = ["json", "txt", "md", "html", "svg", "folded", "csv", "callgrind", "pprof", "pstats",
           "speedscope.json"]
# Texts of exceptions are in a capture; a secret that only their sense tells is in them.
TOLD = {"SECRETe%02d" % number for number in (3, 6, 8, 9, 11, 18, 19)}


class Planted(support.TestCase):
    def scan(self, what, data):
        for found in sorted(set(re.findall(rb"SECRET[a-z]\d\d", data))):
            if what != "file" or found.decode() not in TOLD:
                self.leaks.append("%s: %s" % (found.decode(), what))

    def write(self, what, *arguments):
        """Runs pycore with all formats as outputs, and looks at all that it writes."""
        paths = [os.path.join(self.folder, "report." + ending) for ending in FORMATS]
        outputs = [word for path in paths for word in ("-o", path)]
        done = support.pycore(*arguments, *outputs, "--full", timeout=120)
        self.assertIn(done.rc, (0, 1), done.err)
        self.scan(what + " said", (done.out + done.err).encode("utf-8", "replace"))
        for path in paths:
            with open(path, "rb") as stream:
                data = stream.read()
            self.scan(what + os.path.basename(path)[6:],
                      gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
            if "--locals" in arguments and path.endswith("report.json"):
                self.assertIn(b"VISIBLE01", data)

    @harm.versions("3.8", "3.11", "3.13", "3.15")
    def test_planted(self, python):
        holder = tempfile.TemporaryDirectory(prefix="pycore-planted-")
        self.addCleanup(holder.cleanup)
        self.folder, self.leaks = holder.name, []
        core, capture, of_core = (os.path.join(self.folder, name) for name in ("core", "c", "cc"))
        with support.start_target(python, PROGRAM, self.folder, *ARGUMENTS,
                                  env=ENVIRONMENT) as target:
            self.write("live", "snap", target.pid, "--locals")
            self.write("run", "snap", target.pid, "-n", 3, "-i", "20ms", "--snapshots", "--save",
                       capture)
            for words in (("snap", target.pid, "-v"), ("ps",)):
                done = support.pycore(*words)
                self.scan(words[0], (done.out + done.err).encode("utf-8", "replace"))
            dumped = support.pycore("gcore", target.pid, "-o", core, timeout=120)
            self.assertEqual(dumped.rc, 0, dumped.err)
        self.write("core", "analyze", core, "--locals")
        self.write("saved", "analyze", core, "--save", of_core)
        self.write("replay", "report", capture)
        for path in (capture, of_core):
            with open(path, "rb") as stream:
                self.scan("file", stream.read())
        self.assertEqual(self.leaks, [])


if __name__ == "__main__":
    import tap
    tap.main()
