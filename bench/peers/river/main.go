// River with the settings of its own benchmark: 2,000 jobs at once, fetches 2 ms apart, polls every 20 ms.
//
// `prepare`, `enqueue JOBS`, `work JOBS`, `latency RATE SECONDS`, each with PEER_URL. `begin` and `end` on
// standard output are what the script takes the time of; `latency` prints the waits in milliseconds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	connections = 20
	atOnce      = 2_000
	// Jobs that are enqueued by one COPY.
	batch = 5_000
	look  = 2 * time.Millisecond
)

type client = river.Client[pgx.Tx]

// What handlers have seen.
type seen struct {
	since time.Time
	done  atomic.Int64
	mutex sync.Mutex
	waits []float64
}

func (s *seen) now() float64 { return float64(time.Since(s.since).Microseconds()) / 1e3 }

func (s *seen) has(jobs int64) {
	for s.done.Load() < jobs {
		time.Sleep(look)
	}
}

type nothing struct {
	Sent float64 `json:"sent,omitempty"`
}

func (nothing) Kind() string { return "nothing" }

type worker struct {
	river.WorkerDefaults[nothing]
	seen *seen
}

func (w *worker) Work(_ context.Context, job *river.Job[nothing]) error {
	if job.Args.Sent > 0 {
		wait := w.seen.now() - job.Args.Sent
		w.seen.mutex.Lock()
		w.seen.waits = append(w.seen.waits, wait)
		w.seen.mutex.Unlock()
	}
	w.seen.done.Add(1)
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(os.Getenv("PEER_URL"))
	if err != nil {
		return err
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	numbers := make([]int, 2)
	for at := range numbers {
		if len(os.Args) > at+2 {
			if numbers[at], err = strconv.Atoi(os.Args[at+2]); err != nil {
				return err
			}
		}
	}
	var order string
	if len(os.Args) > 1 {
		order = os.Args[1]
	}
	switch order {
	case "prepare":
		return prepare(ctx, pool)
	case "enqueue":
		return enqueue(ctx, pool, numbers[0])
	case "work":
		return work(ctx, pool, numbers[0])
	case "latency":
		return latency(ctx, pool, numbers[0], numbers[1])
	}
	return errors.New("prepare, enqueue JOBS, work JOBS or latency RATE SECONDS")
}

func prepare(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

func enqueue(ctx context.Context, pool *pgxpool.Pool, jobs int) error {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return err
	}
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	fmt.Println("begin")
	for left := jobs; left > 0; {
		some := make([]river.InsertManyParams, min(left, batch))
		for at := range some {
			some[at] = river.InsertManyParams{Args: nothing{}}
		}
		if _, err := client.InsertManyFast(ctx, some); err != nil {
			return err
		}
		left -= len(some)
	}
	fmt.Println("end")
	return nil
}

// Starts the worker; it ends with the process.
func start(ctx context.Context, pool *pgxpool.Pool, seen *seen) (*client, error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{seen: seen})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: atOnce}},
		Workers:           workers,
	})
	if err != nil {
		return nil, err
	}
	return client, client.Start(ctx)
}

func work(ctx context.Context, pool *pgxpool.Pool, jobs int) error {
	seen := &seen{since: time.Now()}
	if err := pool.Ping(ctx); err != nil {
		return err
	}
	fmt.Println("begin")
	if _, err := start(ctx, pool, seen); err != nil {
		return err
	}
	seen.has(int64(jobs))
	for open := true; open; time.Sleep(look) {
		query := "SELECT EXISTS (SELECT FROM river_job WHERE state IN ('available', 'running'))"
		if err := pool.QueryRow(ctx, query).Scan(&open); err != nil {
			return err
		}
	}
	fmt.Println("end")
	return nil
}

func latency(ctx context.Context, pool *pgxpool.Pool, rate, seconds int) error {
	seen := &seen{since: time.Now()}
	client, err := start(ctx, pool, seen)
	if err != nil {
		return err
	}
	time.Sleep(time.Second)
	ticks := time.NewTicker(time.Second / time.Duration(rate))
	for range rate * seconds {
		<-ticks.C
		job := nothing{Sent: seen.now()}
		go func() {
			if _, err := client.Insert(ctx, job, nil); err != nil {
				log.Fatal(err)
			}
		}()
	}
	seen.has(int64(rate * seconds))
	return json.NewEncoder(os.Stdout).Encode(seen.waits)
}
