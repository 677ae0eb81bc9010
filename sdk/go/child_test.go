package gridloom

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// A child of a worker: real sockets and real processes, with a worker that the test plays. How it ends: ends_test.go.

// work registers a handler that everybody calls so.
func work(handler Handler) func(*Worker) {
	return func(w *Worker) { w.Handle("work", handler) }
}

func nothing(context.Context, *Shard) error { return nil }

func TestHelloSaysWhatItCanAndSlotsAreTheWorkersWord(t *testing.T) {
	child := play(t, with{slots: "7"}, func(w *Worker) {
		w.Handle("work", nothing)
		w.Handle("other", nothing)
		w.Pages("work", func(context.Context, *Probe) error { return nil })
	})
	want := object{
		"type": "hello", "protocol": []any{1.0, 1.0}, "token": testToken, "sdk": "go " + Version,
		"handlers": []any{"work", "other"}, "probes": []any{"work"}, "slots": 7.0,
	}
	if !reflect.DeepEqual(child.hello, want) {
		t.Error(child.hello)
	}
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}

func TestTCPDoesAsWell(t *testing.T) {
	child := play(t, with{tcp: true}, work(func(_ context.Context, shard *Shard) error {
		shard.Rows(2)
		return nil
	}))
	ids := child.tile(1, nil)
	if said := child.answers(ids...)[0]; said.kind != "done" || said.said["rows"] != 2.0 {
		t.Error(said)
	}
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}

func seen(shard *Shard) string {
	deadline, limited := shard.Deadline()
	left := time.Until(deadline)
	return fmt.Sprint(shard.Run, shard.Job, shard.Handler, shard.Slice, shard.Slices, shard.Page, shard.Attempt, shard.Fence,
		shard.Key(), shard.Params, shard.Settings, *shard.Bounds, *shard.Offset, shard.Limit, shard.Traceparent,
		limited, left > 590*time.Second && left <= 600*time.Second)
}

func TestShardIsToldAllThatThereIsToKnow(t *testing.T) {
	child := play(t, with{}, work(func(ctx context.Context, shard *Shard) error {
		fmt.Println(seen(shard))
		if deadline, _ := shard.Deadline(); shard.Page == 0 {
			if of, has := ctx.Deadline(); !has || !of.Equal(deadline) {
				return errors.New("the context has another deadline")
			}
		}
		shard.Rows(1)
		shard.Rows(2)
		shard.Count("bytes", 7)
		shard.Count("bytes", -2)
		shard.Result(map[string]string{"é": "<"})
		return nil
	}))
	page := object{"from": -5, "to": 9, "offset": 1000, "traceparent": "00-a-b-01", "later": true}
	ids := child.cells([]object{page}, object{
		"params": object{"width": 200}, "settings": object{"level": 9}, "timeout_ms": 600_000, "colour": "red",
	})
	want := object{"id": 1.0, "rows": 3.0, "counters": object{"bytes": 5.0}, "result": `{"é":"<"}`}
	if said := child.answers(ids...)[0]; said.kind != "done" || !reflect.DeepEqual(said.said, want) {
		t.Error(said)
	}
	told := `sizes_s_7sizeswork3 16 0 1 1795968000000123 4b0f3d5cf6c8e1a2-3-0{"width":200}{"level":9}{-5 9} 1000 <nil> 00-a-b-01`
	if !strings.Contains(strings.ReplaceAll(child.wrote(), " ", ""), strings.ReplaceAll(told+"true true", " ", "")) {
		t.Error(child.wrote())
	}
}

func TestTileRunsInItsOrderAndIsAnsweredInFewFrames(t *testing.T) {
	var ran []int
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		ran = append(ran, shard.Page)
		shard.Result(fmt.Sprint(sort.IntsAreSorted(ran) && len(ran) == shard.Page+1))
		return nil
	}))
	for _, said := range child.answers(child.tile(1000, nil)...) {
		if said.kind != "done" || said.said["result"] != "true" {
			t.Fatal(said)
		}
	}
	if len(child.frames) > 50 {
		t.Errorf("%d frames for a thousand shards", len(child.frames))
	}
}

