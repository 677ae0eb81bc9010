// Program conformance has the handlers that `gridloom sdk-test` plays with.
//
//	go build -o conformance ./internal/conformance
//	gridloom sdk-test -- ./conformance
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gridloom"
)

// params are those of all handlers.
type params struct {
	Keys     []string
	MS       int64
	Rows     *int64
	Counters map[string]int64
	Text     string
	Error    string
	Times    *int
	AfterMS  int64 `json:"after_ms"`
	Only     *int
	Last     int64
	Size     int64
}

func (p params) times(text string) string {
	if p.Times == nil {
		return text
	}
	return strings.Repeat(text, *p.Times)
}

func (p params) err() error           { return errors.New(p.times(p.Error)) }
func (p params) wait()                { time.Sleep(time.Duration(p.MS) * time.Millisecond) }
func (p params) after() time.Duration { return time.Duration(p.AfterMS) * time.Millisecond }

// numbers counts what the whole process does.
var numbers atomic.Int64

type handler func(ctx context.Context, shard *gridloom.Shard, p params) error

func main() {
	ctx, leave := context.WithCancel(context.Background())
	var worker gridloom.Worker
	// With `sdk-test --attach` nobody says how many slots it has but itself.
	worker.Slots, _ = strconv.Atoi(os.Getenv("SDK_TEST_SLOTS"))
	for name, handle := range handlers(leave) {
		handle := handle
		worker.Handle(name, func(ctx context.Context, shard *gridloom.Shard) error {
			var p params
			// What a handler does not ask for may be anything.
			_ = shard.Params.Into(&p)
			return handle(ctx, shard, p)
		})
	}
	worker.Pages("pages", pages)
	worker.Pages("pages-text", pagesOfTexts)
	worker.Pages("pages-fail", func(context.Context, *gridloom.Probe) error {
		return gridloom.Permanent(errors.New("no such table"))
	})
	if err := worker.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func handlers(leave func()) map[string]handler {
	all := map[string]handler{
		"until-stopped": untilStopped,
		"ignore-stop": func(_ context.Context, shard *gridloom.Shard, p params) error {
			fmt.Println("begun", shard.Key())
			p.wait()
			return nil
		},
		"span": func(_ context.Context, shard *gridloom.Shard, p params) error {
			first := numbers.Add(1)
			p.wait()
			shard.Result(fmt.Sprint(first, " ", numbers.Add(1)))
			return nil
		},
		"print": func(_ context.Context, _ *gridloom.Shard, p params) error {
			fmt.Println(p.Text)
			fmt.Fprintln(os.Stderr, p.Text)
			return nil
		},
		"leave": func(context.Context, *gridloom.Shard, params) error {
			leave()
			return nil
		},
		"exit": func(context.Context, *gridloom.Shard, params) error {
			os.Exit(3)
			return nil
		},
	}
	for _, name := range []string{"ok", "pages", "pages-text", "pages-fail"} {
		all[name] = func(context.Context, *gridloom.Shard, params) error { return nil }
	}
	for name, ends := range failures {
		ends := ends
		all[name] = func(_ context.Context, _ *gridloom.Shard, p params) error { return ends(p) }
	}
	for name, tell := range told {
		tell := tell
		all[name] = func(_ context.Context, shard *gridloom.Shard, p params) error {
			tell(shard, p)
			return nil
		}
	}
	return all
}

var failures = map[string]func(params) error{
	"retry":       func(p params) error { return gridloom.Retry(p.err()) },
	"retry-after": func(p params) error { return gridloom.RetryAfter(p.after(), p.err()) },
	"permanent":   func(p params) error { return gridloom.Permanent(p.err()) },
	"hold":        func(p params) error { return gridloom.Hold(p.after(), p.err()) },
	"throw":       func(p params) error { panic(p.times(p.Error)) },
	"bad-text":    func(params) error { return errors.New("half \xff") },
}

var told = map[string]func(*gridloom.Shard, params){
	"where": func(shard *gridloom.Shard, _ params) {
		trace := shard.Traceparent
		if trace == "" {
			trace = "-"
		}
		shard.Result(strings.TrimSuffix(fmt.Sprintln(shard.Run, shard.Job, shard.Handler, shard.Slice, shard.Slices, shard.Page,
			shard.Attempt, shard.Fence, shard.Key(), trace), "\n"))
	},
	"echo":     func(shard *gridloom.Shard, _ params) { shard.Result(string(shard.Params)) },
	"settings": func(shard *gridloom.Shard, _ params) { shard.Result(string(shard.Settings)) },
	"bounds": func(shard *gridloom.Shard, _ params) {
		first, last := "-", "-"
		if shard.Bounds != nil {
			first, last = shard.Bounds.First.String(), shard.Bounds.Last.String()
		}
		shard.Result(strings.Join([]string{first, last, orDash(shard.Offset), orDash(shard.Limit)}, " "))
	},
	"owns": func(shard *gridloom.Shard, p params) {
		owned := ""
		for _, key := range p.Keys {
			if shard.Owns(key) {
				owned += "1"
			} else {
				owned += "0"
			}
		}
		shard.Result(owned)
	},
	"deadline": func(shard *gridloom.Shard, p params) {
		left := "-"
		if deadline, limited := shard.Deadline(); limited {
			left = fmt.Sprint(time.Until(deadline).Milliseconds())
		}
		shard.Result(left)
		p.wait()
	},
	"rows": func(shard *gridloom.Shard, p params) { shard.Rows(*p.Rows) },
	"count": func(shard *gridloom.Shard, p params) {
		for name, n := range p.Counters {
			shard.Count(name, n)
		}
	},
	"result": func(shard *gridloom.Shard, p params) { shard.Result(p.times(p.Text)) },
}

func orDash(n *int64) string {
	if n == nil {
		return "-"
	}
	text, _ := json.Marshal(n)
	return string(text)
}

func untilStopped(ctx context.Context, shard *gridloom.Shard, p params) error {
	if p.Only != nil && *p.Only != shard.Page {
		return nil
	}
	if p.Rows != nil {
		shard.Rows(*p.Rows)
	}
	fmt.Println("begun", shard.Key())
	for shard.Check() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	return shard.Check()
}

func pages(_ context.Context, probe *gridloom.Probe) error {
	var p params
	if err := probe.Params.Into(&p); err != nil {
		return err
	}
	first := int64(1)
	if probe.After != nil {
		first = probe.After.Int() + 1
	}
	for ; first <= p.Last; first += p.Size {
		last := first + p.Size - 1
		if last > p.Last {
			last = p.Last
		}
		if !probe.Add(gridloom.Int(first), gridloom.Int(last)) {
			break
		}
	}
	return nil
}

func pagesOfTexts(_ context.Context, probe *gridloom.Probe) error {
	for _, page := range [][2]string{{"a", "b"}, {"c", "é"}, {"日本", "日本語"}} {
		if probe.After == nil || page[0] > probe.After.String() {
			probe.Add(gridloom.Text(page[0]), gridloom.Text(page[1]))
		}
	}
	return nil
}
