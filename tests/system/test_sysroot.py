#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cores whose files are elsewhere, in another build, deleted or replaced: with the right directory
they give the stacks that they gave with the files in place, and a wrong build is never used."""

import http.server
import json
import os
import shutil
import tempfile
import threading
import unittest

import support
import tap
import test_core_input
import trees

PROGRAM = """
import ctypes, sys, threading, time
sys.path.insert(0, %r)
import at_rest
code = ctypes.CDLL(sys.argv[1])
def waiting():
    time.sleep(1000)
def calling():
    code.enter_exported(ctypes.c_long(1))
threading.Thread(target=waiting, name="waiter", daemon=True).start()
at_rest.wait()
%s
calling()
"""
# Upgraded while it runs, as a package manager does it: a new file under the old name.
REPLACE = "import os\nfor name in sys.argv[2:]: os.rename(name + '.new', name)"
DELETE = "import os\nfor name in sys.argv[2:]: os.remove(name)"
NATIVE = ["end_in_static", "through_hidden", "enter_exported"]


def setUpModule():
    why = test_core_input.cores.no_kernel_cores()
    if why:
        raise unittest.SkipTest(why)


def other_build(source, target):
    """The same file with another build ID."""
    identity = bytes.fromhex(trees.build_id(source))
    with open(source, "rb") as stream:
        data = stream.read()
    assert data.count(identity) == 1
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as stream:
        stream.write(data.replace(identity, bytes(reversed(identity))))
    return target


class Case:
    """A program with its own interpreter and library, and the core that it left."""

    def __init__(self, folder, between="", options=(), arguments=()):
        self.app = os.path.join(folder, "app")
        self.copy = trees.Copy(trees.usual_python(), self.app)
        self.code = os.path.join(self.app, "lib", "code.so")
        os.makedirs(os.path.dirname(self.code), exist_ok=True)
        trees.compile_code(self.code, *options)
        self.files = [file for file in (self.copy.program, self.copy.library, self.code) if file]
        self.folder = folder
        self.kept = os.path.join(folder, "kept")  # the same files, where nobody looks by himself
        for file in self.files:
            trees.put(file, self.kept + file)
        self.between, self.arguments = between, arguments
        self.core = None

    def run(self):
        script = os.path.join(self.folder, "program.py")
        with open(script, "w") as stream:
            stream.write(PROGRAM % (support.path("tests/programs"), self.between))
        env = ["%s=%s" % item for item in self.copy.env.items()]
        self.core = test_core_input.kernel_core(self.folder, [
            "/usr/bin/env", *env, self.copy.program, "-S", script, self.code, *self.arguments])

    def remove(self):
        shutil.rmtree(self.app)

    def lay_out(self, name, place, source=None):
        """The files in a folder of their own, each where place(file, build ID) says."""
        root = os.path.join(self.folder, name)
        shutil.rmtree(root, ignore_errors=True)
        for file in self.files:
            kept = self.kept + file
            target = os.path.join(root, place(file, trees.build_id(kept)).lstrip("/"))
            (source or trees.put)(kept, target)
        return root


class Scratch(support.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pycore-sysroot-")
        self.addCleanup(folder.cleanup)
        self.folder = os.path.realpath(folder.name)

    def analyze(self, case, *options, ok=(0, 1), **more):
        return support.pycore_json("analyze", case.core, *options, ok=ok, timeout=300, **more)

    def stacks(self, document):
        return [(thread["tid"], thread["name"], thread["frames"])
                for thread in document["snapshots"][0]["threads"]]

    def natives(self, document):
        """The functions of code.so, innermost first, in the thread that died."""
        thread = document["snapshots"][0]["threads"][0]
        return [frame["function"] for frame in thread["frames"] if frame.get("module") == "code.so"]

    def check_whole(self, case, expected, *options, **more):
        document = self.analyze(case, *options, ok=(0,), **more)
        self.assertEqual(self.stacks(document), self.stacks(expected))
        notes = " ".join(document["notes"])
        self.assertNotIn("not at hand", notes)
        self.assertNotIn("another build", notes)
        return document

    def check_without(self, case, *options, files=None, words=("at hand",)):
        """The files are missed by name, with their build IDs; what is shown was not guessed."""
        outcome = support.pycore("analyze", case.core, "-f", "json", *options, timeout=300)
        self.assertIn(outcome.rc, (1, 2), outcome.err)
        text = outcome.err
        if outcome.rc == 1:
            document = json.loads(outcome.out)
            text = " ".join(document["notes"])
            self.assertNotIn("end_in_static", self.natives(document))
        # One line for people tells only of those that Python itself is in.
        for file in files or case.files:
            if outcome.rc == 1 or file != case.code:
                self.assertIn(os.path.basename(file), text)
        for word in words:
            self.assertIn(word, text)
        return text


class Elsewhere(Scratch):
    """All files are gone from where they were mapped; copies of them are in some directory."""

    def setUp(self):
        super().setUp()
        self.case = Case(self.folder)
        self.case.run()
        self.expected = self.analyze(self.case, ok=(0,))
        self.assertEqual(self.natives(self.expected), NATIVE)
        python = [frame["function"] for frame in support.of_python(
            self.expected["snapshots"][0]["threads"][0])]
        self.assertIn("calling", python)
        self.case.remove()

    def test_places(self):
        self.check_without(self.case)
        by_id = lambda file, ident: "%s/%s" % (ident[:2], ident[2:])
        places = [
            ("--sysroot", "tree", lambda file, ident: file),
            ("--sysroot", "flat", lambda file, ident: os.path.basename(file)),
            ("--sysroot", "debug store",
             lambda file, ident: "usr/lib/debug/.build-id/" + by_id(file, ident)),
            ("--sysroot", "store", lambda file, ident: "usr/lib/.build-id/" + by_id(file, ident)),
            ("--debug-dir", "dir tree", lambda file, ident: file),
            ("--debug-dir", "dir flat", lambda file, ident: os.path.basename(file)),
            ("--debug-dir", "dir store", lambda file, ident: ".build-id/" + by_id(file, ident)),
        ]
        for option, name, place in places:
            with self.subTest(name):
                root = self.case.lay_out(name, place)
                self.check_whole(self.case, self.expected, option, root,
                                 *self.libc_too(option, root))
                # Another build in the same place is refused, named, and not used.
                self.case.lay_out(name, place, source=other_build)
                words = ["another build"] + [trees.build_id(self.case.kept + file)
                                             for file in self.case.files[:-1]]
                self.check_without(self.case, option, root, words=words)

    def libc_too(self, option, root):
        """With a sysroot, the system's own files are looked for there, too."""
        if option == "--sysroot":
            for file in trees.mapped_files(self.case.copy.python):
                if not os.path.exists(root + file):
                    trees.put(file, root + file)
        return ()

    def test_wrong_build_is_told_apart(self):
        """Both build IDs and the place; a better file elsewhere is still found."""
        wrong = self.case.lay_out("wrong", lambda file, ident: file, source=other_build)
        self.libc_too("--sysroot", wrong)
        text = self.check_without(self.case, "--sysroot", wrong, words=["another build"])
        here = wrong + self.case.copy.program
        self.assertIn("%s has %s" % (here, trees.build_id(here)), text)
        right = self.case.lay_out("right", lambda file, ident: os.path.basename(file))
        self.check_whole(self.case, self.expected, "--sysroot", wrong, "--debug-dir", right)

    def test_exe(self):
        """The program alone is elsewhere; another build of it is refused."""
        tree = self.case.lay_out("tree", lambda file, ident: file)
        self.libc_too("--sysroot", tree)
        os.rename(tree + self.case.copy.program, os.path.join(self.folder, "moved"))
        self.check_whole(self.case, self.expected, "--sysroot", tree, "--exe",
                         os.path.join(self.folder, "moved"))
        wrong = other_build(os.path.join(self.folder, "moved"), os.path.join(self.folder, "bad"))
        document = self.analyze(self.case, "--sysroot", tree, "--exe", wrong)
        notes = " ".join(document["notes"])
        self.assertIn("--exe %s is another build" % wrong, notes)

    def test_links_stay_inside(self):
        """Absolute links and ".." count from the sysroot, as they did for the program."""
        lib = os.path.dirname(self.case.code)

        def with_links(name, link, target):
            root = self.case.lay_out(name, lambda file, ident: file.replace(lib, target)
                                     if file.startswith(lib) else file)
            self.libc_too("--sysroot", root)
            os.symlink(link, root + lib)
            return root
        self.check_whole(self.case, self.expected, "--sysroot",
                         with_links("absolute", "/opt/here", "/opt/here"))
        self.check_whole(self.case, self.expected, "--sysroot",
                         with_links("climbing", "../" * 40 + "opt/here", "/opt/here"))
        # The right files lie outside, just where these links point for us.
        kept = os.path.dirname(self.case.kept + self.case.code)
        for name, link in (("out", kept), ("up", os.path.relpath(kept, os.path.join(
                self.folder, "up") + os.path.dirname(lib)))):
            with self.subTest(name):
                root = with_links(name, link, "/nowhere")
                self.assertTrue(os.path.exists(root + self.case.code), "the link leads nowhere")
                text = self.check_without(self.case, "--sysroot", root, files=self.case.files[1:])
                self.assertNotIn(kept, text)

    def test_debuginfod(self):
        """The programs themselves come from a server, only when the user said so."""
        files = {trees.build_id(self.case.kept + file): self.case.kept + file
                 for file in self.case.files}
        asked = []

        class Server(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                parts = self.path.split("/")
                if parts[3:] != ["executable"] or parts[2] not in files:
                    self.send_error(404)
                    return
                with open(files[parts[2]], "rb") as stream:
                    data = stream.read()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass
        server = http.server.HTTPServer(("127.0.0.1", 0), Server)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            env = {"DEBUGINFOD_URLS": "http://127.0.0.1:%d/" % server.server_port,
                   "DEBUGINFOD_CACHE_PATH": os.path.join(self.folder, "cache"),
                   "DEBUGINFOD_TIMEOUT": "60"}
            outcome = support.pycore("analyze", self.case.core, env=env)
            self.assertIn(outcome.rc, (1, 2))
            self.assertEqual(asked, [])
            document = self.analyze(self.case, "--debuginfod", env=env)
            if "cannot be loaded" in " ".join(document["notes"]):
                self.skipTest("no libdebuginfod on this machine")
            self.assertEqual(self.stacks(document), self.stacks(self.expected))
            self.assertTrue(asked)
            # A server that hands out another build is not believed.
            shutil.rmtree(os.path.join(self.folder, "cache"))
            for ident, file in list(files.items()):
                files[ident] = other_build(file, file + ".other")
            outcome = support.pycore("analyze", self.case.core, "--debuginfod", "-f", "json",
                                     env=env)
            self.assertIn(outcome.rc, (1, 2))
            self.assertIn("another build", outcome.err + outcome.out)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class Replaced(Scratch):
    """Files that were upgraded or deleted while the program ran."""

    def make(self, between, options=()):
        case = Case(self.folder, between, options)
        case.arguments = [file for file in case.files if file != case.copy.program]
        return case

    def test_upgraded(self):
        case = self.make(REPLACE)
        for file in case.arguments:
            other_build(file, file + ".new")
        case.run()
        text = self.check_without(case, files=case.arguments, words=["another build"])
        library = case.arguments[0]
        self.assertIn("%s has %s" % (library, trees.build_id(library)), text)
        tree = case.lay_out("tree", lambda file, ident: os.path.basename(file))
        document = self.analyze(case, "--debug-dir", tree, ok=(0,))
        self.assertEqual(self.natives(document), NATIVE)
        self.assertNotIn("another build", " ".join(document["notes"]))

    def test_deleted(self):
        case = self.make(DELETE)
        case.run()
        self.check_without(case, files=case.arguments)
        tree = case.lay_out("tree", lambda file, ident: os.path.basename(file))
        document = self.analyze(case, "--debug-dir", tree, ok=(0,))
        self.assertEqual(self.natives(document), NATIVE)

    def test_deleted_without_build_id(self):
        """What lies under a deleted file's name now is no more than a name's brother."""
        case = self.make("import os\nos.remove(sys.argv[1])", ["-Wl,--build-id=none"])
        case.arguments = []
        case.run()
        case_kept = case.kept + case.code
        # Of the same layout to the last header: nothing but the user's word tells them apart.
        trees.compile_code(case.code, "-Wl,--build-id=none", value=2)
        document = self.analyze(case)
        notes = " ".join(document["notes"])
        self.assertIn("another build", notes)
        self.assertIn("code.so", notes)
        self.assertEqual(self.natives(document).count("end_in_static"), 0)
        root = os.path.join(self.folder, "given")
        trees.put(case_kept, os.path.join(root, "code.so"))
        document = self.analyze(case, "--debug-dir", root)
        self.assertEqual(self.natives(document), NATIVE)
        self.assertIn("no build ID proves", " ".join(document["notes"]))


class NoBuildId(Scratch):
    def test_either_side(self):
        case = Case(self.folder, options=["-Wl,--build-id=none"])
        case.run()
        expected = self.analyze(case)
        self.assertEqual(self.natives(expected), NATIVE)
        self.assertIn("no build ID proves", " ".join(expected["notes"]))
        os.remove(case.code)
        self.check_without(case, files=[case.code])
        for name, options in (("with an ID", ["-Wl,--build-id"]),
                              ("of another layout", ["-Wl,--build-id=none", "-O3", "-DMORE"])):
            with self.subTest(name):
                trees.compile_code(case.code, *options)
                self.check_without(case, files=[case.code], words=["another build"])
        # The other way round: it ran with an ID, and the file at hand has none.
        with_id = Case(os.path.join(self.folder, "second"))
        with_id.run()
        trees.compile_code(with_id.code, "-Wl,--build-id=none")
        text = self.check_without(with_id, files=[with_id.code], words=["another build"])
        self.assertIn("code.so has none", text)


class DebugFiles(Scratch):
    """The library is stripped; its names and lines are in a separate file."""

    def setUp(self):
        super().setUp()
        self.case = Case(self.folder)
        self.debug = os.path.join(self.folder, "code.debug")
        code = self.case.code
        trees.run("objcopy", "--only-keep-debug", code, self.debug)
        trees.run("objcopy", "--strip-all", "--add-gnu-debuglink=" + self.debug, code)
        self.ident = trees.build_id(code)
        self.case.run()

    def named(self, *options):
        document = self.analyze(self.case, *options, ok=(0,))
        thread = document["snapshots"][0]["threads"][0]
        frames = [frame for frame in thread["frames"] if frame.get("module") == "code.so"]
        self.assertEqual(len(frames), 3)
        self.assertEqual(frames[2]["function"], "enter_exported")
        names = [frame["function"] for frame in frames]
        if names != NATIVE:
            self.assertNotIn("end_in_static", names)
            return False
        self.assertTrue(all(frame["line"] and frame["file"].endswith("code.so.c")
                            for frame in frames), frames)
        return True

    def test_layouts(self):
        self.assertFalse(self.named())
        code, ident = self.case.code, self.ident
        store = ".build-id/%s/%s.debug" % (ident[:2], ident[2:])
        for place in (store, code + ".debug", code, "code.so.debug", "code.so", "code.debug",
                      os.path.dirname(code) + "/code.debug"):
            with self.subTest(place):
                folder = os.path.join(self.folder, "debug")
                target = trees.put(self.debug, folder + "/" + place.lstrip("/"))
                self.assertTrue(self.named("--debug-dir", folder))
                # The same build without debug information helps nobody, and hides nothing.
                if place != "code.so":
                    trees.put(self.debug, folder + "/code.so")
                    trees.put(code, target)
                    self.assertTrue(self.named("--debug-dir", folder))
                shutil.rmtree(folder)
                if place.endswith("code.so"):
                    other_build(self.debug, target)
                    self.assertFalse(self.named("--debug-dir", folder))
                    shutil.rmtree(folder)

    def test_sysroot(self):
        root = os.path.join(self.folder, "root")
        for file in set(trees.mapped_files(self.case.copy.python) + self.case.files):
            trees.put(file, root + file)
        self.assertFalse(self.named("--sysroot", root))
        store = "/usr/lib/debug/.build-id/%s/%s.debug" % (self.ident[:2], self.ident[2:])
        for place in (store, self.case.code.replace("code.so", "code.debug"),
                      self.case.code.replace("code.so", ".debug/code.debug"),
                      "/usr/lib/debug" + self.case.code.replace("code.so", "code.debug")):
            with self.subTest(place):
                trees.put(self.debug, root + place)
                self.assertTrue(self.named("--sysroot", root))
                os.remove(root + place)

    def test_a_debug_file_is_no_library(self):
        """In its place it lies under the library's name, with its build ID, and without its code."""
        root = os.path.join(self.folder, "root")
        for file in set(trees.mapped_files(self.case.copy.python) + self.case.files):
            trees.put(self.debug if file == self.case.code else file, root + file)
        self.check_without(self.case, "--sysroot", root, files=[self.case.code])


if __name__ == "__main__":
    tap.main()
