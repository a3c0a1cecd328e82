// pion (Debian's packages of version 3) as one end of a call: a data channel. See README.md for the
// lines it is driven by. Build: GO111MODULE=off GOPATH=/usr/share/gocode go build pion_peer.go
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/pion/webrtc"
)

type message struct {
	ID        int               `json:"id"`
	Call      string            `json:"call"`
	Arguments []json.RawMessage `json:"arguments"`
}

type how struct {
	Policy     string
	IceServers []struct{ Urls, Username, Credential string }
}

type object map[string]interface{}

// pion calls back from goroutines of its own.
var mutex sync.Mutex
var connection *webrtc.PeerConnection
var channel *webrtc.DataChannel
var candidates = []webrtc.ICECandidateInit{}
var gathered, echoes int

func start(with how) error {
	configuration := webrtc.Configuration{}
	if with.Policy == "relay" {
		configuration.ICETransportPolicy = webrtc.ICETransportPolicyRelay
	}
	for _, one := range with.IceServers {
		configuration.ICEServers = append(configuration.ICEServers, webrtc.ICEServer{
			URLs: []string{one.Urls}, Username: one.Username, Credential: one.Credential,
		})
	}
	var err error
	if connection, err = webrtc.NewPeerConnection(configuration); err != nil {
		return err
	}
	connection.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate == nil {
			return
		}
		mutex.Lock()
		defer mutex.Unlock()
		gathered++
		candidates = append(candidates, candidate.ToJSON())
	})
	negotiated, id := true, uint16(0)
	channel, err = connection.CreateDataChannel("e2e", &webrtc.DataChannelInit{Negotiated: &negotiated, ID: &id})
	if err != nil {
		return err
	}
	channel.OnMessage(func(received webrtc.DataChannelMessage) {
		text := string(received.Data)
		if strings.HasPrefix(text, "ping") {
			_ = channel.SendText("echo" + text[len("ping"):])
			return
		}
		mutex.Lock()
		echoes++
		mutex.Unlock()
	})
	return nil
}

func makeOffer() (interface{}, error) {
	offer, err := connection.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	return offer, connection.SetLocalDescription(offer)
}

func makeAnswer(offer webrtc.SessionDescription) (interface{}, error) {
	if err := connection.SetRemoteDescription(offer); err != nil {
		return nil, err
	}
	answer, err := connection.CreateAnswer(nil)
	if err != nil {
		return nil, err
	}
	return answer, connection.SetLocalDescription(answer)
}

func progress() object {
	mutex.Lock()
	defer mutex.Unlock()
	taken := candidates
	candidates = []webrtc.ICECandidateInit{}
	return object{
		"state":      connection.ConnectionState().String(),
		"gathering":  connection.ICEGatheringState().String(),
		"gathered":   gathered,
		"candidates": taken,
	}
}

func ping(count int) {
	for i := 0; i < count && channel.ReadyState() == webrtc.DataChannelStateOpen; i++ {
		_ = channel.SendText(fmt.Sprintf("%-1000s", fmt.Sprintf("ping%d", i)))
	}
}

func report() object {
	mutex.Lock()
	defer mutex.Unlock()
	return object{
		"state": connection.ConnectionState().String(), "pair": selectedPair(), "videoFramesDecoded": 0,
		"videoPacketsLost": 0, "audioPacketsReceived": 0, "echoesReceived": echoes,
		"candidates": []string{}, "candidateErrors": []string{},
	}
}

func selectedPair() interface{} {
	stats := connection.GetStats()
	end := func(id string) object {
		one, _ := stats[id].(webrtc.ICECandidateStats)
		return object{"candidateType": one.CandidateType.String(), "address": one.IP, "port": one.Port}
	}
	for _, entry := range stats {
		pair, is := entry.(webrtc.ICECandidatePairStats)
		if is && pair.Nominated && pair.State == webrtc.StatsICECandidatePairStateSucceeded {
			return object{"local": end(pair.LocalCandidateID), "remote": end(pair.RemoteCandidateID)}
		}
	}
	return nil
}

func carryOut(asked message) (interface{}, error) {
	argument := func(into interface{}) error { return json.Unmarshal(asked.Arguments[0], into) }
	var description webrtc.SessionDescription
	switch asked.Call {
	case "start":
		var with how
		if err := argument(&with); err != nil {
			return nil, err
		}
		return nil, start(with)
	case "makeOffer":
		return makeOffer()
	case "makeAnswer":
		if err := argument(&description); err != nil {
			return nil, err
		}
		return makeAnswer(description)
	case "takeAnswer":
		if err := argument(&description); err != nil {
			return nil, err
		}
		return nil, connection.SetRemoteDescription(description)
	case "addCandidates":
		var list []webrtc.ICECandidateInit
		if err := argument(&list); err != nil {
			return nil, err
		}
		for _, one := range list {
			if err := connection.AddICECandidate(one); err != nil {
				return nil, err
			}
		}
		return nil, nil
	case "progress":
		return progress(), nil
	case "ping":
		var count int
		if err := argument(&count); err != nil {
			return nil, err
		}
		ping(count)
		return nil, nil
	case "report":
		return report(), nil
	}
	return nil, fmt.Errorf("pion_peer cannot %s", asked.Call)
}

// pion writes its log (PION_LOG_WARN=all) to standard output, which is for the lines alone.
var lines = os.Stdout

func send(what object) {
	line, _ := json.Marshal(what)
	fmt.Fprintln(lines, string(line))
}

func main() {
	os.Stdout = os.Stderr
	version := os.Getenv("PION_VERSION")
	send(object{"ready": "pion " + version})
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(make([]byte, 1<<20), 1<<20)
	for input.Scan() {
		var asked message
		if err := json.Unmarshal(input.Bytes(), &asked); err != nil {
			continue
		}
		result, err := carryOut(asked)
		if err != nil {
			send(object{"id": asked.ID, "error": err.Error()})
		} else {
			send(object{"id": asked.ID, "result": result})
		}
	}
}
