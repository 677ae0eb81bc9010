// Asks many addresses at once, in one process; pages are found by a probe.
//
//	gridloom dev                                      # leave it running
//	go build -o examples/fetch/fetch ./examples/fetch # in sdk/go
//	cd examples/fetch
//	gridloom worker --slots 50 -- ./fetch             # leave it running
//	gridloom job apply fetch.toml
//	gridloom run fetch --wait
package main

import (
	"context"
	"log"
	"time"

	"gridloom"
)

const customers = 1_000

func fetch(ctx context.Context, shard *gridloom.Shard) error {
	for number := shard.Bounds.First.Int(); number <= shard.Bounds.Last.Int(); number++ {
		if !shard.OwnsInt(number) {
			continue
		}
		// Where a request goes out, http.NewRequestWithContext(ctx, ...) ends it with the shard, and an Idempotency-Key of
		// shard.Key() and the number makes it safe to repeat.
		select {
		case <-time.After(time.Millisecond):
			shard.Rows(1)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// pages has 100 customers each, behind those that are known.
func pages(ctx context.Context, probe *gridloom.Probe) error {
	var after int64
	if probe.After != nil {
		after = probe.After.Int()
	}
	for first := after + 1; first <= customers; first += 100 {
		last := first + 99
		if last > customers {
			last = customers
		}
		if !probe.Add(gridloom.Int(first), gridloom.Int(last)) {
			break
		}
	}
	return nil
}

func main() {
	var worker gridloom.Worker
	worker.Handle("fetch", fetch)
	worker.Pages("fetch", pages)
	if err := worker.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
