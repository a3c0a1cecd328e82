"""The cases of stages/kernel/run: cases.py CASE."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from crowd import LIMITS, Pace, come_and_go, crowd
from host import PREFIX, another_program, inside, like_a_wire, programs
from server import CLEAN, DIR, NOBODY, TURNCTL, Call, Server, by_kernel, configuration, equal, programs_now, until
from turn_client import CLIENTS, PEERS, Client

# A file system of its own, as /sys/fs/bpf is one.
BPF_FILES = f"{DIR}/bpf"
PINS = f"{BPF_FILES}/taciturn"


def a_call_is_the_kernels_and_counts_as_any(family):
    with Server(configuration()) as server:
        kernel = server.kernel()
        equal(sorted(kernel["attached"]), ["s0 (tcx)", "s1 (tcx)"], "attached")
        call = Call(family)
        before = by_kernel(server)
        call.relay(1500)
        call.relay(500, size=171, padded=True)
        packets, size = 2000, 1500 * 172 + 500 * 171
        share = (by_kernel(server) - before) / (2 * packets)
        print(f"the kernel's share: {share:.4f}, others: {server.kernel()['other_packets']}")
        # A checksum that looks unfinished is one in 65,536.
        if share < 0.995:
            raise AssertionError("the sockets have relayed a part of it")
        [traffic] = server.traffic()
        expected = {"bytes_to_peers": size, "bytes_to_clients": size, "packets_to_peers": packets, "packets_to_clients": packets}
        equal(traffic, expected, "traffic of the session")
        metrics = server.metrics()
        for direction in ("to_peer", "to_client"):
            labels = f'{{transport="udp",direction="{direction}"}}'
            equal(metrics["taciturn_relayed_bytes_total" + labels], size, f"bytes {direction}")
            equal(metrics["taciturn_relayed_packets_total" + labels], packets, f"packets {direction}")
        equal(metrics["taciturn_kernel_relay_channels"], 1, "channels")
        [session] = server.sessions()
        equal((session["channels"], session["kernel_channels"]), (1, 1), "channels of the session")
        titles, line = server.ctl("sessions").splitlines()
        equal((titles.split()[-1], line.split()[-1]), ("KERNEL", "1/1"), "column of the sessions")
        call.client.refresh(0)
        until(lambda: "allocation ended" in server.said() or "ended" in server.said(), 5, "the end is logged")
        [line] = [line for line in server.said().splitlines() if "ended" in line]
        print(line)
        if line.count(str(size)) < 2:
            raise AssertionError("the line at the end lacks what the kernel has relayed")
        equal(server.metrics()["taciturn_kernel_relay_channels"], 0, "channels afterwards")


def a_call_over_ipv4():
    a_call_is_the_kernels_and_counts_as_any(4)


def a_call_over_ipv6():
    a_call_is_the_kernels_and_counts_as_any(6)


def two_clients_of_the_server():
    with Server(configuration()) as server:
        for family in (4, 6):
            one, two = Client(family), Client(family)
            one.bind(0x4001, two.relayed)
            # The other half is missing: the sockets relay, and drop what has no permission there.
            two.bind(0x4002, one.relayed)
            before = by_kernel(server)
            for number in range(500):
                data = number.to_bytes(4, "big") + os.urandom(168)
                one.send(0x4001, data)
                if two.receive(0x4002) != data:
                    raise AssertionError(f"packet {number} from one to two")
                two.send(0x4002, data)
                if one.receive(0x4001) != data:
                    raise AssertionError(f"packet {number} from two to one")
            share = (by_kernel(server) - before) / 1000
            print(f"the kernel's share: {share:.3f}")
            if share < 0.99:
                raise AssertionError(str(server.kernel()))
            for traffic in server.traffic():
                equal(set(traffic.values()), {500, 86000}, "traffic")
            one.refresh(0)
            two.refresh(0)


def what_ends_a_call_ends_it_at_once():
    with Server(configuration()) as server:
        call = Call()
        call.relay(50)
        equal(server.ctl("kick", "--user", "alice").strip(), "1 allocations ended", "kick")
        if not call.is_silent():
            raise AssertionError("it goes on after a kick")
        call = Call()
        call.relay(50)
        server.write(configuration().replace('"198.51.100.0/24"', '"198.51.100.99"'))
        server.ctl("reload")
        if not call.is_silent():
            raise AssertionError("it goes on after a reload that denies its peer")
        server.write(configuration())
        server.ctl("reload")
        call = Call()
        call.relay(50)
        server.ctl("ban", "address", CLIENTS[4], "--for", "2s")
        if not call.is_silent():
            raise AssertionError("it goes on after a ban")
        equal(server.kernel()["channels"], 0, "channels")


def a_permission_lapses_to_the_second():
    with Server(configuration()) as server:
        begin = time.monotonic()
        call = Call()
        call.peer.settimeout(0.02)
        last, kernel = begin, by_kernel(server)
        while time.monotonic() < begin + 303:
            call.client.send(call.channel, b"data")
            try:
                call.peer.recv(100)
                last = time.monotonic()
            except TimeoutError:
                pass
            time.sleep(0.05)
        lasted = last - begin
        print(f"the last packet arrived after {lasted:.2f} s; {by_kernel(server) - kernel} by the kernel")
        if not 299 <= lasted <= 300.5:
            raise AssertionError("not 300 s")


def a_reload_with_limits_takes_channels_back():
    with Server(configuration()) as server:
        call = Call()
        call.relay(100)
        server.write(configuration(limits="bytes_per_second_per_allocation = 10_000_000"))
        print(server.ctl("reload"))
        equal(server.kernel()["channels"], 0, "channels with limits")
        before = by_kernel(server)
        call.relay(100)
        equal(by_kernel(server), before, "packets of the kernel")
        server.write(configuration())
        server.ctl("reload")
        call.relay(100)
        if by_kernel(server) - before < 198:
            raise AssertionError("the kernel does not relay again")
        [traffic] = server.traffic()
        equal(traffic["packets_to_peers"], 300, "packets of both")


def a_smaller_mtu():
    with Server(configuration()) as server:
        call = Call()
        call.relay(50, size=1200)
        before = by_kernel(server)
        for end, device in (("server", "s1"), ("peer", "p0")):
            with inside(end):
                subprocess.run(["ip", "link", "set", device, "mtu", "1000"], check=True)
        time.sleep(0.3)
        call.relay(50, size=1200)
        call.relay(50, size=172)
        kernel = server.kernel()
        print(kernel)
        others = {count["reason"]: count["packets"] for count in kernel["other_packets"]}
        # To the peer they are cut by the sockets; what the peer cuts comes in as fragments.
        equal(others.get("too_long"), 50, "too long")
        if by_kernel(server) - before < 99:
            raise AssertionError("shorter packets are not the kernel's")
        for end, device in (("server", "s1"), ("peer", "p0")):
            with inside(end):
                subprocess.run(["ip", "link", "set", device, "mtu", "1500"], check=True)
        time.sleep(0.3)
        before = by_kernel(server)
        call.relay(50, size=1200)
        if by_kernel(server) - before < 99:
            raise AssertionError("the MTU is not seen to grow again")


def a_route_that_moves():
    """The peer's network is reached by the other interface from one moment to the next, and back."""
    with Server(configuration()) as server:
        call = Call()
        call.relay(50)
        for arguments in (("add", "198.51.100.2/32", "via", CLIENTS[4]), ("del", "198.51.100.2/32")):
            with inside("server"):
                subprocess.run(["ip", "route", *arguments], check=True)
            time.sleep(0.3)
            before = by_kernel(server)
            if arguments[0] == "add":
                # Nobody forwards there: what matters is that the packets leave by that interface.
                with inside("client"):
                    start = received_packets("c0")
                call.client.send(call.channel, b"elsewhere")
                time.sleep(0.2)
                with inside("client"):
                    if received_packets("c0") <= start:
                        raise AssertionError("it left by the old interface")
                equal(by_kernel(server), before + 1, "by the kernel")
            else:
                call.relay(50)
                if by_kernel(server) - before < 99:
                    raise AssertionError("the route back is not seen")


