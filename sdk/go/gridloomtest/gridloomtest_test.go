package gridloomtest_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"gridloom"
	"gridloom/gridloomtest"
)

var (
	background = context.Background()
	names      = func() (all []string) {
		for n := 0; n < 100; n++ {
			all = append(all, fmt.Sprint(n, ".jpg"))
		}
		return all
	}()
)

func resize(ctx context.Context, shard *gridloom.Shard) error {
	var params struct{ Width int }
	if err := shard.Params.Into(&params); err != nil {
		return err
	}
	for _, name := range names {
		if !shard.Owns(name) {
			continue
		}
		if err := shard.Check(); err != nil {
			return err
		}
		shard.Rows(1)
		shard.Count("bytes", int64(len(name)))
	}
	shard.Result(map[string]int{"width": params.Width})
	return nil
}

func TestOneShard(t *testing.T) {
	found := gridloomtest.Run(background, resize, gridloomtest.Shard{
		Params: map[string]any{"width": 200}, Slices: 4, Slice: 1,
	})
	var mine int64
	for _, name := range names {
		if gridloom.SliceOf(name, 4) == 1 {
			mine++
		}
	}
	if !found.OK() || *found.Result != `{"width":200}` || found.Rows != mine {
		t.Error(found)
	}
}

func TestWholeGridDoesEachRecordOnce(t *testing.T) {
	whole := gridloomtest.RunAll(background, resize, gridloomtest.Grid{Slices: 7})
	if err := whole.Err(); err != nil || whole.Rows() != 100 || len(whole) != 7 {
		t.Error(whole, err)
	}
	if bytes := whole.Counters()["bytes"]; bytes != int64(len(strings.Join(names, ""))) {
		t.Error(bytes)
	}
}

func TestStopIsHeardAtACheck(t *testing.T) {
	found := gridloomtest.Run(background, resize, gridloomtest.Shard{Stop: &gridloomtest.Stop{AfterChecks: 10}})
	var stopped *gridloom.Stopped
	if found.Kind != "stopped" || !errors.As(found.Returned, &stopped) || stopped.Why != "lease" || found.OK() {
		t.Error(found)
	}
	if err := found.Err(); err == nil || err.Error() != "shard 0/0: stopped: lease lost" {
		t.Error(err)
	}
}

func TestEndOfTheContextStopsAShard(t *testing.T) {
	ctx, end := context.WithCancel(background)
	found := gridloomtest.Run(ctx, func(ctx context.Context, shard *gridloom.Shard) error {
		end()
		<-ctx.Done()
		return ctx.Err()
	}, gridloomtest.Shard{})
	if found.Kind != "stopped" {
		t.Error(found)
	}
}

func TestFailuresAreToldAsTheLedgerHasThem(t *testing.T) {
	fails := func(_ context.Context, shard *gridloom.Shard) error {
		switch shard.Page {
		case 0:
			return gridloom.RetryAfter(2*time.Second, errors.New("a"))
		case 1:
			return gridloom.Permanent(errors.New("b"))
		case 2:
			return gridloom.Hold(3*time.Second, errors.New("c"))
		case 3:
			return gridloom.Retry(nil)
		case 4:
			return gridloom.RetryAfter(time.Second, nil)
		case 5:
			return gridloom.Permanent(nil)
		case 6:
			return gridloom.Hold(time.Second, nil)
		case 7:
			return nil
		default:
			panic("f")
		}
	}
	after := func(seconds time.Duration) *time.Duration {
		seconds *= time.Second
		return &seconds
	}
	for page, want := range []gridloomtest.Outcome{
		{Kind: "retry", Error: "a", After: after(2)},
		{Kind: "permanent", Error: "b"},
		{Kind: "hold", Error: "c", After: after(3)},
		{Kind: "retry", Error: "retry"},
		{Kind: "retry", Error: "retry", After: after(1)},
		{Kind: "permanent", Error: "permanent"},
		{Kind: "hold", Error: "hold", After: after(1)},
		{Kind: "done"},
		{Kind: "retry", Error: "panic: f: at gridloom"},
	} {
		found := gridloomtest.Run(background, fails, gridloomtest.Shard{Page: page})
		if found.Kind != want.Kind || !strings.HasPrefix(found.Error, want.Error) || !reflect.DeepEqual(found.After, want.After) {
			t.Errorf("page %d: %+v", page, found)
		}
	}
	var failure *gridloom.Failure
	if err := gridloomtest.RunAll(background, fails, gridloomtest.Grid{PagesEach: 2}).Err(); !errors.As(err, &failure) || failure.Kind != gridloom.KindRetry {
		t.Error(err)
	}
}

func TestHandlerMayEndItsTest(t *testing.T) {
	ended := make(chan bool, 1)
	go func() {
		defer func() { ended <- true }()
		gridloomtest.Run(background, func(context.Context, *gridloom.Shard) error {
			runtime.Goexit() // as t.FailNow does
			return nil
		}, gridloomtest.Shard{})
		ended <- false
	}()
	if !<-ended {
		t.Error("it went on")
	}
}

