// Package gridloomtest runs a handler without a broker: one shard, all shards of a small grid, or a probe.
//
//	outcome := gridloomtest.Run(ctx, resize, gridloomtest.Shard{Params: map[string]any{"bucket": "b"}, Slices: 4, Slice: 1})
//	if err := outcome.Err(); err != nil || outcome.Rows != 3 {
//		t.Fatal(outcome)
//	}
//	whole := gridloomtest.RunAll(ctx, resize, gridloomtest.Grid{Slices: 4})
package gridloomtest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"gridloom"
	"gridloom/internal/hooks"
)

const (
	// What one answer to a probe has room for, at a broker as it comes.
	room, pagesMax = 786_432, 4_096
	// probesMax is how often a slice is asked until it is said that it has no end.
	probesMax = 1_000_000
)

// Shard is a shard of a made-up run. What is left out is as of the only shard of a run at its first attempt.
type Shard struct {
	// Params and Settings are made JSON.
	Params, Settings any
	// Slice is one of Slices, which 0 leaves at 1.
	Slice, Slices, Page int
	Bounds              *gridloom.Bounds
	Offset, Limit       *int64
	// Attempt and Fence are 1 where they are 0.
	Attempt     int
	Fence       int64
	Timeout     time.Duration
	Job         string
	Traceparent string
	// Stop tells it to stop, at the check behind so many.
	Stop *Stop
}

// Stop says that so many checks go well, and that the next one tells why the shard is to stop.
type Stop struct {
	AfterChecks int
	// Why is lease (also where it is empty), cancelled, time or stopping.
	Why string
}

// Outcome is what became of an attempt.
type Outcome struct {
	// Kind is done, retry, permanent, hold or stopped.
	Kind     string
	Rows     int64
	Counters map[string]int64
	// Result is nil where there was none.
	Result *string
	// Error is what the ledger would have.
	Error string
	// After is how long nothing follows, where the handler said so.
	After *time.Duration
	// Returned is what the handler returned; of a panic, an error that says where it was.
	Returned    error
	Slice, Page int
}

// OK is whether the shard would be committed.
func (o Outcome) OK() bool { return o.Kind == "done" }

// Err is nil where the shard would be committed; otherwise it says what became of it.
func (o Outcome) Err() error {
	if o.OK() {
		return nil
	}
	if o.Returned == nil {
		return fmt.Errorf("shard %d/%d: %s: %s", o.Slice, o.Page, o.Kind, o.Error)
	}
	return fmt.Errorf("shard %d/%d: %s: %w", o.Slice, o.Page, o.Kind, o.Returned)
}

// Run runs a handler on a shard, in this goroutine. Where ctx ends the shard is told to stop.
func Run(ctx context.Context, handler gridloom.Handler, on Shard) Outcome {
	failed := func(err error) Outcome {
		return Outcome{Kind: "permanent", Error: err.Error(), Returned: err, Slice: on.Slice, Page: on.Page}
	}
	message, err := on.message()
	if err != nil {
		return failed(err)
	}
	made, err := hooks.Shard(message)
	if err != nil {
		return failed(err)
	}
	shard := made.(*gridloom.Shard)
	if on.Stop != nil {
		hooks.StopAfter(shard, on.Stop.AfterChecks, or(on.Stop.Why, "lease"))
	}
	said, returned := hooks.Run(ctx, shard, func(ctx context.Context) error { return handler(ctx, shard) })
	outcome := Outcome{
		Kind: said.Kind, Rows: said.Rows, Counters: said.Counters, Result: said.Result, Error: said.Error,
		Returned: returned, Slice: shard.Slice, Page: shard.Page,
	}
	if said.AfterMS != nil {
		after := time.Duration(*said.AfterMS) * time.Millisecond
		outcome.After = &after
	}
	return outcome
}

// Grid is all shards of a small run.
type Grid struct {
	Params, Settings any
	// Slices and PagesEach are 1 where they are 0.
	Slices, PagesEach int
	// Pages finds the pages instead.
	Pages gridloom.Pages
}

// Whole is what became of all shards of a grid.
type Whole []Outcome

