"""GStreamer's webrtcbin, with libnice for ICE, as one end of a call: a data channel."""
import asyncio
from urllib.parse import quote

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

import peer_lines


def turn_uri(server):
    """turn:HOST:PORT?transport=udp as webrtcbin has it: turn://USER:PASSWORD@HOST:PORT?transport=udp"""
    scheme, rest = server["urls"].split(":", 1)
    user, password = (quote(server[key], safe="") for key in ("username", "credential"))
    return f"{scheme}://{user}:{password}@{rest}"


class Peer:
    def start(self, how):
        self.pipeline = Gst.Pipeline.new()
        self.bin = Gst.ElementFactory.make("webrtcbin")
        self.bin.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        if how["policy"] == "relay":
            self.bin.set_property("ice-transport-policy", GstWebRTC.WebRTCICETransportPolicy.RELAY)
        for server in how["iceServers"]:
            self.bin.emit("add-turn-server", turn_uri(server))
        self.candidates, self.gathered, self.echoes = [], [], 0
        self.bin.connect("on-ice-candidate", self.found)
        self.pipeline.add(self.bin)
        self.pipeline.set_state(Gst.State.PLAYING)
        options = Gst.Structure.new_empty("options")
        options.set_value("negotiated", True)
        options.set_value("id", 0)
        self.channel = self.bin.emit("create-data-channel", peer_lines.CHANNEL, options)
        self.channel.connect("on-message-string", self.received)

    def found(self, _, line, candidate):
        self.gathered.append(candidate)
        self.candidates.append({"candidate": candidate, "sdpMLineIndex": line})

    def received(self, channel, text):
        if echo := peer_lines.echo_of(text):
            channel.emit("send-string", echo)
        else:
            self.echoes += 1

    def ask(self, signal, *arguments):
        promise = Gst.Promise.new()
        self.bin.emit(signal, *arguments, promise)
        # webrtcbin answers from a thread of its own.
        promise.wait()
        return promise.get_reply()

    def describe(self, kind):
        reply = self.ask(f"create-{kind}", None)
        description = reply.get_value(kind)
        self.ask("set-local-description", description)
        return {"type": kind, "sdp": description.sdp.as_text()}

    def makeOffer(self):
        return self.describe("offer")

    def makeAnswer(self, offer):
        self.take(GstWebRTC.WebRTCSDPType.OFFER, offer)
        return self.describe("answer")

    def takeAnswer(self, answer):
        self.take(GstWebRTC.WebRTCSDPType.ANSWER, answer)

    def take(self, kind, description):
        _, message = GstSdp.SDPMessage.new_from_text(description["sdp"])
        self.ask("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(kind, message))

    def addCandidates(self, candidates):
        for one in candidates:
            self.bin.emit("add-ice-candidate", one.get("sdpMLineIndex") or 0, one["candidate"])

    def state(self):
        return self.bin.get_property("connection-state").value_nick

    def progress(self):
        candidates, self.candidates = self.candidates, []
        return {
            "state": self.state(),
            "gathering": self.bin.get_property("ice-gathering-state").value_nick,
            "gathered": len(self.gathered),
            "candidates": candidates,
        }

    def ping(self, count):
        if self.channel.get_property("ready-state") == GstWebRTC.WebRTCDataChannelState.OPEN:
            for text in peer_lines.pings(count):
                self.channel.emit("send-string", text)

    def report(self):
        return peer_lines.empty_report(self.state(), self.pair(), self.echoes, [])

    # webrtcbin of 1.22 does not tell the selected pair. It was told to use relayed candidates alone:
    # that it found no other is what can be seen from here; the other end tells the pair.
    def pair(self):
        kinds = {one.split()[7] for one in self.gathered}
        if kinds != {"relay"}:
            return None
        fields = self.gathered[0].split()
        return {"local": {"candidateType": "relay", "address": fields[4], "port": int(fields[5])}, "remote": {}}


async def turn_main_context():
    context = GLib.MainContext.default()
    while True:
        while context.iteration(False):
            pass
        await asyncio.sleep(0.01)


async def main():
    Gst.init(None)
    loop = asyncio.ensure_future(turn_main_context())
    await peer_lines.serve(Gst.version_string(), Peer())
    loop.cancel()


asyncio.run(main())