def received_packets(device):
    text = subprocess.run(["ip", "-s", "-j", "link", "show", device], capture_output=True, text=True, check=True).stdout
    return json.loads(text)[0]["stats64"]["rx"]["packets"]


def a_client_that_moves():
    with Server(configuration(limits="").replace("[process]", "[protocol]\nmobility = true\n\n[process]")) as server:
        call = Call(client=Client(4, mobile=True))
        call.relay(50)
        call.client.move()
        # The first packet moves it, and is lost if that is to another worker.
        call.peer.settimeout(0.2)
        for _ in range(10):
            call.client.send(call.channel, b"move")
            try:
                call.peer.recv(100)
                break
            except TimeoutError:
                pass
        call.peer.settimeout(3)
        before, [earlier] = by_kernel(server), server.traffic()
        call.relay(50)
        equal(by_kernel(server) - before, 100, "by the kernel")
        [traffic] = server.traffic()
        equal(traffic["packets_to_peers"] - earlier["packets_to_peers"], 50, "packets")


def another_process_takes_over():
    with Server(configuration()) as old:
        call = Call()
        call.relay(100)
        with Server(configuration(), more=["--take-over"]) as new:
            old.process.wait(15)
            call.relay(100)
            equal(by_kernel(new), 200, "by the kernel for the new process")
            [traffic] = new.traffic()
            equal(set(traffic.values()), {200, 34400}, "traffic of the session")
            equal([len(ids) for ids in programs_now()], [1, 1], "programs")
            call.client.refresh(0)
            equal(new.kernel()["channels"], 0, "channels")