func TestOutcomeIsNotKeptBackByTheShardBehindIt(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		if shard.Page == 1 {
			waitFor("go")
		}
		return nil
	}))
	ids := child.tile(2, nil)
	first := child.answers(ids[0])
	child.allow("go")
	if all := kinds(append(first, child.answers(ids[1])...)); all != "done done" {
		t.Error(all)
	}
}

func deep(n []int) int { return n[5] }

func TestFailuresSayWhatFollowsAndOthersAreTriedAgain(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		switch shard.Page {
		case 0:
			return Retry(errors.New("HTTP 503"))
		case 1:
			return RetryAfter(5*time.Second, errors.New("HTTP 429"))
		case 2:
			return fmt.Errorf("page 2: %w", Permanent(errors.New("no such bucket")))
		case 3:
			return Hold(2500*time.Millisecond, errors.New("busy"))
		case 4:
			return fmt.Errorf("no width: %w", os.ErrNotExist)
		case 5:
			deep(nil)
		case 6:
			runtime.Goexit()
		case 7:
			return Permanent(errors.New(strings.Repeat("é", 5000)))
		case 8:
			return &Stopped{Why: "nobody said so"}
		case 9:
			panic(Permanent(errors.New("raised")))
		case 10:
			return Hold(-time.Second, nil)
		case 11:
			var none *APIError
			return none
		}
		return nil
	}))
	ids := child.tile(13, nil)
	want := []struct {
		kind  string
		after any
		error string
	}{
		{"retry", nil, "HTTP 503"},
		{"retry", 5000.0, "HTTP 429"},
		{"permanent", nil, "page 2: no such bucket"},
		{"hold", 2500.0, "busy"},
		{"retry", nil, "no width: file does not exist"},
		{"retry", nil, "panic: runtime error: index out of range [5] with length 0: at gridloom.deep (child_test.go:"},
		{"retry", nil, "the handler ended its goroutine"},
		{"permanent", nil, strings.Repeat("é", 512)},
		{"retry", nil, "nobody said so"},
		{"permanent", nil, "panic: raised: at gridloom.TestFailures"},
		{"hold", 0.0, "hold"},
		{"retry", nil, "*gridloom.APIError"},
	}
	answers := child.answers(ids...)
	for at, one := range want {
		said := answers[at]
		text, _ := said.said["error"].(string)
		if said.kind != "fail" || said.said["kind"] != one.kind || said.said["after_ms"] != one.after || !strings.HasPrefix(text, one.error) {
			t.Errorf("page %d: %v", at, said)
		}
		if len(text) > 1024 {
			t.Errorf("page %d: an error of %d bytes", at, len(text))
		}
	}
	if answers[12].kind != "done" {
		t.Error(answers[12])
	}
	// A panic has its whole stack where the worker reads it; what was returned on purpose has none.
	wrote := child.wrote()
	if child.drain() != 0 || !strings.Contains(wrote, "gridloom.deep(") || strings.Contains(wrote, "no such bucket") {
		t.Error(wrote)
	}
}

func TestWhatTheLedgerHasNoRoomForFailsItsShardForGoodAndNothingElse(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		switch shard.Page {
		case 0:
			shard.Result(strings.Repeat("x", 64<<20))
		case 1:
			shard.Result(strings.Repeat("é", 513))
		case 2:
			for n := 0; n < 16; n++ {
				shard.Count(fmt.Sprint("c", n), 1)
			}
		case 3:
			shard.Count(strings.Repeat("n", 49), 1)
		case 4:
			shard.Count("big", 1<<62)
			shard.Count("big", 1<<62)
		case 5:
			shard.Rows(1<<63 - 1)
			shard.Rows(1)
		case 6:
			shard.Count("rows", -1)
		case 7:
			shard.Rows(-1)
		case 8:
			shard.Count("", 1)
		case 9:
			shard.Count("\xff", 1)
		case 10:
			shard.Result(func() {})
		case 11:
			shard.Result(strings.Repeat("é", 512))
		}
		return nil
	}))
	answers := child.answers(child.tile(12, nil)...)
	for page, said := range answers[:11] {
		if said.said["kind"] != "permanent" {
			t.Errorf("page %d: %v", page, said)
		}
	}
	if text := answers[0].said["error"].(string); !strings.Contains(text, "67108864 bytes") {
		t.Error(text)
	}
	if answers[11].kind != "done" {
		t.Error(answers[11])
	}
}

