// asynq: 100 tasks at once, enqueued by as many goroutines, as it has no call for several; an empty queue is
// looked at every 5 ms instead of every second.
//
// `enqueue JOBS`, `work JOBS`, `latency RATE SECONDS`, each with PEER_ADDRESS. `begin` and `end` on standard
// output are what the script takes the time of; `latency` prints the waits in milliseconds.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

const (
	atOnce = 100
	kind   = "nothing"
	queue  = "default"
	look   = 2 * time.Millisecond
)

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

func (s *seen) ProcessTask(_ context.Context, task *asynq.Task) error {
	if sent, err := strconv.ParseFloat(string(task.Payload()), 64); err == nil {
		wait := s.now() - sent
		s.mutex.Lock()
		s.waits = append(s.waits, wait)
		s.mutex.Unlock()
	}
	s.done.Add(1)
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	redis := asynq.RedisClientOpt{Addr: os.Getenv("PEER_ADDRESS"), PoolSize: atOnce + 10}
	numbers := make([]int, 2)
	for at := range numbers {
		if len(os.Args) > at+2 {
			var err error
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
	case "enqueue":
		return enqueue(redis, numbers[0])
	case "work":
		return work(redis, numbers[0])
	case "latency":
		return latency(redis, numbers[0], numbers[1])
	}
	return errors.New("enqueue JOBS, work JOBS or latency RATE SECONDS")
}

func enqueue(redis asynq.RedisClientOpt, jobs int) error {
	client := asynq.NewClient(redis)
	if err := client.Ping(); err != nil {
		return err
	}
	var left atomic.Int64
	left.Store(int64(jobs))
	fmt.Println("begin")
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := client.Enqueue(asynq.NewTask(kind, nil)); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	all.Wait()
	fmt.Println("end")
	return nil
}

// Starts the worker; it ends with the process.
func start(redis asynq.RedisClientOpt, seen *seen) error {
	server := asynq.NewServer(redis, asynq.Config{
		Concurrency:       atOnce,
		TaskCheckInterval: 5 * time.Millisecond,
		LogLevel:          asynq.WarnLevel,
	})
	return server.Start(seen)
}

func work(redis asynq.RedisClientOpt, jobs int) error {
	seen := &seen{since: time.Now()}
	inspector := asynq.NewInspector(redis)
	fmt.Println("begin")
	if err := start(redis, seen); err != nil {
		return err
	}
	seen.has(int64(jobs))
	for {
		info, err := inspector.GetQueueInfo(queue)
		if err != nil {
			return err
		}
		if info.Pending+info.Active == 0 {
			break
		}
		time.Sleep(look)
	}
	fmt.Println("end")
	return nil
}

func latency(redis asynq.RedisClientOpt, rate, seconds int) error {
	seen := &seen{since: time.Now()}
	if err := start(redis, seen); err != nil {
		return err
	}
	client := asynq.NewClient(redis)
	time.Sleep(time.Second)
	ticks := time.NewTicker(time.Second / time.Duration(rate))
	for range rate * seconds {
		<-ticks.C
		sent := strconv.FormatFloat(seen.now(), 'f', 3, 64)
		go func() {
			if _, err := client.Enqueue(asynq.NewTask(kind, []byte(sent))); err != nil {
				log.Fatal(err)
			}
		}()
	}
	seen.has(int64(rate * seconds))
	return json.NewEncoder(os.Stdout).Encode(seen.waits)
}
