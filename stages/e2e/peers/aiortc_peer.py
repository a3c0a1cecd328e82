"""aiortc as one end of a call: media both ways and a data channel."""
import asyncio
import importlib.metadata


from aiortc import AudioStreamTrack, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc import VideoStreamTrack
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from aiortc.sdp import candidate_from_sdp
from av import VideoFrame

import peer_lines


class Stripes(VideoStreamTrack):
    async def recv(self):
        time, base = await self.next_timestamp()
        frame = VideoFrame(320, 180, "yuv420p")
        for number, plane in enumerate(frame.planes):
            plane.update(bytes([(time // 3000 * 4 + number * 40) % 256]) * plane.buffer_size)
        frame.pts, frame.time_base = time, base
        return frame


class Peer:
    def start(self, how):
        servers = [RTCIceServer(**server) for server in how["iceServers"]]
        self.connection = RTCPeerConnection(
            RTCConfiguration(servers, iceTransportPolicy=RTCIceTransportPolicy(how["policy"]))
        )
        self.frames = self.audio = self.echoes = 0
        self.tasks = []
        self.connection.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self.consume(track))))
        self.channel = self.connection.createDataChannel(peer_lines.CHANNEL, negotiated=True, id=0)
        self.channel.on("message", self.received)

    def received(self, text):
        if echo := peer_lines.echo_of(text):
            self.channel.send(echo)
        else:
            self.echoes += 1

    async def consume(self, track):
        while True:
            await track.recv()
            if track.kind == "video":
                self.frames += 1
            else:
                self.audio += 1

    def addCamera(self):
        self.connection.addTrack(AudioStreamTrack())
        self.connection.addTrack(Stripes())

    async def makeOffer(self):
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.description()

    async def makeAnswer(self, offer):
        await self.connection.setRemoteDescription(RTCSessionDescription(**offer))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.description()

    async def takeAnswer(self, answer):
        await self.connection.setRemoteDescription(RTCSessionDescription(**answer))

    def description(self):
        local = self.connection.localDescription
        return {"type": local.type, "sdp": local.sdp}

    async def addCandidates(self, candidates):
        for one in candidates:
            candidate = candidate_from_sdp(one["candidate"].split(":", 1)[1])
            candidate.sdpMid, candidate.sdpMLineIndex = one.get("sdpMid"), one.get("sdpMLineIndex")
            await self.connection.addIceCandidate(candidate)

    # Its candidates are in the description; nothing is sent afterwards.
    def progress(self):
        local = self.connection.localDescription
        return {
            "state": self.connection.connectionState,
            "gathering": self.connection.iceGatheringState,
            "gathered": local.sdp.count("a=candidate:") if local else 0,
            "candidates": [],
        }

    def ping(self, count):
        if self.channel.readyState == "open":
            for text in peer_lines.pings(count):
                self.channel.send(text)

    def report(self):
        report = peer_lines.empty_report(self.connection.connectionState, self.pair(), self.echoes, [])
        report.update(videoFramesDecoded=self.frames, audioPacketsReceived=self.audio)
        return report

    def pair(self):
        transport = self.connection.sctp.transport.transport
        pair = transport._connection._nominated.get(1)
        if not pair:
            return None
        end = lambda one: {"candidateType": one.type, "address": one.host, "port": one.port}
        return {"local": end(pair.local_candidate), "remote": end(pair.remote_candidate)}


asyncio.run(peer_lines.serve("aiortc " + importlib.metadata.version("aiortc"), Peer()))