// nobodys is an error of which a nil pointer is none: its Unwrap panics.
type nobodys struct{ err error }

func (n *nobodys) Error() string { return n.err.Error() }
func (n *nobodys) Unwrap() error { return n.err }

func TestErrorWhoseMethodsPanicFailsItsShardAndNothingElse(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		if shard.Page == 0 {
			var none *nobodys
			return none
		}
		return nil
	}))
	answers := child.answers(child.tile(2, nil)...)
	if answers[0].kind != "fail" || answers[0].said["kind"] != "retry" || answers[1].kind != "done" {
		t.Error(answers)
	}
}

func TestResultsThatFillFramesComeInSeveral(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		shard.Result(strings.Repeat("\x01", 1024))
		return nil
	}))
	child.answers(child.tile(1000, nil)...)
	if len(child.frames) < 2 {
		t.Error("one frame for 6 MB")
	}
}

func TestAsManyTilesRunAtOnceAsThereAreSlots(t *testing.T) {
	var here sync.WaitGroup
	here.Add(50)
	child := play(t, with{slots: "50"}, work(func(context.Context, *Shard) error {
		here.Done()
		here.Wait()
		return nil
	}))
	var ids []int64
	for n := 0; n < 50; n++ {
		ids = append(ids, child.tile(1, nil)...)
	}
	for _, said := range child.answers(ids...) {
		if said.kind != "done" {
			t.Error(said)
		}
	}
}

func TestWhatALaterVersionSaysIsIgnored(t *testing.T) {
	child := play(t, with{}, work(nothing))
	child.send(object{"type": "applause", "ids": "loud"})
	if all := kinds(child.answers(child.tile(1, nil)...)); all != "done" {
		t.Error(all)
	}
}

// slowly writes a few bytes at a time.
type slowly struct{ net.Conn }

func (s slowly) Write(data []byte) (int, error) {
	for at := 0; at < len(data); at += 3 {
		if _, err := s.Conn.Write(data[at:atMost(at+3, len(data))]); err != nil {
			return at, err
		}
	}
	return len(data), nil
}

func TestFramesThatArriveByteByByteAreFrames(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		var params struct{ X string }
		if err := shard.Params.Into(&params); err != nil {
			return err
		}
		shard.Rows(int64(len(params.X)))
		return nil
	}))
	whole := child.conn
	child.conn = slowly{whole}
	ids := child.tile(1, object{"params": object{"x": strings.Repeat("é", 300)}})
	child.conn = whole
	if said := child.answers(ids...)[0]; said.said["rows"] != 600.0 {
		t.Error(said)
	}
}

func TestParamsThatDoNotFitAreDeadAtOnce(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		var params struct{ Width int }
		return shard.Params.Into(&params)
	}))
	said := child.answers(child.tile(1, object{"params": object{"width": "wide"}})...)[0]
	if said.said["kind"] != "permanent" || !strings.Contains(said.said["error"].(string), "Width") {
		t.Error(said)
	}
}

func TestOutputIsTheUsers(t *testing.T) {
	child := play(t, with{}, work(func(context.Context, *Shard) error {
		fmt.Println(`{"type": "bye"}`)
		_, err := os.Stdout.Write([]byte("\x00\x00\x00\x05"))
		waitFor("go")
		return err
	}))
	ids := child.tile(1, nil)
	eventually(t, "a line", func() bool { return strings.Contains(child.wrote(), "{\"type\": \"bye\"}\n") })
	child.allow("go")
	if all := kinds(child.answers(ids...)); all != "done" {
		t.Error(all)
	}
}

func TestRowsSoFarAreToldOfWhatTakesLong(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		shard.Rows(5)
		waitFor("go")
		return nil
	}))
	ids := child.tile(1, nil)
	want := object{"type": "progress", "shards": []any{object{"id": 1.0, "rows": 5.0}}}
	if said := child.receive(); !reflect.DeepEqual(said, want) {
		t.Error(said)
	}
	child.allow("go")
	if said := child.answers(ids...)[0]; said.said["rows"] != 5.0 {
		t.Error(said)
	}
}

