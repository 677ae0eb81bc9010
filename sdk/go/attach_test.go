package gridloom

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A program that is its own main process and starts the worker: here one that the test plays, by another copy of this
// process, which commandIs tells what to do.

const commandIs = "GRIDLOOM_TEST_COMMAND"

var commands = map[string]func(){
	"serves": func() {
		must(reflect.DeepEqual(os.Args[1:], []string{"worker", "--attach", "--grace", "5s"}), os.Args)
		must(os.Getenv("GRIDLOOM_WORKER_QUEUES") == "images" && os.Getenv("GRIDLOOM_NATS") == "nats://u:p@h:1", os.Environ())
		wire := begin()
		tileFor(wire, 1)
		must(reflect.DeepEqual(wire.receive(), object{"type": "done", "shards": []any{object{"id": 1.0}}}), "done")
		wire.send(object{"type": "drain"})
		must(wire.receive() == nil, "the end")
	},
	"is stopped": func() {
		wire := begin()
		tileFor(wire, 1)
		must(wire.receive()["type"] == "done", "done")
		must(wire.receive()["type"] == "bye", "bye")
		wire.send(object{"type": "drain"})
	},
	"says nothing": func() { time.Sleep(time.Hour) },
	"ends":         func() { os.Exit(3) },
	"is gone": func() {
		wire := begin()
		tileFor(wire, 1)
		waitFor(os.Getenv("BEGUN"))
		os.Exit(9)
	},
	"comes after strangers": func() {
		for _, token := range []string{strings.Repeat("x", 16), "é"} {
			must(attachAs(token).receive() == nil, "a stranger is sent away")
		}
		silent, since := dial(), time.Now()
		broken := dial()
		broken.raw([]byte{0, 0, 0, 0})
		must(broken.receive() == nil, "likewise")
		wire := begin()
		must(time.Since(since) < attachWithin, "one that says nothing held it up")
		wire.send(object{"type": "drain"})
		_ = silent.conn.Close()
	},
	"signals": func() {
		wire := begin()
		_ = syscall.Kill(os.Getppid(), syscall.SIGTERM)
		must(wire.receive()["type"] == "bye", "bye")
		wire.send(object{"type": "drain"})
	},
	"is far away": func() {
		must(strings.HasPrefix(os.Getenv("GRIDLOOM_SOCKET"), "tcp:127.0.0.1:"), os.Environ())
		wire := begin()
		wire.send(object{"type": "drain"})
	},
	"breaks": func() {
		wire := begin()
		wire.raw([]byte{0, 0, 0, 0})
		wire.receive()
	},
}

