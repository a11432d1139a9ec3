# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command in a small container of its own making. usage: enter.py PLAN COMMAND...

PLAN is JSON; what is in it is done in this order:
  uid        become this user and group, without any others
  join       {"pid": ..., "namespaces": [...]}: enter those of a process
  unshare    new namespaces: "user" (its root is who we are), "mount", "pid"
  tmpfs      copy this folder into a file system that only the container has, and make it the root
  pivot      make this folder the root (pivot_root), and let go of the old one
  hide       mount an empty file system there
  proc       mount a /proc with these options ("" for none)
  chroot     change the root to this folder
  drop       capabilities that the command shall not have, by number
  refuse     {"system call": errno}: what a seccomp filter refuses
Exit status 77: the kernel does not let us do that; the reason is on standard error."""

import ctypes
import errno
import json
import os
import platform
import shutil
import signal
import struct
import sys

# <linux/sched.h>, <sys/mount.h>, <linux/prctl.h>, <linux/seccomp.h>
NAMESPACES = {"user": 0x10000000, "pid": 0x20000000, "mount": 0x00020000}
NAMES = {"user": "user", "pid": "pid", "mount": "mnt"}
MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 0x1000, 0x4000, 0x40000, 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
CALLS = {"x86_64": {"pivot_root": 155, "process_vm_readv": 310, "ptrace": 101},
         "aarch64": {"pivot_root": 41, "process_vm_readv": 270, "ptrace": 117}}

libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    pass


def call(what, *arguments):
    done = getattr(libc, what)(*[argument.encode() if isinstance(argument, str) else argument
                                 for argument in arguments])
    if done < 0:
        number = ctypes.get_errno()
        raise Refused("%s%r: %s" % (what, arguments, os.strerror(number)))
    return done


def write(file, text):
    with open(file, "w") as stream:
        stream.write(text)


def become(uid):
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    # Or /proc/self would belong to root, and the maps of a user namespace could not be written.
    call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)


def join(pid, namespaces):
    # All are opened before the first is entered: /proc may look different from inside.
    files = [os.open("/proc/%d/ns/%s" % (pid, NAMES[name]), os.O_RDONLY) for name in namespaces]
    for file, name in zip(files, namespaces):
        call("setns", file, NAMESPACES[name])


def unshare(names):
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", sum(NAMESPACES[name] for name in names))
    if "user" in names:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", "0 %d 1" % uid)
        write("/proc/self/gid_map", "0 %d 1" % gid)


def go_on_in_child():
    """A process does not enter a namespace of PIDs itself: its children are in there."""
    child = os.fork()
    if child == 0:
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        return
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def pivot(root):
    call("mount", root, root, None, MS_BIND | MS_REC, None)
    os.chdir(root)
    os.makedirs("old", exist_ok=True)
    call("syscall", CALLS[platform.machine()]["pivot_root"], b".", b"old")
    os.chdir("/")
    return "/old"


def own_copy(folder):
    """A tmpfs with what is in the folder, mounted over it."""
    keep = os.open(folder, os.O_RDONLY)
    call("mount", "tmpfs", folder, "tmpfs", 0, None)
    source = "/proc/self/fd/%d" % keep
    for name in os.listdir(source):
        if os.path.isdir(os.path.join(source, name)):
            shutil.copytree(os.path.join(source, name), os.path.join(folder, name), symlinks=True)
        else:
            shutil.copy(os.path.join(source, name), folder)
    os.close(keep)


def refuse(calls):
    """A seccomp filter: seccomp(2)."""
    numbers = CALLS[platform.machine()]
    program = [(0x20, 0, 0, 0)]  # the call's number
    for name, number in calls.items():
        program += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, 0x00050000 | number)]
    program += [(0x06, 0, 0, 0x7fff0000)]
    code = b"".join(struct.pack("HBBI", *row) for row in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
    call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_, 0, 0)


def mounts(plan):
    if {"tmpfs", "pivot", "hide", "proc"} & set(plan):
        call("mount", "none", "/", None, MS_REC | MS_PRIVATE, None)
    old = None
    if "tmpfs" in plan:
        own_copy(plan["tmpfs"])
        old = pivot(plan["tmpfs"])
    if "pivot" in plan:
        old = pivot(plan["pivot"])
    if "hide" in plan:
        call("mount", "tmpfs", plan["hide"], "tmpfs", 0, None)
    # In a user namespace /proc may only be mounted while another is in sight (mount_too_revealing).
    if "proc" in plan:
        call("mount", "proc", "/proc", "proc", 0, plan["proc"] or None)
    if old:
        call("umount2", old, MNT_DETACH)


def main():
    plan, command = json.loads(sys.argv[1]), sys.argv[2:]
    if "uid" in plan:
        become(plan["uid"])
    joined = plan.get("join", {})
    if joined:
        join(joined["pid"], joined["namespaces"])
    if "unshare" in plan:
        unshare(plan["unshare"])
    if "pid" in plan.get("unshare", []) + joined.get("namespaces", []):
        go_on_in_child()
    mounts(plan)
    if "chroot" in plan:
        os.chroot(plan["chroot"])
        os.chdir("/")
    for capability in plan.get("drop", []):
        call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    if "refuse" in plan:
        refuse(plan["refuse"])
    os.execv(command[0], command)


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.stderr.write("enter.py: %s\n" % error)
        sys.stderr.flush()
        os._exit(77)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
            raise
        sys.stderr.write("enter.py: %s\n" % error)
        sys.stderr.flush()
        os._exit(77)
