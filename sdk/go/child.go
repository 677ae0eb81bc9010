package gridloom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// gone is the exit code of a child whose connection ended without drain.
const gone = 70

// child is the side of a connection that runs shards (docs/CHILD-PROTOCOL.md). One goroutine receives, so stop is heard
// while handlers work. A tile has one goroutine, which has its shards run one after the other.
type child struct {
	conn     *connection
	handlers *handlers
	slots    int
	// base has the values of contexts, and never ends.
	base    context.Context
	answers *answers

	mu sync.Mutex
	// open is what was given and is not answered.
	open     map[int64]attempt
	tiles    map[*tile]struct{}
	draining bool
	greeted  bool
	leaving  bool
}

// attempt is a Shard or a Probe.
type attempt interface {
	cell() *Cell
	outcome(error) answer
}

func newChild(conn *connection, handlers *handlers, slots int, base context.Context) *child {
	return &child{
		conn: conn, handlers: handlers, slots: slots, base: base,
		open: map[int64]attempt{}, tiles: map[*tile]struct{}{},
	}
}

// leave asks for nothing more; serve ends when all is answered.
func (c *child) leave() {
	c.mu.Lock()
	say := c.greeted && !c.leaving
	c.leaving = true
	c.mu.Unlock()
	if say {
		c.conn.send(byeMessage{Type: "bye"})
	}
}

// serve runs shards until the worker says drain (true), or is gone (false).
func (c *child) serve(token string) (bool, error) {
	c.conn.send(helloMessage{
		Type: "hello", Protocol: [2]int{protocol, protocol}, Token: token, SDK: sdk, Slots: c.slots,
		Handlers: c.handlers.names(), Probes: c.handlers.probes(),
	})
	c.mu.Lock()
	c.greeted = true
	leaving := c.leaving
	c.mu.Unlock()
	if leaving {
		c.conn.send(byeMessage{Type: "bye"})
	}
	c.answers = newAnswers(c.conn, c.busy)
	drained, err := c.listen()
	if !drained {
		c.conn.end() // whoever waits for room to send waits no more
		c.stopAll("gone")
	}
	c.answers.close()
	return drained, err
}

