"""What the kernel refuses a child that decodes hostile bytes: a seccomp filter, written down as rules and as BPF.

It lists what no decoder needs, and not what one needs: FFmpeg, OpenCV, glibc and Python call what they like from
version to version, and a decoder that dies of an update watches nothing. What is refused fails with EPERM, as on a
system where this user may not. It is by hand: libseccomp is not on every machine, and its bindings are hardly kept.
"""

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_LOAD, _AND, _EQUAL, _ANY_BIT, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x45, 0x35, 0x06
_ALLOWED, _REFUSED, _KILLED = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_FROM = 0x40000000
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 1 << 2
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
_F_SETSIG, _F_SETOWN_EX, _F_OFD_SETLK, _F_OFD_SETLKW = 10, 15, 37, 38
_OF_OTHERS = (
    fcntl.F_SETOWN, _F_SETOWN_EX, _F_SETSIG, fcntl.F_SETLK, fcntl.F_SETLKW, _F_OFD_SETLK, _F_OFD_SETLKW,
    fcntl.F_SETLEASE, fcntl.F_NOTIFY,
)  # fmt: skip
"""Who gets a signal, any signal, when a file can be read; and what keeps others from a file that can only be read."""
_SOCKET_KIND = 0xF
_THREAD, _NAMESPACES = 0x00010000, 0x7E020000


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int
    seccomp: int
    column: int


MACHINES = {"x86_64": _Machine(0xC000003E, 317, 0), "aarch64": _Machine(0xC00000B7, 277, 1)}
"""Whose numbers are in the tables; on any other there is no filter."""

_NONE = -1

# On x86-64, on aarch64.
REFUSED = {
    # other programs, and the memory, the place and the turn of other processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, _NONE), "vfork": (58, _NONE),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    # how much of the machine others get, where one user may say so of all that is its own
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274),
    "setpgid": (109, 154), "migrate_pages": (256, 238), "move_pages": (279, 239), "process_mrelease": (448, 448),
    "flock": (73, 32),
    # where kernels have had most of their holes
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "fanotify_init": (300, 262), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "modify_ldt": (154, _NONE), "uselib": (134, _NONE), "personality": (135, 92),
    "lookup_dcookie": (212, 18), "memfd_secret": (447, 447),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "iopl": (172, _NONE), "ioperm": (173, _NONE),
    "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "vhangup": (153, 58),
    # namespaces, mounts, rights
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setgroups": (116, 159), "setresuid": (117, 147), "setresgid": (119, 149), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "capset": (126, 91),
    # being called by others, and sockets that take an address on this machine later
    "socketpair": (53, 199), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242),
    "shmget": (29, 194), "shmctl": (31, 195), "shmat": (30, 196), "semget": (64, 190), "semctl": (66, 191),
    "semop": (65, 193), "msgget": (68, 186), "msgctl": (71, 187), "msgrcv": (70, 188), "msgsnd": (69, 189),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    # files: names, rights and sizes
    "creat": (85, _NONE), "truncate": (76, 45), "fallocate": (285, 47), "rename": (82, _NONE), "renameat": (264, 38),
    "renameat2": (316, 276), "mkdir": (83, _NONE), "mkdirat": (258, 34), "rmdir": (84, _NONE), "link": (86, _NONE),
    "linkat": (265, 37), "unlink": (87, _NONE), "unlinkat": (263, 35), "symlink": (88, _NONE), "symlinkat": (266, 36),
    "chmod": (90, _NONE), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, _NONE),
    "fchown": (93, 55), "lchown": (94, _NONE), "fchownat": (260, 54), "mknod": (133, _NONE), "mknodat": (259, 33),
    "utime": (132, _NONE), "utimes": (235, _NONE), "futimesat": (261, _NONE), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463), "removexattrat": (466, 466),
    "file_setattr": (469, 469), "open_tree_attr": (467, 467), "quotactl_fd": (443, 443),
}  # fmt: skip
"""Whatever the arguments are."""

MISSING = {"openat2": (437, 437), "clone3": (435, 435)}
"""Their arguments are in memory, where a filter cannot look. They fail as on a kernel that has none: libraries know it
and call `openat` and `clone` instead.
"""

_OPEN, _OPENAT, _SOCKET, _CLONE = (2, _NONE), (257, 56), (41, 198), (56, 220)
_PRCTL, _IOCTL, _PRLIMIT, _FCNTL = (157, 167), (16, 29), (302, 261), (72, 25)
_TO_A_PROCESS = ((62, 129), (200, 130), (234, 131), (129, 138), (297, 240))
"""kill, tkill, tgkill, rt_sigqueueinfo and rt_tgsigqueueinfo: abort() needs one of them, to itself."""

