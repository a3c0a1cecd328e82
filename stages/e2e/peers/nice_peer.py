"""libnice alone, without WebRTC: both ends of a call have to be this one. ICE, and messages that are
echoed. Python can read from libnice in its reliable mode only: a stream of bytes, TCP over UDP."""
import asyncio
import subprocess

import gi

gi.require_version("Nice", "0.1")
from gi.repository import Gio, GLib, Nice

import peer_lines

RELAY_TYPES = {"udp": Nice.RelayType.UDP, "tcp": Nice.RelayType.TCP}


class Peer:
    def start(self, how):
        self.agent = Nice.Agent.new_reliable(GLib.MainContext.default(), Nice.Compatibility.RFC5245)
        self.agent.set_property("force-relay", how["policy"] == "relay")
        self.agent.set_property("upnp", False)
        self.stream = self.agent.add_stream(1)
        self.agent.set_stream_name(self.stream, "application")
        for server in how["iceServers"]:
            self.use(server)
        self.gathered = False
        self.echoes = 0
        self.selected = None
        self.agent.connect("new-selected-pair-full", self.select)
        self.agent.connect("candidate-gathering-done", lambda *_: setattr(self, "gathered", True))
        self.inbox = self.outbox = b""
        stream = self.agent.get_io_stream(self.stream, 1)
        self.input, self.output = stream.get_input_stream(), stream.get_output_stream()
        self.read_more()

    def use(self, server):
        address, _, query = server["urls"].split(":", 1)[1].partition("?")
        host, port = address.rsplit(":", 1)
        kind = RELAY_TYPES[query.partition("=")[2] or "udp"]
        self.agent.set_relay_info(self.stream, 1, host, int(port), server["username"], server["credential"], kind)

    def read_more(self):
        self.input.read_bytes_async(65536, GLib.PRIORITY_DEFAULT, None, self.received)

    def received(self, stream, result):
        self.inbox += stream.read_bytes_finish(result).get_data()
        while len(self.inbox) >= peer_lines.MESSAGE_BYTES:
            text = self.inbox[: peer_lines.MESSAGE_BYTES].decode()
            self.inbox = self.inbox[peer_lines.MESSAGE_BYTES :]
            if echo := peer_lines.echo_of(text):
                self.send(echo)
            else:
                self.echoes += 1
        self.read_more()

    # What libnice does not take now is sent with the next message.
    def send(self, text):
        self.outbox += text.encode()
        try:
            while self.outbox:
                written = self.output.write_nonblocking(self.outbox, None)
                self.outbox = self.outbox[written:]
        except GLib.Error as error:
            if not error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.WOULD_BLOCK):
                raise

    async def description(self):
        self.agent.gather_candidates(self.stream)
        for _ in range(150):
            if self.gathered:
                break
            await asyncio.sleep(0.1)
        return {"type": "sdp", "sdp": self.agent.generate_local_sdp()}

    async def makeOffer(self):
        self.agent.set_property("controlling-mode", True)
        return await self.description()

    async def makeAnswer(self, offer):
        self.agent.set_property("controlling-mode", False)
        answer = await self.description()
        self.takeAnswer(offer)
        return answer

    def takeAnswer(self, answer):
        if self.agent.parse_remote_sdp(answer["sdp"]) <= 0:
            raise ValueError("libnice takes no candidate of " + answer["sdp"])

    def addCandidates(self, _):
        pass  # they are in the descriptions

    def state(self):
        if not hasattr(self, "agent"):
            return "new"
        names = {Nice.ComponentState.READY: "connected", Nice.ComponentState.FAILED: "failed"}
        return names.get(self.agent.get_component_state(self.stream, 1), "connecting")

    def progress(self):
        candidates = self.agent.get_local_candidates(self.stream, 1)
        gathering = "complete" if self.gathered else "gathering"
        return {"state": self.state(), "gathering": gathering, "gathered": len(candidates), "candidates": []}

    def ping(self, count):
        if self.state() == "connected" and not self.outbox:
            for text in peer_lines.pings(count):
                self.send(text)

    def report(self):
        return peer_lines.empty_report(self.state(), self.selected, self.echoes, [])

    def select(self, _agent, _stream, _component, local, remote):
        self.selected = {"local": self.end(local), "remote": self.end(remote)}

    def end(self, candidate):
        # As in SDP: a=candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ KIND
        fields = self.agent.generate_local_candidate_sdp(candidate).split()
        return {"candidateType": fields[7], "address": fields[4], "port": int(fields[5])}


def version():
    return subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Version}", "libnice10"], capture_output=True, text=True
    ).stdout


async def turn_main_context():
    """libnice waits in GLib's loop; ours gives it its turns."""
    context = GLib.MainContext.default()
    while True:
        while context.iteration(False):
            pass
        await asyncio.sleep(0.005)


async def main():
    loop = asyncio.ensure_future(turn_main_context())
    await peer_lines.serve("libnice " + version(), Peer())
    loop.cancel()


asyncio.run(main())
