"""Makes a configuration of coturn's at random, and asks coturn, and the server with the imported configuration, the
same: compare.py SEED DIRECTORY TACITURN TURNCTL. In a network namespace of its own, as root.

Fails where the server lets in more than coturn, and where it serves less without a word in the import's output."""
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import time

from turn_client import ALLOCATE, BINDING, Client, message, shared

# Attempts until a difference counts.
TRIES = 3

SERVER, SECOND, SERVER6 = "30.1.0.2", "30.1.0.3", "2a0e:30::2"
SECRETS = ["first-secret-of-the-test-0001", "second-secret-of-the-test-0002"]
USERS = [("alice", "password-of-alice-01"), ("bob", "password-of-bob-0002")]
RANGES = """0.0.0.0-255.255.255.255 0.0.0.0 :: ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 10.0.0.0-10.255.255.255
10.1.2.3 127.0.0.1 127.0.0.0-127.255.255.255 126.0.0.0-128.0.0.0 169.0.0.0-169.255.255.255 169.254.169.254
192.168.0.0-192.168.255.255 172.16.0.0-172.31.255.255 224.0.0.0-239.255.255.255 240.0.0.0-255.255.255.255
8.8.8.0-8.8.8.255 9.9.9.9 0.0.0.0-127.255.255.255 128.0.0.0-0.0.0.0 30.1.0.2 30.1.0.3 30.1.0.0-30.1.0.255 ::1 ::1-::5
fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2a00::-2a0f:ffff::
64:ff9b::-64:ff9b::ffff:ffff ::ffff:0.0.0.0-::ffff:255.255.255.255 2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff
10.0.0.0/8 2a0e:30::2 ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff""".split()
PEERS4 = """8.8.8.8 9.9.9.9 126.0.0.1 10.1.2.3 10.200.0.1 172.16.5.5 192.168.1.1 100.64.0.1 127.0.0.1 127.255.255.254
0.0.0.1 169.254.169.254 169.253.0.1 224.0.0.1 239.1.2.3 255.255.255.255 198.18.0.1 30.1.0.2 30.1.0.3 30.1.0.77""".split()
PEERS6 = """2a00::1 2a0e:30::2 2001:db8::1 ::1 fe80::1 fd00::1 ff02::1 64:ff9b::7f00:1 64:ff9b::808:808
2002:7f00:1::1 2002:808:808::1""".split()
MAPPED = ["::ffff:127.0.0.1", "::ffff:10.1.2.3", "::127.0.0.1"]

# What is asked, and the words of the import's output one of which names it where coturn serves it and we do not.
PRIVATE = ["peers in private and other special networks", "coturn relays to none of it", "left out, since coturn never relays there"]
NAMED = [
    (r"peer (224|239|255)\.|peer ff", ["multicast"] + PRIVATE),
    (r"(peer|port of) (30\.1\.0\.[23]|2a0e:30::2)", ["other ports of this machine as peers"]),
    (r"peer ", PRIVATE + ["coturn does not take networks with a prefix length"]),
    (r"alternative port", ["the ports behind listening-port"]),
    (r"relay over TCP", ["RFC 6062"]),
    (r"RFC 3489", ["RFC 3489"]),
    (r"channel 0x7", ["channel numbers from 0x5000"]),
]


