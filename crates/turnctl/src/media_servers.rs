//! Media servers that often run beside a relay: how their processes are called, and which UDP ports they have.

use std::fmt;

use taciturn_config::{AllowedPeer, allow_line};
use taciturn_turn::policy::PeerPorts;

/// A program that clients send their media to.
#[derive(Debug)]
pub(super) struct MediaServer {
    /// What people call it.
    pub(super) name: &'static str,
    /// The beginning of the name of its process (the kernel keeps 15 bytes); empty: it is called after its language.
    process: &'static str,
    /// What stands in its command line then.
    command: &'static str,
    /// The first and the last UDP port that it has for media unless it is told others; `None`: any port.
    ports: Option<(u16, u16)>,
    /// Where they are set.
    pub(super) setting: &'static str,
}

impl MediaServer {
    const fn new(
        name: &'static str,
        process: &'static str,
        ports: Option<(u16, u16)>,
        setting: &'static str,
    ) -> Self {
        Self { name, process, command: "", ports, setting }
    }

    const fn by_command(mut self, command: &'static str) -> Self {
        self.command = command;
        self
    }
}

/// BigBlueButton is several of the programs below; its documentation has one range for all of them.
pub(super) const BIGBLUEBUTTON: MediaServer = MediaServer::new(
    "BigBlueButton",
    "",
    Some((16384, 32768)),
    "FreeSWITCH (switch.conf.xml) and mediasoup (bbb-webrtc-sfu) of BigBlueButton",
);
pub(super) const GO2RTC: MediaServer =
    MediaServer::new("go2rtc", "go2rtc", Some((8555, 8555)), "webrtc.listen in go2rtc.yaml");
pub(super) const JANUS: MediaServer =
    MediaServer::new("Janus", "janus", None, "rtp_port_range in janus.jcfg");
pub(super) const JITSI: MediaServer = MediaServer::new(
    "Jitsi Videobridge",
    "",
    Some((10000, 10000)),
    "JVB_PORT in .env, or videobridge.ice.udp.port in jvb.conf",
)
.by_command("videobridge");
pub(super) const LIVE777: MediaServer =
    MediaServer::new("live777", "live777", None, "the configuration of live777, if it has one");
pub(super) const LIVEKIT: MediaServer = MediaServer::new(
    "LiveKit",
    "livekit",
    Some((50000, 60000)),
    "rtc.port_range_start and rtc.port_range_end in livekit.yaml, or rtc.udp_port",
);
pub(super) const MEDIAMTX: MediaServer = MediaServer::new(
    "mediamtx",
    "mediamtx",
    Some((8189, 8189)),
    "webrtcLocalUDPAddress in mediamtx.yml",
);

/// Those that a process is one of.
static PROGRAMS: &[MediaServer] = &[
    LIVEKIT,
    JANUS,
    MediaServer::new(
        "FreeSWITCH",
        "freeswitch",
        Some((16384, 32768)),
        "rtp-start-port and rtp-end-port in switch.conf.xml",
    ),
    MediaServer::new("mediasoup", "mediasoup", None, "rtcMinPort and rtcMaxPort of its workers")
        .by_command("mediasoup"),
    GO2RTC,
    MEDIAMTX,
    LIVE777,
    MediaServer::new("Kurento", "kurento", None, "minPort and maxPort in BaseRtpEndpoint.conf.ini"),
    MediaServer::new("Galène", "galene", None, "its option -udp-range"),
    MediaServer::new(
        "rtpengine",
        "rtpengine",
        Some((30000, 40000)),
        "port-min and port-max in rtpengine.conf",
    ),
    MediaServer::new(
        "Asterisk",
        "asterisk",
        Some((10000, 20000)),
        "rtpstart and rtpend in rtp.conf",
    ),
    MediaServer::new("OvenMediaEngine", "OvenMediaEngin", None, "IceCandidates in Server.xml"),
    MediaServer::new("ion-sfu", "ion-sfu", None, "portrange in its configuration"),
    JITSI,
    MediaServer::new("bbb-webrtc-sfu", "", None, "mediasoup in its configuration")
        .by_command("bbb-webrtc-sfu"),
];

impl MediaServer {
    /// Which one a process is. `command` reads its command line, for those that are called after their language.
    pub(super) fn of_process(
        process: &str,
        command: impl FnOnce() -> Option<String>,
    ) -> Option<&'static Self> {
        let by_name =
            |known: &&Self| !known.process.is_empty() && process.starts_with(known.process);
        if let Some(known) = PROGRAMS.iter().find(by_name) {
            return Some(known);
        }
        let command = command()?;
        PROGRAMS.iter().find(|known| !known.command.is_empty() && command.contains(known.command))
    }

    /// The ports that it has unless it is told others.
    pub(super) fn usual_ports(&self) -> Option<PeerPorts> {
        self.ports.and_then(|(first, last)| PeerPorts::new(first, last).ok())
    }

    /// What lets clients of the relay reach it, if it has the ports that it has unless it is told others, and what to
    /// compare with.
    pub(super) fn remedy(&self) -> Remedy<'_> {
        Remedy(self)
    }
}

/// The setting that lets clients reach a media server, and where its ports come from.
pub(super) struct Remedy<'a>(&'a MediaServer);

impl fmt::Display for Remedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MediaServer { name, setting, .. } = self.0;
        match self.0.usual_ports() {
            Some(ports) => write!(
                f,
                "{} (the ports that {name} has unless it is told others: {setting})",
                allow_line(&[AllowedPeer::own(ports)])
            ),
            None => write!(
                f,
                "{} with its range of ports (give it one, or it takes any port: {setting})",
                allow_line(&["self:FIRST-LAST"])
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use taciturn_config::Config;

    use super::*;

    #[test]
    fn processes_are_known_by_name_or_by_command_line() {
        let name = |process: &str, command: &str| {
            let found = MediaServer::of_process(process, || Some(command.to_owned()));
            found.map(|found| found.name)
        };
        assert_eq!(name("livekit-server", ""), Some("LiveKit"));
        assert_eq!(name("mediasoup-worke", ""), Some("mediasoup"));
        assert_eq!(name("node", "node\0/usr/lib/mediasoup-demo/server.js"), Some("mediasoup"));
        assert_eq!(name("java", "java\0org.jitsi.videobridge.MainKt"), Some("Jitsi Videobridge"));
        assert_eq!(name("java", "java\0-jar\0x.jar"), None);
        assert_eq!(name("", ""), None);
    }

    #[test]
    fn every_line_with_ports_is_one_that_the_configuration_reads() {
        for known in PROGRAMS.iter().chain([&BIGBLUEBUTTON]) {
            let told = known.remedy().to_string();
            let line = told.split(" (").next().unwrap();
            match known.usual_ports() {
                Some(_) => assert!(Config::from_toml(line).is_ok(), "{told}"),
                None => assert!(told.starts_with("peers.allow = [\"self:FIRST-LAST\"]"), "{told}"),
            }
        }
    }
}
