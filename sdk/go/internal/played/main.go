// Program played is what the engine's own tests run (tests/tests/scenarios/golang.rs): its first argument says what.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gridloom"
)

func main() {
	plays := map[string]func(context.Context, string) error{"steady": steady, "ends": ends, "client": client}
	if err := plays[os.Args[1]](context.Background(), os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// steady writes what it does of which shard, and when, into a file that all processes of the test share.
func steady(ctx context.Context, path string) error {
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	told := func(what string, shard *gridloom.Shard) {
		fmt.Fprintf(log, "%s %s %d %d\n", what, shard.Key(), os.Getpid(), clock())
	}
	worker := gridloom.Worker{Command: os.Getenv("COMMAND")}
	worker.Handle("steady", func(ctx context.Context, shard *gridloom.Shard) error {
		told("begin", shard)
		for n := 0; n < 10; n++ {
			if err := shard.Check(); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
			told("beat", shard)
			shard.Rows(1)
		}
		told("end", shard)
		return nil
	})
	return worker.Run(ctx)
}

// ends has each slice end in a way of its own; the folder remembers how often it was tried.
func ends(ctx context.Context, folder string) error {
	var worker gridloom.Worker
	worker.Handle("ends", func(ctx context.Context, shard *gridloom.Shard) error {
		var params struct{ Rows int64 }
		if err := shard.Params.Into(&params); err != nil {
			return err
		}
		tries, err := tried(filepath.Join(folder, fmt.Sprint("slice-", shard.Slice)))
		if err != nil {
			return err
		}
		shard.Rows(params.Rows)
		shard.Count("tries", int64(tries))
		switch {
		case shard.Slice == 1 && tries == 1:
			return gridloom.RetryAfter(10*time.Millisecond, errors.New("HTTP 503"))
		case shard.Slice == 2 && tries < 4:
			return gridloom.Hold(150*time.Millisecond, errors.New("HTTP 429"))
		case shard.Slice == 3:
			return gridloom.Permanent(errors.New("no such bucket"))
		case shard.Slice == 4 && tries == 1:
			var none map[string]int
			none["x"]++
		}
		return nil
	})
	return worker.Run(ctx)
}

func tried(path string) (int, error) {
	before, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return 0, err
	}
	return len(before) + 1, os.WriteFile(path, append(before, 'x'), 0o600)
}

// client starts runs, and says what came of them in one line of JSON.
func client(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	client := gridloom.Client{API: address}
	var answers []string
	var receipt *gridloom.Receipt
	for n := 0; n < 2; n++ {
		var err error
		receipt, err = client.Submit(ctx, "plain", gridloom.Submission{ID: "monday", Params: map[string]any{"sleep_ms": 1}})
		if err != nil {
			return err
		}
		answers = append(answers, receipt.Answer)
	}
	run, err := receipt.Wait(ctx)
	if err != nil {
		return err
	}
	shown, err := client.Show(ctx, receipt.Run)
	if err != nil || !shown.Succeeded() {
		return fmt.Errorf("it is %v: %w", shown, err)
	}
	receipt, err = client.Submit(ctx, "plain", gridloom.Submission{Params: map[string]any{"fail_percent": 100.0, "permanent": true}})
	if err != nil {
		return err
	}
	var failed *gridloom.RunFailed
	if _, err := receipt.Wait(ctx); !errors.As(err, &failed) {
		return fmt.Errorf("a run that fails: %w", err)
	}
	var refusals []string
	for job, params := range map[string]map[string]any{"nobody": nil, "plain": {"sleep_ms": "long"}} {
		var refused *gridloom.APIError
		if _, err := client.Submit(ctx, job, gridloom.Submission{Params: params}); errors.As(err, &refused) {
			refusals = append(refusals, job+" "+refused.Type)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"answers": strings.Join(answers, " "), "run": run.ID, "state": run.State, "done": run.Shards["done"],
		"failed": failed.Run.State, "refusals": refusals,
	})
}
