package gridloom

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// What the ledger has room for, a shard.
const (
	countersMax    = 16
	counterNameMax = 48
	resultMax      = 1024
)

// longest, in milliseconds, is a time limit that is none: a Duration has no room for much more.
const longest = 1 << 40

// Cell is what a Shard and a Probe have in common: where it belongs, and whether it is to stop.
type Cell struct {
	// Run, Job and Handler say where it belongs; Nonce tells the run from an earlier one of the same id.
	Run, Job, Handler, Nonce string
	// Slice is the row of the grid, from 0, of so many Slices.
	Slice, Slices int
	// Page is the column of the grid, from 0; of a probe, the number of the question.
	Page int
	// Attempt counts from 1.
	Attempt int
	// Fence: of two holders of a shard the later one's is higher. A store that refuses lower ones is safe from the earlier.
	Fence int64
	// Params are those of the job with the submission's over them; Settings the table of the job file that is called
	// like the handler, which no submission can change.
	Params, Settings JSON
	// Traceparent is what a request to others carries as its header traceparent, where the run is told of in a trace.
	Traceparent string

	id    int64
	tile  *tile
	watch func()

	mu       sync.Mutex
	ctx      context.Context
	end      context.CancelFunc
	why      string
	deadline time.Time
}

// tile is what the shards of one message have in common.
type tile struct {
	came    time.Time
	timeout time.Duration
	limited bool

	mu      sync.Mutex
	current *Shard
}

// Key is the same for every attempt at this shard, and for no other shard ever: an Idempotency-Key.
func (c *Cell) Key() string { return fmt.Sprintf("%s-%d-%d", c.Nonce, c.Slice, c.Page) }

// Owns is whether the record with this key is in the shard's slice (docs/SLICING.md says how, also for SQL).
func (c *Cell) Owns(key string) bool { return SliceOf(key, c.Slices) == c.Slice }

// OwnsInt is Owns for a whole number, which is hashed as its plain decimal digits.
func (c *Cell) OwnsInt(key int64) bool { return SliceOfInt(key, c.Slices) == c.Slice }

// Check gives a *Stopped when the attempt is to stop: cancelled, out of time, or its lease lost; its context has ended
// then, too. To be asked before each step that another holder must not see done twice.
func (c *Cell) Check() error {
	if c.watch != nil {
		c.watch()
	}
	ended := c.ctx.Err()
	if ended == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.why != "":
		return &Stopped{Why: c.why}
	case ended == context.DeadlineExceeded:
		return &Stopped{Why: "time"}
	default:
		return &Stopped{Why: "cancelled"}
	}
}

// Deadline is when it is out of time by the job's limits.timeout; false: never.
func (c *Cell) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// String names it.
func (c *Cell) String() string {
	return fmt.Sprintf("%s %d/%d attempt %d", c.Run, c.Slice, c.Page, c.Attempt)
}

// begin begins the attempt, whose time counts from then.
func (c *Cell) begin(ctx context.Context, at time.Time) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tile.limited {
		c.deadline = at.Add(c.tile.timeout)
		c.ctx, c.end = context.WithDeadline(ctx, c.deadline)
	} else {
		c.ctx, c.end = context.WithCancel(ctx)
	}
	return c.ctx
}

// stop tells it to end, and says whether it has begun.
func (c *Cell) stop(why string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == "" {
		c.why = why
	}
	if c.end != nil {
		c.end()
	}
	return c.end != nil
}

// toldToStop says why it is to end; empty: nobody has said so.
func (c *Cell) toldToStop() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

func (c *Cell) cell() *Cell { return c }

// answer is how an attempt is answered: done, fail, stopped or pages. One of them is set.
type answer struct {
	done    *doneShard
	fail    *failShard
	stopped bool
	pages   *pagesMessage
}

// failed is the answer of an attempt that ended with an error.
func (c *Cell) failed(err error) answer {
	if isEnd(err) {
		why := c.toldToStop()
		switch {
		case why != "" && (why != "time" || !saysMore(err)):
			return answer{stopped: true}
		case why == "" && c.ctx.Err() == context.DeadlineExceeded:
			text := fmt.Sprintf("timed out after %v", c.tile.timeout)
			if saysMore(err) {
				text += ": " + textOf(err)
			}
			return answer{fail: &failShard{ID: c.id, Kind: KindRetry, Error: cut(text)}}
		}
	}
	said := told(err)
	said.ID = c.id
	return answer{fail: &said}
}

