// Package gridloom has handlers for Gridloom in Go, and a client that starts runs.
//
//	var worker gridloom.Worker
//	worker.Handle("resize", func(ctx context.Context, shard *gridloom.Shard) error {
//		for _, name := range names {
//			if shard.Owns(name) {
//				if err := shard.Check(); err != nil {
//					return err
//				}
//				shard.Rows(1)
//			}
//		}
//		return nil
//	})
//	err := worker.Run(context.Background())
//
// Package gridloomtest runs a handler without a broker.
package gridloom

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Handler executes a shard. Its context ends when the shard is to stop, or is out of time.
type Handler func(ctx context.Context, shard *Shard) error

// Pages says which pages a slice has: it calls probe.Add for each, in order, behind probe.After.
type Pages func(ctx context.Context, probe *Probe) error

// Worker runs shards by the handlers that are registered with it. Its zero value is ready; its fields are set before Run.
//
// Started by `gridloom worker -- ./program`, that command says broker, queue, processes and slots. A program that was
// started otherwise starts `gridloom worker --attach` itself: Queue, NATS, Options and Command are for that.
type Worker struct {
	// Slots is how many tiles run at once, each in a goroutine: 1 to 10,000; 0: 1. GRIDLOOM_SLOTS counts before it.
	Slots int
	// Queue is where it works; empty: as the settings of `gridloom worker` say (docs/CONFIG.md).
	Queue string
	// NATS has the addresses of the broker; likewise.
	NATS string
	// Options are other flags of `gridloom worker`.
	Options []string
	// Command is the path of gridloom; empty: beside this program, or in PATH.
	Command string
	// LeaveSignals leaves SIGTERM and SIGINT to the program. Otherwise the first one ends Run when what it has is
	// answered, and the second one the process.
	LeaveSignals bool

	handlers handlers
	running  atomic.Bool
}

// Handle registers a handler under its name in job files. What could not work is told by Run.
func (w *Worker) Handle(name string, handler Handler) { w.handlers.addRun(name, handler) }

// Pages registers what answers the probes of a handler, for jobs with pages = { probe = true }.
func (w *Worker) Pages(name string, pages Pages) { w.handlers.addPages(name, pages) }

// Run runs shards until the worker was told to stop, or ctx ends: then it takes nothing more, and returns when what it has
// is answered. Contexts of handlers have the values of ctx, and do not end with it.
//
// As a child of `gridloom worker` a process whose worker is gone exits with code 70 here, at once, whatever handlers do:
// others may run their shards by now. A program that started its worker itself is told ErrWorkerGone then.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.check(); err != nil {
		return err
	}
	if !w.running.CompareAndSwap(false, true) {
		return errors.New("this worker runs already")
	}
	defer w.running.Store(false)
	if !w.LeaveSignals {
		var ignore func()
		ctx, ignore = untilSignal(ctx)
		defer ignore()
	}
	address, token := os.Getenv("GRIDLOOM_SOCKET"), os.Getenv("GRIDLOOM_TOKEN")
	if address != "" {
		// Nobody who is started from here needs them, or may have them. Elsewhere the token is a client's own.
		_ = os.Unsetenv("GRIDLOOM_SOCKET")
		_ = os.Unsetenv("GRIDLOOM_TOKEN")
		return w.runStarted(ctx, address, token)
	}
	return w.runAttached(ctx)
}

func (w *Worker) check() error {
	if w.Slots < 0 || w.Slots > 10_000 {
		return fmt.Errorf("Slots is %d: 1 to 10,000 tiles at once", w.Slots)
	}
	return w.handlers.check()
}

func (w *Worker) slots() (int, error) {
	said := os.Getenv("GRIDLOOM_SLOTS")
	if said == "" {
		return atLeastOne(w.Slots), nil
	}
	slots, err := strconv.Atoi(said)
	if err != nil || slots < 1 {
		return 0, fmt.Errorf("GRIDLOOM_SLOTS=%s: a whole number from 1", said)
	}
	return slots, nil
}

func atLeastOne(n int) int {
	if n < 1 {
		return 1
	}
	return n
}

// runStarted runs in a process that `gridloom worker -- ./program` has started.
func (w *Worker) runStarted(ctx context.Context, address, token string) error {
	slots, err := w.slots()
	if err != nil {
		return err
	}
	conn, err := connect(address)
	if err != nil {
		return err
	}
	drained, err := w.serve(ctx, conn, slots, token)
	if err != nil {
		complain("%v", err)
	}
	if !drained {
		os.Exit(gone)
	}
	conn.end()
	return nil
}

// runAttached starts the worker.
func (w *Worker) runAttached(ctx context.Context) error {
	engine, err := startEngine(w)
	if err != nil {
		return err
	}
	defer engine.close()
	conn, err := engine.accept(ctx)
	if conn == nil || err != nil {
		return err
	}
	drained, err := w.serve(ctx, conn, atLeastOne(w.Slots), "")
	conn.end()
	if err != nil {
		return err
	}
	return engine.ended(drained)
}

func (w *Worker) serve(ctx context.Context, conn *connection, slots int, token string) (bool, error) {
	child := newChild(conn, &w.handlers, slots, valuesOf{ctx})
	over := make(chan struct{})
	var watched sync.WaitGroup
	watched.Add(1)
	go func() {
		defer watched.Done()
		select {
		case <-ctx.Done():
			child.leave()
		case <-over:
		}
	}()
	drained, err := child.serve(token)
	close(over)
	watched.Wait()
	return drained, err
}

// valuesOf is a context without its end.
type valuesOf struct{ of context.Context }

func (v valuesOf) Deadline() (time.Time, bool) { return time.Time{}, false }
func (v valuesOf) Done() <-chan struct{}       { return nil }
func (v valuesOf) Err() error                  { return nil }
func (v valuesOf) Value(key any) any           { return v.of.Value(key) }

// untilSignal is a context that ends with the first SIGTERM or SIGINT; a second one does what it does without this.
func untilSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	came := make(chan os.Signal, 1)
	for _, one := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		if !signal.Ignored(one) {
			signal.Notify(came, one)
		}
	}
	go func() {
		select {
		case <-came:
			signal.Stop(came)
			cancel()
		case <-ctx.Done():
			signal.Stop(came)
		}
	}()
	return ctx, cancel
}