def ip(host, *arguments):
    subprocess.run(["ip", "-n", f"{PREFIX}-{host}", *arguments], check=True)


def make_s1():
    """The server's interface towards the peer, and the peer's, as stages/kernel/run has made them."""
    subprocess.run(
        ["ip", "link", "add", "p0", "netns", f"{PREFIX}-peer", "type", "veth", "peer", "name", "s1", "netns", f"{PREFIX}-server"],
        check=True,
    )
    for host, device, v4, v6 in (("server", "s1", "198.51.100.10/24", "2001:db8:2::10/64"), ("peer", "p0", "198.51.100.2/24", "2001:db8:2::2/64")):
        for address in (v4, v6):
            ip(host, "address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))
        ip(host, "link", "set", device, "up")
        like_a_wire(host, device)
    ip("peer", "route", "add", "default", "via", "198.51.100.10")
    ip("peer", "-6", "route", "add", "default", "via", "2001:db8:2::10")


def is_attached(server, *interfaces):
    return sorted(server.kernel()["attached"]) == [f"{name} (tcx)" for name in interfaces]


def goes_on_by_the_kernel_after_s1_is_made_anew(server, call):
    ip("server", "link", "del", "s1")
    make_s1()
    begin = time.monotonic()
    until(lambda: programs("server", "s1") and is_attached(server, "s0", "s1"), 5, "s1 has the program again")
    print(f"s1 has it after {time.monotonic() - begin:.1f} s")
    # The packet that finds the neighbour out may pass by the sockets.
    call.relay(1)
    before = by_kernel(server)
    call.relay(50)
    equal(by_kernel(server) - before, 100, "by the kernel")
    for line in ("s1 is gone", "relays channels on s1 (tcx) from now on"):
        equal(server.said().count(line), 1, line)


def an_interface_that_is_made_anew():
    with Server(configuration()) as server:
        call = Call()
        call.relay(50)
        goes_on_by_the_kernel_after_s1_is_made_anew(server, call)
        equal(server.metrics()["taciturn_kernel_relay_interfaces"], 2, "interfaces")
        equal(server.kernel().get("trouble"), None, "trouble")
        # Another name is no other interface.
        program = programs("server", "s1")
        for old, new in (("s1", "s9"), ("s9", "s1")):
            ip("server", "link", "set", old, "down")
            ip("server", "link", "set", old, "name", new)
            ip("server", "link", "set", new, "up")
            until(lambda name=new: is_attached(server, "s0", name), 5, f"it is called {new}")
            equal(programs("server", new), program, "program")
        before = by_kernel(server)
        call.relay(50)
        equal(by_kernel(server) - before, 100, "by the kernel")
        # Without it the rest goes on.
        ip("server", "link", "del", "s1")
        until(lambda: is_attached(server, "s0"), 5, "s1 is gone")
        equal(server.metrics()["taciturn_kernel_relay_interfaces"], 1, "interfaces")
    make_s1()


def an_interface_that_comes_later_and_again_and_again():
    with Server(configuration(more='interfaces = ["s0", "late0"]')) as server:
        equal(server.kernel()["attached"], ["s0 (tcx)"], "attached")
        trouble = "late0: there is no such interface"
        if trouble not in server.kernel()["trouble"]:
            raise AssertionError(server.kernel())
        # Longer than it is until it is looked for again.
        time.sleep(11)
        equal(server.said().count(trouble), 1, "said")
        ip("server", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
        until(lambda: is_attached(server, "late0", "s0"), 5, "late0 has the program")
        equal(server.kernel().get("trouble"), None, "trouble")
        begin, made = time.monotonic(), 0
        while time.monotonic() < begin + 12:
            ip("server", "link", "del", "late0")
            ip("server", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
            made += 1
        until(lambda: is_attached(server, "late0", "s0"), 15, "late0 has the program at the end")
        attached = server.said().count("late0 (tcx) from now on")
        print(f"made anew {made} times in 12 s, attached {attached} times, {len(server.said().splitlines())} lines in the log")
        if attached > 4 or server.said().count("late0") > 30:
            raise AssertionError("it is attached too often, or too much is said of it")
        ip("server", "link", "del", "late0")


def processor_seconds(server):
    with open(f"/proc/{server.process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bindings_that_come_and_go_beside_a_call():
    """Beside a call of 500 packets a second each way, 5,000 channels a second are bound and ended, as far as this machine
    does as many; nothing of the call is lost, or relayed by the sockets."""
    with Server(configuration(limits=LIMITS)) as server:
        call = Call()
        call.relay(10)
        before, busy = by_kernel(server), processor_seconds(server)
        pace = Pace(call)
        bound, seconds = come_and_go(5_000, 40_000)
        busy = processor_seconds(server) - busy
        sent, at_peer, back = pace.end()
        print(f"{bound} channels bound and ended in {seconds:.1f} s: {bound / seconds:.0f} a second, {busy / bound * 1e6:.0f} us each in the server")
        kernel = server.kernel()
        print(f"the call: {sent} packets, {at_peer} at the peer, {back} back; by the kernel {kernel['relayed_packets'] - before}, {kernel['other_packets']}")
        equal((at_peer, back), (sent, sent), "packets of the call")
        if sent < 100 or kernel["relayed_packets"] - before < 2 * sent - 2:
            raise AssertionError("the sockets have relayed a part of it")
        equal((kernel["channels"], kernel["refused_channels"]), (1, 0), "channels left and refused")


def a_full_table():
    with Server(configuration(more="channels = 2")) as server:
        calls = [Call() for _ in range(4)]
        for call in calls:
            call.relay(50)
        kernel = server.kernel()
        print(kernel)
        equal((kernel["channels"], kernel["room"]), (2, 2), "channels")
        equal(server.metrics()["taciturn_kernel_relay_refused_channels_total"], 2, "refused")
        for traffic in server.traffic():
            equal(traffic["packets_to_clients"], 50, "packets")
        calls[0].client.refresh(0)
        time.sleep(0.2)
        # A refresh of the binding finds room now.
        calls[3].client.bind(calls[3].channel, calls[3].peer.getsockname())
        equal(server.kernel()["channels"], 2, "channels")


def no_program_outlives_the_server():
    for by in (signal.SIGKILL, signal.SIGTERM):
        with Server(configuration()) as server:
            Call().relay(20)
            equal([len(ids) for ids in programs_now()], [1, 1], "programs")
            server.stop(by)
        until(lambda: programs_now() == [[], []], 5, "no program is left")


def others_on_the_interface_stay():
    # TC_ACT_UNSPEC and TC_ACT_OK: on to the next program, and no further.
    for action, share in ((-1, 100), (0, 50)):
        with another_program("server", "s0", action), Server(configuration()) as server:
            others = programs("server", "s0")
            equal(len(others), 2, "programs")
            call = Call()
            call.relay(50)
            # What the other one decides holds: it is asked first.
            equal(by_kernel(server), share, "by the kernel")
            server.stop()
            until(lambda: programs("server", "s0") == others[:1], 5, "the other is left alone")


def as_nobody():
    for root, directories, files in os.walk(f"{DIR}/state"):
        for name in (root, *(os.path.join(root, name) for name in directories + files)):
            os.chown(name, NOBODY, NOBODY)
    return ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--bounding-set", "-all"]


def without_rights_the_sockets_relay():
    os.makedirs(f"{DIR}/state", exist_ok=True)
    with Server(configuration(), prefix=as_nobody()) as server:
        kernel = server.kernel()
        print(kernel)
        if kernel["attached"] or "not permitted" not in kernel["trouble"]:
            raise AssertionError("it does not say what the kernel says")
        if server.said().count("not permitted") != 1:
            raise AssertionError("it is not said once")
        equal(server.metrics()["taciturn_kernel_relay_interfaces"], 0, "interfaces")
        Call().relay(100)
        equal(programs_now(), [[], []], "programs")


def off_is_off():
    with Server(configuration(mode="off")) as server:
        Call().relay(100)
        equal(server.kernel(), None, "kernel relay in the status")
        if "kernel_channels" in server.sessions()[0] or "KERNEL" in server.ctl("sessions"):
            raise AssertionError("sessions have a column of the kernel's")
        equal(programs_now(), [[], []], "programs")
        maps = [os.readlink(f"/proc/{server.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{server.process.pid}/fd")]
        equal([name for name in maps if "bpf" in name], [], "open maps and programs")


def turnctl(*arguments):
    command = ["ip", "netns", "exec", f"{PREFIX}-server", TURNCTL, "kernel-relay", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=CLEAN)
    print(done.stdout, done.stderr)
    return done


@contextlib.contextmanager
def pinned(more=""):
    """The program is pinned for a server of nobody's. Yields its configuration, and how it was attached."""
    os.makedirs(BPF_FILES, exist_ok=True)
    subprocess.run(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", BPF_FILES], check=True)
    text = configuration(more=f'pins = "{PINS}"\n{more}')
    try:
        os.makedirs(f"{DIR}/state", exist_ok=True)
        with open(f"{DIR}/taciturn.toml", "w") as file:
            file.write(text)
        attach = ("attach", "--config", f"{DIR}/taciturn.toml", "--user", str(NOBODY))
        equal(turnctl(*attach).returncode, 0, "attach")
        yield text, attach
    finally:
        subprocess.run(["umount", BPF_FILES], check=True)


def a_server_without_rights_attaches_to_what_is_made_anew():
    with pinned() as (text, attach):
        with Server(text, prefix=as_nobody()) as server:
            call = Call()
            call.relay(50)
            goes_on_by_the_kernel_after_s1_is_made_anew(server, call)
            server.stop()
        # What it has attached ends with it, and the next one attaches it again.
        until(lambda: [len(ids) for ids in programs_now()] == [1, 0], 5, "the server's own attachment ends")
        with Server(text, prefix=as_nobody()) as server:
            equal(sorted(server.kernel()["attached"]), ["s0 (tcx)", "s1 (tcx)"], "attached")
            call = Call()
            call.relay(50)
            with Server(text, prefix=as_nobody(), more=["--take-over"]) as next_one:
                server.process.wait(15)
                call.relay(50)
                until(lambda: [len(ids) for ids in programs_now()] == [1, 1], 15, "the next one has attached it")
                equal(turnctl("detach", "--config", f"{DIR}/taciturn.toml").returncode, 0, "detach")
                until(lambda: programs_now() == [[], []], 5, "detached is detached")
                kernel = next_one.kernel()
                if kernel["attached"] or "taken the program away" not in kernel["trouble"]:
                    raise AssertionError(kernel)
                before = by_kernel(next_one)
                call.relay(50)
                equal(by_kernel(next_one), before, "by the kernel")
                equal(turnctl(*attach).returncode, 0, "attach")
                if not turnctl("detach", "--config", f"{DIR}/taciturn.toml").stdout.count("s1 (tcx)"):
                    raise AssertionError("it is not said where it was")


def what_is_named_and_not_there_does_not_keep_the_rest_from_being_pinned():
    with pinned(more='interfaces = ["s0", "s1", "late0"]') as (text, _):
        equal([len(ids) for ids in programs_now()], [1, 1], "programs")
        with Server(text, prefix=as_nobody()) as server:
            if "late0: there is no such interface" not in server.kernel()["trouble"]:
                raise AssertionError(server.kernel())
            ip("server", "link", "add", "late0", "type", "veth", "peer", "name", "late1")
            until(lambda: is_attached(server, "late0", "s0", "s1"), 5, "late0 has the program")
            call = Call()
            call.relay(20)
            ip("server", "link", "del", "late0")
            until(lambda: is_attached(server, "s0", "s1"), 5, "late0 is gone")
        equal(turnctl("detach", "--config", f"{DIR}/taciturn.toml").returncode, 0, "detach")


def a_server_without_rights_uses_what_is_pinned():
    with pinned() as (text, attach):
        again = turnctl(*attach)
        if again.returncode == 0 or "detach" not in again.stderr:
            raise AssertionError("a second one does not say what to do")
        equal([len(ids) for ids in programs_now()], [1, 1], "programs")
        with Server(text, prefix=as_nobody()) as server:
            equal(sorted(server.kernel()["attached"]), ["s0 (tcx)", "s1 (tcx)"], "attached")
            call = Call(port=7000)
            call.relay(100)
            equal(by_kernel(server), 200, "by the kernel")
            server.stop(signal.SIGKILL)
        # The program stays, and has a flow; nobody beats any more.
        call.peer.settimeout(0.2)
        end = time.monotonic() + 8
        while time.monotonic() < end:
            call.client.send(call.channel, b"data")
            try:
                call.peer.recv(100)
            except TimeoutError:
                break
            time.sleep(0.1)
        lasted = 8 - (end - time.monotonic())
        print(f"the kernel went on for {lasted:.1f} s")
        if not 3 < lasted < 7:
            raise AssertionError("not about five seconds")
        with Server(text, prefix=as_nobody()) as server:
            before = by_kernel(server)
            equal(server.kernel()["channels"], 0, "flows of the one that was killed")
            Call().relay(50)
            equal(by_kernel(server) - before, 100, "by the kernel")
        equal(turnctl("detach", "--config", f"{DIR}/taciturn.toml").returncode, 0, "detach")
        equal(programs_now(), [[], []], "programs")
        if os.path.exists(PINS):
            raise AssertionError("pins are left")


def memory_of_ten_thousand_channels():
    """What the kernel says that the maps take (memlock): from the start, and with 10,000 channels of a family."""
    with Server(configuration(limits=LIMITS)) as server:
        def taken():
            total = 0
            for fd in os.listdir(f"/proc/{server.process.pid}/fdinfo"):
                with open(f"/proc/{server.process.pid}/fdinfo/{fd}") as info:
                    text = info.read()
                if "map_type:" in text:
                    total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("memlock"))
            return total

        start, room = taken(), server.kernel()["room"]
        print(f"from the start: {start} bytes, {start / room:.0f} for each of {room} channels")
        # Of the arrays: a lease and the counters, for each channel that there is room for.
        arrays = 64
        for family, most in {4: 256, 6: 352}.items():
            members = crowd(family, 40, 250)
            equal(server.kernel()["channels"], 10_000, "channels")
            each = (taken() - start) / 10_000
            print(f"a channel of IPv{family}: {each:.0f} bytes in the tables of keys, {each + arrays:.0f} with its lease and counters")
            if each + arrays > most:
                raise AssertionError(f"more than {most}")
            begin = time.monotonic()
            equal(server.ctl("kick", "--user", "alice").strip(), "40 allocations ended", "kick")
            print(f"all ended in {time.monotonic() - begin:.2f} s")
            equal((server.kernel()["channels"], taken()), (0, start), "channels and bytes afterwards")
            for member in members:
                member.socket.close()


CASES = [
    a_call_over_ipv4,
    a_call_over_ipv6,
    two_clients_of_the_server,
    what_ends_a_call_ends_it_at_once,
    a_reload_with_limits_takes_channels_back,
    a_smaller_mtu,
    a_route_that_moves,
    a_full_table,
    a_client_that_moves,
    another_process_takes_over,
    an_interface_that_is_made_anew,
    an_interface_that_comes_later_and_again_and_again,
    bindings_that_come_and_go_beside_a_call,
    no_program_outlives_the_server,
    others_on_the_interface_stay,
    without_rights_the_sockets_relay,
    a_server_without_rights_uses_what_is_pinned,
    a_server_without_rights_attaches_to_what_is_made_anew,
    what_is_named_and_not_there_does_not_keep_the_rest_from_being_pinned,
    memory_of_ten_thousand_channels,
    off_is_off,
    a_permission_lapses_to_the_second,
]

if __name__ == "__main__":
    {case.__name__.replace("_", "-"): case for case in CASES}[sys.argv[1]]()
