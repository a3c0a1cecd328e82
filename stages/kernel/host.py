"""Network namespaces from within: sockets in any of them, offloads of their interfaces, programs that are attached."""
import contextlib
import ctypes
import fcntl
import os
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
PREFIX = os.environ["KERNEL_PREFIX"]

# Of linux/sockios.h and linux/ethtool.h.
SIOCETHTOOL = 0x8946
SET_TX_CHECKSUMS, SET_TSO, SET_GSO, SET_GRO = 0x17, 0x1F, 0x24, 0x2C

# Of linux/bpf.h, x86-64 and arm64.
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
BPF_PROG_LOAD, BPF_PROG_QUERY, BPF_LINK_CREATE = 5, 16, 28
BPF_PROG_TYPE_SCHED_CLS, BPF_TCX_INGRESS = 3, 46


@contextlib.contextmanager
def inside(name):
    """What is opened within is opened in this namespace."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{PREFIX}-{name}", os.O_RDONLY)
    try:
        if LIBC.setns(there, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")
        try:
            yield
        finally:
            LIBC.setns(home, CLONE_NEWNET)
    finally:
        os.close(there)
        os.close(home)


def udp(name, address, port=0):
    """A socket that is bound in a namespace, with large buffers."""
    with inside(name):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_DGRAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        bound.bind((address, port))
        bound.settimeout(3)
        return bound


def like_a_wire(name, device, sums=False):
    """Has a veth give whole checksums and single packets to the other side, as a wire does. `sums`: the other side is
    taken to have summed them up, as where a device does that."""
    with inside(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command, value in ((SET_TSO, 0), (SET_GSO, 0), (SET_TX_CHECKSUMS, int(sums)), (SET_GRO, 1)):
            data = ctypes.create_string_buffer(struct.pack("II", command, value))
            request = struct.pack("16sP", device.encode(), ctypes.addressof(data))
            fcntl.ioctl(any_socket, SIOCETHTOOL, request + bytes(16))


def bpf(command, attr):
    done = LIBC.syscall(SYS_BPF, command, attr, len(attr.raw))
    if done < 0:
        raise OSError(ctypes.get_errno(), f"bpf({command})")
    return done


@contextlib.contextmanager
def another_program(name, device, action):
    """A program of somebody else at tcx ingress, which returns `action` for each packet."""
    # r0 = action; exit
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, action, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    load = struct.pack("IIQQ", BPF_PROG_TYPE_SCHED_CLS, 2, ctypes.addressof(code), ctypes.addressof(licence))
    with inside(name):
        program = bpf(BPF_PROG_LOAD, ctypes.create_string_buffer(load + bytes(96)))
        index = socket.if_nametoindex(device)
        create = struct.pack("IIII", program, index, BPF_TCX_INGRESS, 0)
        link = bpf(BPF_LINK_CREATE, ctypes.create_string_buffer(create + bytes(48)))
    try:
        yield
    finally:
        os.close(link)
        os.close(program)


def programs(name, device):
    """The numbers of the programs at tcx ingress of an interface."""
    with inside(name):
        ids = (ctypes.c_uint32 * 64)()
        index = socket.if_nametoindex(device)
        # target_ifindex, attach_type, query_flags, attach_flags, prog_ids, count, and the rest of the union
        attr = ctypes.create_string_buffer(
            struct.pack("IIIIQII", index, BPF_TCX_INGRESS, 0, 0, ctypes.addressof(ids), 64, 0) + bytes(64)
        )
        bpf(BPF_PROG_QUERY, attr)
        count = struct.unpack("I", attr.raw[24:28])[0]
        return list(ids[:count])