func TestMain(m *testing.M) {
	if command := commands[os.Getenv(commandIs)]; command != nil && len(os.Args) > 1 && os.Args[1] == "worker" {
		command()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func must(holds bool, what any) {
	if !holds {
		fmt.Fprintln(os.Stderr, "not so: ", what)
		os.Exit(1)
	}
}

func dial() *wire {
	network, place := "unix", os.Getenv("GRIDLOOM_SOCKET")
	if rest := strings.TrimPrefix(place, "tcp:"); rest != place {
		network, place = "tcp", rest
	}
	conn, err := net.Dial(network, place)
	must(err == nil, err)
	return &wire{conn}
}

func attachAs(token string) *wire {
	wire := dial()
	wire.send(object{"type": "attach", "protocol": []int{1, 1}, "token": token, "worker": "w"})
	return wire
}

func begin() *wire {
	wire := attachAs(os.Getenv("GRIDLOOM_TOKEN"))
	hello := wire.receive()
	_, told := hello["token"]
	must(hello["type"] == "hello" && !told, hello)
	wire.send(object{"type": "welcome", "protocol": 1, "worker": "w", "grace_ms": 2000})
	return wire
}

func tileFor(wire *wire, id int) {
	message := common("work")
	message["type"], message["shards"] = "shards", []object{{"id": id, "page": 0}}
	wire.send(message)
}

// program is a worker whose command does what its name says.
func program(t *testing.T, command string) (*Worker, *seenKeys) {
	t.Helper()
	for _, name := range []string{"GRIDLOOM_SOCKET", "GRIDLOOM_TOKEN", "GRIDLOOM_SLOTS"} {
		t.Setenv(name, "")
	}
	t.Setenv(commandIs, command)
	seen := &seenKeys{}
	worker := &Worker{Command: os.Args[0]}
	worker.Handle("work", func(_ context.Context, shard *Shard) error {
		seen.add(shard.Key())
		return nil
	})
	return worker, seen
}

type seenKeys struct {
	mu   sync.Mutex
	keys []string
}

func (s *seenKeys) add(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, key)
}

func (s *seenKeys) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

func TestProgramRunsShardsUntilItsWorkerHasDrained(t *testing.T) {
	worker, seen := program(t, "serves")
	worker.Queue, worker.NATS, worker.Options = "images", "nats://u:p@h:1", []string{"--grace", "5s"}
	if err := worker.Run(context.Background()); err != nil || seen.len() != 1 {
		t.Error(err, seen.len())
	}
}

func TestEndOfTheContextAsksTheWorkerToEnd(t *testing.T) {
	worker, seen := program(t, "is stopped")
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ran := make(chan error)
	go func() { ran <- worker.Run(ctx) }()
	eventually(t, "a shard", func() bool { return seen.len() > 0 })
	if err := worker.Run(ctx); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Error(err)
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestEndBeforeItHasBegunEndsItToo(t *testing.T) {
	worker, _ := program(t, "says nothing")
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := worker.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestWorkerThatIsGoneStopsWhatRunsAndIsTold(t *testing.T) {
	program(t, "is gone")
	begun := filepath.Join(t.TempDir(), "begun")
	t.Setenv("BEGUN", begun)
	stopped := make(chan error, 1)
	worker := &Worker{Command: os.Args[0]}
	worker.Handle("work", func(ctx context.Context, shard *Shard) error {
		touch(begun)
		<-ctx.Done()
		stopped <- shard.Check()
		return ctx.Err()
	})
	err := worker.Run(context.Background())
	if !errors.Is(err, ErrWorkerGone) || !strings.Contains(err.Error(), "exit status 9") {
		t.Error(err)
	}
	select {
	case why := <-stopped:
		if why == nil || !strings.Contains(why.Error(), "gone") {
			t.Error(why)
		}
	case <-time.After(soon):
		t.Error("the handler was not told")
	}
}

func TestWorkerThatEndsBeforeItHasBegunIsToldWithItsCode(t *testing.T) {
	worker, _ := program(t, "ends")
	if err := worker.Run(context.Background()); !errors.Is(err, ErrWorkerGone) || !strings.Contains(err.Error(), "exit status 3") {
		t.Error(err)
	}
}

func TestWhoeverDoesNotKnowTheTokenIsSentAwayAndHoldsNobodyUp(t *testing.T) {
	worker, _ := program(t, "comes after strangers")
	if err := worker.Run(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestWorkerThatBreaksTheProtocolIsToldAsSuch(t *testing.T) {
	worker, _ := program(t, "breaks")
	var fault *ProtocolError
	if err := worker.Run(context.Background()); !errors.As(err, &fault) {
		t.Error(err)
	}
}

func TestSIGTERMOfTheProgramEndsItInPeace(t *testing.T) {
	if os.Getenv(programOf) != t.Name() {
		process := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		process.Env = append(os.Environ(), programOf+"="+t.Name())
		said, err := process.CombinedOutput()
		if err != nil || !strings.Contains(string(said), "and went on\n") {
			t.Errorf("%v: %s", err, said)
		}
		return
	}
	worker, _ := program(t, "signals")
	if err := worker.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	fmt.Println("and went on")
}

func TestProgramWhoseFolderIsDeepUsesAnotherSocket(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", deep)
	worker, _ := program(t, "is far away")
	if err := worker.Run(context.Background()); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(deep); len(left) > 0 {
		t.Error("it leaves its folder behind")
	}
}

func TestCommandThatIsNotThereIsNamed(t *testing.T) {
	worker, _ := program(t, "")
	t.Setenv("PATH", t.TempDir())
	worker.Command = ""
	if err := worker.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "PATH") {
		t.Error(err)
	}
	worker.Command = filepath.Join(t.TempDir(), "gridloom")
	if err := worker.Run(context.Background()); err == nil || !strings.Contains(err.Error(), worker.Command) {
		t.Error(err)
	}
}

func TestWhatCouldNotWorkIsRefused(t *testing.T) {
	for want, make := range map[string]func(*Worker){
		"without handlers": func(*Worker) {},
		"1 to 48 of a-z":   func(w *Worker) { w.Handle("Resize", nothing) },
		"is nil":           func(w *Worker) { w.Handle("resize", nil) },
		"there already": func(w *Worker) {
			w.Handle("resize", nothing)
			w.Handle("resize", nothing)
		},
		"no handler of this worker": func(w *Worker) {
			w.Handle("resize", nothing)
			w.Pages("lost", func(context.Context, *Probe) error { return nil })
		},
		"64 are the most": func(w *Worker) {
			for n := 0; n < 65; n++ {
				w.Handle(fmt.Sprint("h", n), nothing)
			}
		},
		"10,000 tiles": func(w *Worker) {
			w.Slots = 10_001
			w.Handle("resize", nothing)
		},
	} {
		var worker Worker
		make(&worker)
		if err := worker.Run(context.Background()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
