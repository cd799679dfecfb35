#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""confine.py UNIT USER GROUP PROGRAM…: runs a program under what a systemd unit restricts, without systemd as the system's manager:
its user and group, no new privileges, no capabilities, its limits on core files, umask, address families and system calls. The groups of
system calls are those of the installed systemd (systemd-analyze syscall-filter)."""
import ctypes
import grp
import os
import platform
import pwd
import re
import resource
import struct
import subprocess
import sys

ARCHITECTURES = {"x86_64": (0xC000003E, "x86_64-linux-gnu/asm/unistd_64.h"), "aarch64": (0xC00000B7, "asm-generic/unistd.h")}
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, EAFNOSUPPORT = 1, 97
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38


def settings(unit):
    """{key: [values]} of the unit's [Service] lines."""
    found = {}
    with open(unit, encoding="utf-8") as file:
        for line in file:
            key, separator, value = line.strip().partition("=")
            if separator and not line.startswith("#"):
                found.setdefault(key, []).append(value)
    return found


def group_members(name):
    text = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", name], check=True, stdout=subprocess.PIPE).stdout.decode()
    return [line.strip() for line in text.splitlines() if line.startswith("    ") and not line.strip().startswith("#")]


def expand(words):
    names = set()
    for word in words:
        names |= expand(group_members(word)) if word.startswith("@") else {word}
    return names


def system_calls(lines):
    """The names that a unit's SystemCallFilter lines leave, in systemd's order of reading: the first line says whether they are
    permissions, later ones add or, after "~", take away."""
    names = expand(["@default"])
    for line in lines:
        if line.startswith("~"):
            names -= expand(line[1:].split())
        else:
            names |= expand(line.split())
    return names


def numbers(names, header):
    with open("/usr/include/" + header) as file:
        table = {match.group(1): int(match.group(2)) for match in re.finditer(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", file.read())}
    return {table[name] for name in names if name in table}, table["socket"]


def bpf(unit):
    """The seccomp filter as bytes of struct sock_filter."""
    architecture, header = ARCHITECTURES[platform.machine()]
    lines = settings(unit)
    allowed, socket_number = numbers(system_calls(lines["SystemCallFilter"]), header)
    families = [FAMILIES[name] for line in lines["RestrictAddressFamilies"] for name in line.split()]

    def statement(code, value):
        return (code, 0, 0, value)

    def equal(value, yes, no):
        return (0x15, yes, no, value)

    program = [statement(0x20, 4), equal(architecture, 1, 0), statement(0x06, KILL), statement(0x20, 0)]
    program += [equal(socket_number, 0, len(families) + 3), statement(0x20, 16)]
    program += [equal(family, len(families) - index, 0) for index, family in enumerate(families)]
    program += [statement(0x06, ERRNO | EAFNOSUPPORT), statement(0x06, ALLOW)]
    for number in sorted(allowed - {socket_number}):
        program += [equal(number, 0, 1), statement(0x06, ALLOW)]
    program.append(statement(0x06, ERRNO | EPERM))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def main():
    unit, user, group, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
    filter_bytes = bpf(unit)
    buffer = ctypes.create_string_buffer(filter_bytes, len(filter_bytes))
    program = struct.pack("=HxxxxxxQ", len(filter_bytes) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(int(settings(unit).get("UMask", ["0022"])[0], 8))
    parent = os.getppid()
    os.setgroups([])
    os.setgid(grp.getgrnam(group).gr_gid)
    os.setuid(pwd.getpwnam(user).pw_uid)
    libc.prctl(PR_SET_PDEATHSIG, 9)
    if os.getppid() != parent:
        os._exit(1)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        sys.exit("no new privileges: " + os.strerror(ctypes.get_errno()))
    if libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(program), 0, 0) != 0:
        sys.exit("seccomp: " + os.strerror(ctypes.get_errno()))
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
