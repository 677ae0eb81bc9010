package gridloom

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// golden is a frame of sdk/frames.json.
type golden struct {
	Name    string
	From    string
	Message json.RawMessage
	Hex     string
}

func (g golden) bytes(t *testing.T) []byte {
	t.Helper()
	frame, err := hex.DecodeString(g.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func goldenFrames(t *testing.T) (all struct {
	FrameMax       int `json:"frame_max"`
	Frames, Broken []golden
}) {
	t.Helper()
	text, err := os.ReadFile("../frames.json")
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || len(all.Frames) < 20 || len(all.Broken) < 10 {
		t.Fatalf("%d frames and %d broken ones: %v", len(all.Frames), len(all.Broken), err)
	}
	return all
}

// thing is what a text in JSON says, with numbers as they are written and without what is null.
func thing(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var said any
	if err := decoder.Decode(&said); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if object, is := said.(map[string]any); is {
		for name, value := range object {
			if value == nil {
				delete(object, name)
			}
		}
	}
	return said
}

// pair is a connection and the socket at its other end.
func pair(t *testing.T) (*connection, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ours, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []net.Conn{ours, theirs} {
		one := one
		_ = one.SetDeadline(time.Now().Add(soon))
		t.Cleanup(func() { _ = one.Close() })
	}
	return newConnection(ours), theirs
}

func TestGoldenFrameIsReadAsItsMessage(t *testing.T) {
	for _, frame := range goldenFrames(t).Frames {
		t.Run(frame.Name, func(t *testing.T) {
			conn, theirs := pair(t)
			for i := 0; i < 2; i++ {
				if _, err := theirs.Write(frame.bytes(t)); err != nil {
					t.Fatal(err)
				}
			}
			_ = theirs.Close()
			for i := 0; i < 2; i++ {
				kind, body, err := conn.receive()
				if err != nil {
					t.Fatal(err)
				}
				said := thing(t, body)
				if !reflect.DeepEqual(said, thing(t, frame.Message)) || kind != said.(map[string]any)["type"] {
					t.Errorf("%s: %s", kind, body)
				}
			}
			if _, _, err := conn.receive(); err != io.EOF {
				t.Error(err)
			}
		})
	}
}

// What each message is in this library.
func form(kind string) any {
	return map[string]any{
		"attach": &attachMessage{}, "shards": &shardsMessage{}, "probe": &probeMessage{}, "stop": &stopMessage{},
		"hello": &helloMessage{}, "done": &doneMessage{}, "fail": &failMessage{}, "stopped": &stoppedMessage{},
		"progress": &progressMessage{}, "pages": &pagesMessage{}, "bye": &byeMessage{},
	}[kind]
}

func TestWhatIsWrittenOfAMessageIsReadAsTheSame(t *testing.T) {
	for _, frame := range goldenFrames(t).Frames {
		if strings.Contains(frame.Name, "more than is known") || frame.From == "worker" {
			continue
		}
		var head struct{ Type string }
		if err := json.Unmarshal(frame.Message, &head); err != nil {
			t.Fatal(err)
		}
		message := form(head.Type)
		if message == nil {
			continue // of a later version
		}
		if err := json.Unmarshal(frame.Message, message); err != nil {
			t.Fatalf("%s: %v", frame.Name, err)
		}
		written, err := encode(message)
		if err != nil {
			t.Fatalf("%s: %v", frame.Name, err)
		}
		length := int(written[0])<<24 | int(written[1])<<16 | int(written[2])<<8 | int(written[3])
		if length != len(written)-4 || !reflect.DeepEqual(thing(t, written[4:]), thing(t, frame.Message)) {
			t.Errorf("%s: %s", frame.Name, written[4:])
		}
	}
}

func TestGoldenTilesAndProbesArriveWhole(t *testing.T) {
	whole := map[string]func(shardsMessage) bool{
		"a tile of two pages": func(m shardsMessage) bool {
			first, second := m.shard(m.tile(), &m.Shards[0]), m.shard(m.tile(), &m.Shards[1])
			var params struct{ Width int }
			return first.Key() == "4b0f3d5cf6c8e1a2-3-0" && second.id == 18 && first.Bounds == nil && first.Offset == nil &&
				first.Params.Into(&params) == nil && params.Width == 200 && first.Settings == "{}" &&
				first.tile.timeout == 10*time.Minute && first.Fence == 1795968000000123
		},
		"a page with text keys": func(m shardsMessage) bool {
			shard := m.shard(m.tile(), &m.Shards[0])
			return *shard.Bounds == Bounds{Text("a"), Text("日本")} && !shard.tile.limited && shard.Attempt == 2 &&
				strings.HasPrefix(shard.Traceparent, "00-4bf9") && shard.Settings == `{"level": 9}`
		},
		"a page with keys at the ends of 64 bits": func(m shardsMessage) bool {
			shard := m.shard(m.tile(), &m.Shards[0])
			return *shard.Bounds == Bounds{Int(-1 << 63), Int(1<<63 - 1)}
		},
		"pages by position": func(m shardsMessage) bool {
			first, second := m.shard(m.tile(), &m.Shards[0]), m.shard(m.tile(), &m.Shards[1])
			return *first.Offset == 0 && *first.Limit == 1000 && *second.Offset == 1000 && second.Limit == nil
		},
	}
	probes := map[string]func(*Key) bool{
		"the first question of a probe": func(after *Key) bool { return after == nil },
		"a later one":                   func(after *Key) bool { return *after == Int(2000) },
		"one behind a text":             func(after *Key) bool { return *after == Text("m") },
	}
	seen := 0
	for _, frame := range goldenFrames(t).Frames {
		if holds := whole[frame.Name]; holds != nil {
			var message shardsMessage
			if err := read("shards", frame.Message, &message); err != nil || !holds(message) {
				t.Errorf("%s: %v", frame.Name, err)
			}
			seen++
		}
		if holds := probes[frame.Name]; holds != nil {
			var message probeMessage
			if err := read("probe", frame.Message, &message); err != nil {
				t.Fatalf("%s: %v", frame.Name, err)
			}
			probe := message.probe(message.tile())
			if !holds(probe.After) || probe.room != 786_432 || probe.most != 4096 {
				t.Errorf("%s: %+v", frame.Name, probe.After)
			}
			seen++
		}
	}
	if seen != len(whole)+len(probes) {
		t.Errorf("%d of %d frames are there", seen, len(whole)+len(probes))
	}
}

func TestBrokenFrameIsToldAsSuch(t *testing.T) {
	for _, frame := range goldenFrames(t).Broken {
		t.Run(frame.Name, func(t *testing.T) {
			conn, theirs := pair(t)
			if _, err := theirs.Write(frame.bytes(t)); err != nil {
				t.Fatal(err)
			}
			var fault *ProtocolError
			if _, _, err := conn.receive(); !errors.As(err, &fault) {
				t.Error(err)
			}
		})
	}
}

func TestMessageOfWhichAFieldIsMissingIsBroken(t *testing.T) {
	tile := `"run":"r","job":"r","handler":"h","nonce":"n","slice":0,"slices":1,"attempt":1,"fence":1`
	for text, into := range map[string]interface{ whole() bool }{
		`{"ids":[1]}`:                          &stopMessage{},
		`{"why":"time"}`:                       &stopMessage{},
		`{"ids":[1.5],"why":"x"}`:              &stopMessage{},
		`{` + tile + `}`:                       &shardsMessage{},
		`{` + tile + `,"shards":[{"page":0}]}`: &shardsMessage{},
		`{` + tile + `,"shards":[{"id":1,"page":0,"from":1}]}`:                                            &shardsMessage{},
		`{` + tile + `,"shards":[{"id":1,"page":0,"from":1.5,"to":2}]}`:                                   &shardsMessage{},
		`{` + strings.Replace(tile, `:1,"attempt"`, `:0,"attempt"`, 1) + `,"shards":[{"id":1,"page":0}]}`: &shardsMessage{},
		`{"job":"r","shards":[{"id":1,"page":0}]}`:                                                        &shardsMessage{},
		`{` + tile + `,"id":1,"page":0,"room":7}`:                                                         &probeMessage{},
	} {
		var fault *ProtocolError
		if err := read("x", []byte(text), into); !errors.As(err, &fault) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBoundsAreThoseOfThePage(t *testing.T) {
	if most := goldenFrames(t).FrameMax; most != frameMax {
		t.Errorf("%d, not %d", frameMax, most)
	}
	if _, err := encode(strings.Repeat("x", frameMax)); err == nil {
		t.Error("a frame above the bound was made")
	}
}

func TestLengthTakesNoRoomBeforeItsBytesAreThere(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := 0; i < 20; i++ {
		conn, theirs := pair(t)
		_, _ = theirs.Write([]byte{0, 0x80, 0, 0, '{'})
		_ = theirs.Close()
		if _, _, err := conn.receive(); err != io.EOF {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > frameMax {
		t.Errorf("%d bytes for 20 frames of which one byte came", taken)
	}
}

func TestNestedWithoutEndIsBroken(t *testing.T) {
	conn, theirs := pair(t)
	body := bytes.Repeat([]byte("["), 200_000)
	go func() { _, _ = theirs.Write(append([]byte{0, 3, 0x0d, 0x40}, body...)) }()
	var fault *ProtocolError
	if _, _, err := conn.receive(); !errors.As(err, &fault) {
		t.Error(err)
	}
}

func TestWhatIsNoTextDoesNotBreakTheFrame(t *testing.T) {
	said := told(errors.New("half \xed\xa0\x80 of a pair"))
	frame, err := encode(failMessage{Type: "fail", Shards: []failShard{said}})
	if err != nil || !bytes.Contains(frame, []byte(`"half ? of a pair"`)) {
		t.Errorf("%q: %v", frame, err)
	}
}

func TestManyMaySendAndFramesStayWhole(t *testing.T) {
	conn, theirs := pair(t)
	var sending sync.WaitGroup
	for n := 0; n < 4; n++ {
		sending.Add(1)
		go func(sign string) {
			defer sending.Done()
			for i := 0; i < 50; i++ {
				conn.send(map[string]string{"type": "x", "text": strings.Repeat(sign, 50_000)})
			}
		}(string(rune('a' + n)))
	}
	reader := newConnection(theirs)
	for i := 0; i < 200; i++ {
		_, body, err := reader.receive()
		if err != nil {
			t.Fatal(err)
		}
		var said struct{ Text string }
		if err := json.Unmarshal(body, &said); err != nil || strings.Trim(said.Text, said.Text[:1]) != "" {
			t.Fatalf("a frame of several: %v", err)
		}
	}
	sending.Wait()
}

func TestSendingToNobodyIsNoError(t *testing.T) {
	conn, theirs := pair(t)
	_ = theirs.Close()
	for i := 0; i < 3; i++ {
		conn.send(byeMessage{Type: "bye"})
	}
}

// lost is a socket whose descriptor somebody has closed.
type lost struct{ net.Conn }

func (l lost) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EBADF)}
}

func TestConnectionThatOtherCodeHasClosedEndsForWhoeverReceives(t *testing.T) {
	conn, _ := pair(t)
	conn = newConnection(lost{conn.conn})
	ended := make(chan error, 1)
	go func() {
		_, _, err := conn.receive()
		ended <- err
	}()
	began := time.Now()
	conn.send(byeMessage{Type: "bye"})
	if err := <-ended; err != io.EOF || time.Since(began) >= soon {
		t.Error(err)
	}
}

func TestAddressThatIsNoneSaysHowToWriteIt(t *testing.T) {
	for _, address := range []string{"tcp:", "tcp:7070", "tcp:127.0.0.1:", "tcp:127.0.0.1:x"} {
		if _, err := connect(address); err == nil || !strings.Contains(err.Error(), "GRIDLOOM_SOCKET") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := connect(filepath.Join(t.TempDir(), "s")); err == nil {
		t.Error("connected to nobody")
	}
}