func tens(_ context.Context, probe *gridloom.Probe) error {
	first := int64(1)
	if probe.After != nil {
		first = probe.After.Int() + 1
	}
	for ; first < 100 && probe.Add(gridloom.Int(first), gridloom.Int(first+9)); first += 10 {
	}
	return nil
}

func TestProbeIsAskedUntilTheEnd(t *testing.T) {
	whole, err := gridloomtest.Probe(background, tens, gridloomtest.Shard{})
	if err != nil || len(whole) != 10 || whole[9] != (gridloom.Bounds{First: gridloom.Int(91), Last: gridloom.Int(100)}) {
		t.Fatal(whole, err)
	}
	// One page an answer, and the same comes out.
	for _, most := range [][2]int{{786_432, 1}, {20, 4096}} {
		found, err := gridloomtest.ProbeWithin(background, tens, gridloomtest.Shard{}, most[0], most[1])
		if err != nil || !reflect.DeepEqual(found, whole) {
			t.Error(most, found, err)
		}
	}
	count := func(_ context.Context, shard *gridloom.Shard) error {
		shard.Rows(shard.Bounds.Last.Int() - shard.Bounds.First.Int() + 1)
		return nil
	}
	rows := gridloomtest.RunAll(background, count, gridloomtest.Grid{Slices: 2, Pages: tens})
	if rows.Err() != nil || rows.Rows() != 200 {
		t.Error(rows.Rows(), rows.Err())
	}
}

func TestPagesByWhichARowWouldBeDoneTwiceAreRefused(t *testing.T) {
	number, text := gridloom.Int, gridloom.Text
	for _, pages := range [][][2]gridloom.Key{
		{{number(1), number(9)}, {number(9), number(12)}},
		{{number(1), number(9)}, {number(5), number(12)}},
		{{number(5), number(4)}},
		{{text("a"), text("b")}, {text("b"), text("c")}},
		{{text("a"), text("b")}, {text("c"), text("a")}},
		{{number(1), number(2)}, {text("a"), text("b")}},
		{{number(1), text("a")}},
		{{text(strings.Repeat("x", 257)), text("y")}},
		{{text("\xff"), text("y")}},
	} {
		_, err := gridloomtest.Probe(background, func(_ context.Context, probe *gridloom.Probe) error {
			for _, page := range pages {
				probe.Add(page[0], page[1])
			}
			return nil
		}, gridloomtest.Shard{})
		if err == nil || !strings.Contains(err.Error(), "permanent") {
			t.Errorf("%v: %v", pages, err)
		}
	}
}

func TestTextsAreOrderedByTheirDatabaseAlone(t *testing.T) {
	found, err := gridloomtest.Probe(background, func(_ context.Context, probe *gridloom.Probe) error {
		for _, page := range [][2]string{{"a", "a"}, {"B", "b"}, {"A", "c"}} {
			probe.Add(gridloom.Text(page[0]), gridloom.Text(page[1]))
		}
		return nil
	}, gridloomtest.Shard{})
	if err != nil || len(found) != 3 {
		t.Error(found, err)
	}
}

func TestPageThatBeginsWhereTheLastAnswerEndedIsRefused(t *testing.T) {
	_, err := gridloomtest.ProbeWithin(background, func(_ context.Context, probe *gridloom.Probe) error {
		if probe.After != nil {
			probe.Add(gridloom.Int(7), gridloom.Int(9))
			return nil
		}
		if probe.Add(gridloom.Int(7), gridloom.Int(7)) {
			probe.Add(gridloom.Int(8), gridloom.Int(8))
		}
		return nil
	}, gridloomtest.Shard{}, 786_432, 1)
	if err == nil || !strings.Contains(err.Error(), "unique") {
		t.Error(err)
	}
}

func TestMadeUpShardIsWhatItIsSaidToBe(t *testing.T) {
	bounds := gridloom.Bounds{First: gridloom.Text("a"), Last: gridloom.Text("b")}
	limit := int64(7)
	found := gridloomtest.Run(background, func(ctx context.Context, shard *gridloom.Shard) error {
		deadline, limited := shard.Deadline()
		left := time.Until(deadline)
		shard.Result(fmt.Sprint(shard.Key(), *shard.Bounds, *shard.Limit, shard.Params, limited, left > 59*time.Second, left <= time.Minute))
		return nil
	}, gridloomtest.Shard{Slice: 3, Slices: 16, Page: 2, Bounds: &bounds, Limit: &limit, Timeout: time.Minute})
	if found.Result == nil || *found.Result != "00000000000000ff-3-2{a b} 7{}true true true" {
		t.Error(found)
	}
	if found := gridloomtest.Run(background, resize, gridloomtest.Shard{Slice: 1, Slices: 1}); found.OK() {
		t.Error("slice 1 of 1 is none")
	}
}
