package gridloom

import (
	"sync"
	"time"
)

const (
	// Outcomes are collected for so long, and so many. One takes 11 kB of JSON at most (a result of 1 KiB and 15 names of
	// 48 bytes, each of them six signs), so a frame always has room for them.
	collectFor = 5 * time.Millisecond
	collectMax = 500
	// progressEvery is how often rows so far are told.
	progressEvery = time.Second
)

// answers collects outcomes for a moment, so that a tile of many tiny shards is one frame. A goroutine of its own sends
// what no other outcome follows soon.
type answers struct {
	conn *connection
	busy func() []*Shard

	mu      sync.Mutex
	done    []doneShard
	fail    []failShard
	stopped []int64
	awake   bool

	flushing sync.Mutex
	wake     chan struct{}
	over     chan struct{}
	beaten   sync.WaitGroup
}

// newAnswers begins; busy tells the shards that run.
func newAnswers(conn *connection, busy func() []*Shard) *answers {
	a := &answers{conn: conn, busy: busy, wake: make(chan struct{}, 1), over: make(chan struct{})}
	a.beaten.Add(1)
	go a.beat()
	return a
}

// add collects an outcome. Where none of its tile follows (more), everything is sent at once.
func (a *answers) add(said answer, id int64, more bool) {
	a.mu.Lock()
	switch {
	case said.done != nil:
		a.done = append(a.done, *said.done)
	case said.fail != nil:
		a.fail = append(a.fail, *said.fail)
	default:
		a.stopped = append(a.stopped, id)
	}
	full := len(a.done)+len(a.fail)+len(a.stopped) >= collectMax
	wake := more && !full && !a.awake
	a.awake = a.awake || wake
	a.mu.Unlock()
	if full || !more {
		a.flush()
	} else if wake {
		select {
		case a.wake <- struct{}{}:
		default: // it is on its way already
		}
	}
}

// flush sends what is collected. When it returns, all that was collected before is sent, whoever does it.
func (a *answers) flush() {
	a.flushing.Lock()
	defer a.flushing.Unlock()
	a.mu.Lock()
	done, fail, stopped := a.done, a.fail, a.stopped
	a.done, a.fail, a.stopped, a.awake = nil, nil, nil, false
	a.mu.Unlock()
	for from := 0; from < len(done); from += collectMax {
		a.conn.send(doneMessage{Type: "done", Shards: done[from:atMost(from+collectMax, len(done))]})
	}
	for from := 0; from < len(fail); from += collectMax {
		a.conn.send(failMessage{Type: "fail", Shards: fail[from:atMost(from+collectMax, len(fail))]})
	}
	if len(stopped) > 0 {
		a.conn.send(stoppedMessage{Type: "stopped", IDs: stopped})
	}
}

// close sends what is left.
func (a *answers) close() {
	close(a.over)
	a.beaten.Wait()
	a.flush()
}

func (a *answers) beat() {
	defer a.beaten.Done()
	look := time.NewTicker(progressEvery)
	defer look.Stop()
	before := map[int64]int64{}
	for {
		select {
		case <-a.over:
			return
		case <-a.wake:
			time.Sleep(collectFor)
			a.flush()
		case <-look.C:
			before = a.progress(before)
		}
	}
}

// progress tells the rows so far of shards that take long.
func (a *answers) progress(before map[int64]int64) map[int64]int64 {
	now := map[int64]int64{}
	var news []rowsSoFar
	for _, shard := range a.busy() {
		rows := shard.soFar()
		now[shard.id] = rows
		if rows > 0 && rows != before[shard.id] {
			news = append(news, rowsSoFar{ID: shard.id, Rows: rows})
		}
	}
	if len(news) > 0 {
		a.conn.send(progressMessage{Type: "progress", Shards: news})
	}
	return now
}

func atMost(wanted, most int) int {
	if wanted > most {
		return most
	}
	return wanted
}