_Instruction = tuple[int, int, int, int]
"""Code, how many to leave out if true, and if false, and a value."""

_REFUSE = (_RETURN, 0, 0, _REFUSED | errno.EPERM)
_ALLOW = (_RETURN, 0, 0, _ALLOWED)


def filter_system_calls(*, threads: bool = True) -> bool:
    """Refuse them from now on, to this process for good. False where the system has no such filter.

    NO_NEW_PRIVS must be set. All threads that begin later inherit it, and there should be no other by now; without
    `threads` none begins.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None or struct.calcsize("P") != struct.calcsize("Q"):
        return False
    code = b"".join(struct.pack("<HBBI", *one) for one in _program(machine, own_pid=os.getpid(), threads=threads))
    held = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: the number of instructions, and where they are.
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    # Without SPEC_ALLOW some kernels slow every load after a store down, against attacks on the process's own memory.
    for flags in (_SPEC_ALLOW, 0):
        if libc.syscall(machine.seccomp, _SET_MODE_FILTER, flags, program) == 0:
            return True
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, program, 0, 0) == 0)


def _program(machine: _Machine, *, own_pid: int, threads: bool) -> Iterator[_Instruction]:
    """What depends on arguments first: the kernel knows by itself of the others which it need not ask about."""
    yield (_LOAD, 0, 0, _ARCHITECTURE_AT)
    yield (_EQUAL, 1, 0, machine.audit)
    yield (_RETURN, 0, 0, _KILLED)
    yield (_LOAD, 0, 0, _NUMBER_AT)
    yield (_AT_LEAST, 0, 1, _X32_FROM)
    yield _REFUSE
    for numbers, block in _blocks(own_pid, threads=threads):
        if (number := numbers[machine.column]) != _NONE:
            yield (_EQUAL, 0, len(block), number)
            yield from block
    for numbers in REFUSED.values():
        if (number := numbers[machine.column]) != _NONE:
            yield (_EQUAL, 0, 1, number)
            yield _REFUSE
    for numbers in MISSING.values():
        yield (_EQUAL, 0, 1, numbers[machine.column])
        yield (_RETURN, 0, 0, _REFUSED | errno.ENOSYS)
    yield _ALLOW


def _blocks(own_pid: int, *, threads: bool) -> Iterator[tuple[tuple[int, int], list[_Instruction]]]:
    """Each ends in an answer."""
    changes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    yield _OPENAT, [_argument(2), (_ANY_BIT, 0, 1, changes), _REFUSE, _ALLOW]
    yield _OPEN, [_argument(1), (_ANY_BIT, 0, 1, changes), _REFUSE, _ALLOW]
    # Typing into the operator's terminal, and fcntl's signals by another name.
    yield _IOCTL, _refused_if(1, _TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP)
    yield _FCNTL, _refused_if(1, *_OF_OTHERS)
    yield _PRCTL, _refused_if(0, _PR_SET_PDEATHSIG, _PR_SET_DUMPABLE)
    yield _PRLIMIT, _allowed_if(0, 0, own_pid)
    for numbers in _TO_A_PROCESS:
        yield numbers, _allowed_if(0, own_pid)
    yield _SOCKET, [
        # Not AF_UNIX: multiprocessing's forkserver, which asks nobody who he is, unpickles what it is sent.
        *_allowed_if(0, socket.AF_INET, socket.AF_INET6)[:-2], _REFUSE,
        _argument(1), (_AND, 0, 0, _SOCKET_KIND), (_EQUAL, 0, 1, socket.SOCK_RAW), _REFUSE, _ALLOW,
    ]  # fmt: skip
    # Of all that one user may have threads are counted together: by thousands of them it would have no room for others.
    a_thread = [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _REFUSE, (_ANY_BIT, 1, 0, _THREAD), _REFUSE, _ALLOW]
    yield _CLONE, a_thread if threads else [_REFUSE]


def _allowed_if(argument: int, *values: int) -> list[_Instruction]:
    """One of these; else refused. The last two are what is answered: no, yes."""
    last = len(values)
    return [_argument(argument), *((_EQUAL, last - at, 0, value) for at, value in enumerate(values)), _REFUSE, _ALLOW]


def _refused_if(argument: int, *values: int) -> list[_Instruction]:
    last = len(values)
    return [_argument(argument), *((_EQUAL, last - at, 0, value) for at, value in enumerate(values)), _ALLOW, _REFUSE]


def _argument(which: int) -> _Instruction:
    """Its lower half, which is all of an int: both machines put it first."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * which)
