#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages on the stacks and their versions: as modules say them, else as installers left them; live, in
captures, and of cores only what is in the core or below a given root."""

import os
import shutil
import tempfile
import time

import harm
import support

CALL = "def call(rest):\n    return rest[0](rest[1:])\n"
FILES = {
    # The module's own word counts: it is what was loaded.
    "alpha/__init__.py": "__version__ = '1.2.3'\n" + CALL,
    "alpha-9.9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: alpha\nVersion: 9.9.9\n",
    # A project of another name, that has no list of its packages.
    "beta_mod/__init__.py": "",
    "beta_mod/inner/deep.py": CALL,
    "Beta.Dist-2.0.dist-info/METADATA": "Name: Beta.Dist\nVersion: 2.0\n\nVersion: 7\n",
    "Beta.Dist-2.0.dist-info/RECORD": "beta_mod/__init__.py,,\nbeta_mod/inner/deep.py,sha256=x,1\n",
    # Names are compared as PEP 503 does, and setuptools has folders of its own.
    "gamma_x.py": CALL,
    "Gamma.X-3.0rc1-py3.egg-info/PKG-INFO": "Name: Gamma-X\nVersion: 3.0rc1\n",
    "iota.py": CALL,
    "Iota_Project-0.9.egg-info/PKG-INFO": "Name: Iota-Project\nVersion: 0.9\n",
    "Iota_Project-0.9.egg-info/top_level.txt": "kappa\niota\n",
    # Nothing is said, or no version.
    "delta/__init__.py": CALL,
    "epsilon.py": "__version__ = 'SECRET token'\n" + CALL,
    "epsilon-1.dist-info/METADATA": "Name: epsilon\nVersion: SECRET token\n",
    # A namespace of two projects.
    "zeta/one/__init__.py": CALL,
    "zeta/two/__init__.py": CALL,
    "zeta_one-0.1.dist-info/METADATA": "Name: zeta.one\nVersion: 0.1\n",
    "zeta_one-0.1.dist-info/RECORD": "zeta/one/__init__.py,,\n",
    "zeta_two-0.2.dist-info/METADATA": "Name: zeta.two\nVersion: 0.2\n",
    "zeta_two-0.2.dist-info/RECORD": "zeta/two/__init__.py,,\n",
    "eta-1.5-py3.egg/eta.py": CALL,
    # Its version is no text, and its files have changed since.
    "theta.py": "__version__ = (4, 0)\n" + CALL,
    "theta-4.0.dist-info/METADATA": "Name: theta\nVersion: 4.0\n",
    # Two of one name: either may be.
    "lamda.py": CALL,
    "lamda-1.0.dist-info/METADATA": "Name: lamda\nVersion: 1.0\n",
    "lamda-2.0.dist-info/METADATA": "Name: lamda\nVersion: 2.0\n",
    # Not on a stack.
    "idle.py": "__version__ = '5.0'\n",
    "idle-5.0.dist-info/METADATA": "Name: idle\nVersion: 5.0\n",
}
NEWER = "theta-4.0.dist-info/METADATA"
PROGRAM = '''
import os, sys, time
site = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages")
sys.path[:0] = [site, os.path.join(site, "eta-1.5-py3.egg")]
import alpha, beta_mod.inner.deep, gamma_x, iota, delta, epsilon, zeta.one, zeta.two, eta, theta, lamda, idle
def park(rest):
    print("READY", flush=True)
    time.sleep(100000)
steps = [module.call for module in (beta_mod.inner.deep, gamma_x, iota, delta, epsilon, zeta.one,
                                    zeta.two, eta, theta, lamda)]
alpha.call(steps + [park])
'''
OF_FILES = [("alpha", "1.2.3"), ("Beta.Dist", "2.0"), ("delta", None), ("epsilon", None), ("eta", "1.5"),
            ("Gamma-X", "3.0rc1"), ("Iota-Project", "0.9"), ("lamda", None), ("theta", None),
            ("zeta.one", "0.1"), ("zeta.two", "0.2")]
OF_MEMORY = [("alpha", "1.2.3"), ("beta_mod", None), ("delta", None), ("epsilon", None),
             ("eta", "1.5"), ("gamma_x", None), ("iota", None), ("lamda", None), ("theta", None),
             ("zeta", None)]


def packages(document):
    return [(package["name"], package["version"])
            for package in document["source"]["environment"]["packages"]]


class Packages(support.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="pycore-packages-")
        self.addCleanup(holder.cleanup)
        self.folder = holder.name

    def install(self):
        site = os.path.join(self.folder, "site-packages")
        shutil.rmtree(site, ignore_errors=True)
        for name, text in FILES.items():
            path = os.path.join(site, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as stream:
                stream.write(text)
            later = time.time() + (3600 if name == NEWER else -3600)
            os.utime(path, (later, later))
        script = os.path.join(self.folder, "app.py")
        with open(script, "w") as stream:
            stream.write(PROGRAM)
        return site, script

    @support.each_python(builds=("release", "debug", "free-threaded"))
    def test_versions(self, python):
        site, script = self.install()
        core, capture, of_core = (os.path.join(self.folder, name) for name in ("core", "c", "cc"))
        with support.start_target(python, script) as target:
            live = support.pycore_json("snap", target.pid, ok=(0, 1))
            run = support.pycore_json("snap", target.pid, "-n", 3, "-i", "5ms", "--save", capture,
                                      ok=(0, 1))
            dumped = support.pycore("gcore", target.pid, "-o", core)
            self.assertEqual(dumped.rc, 0, dumped.err)
            shown = {form: support.pycore("snap", target.pid, "-f", form).out
                     for form in ("text", "md", "html")}
        rooted = support.pycore_json("analyze", core, "--sysroot", "/", ok=(0, 1))
        shutil.rmtree(site)
        self.assertEqual(packages(live), OF_FILES)
        self.assertEqual(packages(run), OF_FILES)
        self.assertEqual(packages(support.pycore_json("report", capture, ok=(0, 1))), OF_FILES)
        # Of a core it is not known when the process began.
        self.assertEqual(packages(rooted), [(name, "4.0" if name == "theta" else version)
                                            for name, version in OF_FILES])
        self.assertEqual(packages(support.pycore_json("analyze", core, "--save", of_core,
                                                      ok=(0, 1))), OF_MEMORY)
        self.assertEqual(packages(support.pycore_json("analyze", of_core, ok=(0, 1))), OF_MEMORY)
        for form, text in shown.items():
            for package in ("alpha 1.2.3", "Beta.Dist 2.0"):
                self.assertIn(package, text, form)
            self.assertNotIn("idle 5", text, form)
        with open(capture, "rb") as stream:
            self.assertNotIn(b"SECRET", stream.read())

    def test_files_that_are_none(self):
        """Pipes, links into the dark, folders and huge files in the place of what installers leave."""
        site, script = self.install()
        for name in ("alpha-9.9.9.dist-info", "epsilon-1.dist-info", "theta-4.0.dist-info"):
            shutil.rmtree(os.path.join(site, name))
        os.mkfifo(os.path.join(site, "theta-4.0.egg-info"))
        os.makedirs(os.path.join(site, "epsilon-1.dist-info", "METADATA"))
        beta = os.path.join(site, "Beta.Dist-2.0.dist-info")
        os.unlink(os.path.join(beta, "RECORD"))
        os.symlink("/dev/zero", os.path.join(beta, "RECORD"))
        with open(os.path.join(site, "zeta_one-0.1.dist-info", "METADATA"), "r+") as stream:
            stream.truncate(2 << 20)
        python = harm.usual_python()
        with support.start_target(python, script) as target:
            document = support.pycore_json("snap", target.pid, ok=(0, 1))
        self.assertEqual(packages(document), [
            ("alpha", "1.2.3"), ("beta_mod", None), ("delta", None), ("epsilon", None),
            ("eta", "1.5"), ("Gamma-X", "3.0rc1"), ("Iota-Project", "0.9"), ("lamda", None),
            ("theta", None), ("zeta", None), ("zeta.two", "0.2")])


if __name__ == "__main__":
    import tap
    tap.main()