func (c *child) listen() (bool, error) {
	for !c.isDrained() {
		kind, body, err := c.conn.receive()
		if errors.Is(err, io.EOF) {
			return c.isDrained(), nil
		}
		if err == nil {
			err = c.take(kind, body)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func (c *child) take(kind string, body []byte) error {
	switch kind {
	case "shards":
		return c.takeTile(body)
	case "probe":
		return c.takeProbe(body)
	case "stop":
		var message stopMessage
		if err := read(kind, body, &message); err != nil {
			return err
		}
		c.stop(message.IDs, *message.Why)
	case "drain":
		c.mu.Lock()
		c.draining = true
		c.mu.Unlock()
	}
	return nil // what a later version says is ignored
}

func (c *child) isDrained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining && len(c.open) == 0
}

// job is an attempt, and what is called for it.
type job struct {
	attempt
	call func(context.Context) error
}

func (c *child) takeTile(body []byte) error {
	var message shardsMessage
	if err := read("shards", body, &message); err != nil {
		return err
	}
	tile := message.tile()
	run := c.handlers.runs[*message.Handler]
	jobs := make([]job, len(message.Shards))
	for at := range message.Shards {
		shard := message.shard(tile, &message.Shards[at])
		call := nobody(shard.Handler)
		if run != nil {
			call = func(ctx context.Context) error { return run(ctx, shard) }
		}
		jobs[at] = job{shard, call}
	}
	c.give(tile, jobs)
	return nil
}

func (c *child) takeProbe(body []byte) error {
	var message probeMessage
	if err := read("probe", body, &message); err != nil {
		return err
	}
	tile := message.tile()
	probe := message.probe(tile)
	call := nobody(probe.Handler)
	if pages := c.handlers.pages[probe.Handler]; pages != nil {
		call = func(ctx context.Context) error { return pages(ctx, probe) }
	}
	c.give(tile, []job{{probe, call}})
	return nil
}

func (c *child) give(tile *tile, jobs []job) {
	c.mu.Lock()
	for _, job := range jobs {
		c.open[job.cell().id] = job.attempt
	}
	c.tiles[tile] = struct{}{}
	c.mu.Unlock()
	go c.play(tile, jobs)
}

// play runs one tile.
func (c *child) play(tile *tile, jobs []job) {
	from := tile.came
	for at, job := range jobs {
		ctx, begun := c.begin(tile, job.attempt, from)
		if !begun {
			continue // told to stop before, and answered then
		}
		err := guarded(ctx, job.cell(), job.call)
		c.settle(job.attempt, outcomeOf(job.attempt, err), at < len(jobs)-1)
		job.cell().end()
		from = time.Now()
	}
	c.mu.Lock()
	delete(c.tiles, tile)
	c.mu.Unlock()
	c.answers.flush()
}

// outcomeOf is how an attempt is answered, whatever the error's own methods do: a nil pointer that is one panics in Unwrap.
func outcomeOf(attempt attempt, err error) (said answer) {
	defer func() {
		if recover() != nil {
			text := fmt.Sprintf("%T (it cannot be looked at)", err)
			said = answer{fail: &failShard{ID: attempt.cell().id, Kind: KindRetry, Error: cut(text)}}
		}
	}()
	return attempt.outcome(err)
}

// begin begins an attempt, unless it was told to stop. Whoever begins one and whoever stops one that has not begun agree
// by the lock who answers it.
func (c *child) begin(tile *tile, attempt attempt, at time.Time) (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cell := attempt.cell()
	if cell.toldToStop() != "" {
		return nil, false
	}
	shard, _ := attempt.(*Shard)
	tile.mu.Lock()
	tile.current = shard
	tile.mu.Unlock()
	return cell.begin(c.base, at), true
}

// stop tells attempts to end, and answers those that have not begun.
func (c *child) stop(ids []int64, why string) {
	for at, id := range ids {
		c.mu.Lock()
		attempt := c.open[id]
		told := attempt != nil && attempt.cell().toldToStop() != ""
		begun := attempt != nil && attempt.cell().stop(why)
		c.mu.Unlock()
		// One that is not there is answered already: both were under way at once.
		if attempt != nil && !begun && !told {
			c.settle(attempt, answer{stopped: true}, at < len(ids)-1)
		}
	}
}

func (c *child) stopAll(why string) {
	c.mu.Lock()
	ids := make([]int64, 0, len(c.open))
	for id := range c.open {
		ids = append(ids, id)
	}
	c.mu.Unlock()
	c.stop(ids, why)
}

// settle answers an attempt. With more others of its message follow.
func (c *child) settle(attempt attempt, said answer, more bool) {
	id := attempt.cell().id
	if said.pages != nil {
		c.conn.send(said.pages)
	} else {
		c.answers.add(said, id, more)
	}
	c.mu.Lock()
	delete(c.open, id)
	over := c.draining && len(c.open) == 0
	c.mu.Unlock()
	if over {
		c.answers.flush()
		c.conn.hearNoMore()
	}
}

// busy are the shards that run.
func (c *child) busy() []*Shard {
	c.mu.Lock()
	defer c.mu.Unlock()
	shards := make([]*Shard, 0, len(c.tiles))
	for tile := range c.tiles {
		tile.mu.Lock()
		if tile.current != nil {
			shards = append(shards, tile.current)
		}
		tile.mu.Unlock()
	}
	return shards
}

func (m *tileMessage) tile() *tile {
	made := &tile{came: time.Now()}
	if m.TimeoutMS != nil && *m.TimeoutMS < longest {
		made.timeout, made.limited = time.Duration(*m.TimeoutMS)*time.Millisecond, true
	}
	return made
}

// fill says of a cell what its message does.
func (m *tileMessage) fill(cell *Cell, tile *tile) {
	cell.Run, cell.Job, cell.Handler, cell.Nonce = *m.Run, *m.Job, *m.Handler, *m.Nonce
	cell.Slice, cell.Slices, cell.Attempt, cell.Fence = *m.Slice, *m.Slices, *m.Attempt, *m.Fence
	cell.Params, cell.Settings, cell.tile = m.Params.orEmpty(), m.Settings.orEmpty(), tile
}

func (m *shardsMessage) shard(tile *tile, said *shardMessage) *Shard {
	shard := &Shard{Offset: said.Offset, Limit: said.Limit}
	m.fill(&shard.Cell, tile)
	shard.id, shard.Page, shard.Traceparent = *said.ID, *said.Page, said.Traceparent
	if said.From != nil && said.To != nil {
		shard.Bounds = &Bounds{First: *said.From, Last: *said.To}
	}
	return shard
}

func (m *probeMessage) probe(tile *tile) *Probe {
	probe := &Probe{After: m.After, room: *m.Room, most: *m.PagesMax}
	m.fill(&probe.Cell, tile)
	probe.id, probe.Page = *m.ID, *m.Page
	return probe
}
