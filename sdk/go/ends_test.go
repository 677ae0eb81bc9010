package gridloom

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// How shards and children end: told to stop, drained, left by their worker, by signals.

func begun(shard *Shard) { touch(fmt.Sprint("begun-", shard.id)) }

func (f *fakeWorker) begun(id int64) { f.isThere(fmt.Sprint("begun-", id)) }

func (f *fakeWorker) hasBegun(id int64) bool {
	return exists(filepath.Join(f.folder, fmt.Sprint("begun-", id)))
}

func TestStoppedShardHearsItAtItsNextCheck(t *testing.T) {
	// The handler gives the processor away to nobody: stop has to get through.
	child := play(t, with{slots: "2"}, work(func(_ context.Context, shard *Shard) error {
		begun(shard)
		for n := 0; ; n++ {
			if err := shard.Check(); err != nil {
				return fmt.Errorf("row %d: %w", n, err)
			}
		}
	}))
	ids, other := child.tile(2, nil), child.tile(1, nil)
	child.begun(ids[0])
	child.begun(other[0])
	child.stop("lease", ids...)
	if all := kinds(child.answers(ids...)); all != "stopped stopped" {
		t.Error(all)
	}
	if child.hasBegun(ids[1]) {
		t.Error("a shard that was told to stop began")
	}
	child.stop("cancelled", other...)
	if all := kinds(child.answers(other...)); all != "stopped" {
		t.Error(all)
	}
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}

func TestContextOfAStoppedShardEndsAndThoseBesideItDoNot(t *testing.T) {
	child := play(t, with{slots: "2"}, work(func(ctx context.Context, shard *Shard) error {
		begun(shard)
		if shard.Page == 1 {
			return ctx.Err()
		}
		<-ctx.Done()
		var told *Stopped
		if !errors.As(shard.Check(), &told) || told.Why == "" {
			return errors.New("its context has ended, and Check says nothing")
		}
		return fmt.Errorf("select: %w", ctx.Err())
	}))
	ids, other := child.tile(2, nil), child.tile(1, nil)
	child.begun(ids[0])
	child.begun(other[0])
	child.stop("lease", ids[0])
	if all := kinds(child.answers(ids...)); all != "stopped done" {
		t.Error(all)
	}
	child.stop("stopping", other[0])
	if all := kinds(child.answers(other...)); all != "stopped" {
		t.Error(all)
	}
}

func TestShardsThatHaveNotBegunAreGivenBackAtOnceAndTheOthersGoOn(t *testing.T) {
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		begun(shard)
		if shard.Page == 0 {
			waitFor("go")
		}
		return nil
	}))
	ids := child.tile(3, nil)
	child.begun(ids[0])
	child.stop("lease", ids[1])
	child.stop("lease", ids[1]) // twice is as once
	if all := kinds(child.answers(ids[1])); all != "stopped" {
		t.Error(all)
	}
	child.allow("go")
	if all := kinds(child.answers(ids[0], ids[2])); all != "done done" {
		t.Error(all)
	}
	if child.hasBegun(ids[1]) {
		t.Error("it began")
	}
}

func TestStopThatComesLateOrForNobodyChangesNothing(t *testing.T) {
	child := play(t, with{}, work(nothing))
	ids := child.tile(1, nil)
	child.answers(ids...)
	child.stop("lease", ids[0], 12345)
	if all := kinds(child.answers(child.tile(1, nil)...)); all != "done" {
		t.Error(all)
	}
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}

func TestErrorAfterTheTimeIsOverIsTold(t *testing.T) {
	child := play(t, with{slots: "2"}, work(func(ctx context.Context, shard *Shard) error {
		begun(shard)
		<-ctx.Done()
		if shard.Page == 0 {
			return fmt.Errorf("the bucket did not answer: %w", ctx.Err())
		}
		return ctx.Err()
	}))
	ids := child.tile(2, nil)
	child.begun(ids[0])
	child.stop("time", ids[0])
	said := child.answers(ids[0])[0]
	if said.kind != "fail" || said.said["error"] != "the bucket did not answer: context canceled" {
		t.Error(said)
	}
	child.begun(ids[1])
	child.stop("time", ids[1])
	if all := kinds(child.answers(ids[1])); all != "stopped" {
		t.Error(all)
	}
}

func TestContextEndsAtTheDeadlineThoughNobodySaysSo(t *testing.T) {
	child := play(t, with{}, work(func(ctx context.Context, shard *Shard) error {
		<-ctx.Done()
		if shard.Page == 0 {
			return shard.Check()
		}
		return fmt.Errorf("ask the bucket: %w", ctx.Err())
	}))
	answers := child.answers(child.tile(2, object{"timeout_ms": 50})...)
	want := []string{"timed out after 50ms", "timed out after 50ms: ask the bucket: context deadline exceeded"}
	for at, said := range answers {
		if said.kind != "fail" || said.said["kind"] != "retry" || said.said["error"] != want[at] {
			t.Error(said)
		}
	}
}

func TestDrainWaitsForWhatRuns(t *testing.T) {
	child := play(t, with{slots: "2"}, work(func(_ context.Context, shard *Shard) error {
		begun(shard)
		waitFor("go")
		return nil
	}))
	ids := append(child.tile(2, nil), child.tile(1, nil)...)
	child.begun(ids[0])
	child.send(object{"type": "drain"})
	child.allow("go")
	if all := kinds(child.answers(ids...)); all != "done done done" {
		t.Error(all)
	}
	if said := child.receive(); said != nil {
		t.Error(said)
	}
	if code := child.code(); code != 0 {
		t.Error(code)
	}
}