func TestHandlerThatIsNotThereFailsItsShards(t *testing.T) {
	child := play(t, with{}, work(nothing))
	ids := append(child.tile(2, object{"handler": "nobody"}), child.probe(nil))
	for _, said := range child.answers(ids...) {
		if said.kind != "fail" || said.said["kind"] != "retry" {
			t.Error(said)
		}
	}
}

func TestProbesAreAnswered(t *testing.T) {
	child := play(t, with{}, func(w *Worker) {
		for _, name := range []string{"list", "endless", "texts", "fails", "panics", "shares"} {
			w.Handle(name, nothing)
		}
		w.Pages("list", func(_ context.Context, probe *Probe) error {
			probe.Add(Int(1), Int(9))
			probe.Add(Int(10), Int(12))
			return nil
		})
		w.Pages("endless", func(_ context.Context, probe *Probe) error {
			n := int64(1)
			if probe.After != nil {
				n = probe.After.Int() + 1
			}
			for probe.Add(Int(n), Int(n)) {
				n++
			}
			return nil
		})
		w.Pages("texts", func(_ context.Context, probe *Probe) error {
			if probe.After == nil {
				probe.Add(Text("a"), Text("日本"))
			}
			return nil
		})
		w.Pages("fails", func(context.Context, *Probe) error { return Hold(time.Second, errors.New("it lags")) })
		w.Pages("panics", func(context.Context, *Probe) error { panic("no") })
		w.Pages("shares", func(_ context.Context, probe *Probe) error {
			probe.Add(Int(1), Int(9))
			probe.Add(Int(9), Int(12))
			return nil
		})
	})
	ask := func(more object) given { return child.answers(child.probe(more))[0] }
	if said := ask(object{"handler": "list"}).said["pages"]; !reflect.DeepEqual(said, []any{[]any{1.0, 9.0}, []any{10.0, 12.0}}) {
		t.Error(said)
	}
	said := ask(object{"handler": "endless"}).said
	if len(said["pages"].([]any)) != 4096 || said["cursor"] != 4096.0 {
		t.Error(len(said["pages"].([]any)), said["cursor"])
	}
	said = ask(object{"handler": "endless", "after": 4096, "room": 100}).said
	if len(said["pages"].([]any)) != 5 || said["cursor"] != 4101.0 {
		t.Error(said)
	}
	if said := ask(object{"handler": "texts"}).said["pages"]; !reflect.DeepEqual(said, []any{[]any{"a", "日本"}}) {
		t.Error(said)
	}
	if said := ask(object{"handler": "texts", "after": "日本"}).said; !reflect.DeepEqual(said["pages"], []any{}) || said["cursor"] != nil {
		t.Error(said)
	}
	if said := ask(object{"handler": "fails"}).said; said["kind"] != "hold" || said["after_ms"] != 1000.0 {
		t.Error(said)
	}
	if said := ask(object{"handler": "panics"}).said; said["kind"] != "retry" {
		t.Error(said)
	}
	if said := ask(object{"handler": "shares"}).said; said["kind"] != "permanent" || !strings.Contains(said["error"].(string), "done twice") {
		t.Error(said)
	}
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}

func TestGoroutinesOfAHandlerMayCountForIt(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		var counting sync.WaitGroup
		for n := 0; n < 4; n++ {
			counting.Add(1)
			go func() {
				defer counting.Done()
				for i := 0; i < 5000; i++ {
					shard.Rows(1)
					shard.Count("n", 1)
				}
			}()
		}
		counting.Wait()
		// One that is left behind counts too late, and breaks nothing.
		go func() {
			for {
				shard.Count("n", 1)
				runtime.Gosched()
			}
		}()
		return nil
	}))
	said := child.answers(child.tile(1, nil)...)[0]
	if said.said["rows"] != 20_000.0 {
		t.Error(said)
	}
	child.answers(child.tile(100, object{"handler": "nobody"})...)
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}