// Err is nil where each shard would be committed; otherwise it says what became of the first one that would not.
func (w Whole) Err() error {
	for _, one := range w {
		if err := one.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Rows are those of all shards that succeeded.
func (w Whole) Rows() int64 {
	var sum int64
	for _, one := range w {
		sum += one.Rows
	}
	return sum
}

// Counters are those of all shards that succeeded.
func (w Whole) Counters() map[string]int64 {
	sums := map[string]int64{}
	for _, one := range w {
		for name, n := range one.Counters {
			sums[name] += n
		}
	}
	return sums
}

// RunAll runs a handler on each shard of a grid, one after the other.
func RunAll(ctx context.Context, handler gridloom.Handler, grid Grid) Whole {
	var whole Whole
	slices := atLeastOne(grid.Slices)
	for slice := 0; slice < slices; slice++ {
		bounds := make([]*gridloom.Bounds, atLeastOne(grid.PagesEach))
		if grid.Pages != nil {
			found, err := Probe(ctx, grid.Pages, Shard{
				Params: grid.Params, Settings: grid.Settings, Slice: slice, Slices: slices,
			})
			if err != nil {
				return append(whole, Outcome{Kind: "permanent", Error: err.Error(), Returned: err, Slice: slice})
			}
			bounds = bounds[:0]
			for at := range found {
				bounds = append(bounds, &found[at])
			}
		}
		for page, of := range bounds {
			whole = append(whole, Run(ctx, handler, Shard{
				Params: grid.Params, Settings: grid.Settings, Slice: slice, Slices: slices, Page: page, Bounds: of,
			}))
		}
	}
	return whole
}

// Probe asks for the pages of a slice until there are no more, as the engine does; what it would refuse is an error.
func Probe(ctx context.Context, pages gridloom.Pages, of Shard) ([]gridloom.Bounds, error) {
	return ProbeWithin(ctx, pages, of, room, pagesMax)
}

// ProbeWithin is Probe where an answer has room for so many bytes of keys and so many pages: the same has to come out.
func ProbeWithin(ctx context.Context, pages gridloom.Pages, of Shard, room, pagesMax int) ([]gridloom.Bounds, error) {
	var found []gridloom.Bounds
	var after any
	for number := 0; number < probesMax; number++ {
		said, err := of.common()
		if err != nil {
			return nil, err
		}
		said["id"], said["page"], said["after"] = 1, number, after
		said["room"], said["pages_max"] = room, pagesMax
		message, err := json.Marshal(said)
		if err != nil {
			return nil, err
		}
		made, err := hooks.Probe(message)
		if err != nil {
			return nil, err
		}
		probe := made.(*gridloom.Probe)
		answer, err := hooks.Run(ctx, probe, func(ctx context.Context) error { return pages(ctx, probe) })
		switch {
		case err != nil:
			return nil, err
		case answer.Kind != "pages":
			return nil, fmt.Errorf("the probe of slice %d: %s: %s", of.Slice, answer.Kind, answer.Error)
		}
		for _, page := range answer.Pages {
			found = append(found, gridloom.Bounds{First: page[0].(gridloom.Key), Last: page[1].(gridloom.Key)})
		}
		if after = answer.Cursor; after == nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("a probe that finds no end: does it heed probe.After?")
}

// common is what the messages of a shard and a probe have in common.
func (s Shard) common() (map[string]any, error) {
	slices, job := atLeastOne(s.Slices), or(s.Job, "test")
	if s.Slice < 0 || s.Slice >= slices {
		return nil, fmt.Errorf("slice %d of %d: slices are numbered from 0", s.Slice, slices)
	}
	said := map[string]any{
		"run": job + "_r_test", "job": job, "handler": "test", "nonce": "00000000000000ff",
		"slice": s.Slice, "slices": slices, "attempt": atLeastOne(s.Attempt), "fence": atLeastOne(int(s.Fence)),
		"params": s.Params, "settings": s.Settings,
	}
	if s.Timeout > 0 {
		said["timeout_ms"] = s.Timeout.Milliseconds()
	}
	return said, nil
}

func (s Shard) message() ([]byte, error) {
	said, err := s.common()
	if err != nil {
		return nil, err
	}
	cell := map[string]any{"id": 1, "page": s.Page, "offset": s.Offset, "limit": s.Limit, "traceparent": s.Traceparent}
	if s.Bounds != nil {
		cell["from"], cell["to"] = s.Bounds.First, s.Bounds.Last
	}
	said["shards"] = []any{cell}
	return json.Marshal(said)
}

func atLeastOne(n int) int {
	if n < 1 {
		return 1
	}
	return n
}

func or(said, otherwise string) string {
	if said == "" {
		return otherwise
	}
	return said
}