def configuration(rng):
    """Options and values, in order; the ports; the credentials."""
    options = [("no-cli", None)]
    add = lambda name, value=None: options.append((name, value))
    maybe = lambda chance: rng.random() < chance
    port, tls = rng.choice([(3478, 5349), (3478, 5349), (3500, 3600), (4443, 4443)])
    if port != 3478 or maybe(0.5):
        add("listening-port", port)
    if tls != 5349 or maybe(0.5):
        add("tls-listening-port", tls)
    for address in rng.choice([[], [SERVER], [SERVER], [SERVER, SECOND], [SERVER, SERVER6]]):
        add("listening-ip", address)
    if maybe(0.3):
        add("relay-ip", SERVER)
        if maybe(0.4):
            add("relay-ip", SECOND)
    secrets = users = 0
    if maybe(0.6):
        if maybe(0.8):
            add("use-auth-secret")
        secrets = rng.choice([1, 1, 2])
        for secret in SECRETS[:secrets]:
            add("static-auth-secret", secret)
    if not secrets or maybe(0.2):
        add("lt-cred-mech")
        users = rng.choice([1, 2])
        for name, password in USERS[:users]:
            add("user", "%s:%s" % (name, password))
    add("realm", "turn.example.org")
    if maybe(0.5):
        add("cert", "cert.pem")
        add("pkey", "key.pem")
    for name, chance in [("no-udp", 0.07), ("no-tcp", 0.1), ("no-tls", 0.1), ("no-dtls", 0.3), ("no-multicast-peers", 0.5),
                         ("allow-loopback-peers", 0.2), ("no-tcp-relay", 0.5), ("fingerprint", 0.5), ("no-rfc5780", 0.2),
                         ("mobility", 0.2), ("no-stun-backward-compatibility", 0.3), ("no-dynamic-ip-list", 0.2)]:
        if maybe(chance):
            add(name)
    if maybe(0.6):
        first = rng.choice([49152, 50000, 60000])
        add("min-port", first)
        add("max-port", first + rng.choice([99, 999, 5000]))
    for kind, most in [("denied-peer-ip", 3), ("allowed-peer-ip", 3)]:
        for _ in range(rng.randint(0, most)):
            add(kind, rng.choice(RANGES))
    if maybe(0.3):
        add("stale-nonce", rng.choice([600, 1200]))
    if maybe(0.3):
        add("user-quota", 300)
    rng.shuffle(options)
    return options, (port, tls)


def start(command, directory, log):
    with open(os.path.join(directory, log), "wb") as output:
        return subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def stop(process):
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def binds(port, transport, host=SERVER, cookie=0x2112A442):
    try:
        client = Client(host, port, transport, timeout=0.6)
    except OSError:
        return False
    answer = client.ask(message(BINDING, cookie=cookie))
    client.close()
    return answer is not None and answer.error is None


def dtls(port):
    """Whether a Binding request within DTLS is answered there."""
    command = ["timeout", "1", "openssl", "s_client", "-dtls", "-quiet", "-connect", "%s:%d" % (SERVER, port)]
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        request = message(BINDING)
        client.stdin.write(request)
        client.stdin.flush()
        # Where no answer comes, the end is that of `timeout`.
        answer = client.stdout.read(20)
        return answer[:2] == b"\x01\x01" and answer[4:] == request[4:20]
    finally:
        client.terminate()
        client.communicate()


def ready(process, ports, seconds=8):
    end = time.time() + seconds
    while time.time() < end and process.poll() is None:
        if any(binds(port, transport) for port in ports for transport in ("udp", "tcp")):
            return True
        if any(binds(port, "tls") for port in ports):
            return True
        time.sleep(0.1)
    return False


def ask(ports, credentials, wrong):
    """What a server lets in: the question, and whether it does."""
    found, way = {}, None
    for port in sorted(set(ports)):
        for transport in ("udp", "tcp", "tls"):
            found["%s on %d" % (transport, port)] = binds(port, transport)
            if found["%s on %d" % (transport, port)] and way is None:
                way = (port, transport)
        found["DTLS on %d" % port] = found["udp on %d" % port] and dtls(port)
        for transport in ("udp", "tcp"):
            found["%s, alternative port %d" % (transport, port + 1)] = binds(port + 1, transport)
        found["RFC 3489 on %d" % port] = binds(port, "udp", cookie=0x12345678)
    if way is None:
        return found
    new = lambda user, password: Client(SERVER, way[0], way[1], user, password, timeout=1.5)
    for what, (user, password) in credentials + wrong:
        client = new(user, password)
        answer = client.allocate()
        found["credential: " + what] = answer is not None and answer.error is None
        client.end()
    usable = [pair for what, pair in credentials if found["credential: " + what]]
    if not usable:
        return found
    user, password = usable[0]
    for family, peers in [(None, PEERS4 + MAPPED), (2, PEERS6)]:
        client = new(user, password)
        answer = client.allocate(family)
        if answer is None or answer.error is not None:
            continue
        if family is None:
            ip, port = answer.relayed()
            print("    relayed address %s:%d" % (ip, port))
            for number, own in [(0x4000, SERVER), (0x4001, SECOND)]:
                found["port of %s" % own] = client.binds(own, 9, number)
            found["channel 0x7000"] = client.binds("8.8.8.8", 9, 0x7000)
        for ip in peers:
            found["peer %s" % ip] = client.permits(ip)
        client.end()
    if found.get("tcp on %d" % way[0]) and way[1] != "tls":
        client = Client(SERVER, way[0], "tcp", user, password, timeout=1.5)
        answer = client.allocate(transport=6)
        found["relay over TCP"] = answer is not None and answer.error is None
        client.end()
    return found