// Shard is one cell of the grid, in the hands of its handler. Its methods may be called by many goroutines.
type Shard struct {
	Cell
	// Bounds are first and last key of the page, both inside it, where the pages were probed; else nil.
	Bounds *Bounds
	// Offset is how many rows of the slice are before the page, where the grid has rows; else nil.
	Offset *int64
	// Limit is how many rows the page has, where the grid has rows; nil beside an Offset: to the end of the slice.
	Limit *int64

	said     sync.Mutex
	rows     int64
	counters map[string]int64
	result   *string
	fault    string
}

// Bounds are the keys of a page.
type Bounds struct{ First, Last Key }

// Rows counts n more rows. What is said of a shard counts only if the attempt succeeds.
func (s *Shard) Rows(n int64) {
	s.said.Lock()
	defer s.said.Unlock()
	if n < 0 {
		s.wrong("%d rows: rows only become more", n)
		return
	}
	s.rows = s.add("rows", s.rows, n)
}

// Count adds n to the counter: its name has at most 48 bytes, and a shard 15 of them beside the rows.
func (s *Shard) Count(counter string, n int64) {
	s.said.Lock()
	defer s.said.Unlock()
	if counter == "rows" {
		s.rows = s.add("rows", s.rows, n)
		return
	}
	if s.counters == nil {
		s.counters = make(map[string]int64)
	}
	s.counters[counter] = s.add(counter, s.counters[counter], n)
}

// Result is a small result, at most 1 KiB: a string, or anything that encoding/json takes. The last one counts.
func (s *Shard) Result(value any) {
	text, isText := value.(string)
	var fault error
	if !isText {
		var encoded []byte
		encoded, fault = appendJSON(nil, value)
		text = string(encoded)
	}
	s.said.Lock()
	defer s.said.Unlock()
	if fault != nil {
		s.wrong("a result that is none: %v", fault)
		return
	}
	s.result = &text
}

func (s *Shard) add(counter string, before, n int64) int64 {
	if (n > 0 && before > math.MaxInt64-n) || (n < 0 && before < math.MinInt64-n) {
		s.wrong("counter %q of one shard goes beyond 64 bits: count in a larger unit", counter)
		return before
	}
	return before + n
}

// wrong keeps the first thing that was said and cannot be.
func (s *Shard) wrong(format string, args ...any) {
	if s.fault == "" {
		s.fault = fmt.Sprintf(format, args...)
	}
}

// noRoom is what was said that the ledger has no room for.
func (s *Shard) noRoom() string {
	for name := range s.counters {
		if clean(name) != name || name == "" || len(name) > counterNameMax {
			return fmt.Sprintf("counter name %.100q must have 1 to %d bytes of UTF-8", name, counterNameMax)
		}
	}
	switch {
	case s.fault != "":
		return s.fault
	case s.rows < 0:
		return fmt.Sprintf("%d rows: rows only become more", s.rows)
	case len(s.counters) >= countersMax:
		return fmt.Sprintf("%d counters beside the rows, %d are the most that a shard may have", len(s.counters), countersMax-1)
	case s.result != nil && len(*s.result) > resultMax:
		return fmt.Sprintf("result of %d bytes is longer than %d: store it elsewhere", len(*s.result), resultMax)
	}
	return ""
}

// outcome is how the shard is answered.
func (s *Shard) outcome(err error) answer {
	if err != nil {
		return s.failed(err)
	}
	s.said.Lock()
	defer s.said.Unlock()
	if fault := s.noRoom(); fault != "" {
		return s.failed(Permanent(errors.New(fault)))
	}
	said := &doneShard{ID: s.id, Rows: s.rows, Counters: s.counters, Result: s.result}
	if s.result != nil {
		cleaned := clean(*s.result)
		said.Result = &cleaned
	}
	// What a goroutine counts that the handler has left behind comes too late.
	s.counters = nil
	return answer{done: said}
}

// soFar is how many rows it has counted.
func (s *Shard) soFar() int64 {
	s.said.Lock()
	defer s.said.Unlock()
	return s.rows
}