func TestConnectionThatEndsWithoutDrainEndsTheProcessAtOnce(t *testing.T) {
	child := play(t, with{slots: "2"}, func(w *Worker) {
		w.Handle("sleeps", func(_ context.Context, shard *Shard) error {
			defer touch("late")
			begun(shard)
			time.Sleep(time.Hour)
			return nil
		})
		w.Handle("spins", func(_ context.Context, shard *Shard) error {
			defer touch("late")
			begun(shard)
			for {
			}
		})
	})
	for _, name := range []string{"sleeps", "spins"} {
		child.begun(child.tile(1, object{"handler": name})[0])
	}
	_ = child.conn.Close()
	since := time.Now()
	if code := child.code(); code != 70 {
		t.Error(code)
	}
	if took := time.Since(since); took > 5*time.Second {
		t.Error(took)
	}
	if exists(filepath.Join(child.folder, "late")) {
		t.Error("a handler went on")
	}
}

func TestWorkerThatBreaksTheProtocolIsLeft(t *testing.T) {
	for name, frame := range map[string]string{
		"nothing": "\x00\x00\x00\x00", "gigabyte": "\x40\x00\x00\x00", "words": "\x00\x00\x00\x05hello",
		"stop": "\x00\x00\x00\x0f{\"type\":\"stop\"}",
	} {
		t.Run(name, func(t *testing.T) {
			child := play(t, with{}, work(nothing))
			child.raw([]byte(frame))
			if code := child.code(); code != 70 || !strings.Contains(child.wrote(), "broke the protocol") {
				t.Error(code)
			}
		})
	}
}

func TestSIGTERMAsksForNothingMoreAndWhatComesAllTheSameIsRun(t *testing.T) {
	child := play(t, with{slots: "2"}, work(func(ctx context.Context, shard *Shard) error {
		if shard.Attempt == 1 {
			begun(shard)
			waitFor("go")
		}
		return ctx.Err() // that of Run has ended, this one has not
	}))
	first := child.tile(1, nil)
	child.begun(first[0])
	_ = child.process.Process.Signal(syscall.SIGTERM)
	if said := child.receive(); said["type"] != "bye" {
		t.Error(said)
	}
	if all := kinds(child.answers(child.tile(1, object{"attempt": 2})...)); all != "done" {
		t.Error(all)
	}
	child.allow("go")
	if all := kinds(child.answers(first...)); all != "done" {
		t.Error(all)
	}
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}

func TestSecondSIGTERMEndsTheProcess(t *testing.T) {
	child := play(t, with{}, work(nothing))
	_ = child.process.Process.Signal(syscall.SIGTERM)
	if said := child.receive(); said["type"] != "bye" {
		t.Error(said)
	}
	_ = child.process.Process.Signal(syscall.SIGTERM)
	child.code()
	if status := child.process.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Error(child.process.ProcessState)
	}
}

func TestSignalsMayBeLeftToTheProgram(t *testing.T) {
	child := play(t, with{}, func(w *Worker) {
		w.LeaveSignals = true
		came := make(chan os.Signal, 1)
		signal.Notify(came, syscall.SIGTERM)
		w.Handle("work", func(context.Context, *Shard) error {
			touch("begun-1")
			<-came
			return nil
		})
	})
	ids := child.tile(1, nil)
	child.begun(1)
	_ = child.process.Process.Signal(syscall.SIGTERM)
	if all := kinds(child.answers(ids...)); all != "done" {
		t.Error(all)
	}
	if code := child.drain(); code != 0 {
		t.Error(code)
	}
}

func TestProgramsThatAHandlerStartsGetNeitherConnectionNorToken(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("asks /proc")
	}
	look := func() string {
		said, err := exec.Command("sh", "-c",
			"env | grep -c -e GRIDLOOM_TOKEN -e GRIDLOOM_SOCKET; ls /proc/self/fd | wc -l").Output()
		return fmt.Sprint(strings.Fields(string(said)), err)
	}
	child := play(t, with{}, work(func(_ context.Context, shard *Shard) error {
		shard.Result(look())
		return nil
	}))
	// As many descriptors as where there is no connection.
	if said := child.answers(child.tile(1, nil)...)[0]; said.said["result"] != look() {
		t.Error(said, look())
	}
}

func TestCrashSaysWhereItWas(t *testing.T) {
	child := play(t, with{}, work(func(context.Context, *Shard) error {
		go deep(nil) // nobody can recover this
		select {}
	}))
	child.tile(1, nil)
	if code := child.code(); code != 2 || !strings.Contains(child.wrote(), "gridloom.deep") {
		t.Error(code)
	}
}

func TestProbeIsStoppedLikeAShard(t *testing.T) {
	child := play(t, with{}, func(w *Worker) {
		w.Handle("work", nothing)
		w.Pages("work", func(ctx context.Context, probe *Probe) error {
			touch("begun-1")
			<-ctx.Done()
			return probe.Check()
		})
	})
	id := child.probe(nil)
	child.begun(id)
	child.stop("lease", id)
	if all := kinds(child.answers(id)); all != "stopped" {
		t.Error(all)
	}
}

func TestContextsHaveTheValuesOfRun(t *testing.T) {
	type name struct{}
	base := valuesOf{context.WithValue(context.Background(), name{}, "ada")}
	ended, end := context.WithCancel(base.of)
	end()
	if (valuesOf{ended}).Err() != nil || base.Value(name{}) != "ada" {
		t.Error("a handler would end with Run's context, or not have its values")
	}
}