def faults(coturn, ours, words_of_import):
    """Where taciturn lets in more than coturn, or serves less without a word of the import."""
    found = []
    for question in sorted(set(coturn) | set(ours)):
        theirs, mine = coturn.get(question, False), ours.get(question, False)
        # An IPv4 address in IPv6 dress is the IPv4 address here; coturn refuses the dress alone.
        plain = coturn.get(question.replace("::ffff:", ""), False)
        if mine and not theirs and not plain:
            found.append("taciturn lets in more: %s" % question)
        elif theirs and not mine:
            words = next((words for pattern, words in NAMED if re.search(pattern, question)), [])
            if not any(word in words_of_import for word in words):
                found.append("taciturn serves less, and the import does not say so: %s" % question)
    return found


def main():
    seed, directory, taciturn, turnctl = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    rng = random.Random(seed)
    options, ports = configuration(rng)
    on_line = [option for option in options if rng.random() < 0.25]
    in_file = [option for option in options if option not in on_line]
    with open(os.path.join(directory, "turnserver.conf"), "w", encoding="utf-8") as file:
        file.writelines("%s\n" % name if value is None else "%s=%s\n" % (name, value) for name, value in in_file)
    words = ["--%s" % name if value is None else "--%s=%s" % (name, value) for name, value in on_line]
    print("turnserver.conf:", *("  " + line.strip() for line in open(os.path.join(directory, "turnserver.conf"), encoding="utf-8")), sep="\n")
    print("options:", shlex.join(words))

    arguments = ["-c", "turnserver.conf"] + words
    imported = subprocess.run([turnctl, "import-coturn", "--coturn-args", shlex.join(arguments), "-o", "taciturn.toml"],
                              cwd=directory, capture_output=True, text=True, check=False)
    print(imported.stderr)
    if imported.returncode != 0:
        if "nothing was written" not in imported.stderr:
            print("FAIL: the import stops without a word")
            return 1
        print("ok: the import stops")
        return 0

    now = int(time.time())
    ttl = "%d:tester" % (now + 3600)
    credentials = [("secret %d" % n, (ttl, shared(secret, ttl))) for n, secret in enumerate(SECRETS)]
    credentials += [("user %s" % name, (name, password)) for name, password in USERS]
    credentials += [("name before time", ("tester:%d" % (now + 3600), shared(SECRETS[0], "tester:%d" % (now + 3600)))),
                    ("time alone", (str(now + 3600), shared(SECRETS[0], str(now + 3600))))]
    old = "%d:tester" % (now - 60)
    wrong = [("none", ("", "")), ("expired", (old, shared(SECRETS[0], old))), ("wrong secret", (ttl, shared("not-the-secret", ttl))),
             ("wrong password", (USERS[0][0], "not-the-password")), ("unknown user", ("carol", USERS[0][1]))]

    results = {"coturn": {}, "taciturn": {}}
    commands = {
        "coturn": ["turnserver"] + arguments + ["--log-file=stdout", "--pidfile=coturn.pid", "--userdb=turndb"],
        "taciturn": [taciturn, "--config", "taciturn.toml", "--state-dir", "state"],
    }
    # A question that gets no answer in time counts as refused, so what differs is asked again.
    for _ in range(TRIES):
        for name, command in commands.items():
            print("  " + name)
            process = start(command, directory, name + ".log")
            try:
                if not ready(process, ports):
                    print(open(os.path.join(directory, name + ".log"), encoding="utf-8", errors="replace").read()[-2000:])
                    if name == "coturn":
                        print("ok: coturn serves nothing with it")
                        return 0
                    print("FAIL: %s serves nothing" % name)
                    return 1
                for question, is_let_in in ask(ports, credentials, wrong).items():
                    results[name][question] = results[name].get(question, False) or is_let_in
            finally:
                stop(process)
        coturn, ours = results["coturn"], results["taciturn"]
        found = faults(coturn, ours, imported.stderr)
        if not found:
            break
    for fault in found:
        print("FAIL: " + fault)
    print("%d questions, %d let in by coturn, %d by taciturn" % (len(coturn), sum(coturn.values()), sum(ours.values())))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
