package gridloom

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A worker as far as a child sees it: a real socket, a real process, and frames written by other code than the library's.

const (
	testToken = "0123456789abcdef"
	// soon is how long anything may take on a busy machine.
	soon = 30 * time.Second
	// programOf says to a copy of this test's process which test's program it is.
	programOf = "GRIDLOOM_TEST_PROGRAM"
)

type object = map[string]any

// wire is frames on a socket.
type wire struct{ conn net.Conn }

func (w *wire) send(message object) {
	body, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	w.raw(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
}

func (w *wire) raw(bytes []byte) { _, _ = w.conn.Write(bytes) }

// receive gives nil when the connection has ended.
func (w *wire) receive() object {
	_ = w.conn.SetReadDeadline(time.Now().Add(soon))
	var length uint32
	if err := binary.Read(w.conn, binary.BigEndian, &length); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			panic("nothing was said for a long time")
		}
		return nil
	}
	body := make([]byte, length)
	message := object{}
	if _, err := io.ReadFull(w.conn, body); err != nil {
		return nil
	}
	if err := json.Unmarshal(body, &message); err != nil {
		panic(err)
	}
	return message
}

// given is an answer as it came.
type given struct {
	kind string
	said object
}

func (g given) String() string { return fmt.Sprint(g.kind, " ", g.said) }

// fakeWorker has started one child, and talks with it.
type fakeWorker struct {
	wire
	t        *testing.T
	folder   string
	process  *exec.Cmd
	exited   chan struct{}
	hello    object
	nextID   int64
	progress []object
	// frames are those of answers, as they came.
	frames []object
}

type with struct {
	slots string
	tcp   bool
}

// play runs a program in a process of its own: this test once more, which gets no further than here.
func play(t *testing.T, how with, program func(*Worker)) *fakeWorker {
	t.Helper()
	if os.Getenv(programOf) == t.Name() {
		var worker Worker
		program(&worker)
		if err := worker.Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Paths of sockets are short.
	short, err := os.MkdirTemp("", "gl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	network, place := "unix", filepath.Join(short, "s")
	if how.tcp {
		network, place = "tcp", "127.0.0.1:0"
	}
	listener, err := net.Listen(network, place)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	if how.tcp {
		address = "tcp:" + address
	}
	child := &fakeWorker{t: t, folder: t.TempDir(), exited: make(chan struct{}), nextID: 1}
	child.start(address, how.slots)
	conn := accepted(t, listener, child.exited)
	child.wire = wire{conn}
	t.Cleanup(child.close)
	child.hello = child.receive()
	if child.hello["type"] != "hello" {
		t.Fatalf("%v: %s", child.hello, child.wrote())
	}
	child.send(object{"type": "welcome", "protocol": 1, "worker": "fake", "grace_ms": 2000, "news": nil})
	return child
}

func (f *fakeWorker) start(address, slots string) {
	f.process = exec.Command(os.Args[0], "-test.run=^"+f.t.Name()+"$")
	f.process.Dir = f.folder
	for _, one := range os.Environ() {
		if !strings.HasPrefix(one, "GRIDLOOM_") {
			f.process.Env = append(f.process.Env, one)
		}
	}
	f.process.Env = append(f.process.Env, programOf+"="+f.t.Name(),
		"GRIDLOOM_SOCKET="+address, "GRIDLOOM_TOKEN="+testToken, "GRIDLOOM_PROCESS=0", "GRIDLOOM_SLOTS="+slots)
	output, err := os.Create(filepath.Join(f.folder, "output"))
	if err != nil {
		f.t.Fatal(err)
	}
	defer output.Close()
	f.process.Stdout, f.process.Stderr = output, output
	if err := f.process.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		_ = f.process.Wait()
		close(f.exited)
	}()
}

func accepted(t *testing.T, listener net.Listener, exited <-chan struct{}) net.Conn {
	t.Helper()
	came := make(chan net.Conn, 1)
	go func() {
		if conn, err := listener.Accept(); err == nil {
			came <- conn
		}
	}()
	select {
	case conn := <-came:
		return conn
	case <-exited:
		t.Fatal("the child ended before it had connected")
	case <-time.After(soon):
		t.Fatal("the child does not connect")
	}
	return nil
}

func (f *fakeWorker) close() {
	_ = f.process.Process.Kill()
	<-f.exited
	_ = f.conn.Close()
	if f.t.Failed() {
		f.t.Log(f.wrote())
	}
}

func (f *fakeWorker) wrote() string {
	text, _ := os.ReadFile(filepath.Join(f.folder, "output"))
	return string(text)
}

func common(handler string) object {
	return object{
		"run": "sizes_s_7", "job": "sizes", "handler": handler, "nonce": "4b0f3d5cf6c8e1a2", "slice": 3, "slices": 16,
		"attempt": 1, "fence": 1795968000000123, "params": object{}, "settings": nil, "timeout_ms": nil,
	}
}

// tile sends one of so many shards; more stands over what each tile says. The ids of its shards.
func (f *fakeWorker) tile(shards int, more object) []int64 {
	cells := make([]object, shards)
	for page := range cells {
		cells[page] = object{}
	}
	return f.cells(cells, more)
}

func (f *fakeWorker) cells(cells []object, more object) []int64 {
	message := common("work")
	message["type"] = "shards"
	for name, value := range more {
		message[name] = value
	}
	ids := make([]int64, len(cells))
	for page, cell := range cells {
		ids[page] = f.nextID
		cell["id"], cell["page"] = f.nextID, page
		f.nextID++
	}
	message["shards"] = cells
	f.send(message)
	return ids
}

func (f *fakeWorker) probe(more object) int64 {
	message := common("work")
	id := f.nextID
	f.nextID++
	for name, value := range (object{"type": "probe", "id": id, "page": 0, "after": nil, "room": 786_432, "pages_max": 4096}) {
		message[name] = value
	}
	for name, value := range more {
		message[name] = value
	}
	f.send(message)
	return id
}

func (f *fakeWorker) stop(why string, ids ...int64) {
	f.send(object{"type": "stop", "ids": ids, "why": why})
}

// answers waits until each id was answered; none may be twice, and no other.
func (f *fakeWorker) answers(ids ...int64) []given {
	f.t.Helper()
	found := map[int64]given{}
	wanted := map[int64]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	for len(found) < len(ids) {
		for id, one := range f.next() {
			if _, twice := found[id]; twice || !wanted[id] {
				f.t.Fatalf("%d was answered: %v", id, one)
			}
			found[id] = one
		}
	}
	inOrder := make([]given, len(ids))
	for at, id := range ids {
		inOrder[at] = found[id]
	}
	return inOrder
}

func (f *fakeWorker) next() map[int64]given {
	f.t.Helper()
	message := f.receive()
	found := map[int64]given{}
	kind, _ := message["type"].(string)
	switch kind {
	case "progress":
		f.progress = append(f.progress, message)
		return found
	case "stopped":
		for _, id := range message["ids"].([]any) {
			found[int64(id.(float64))] = given{kind, nil}
		}
	case "pages":
		found[int64(message["id"].(float64))] = given{kind, message}
	case "done", "fail":
		for _, one := range message["shards"].([]any) {
			said := one.(object)
			found[int64(said["id"].(float64))] = given{kind, said}
		}
	default:
		f.t.Fatalf("%v: %s", message, f.wrote())
	}
	f.frames = append(f.frames, message)
	return found
}

// kinds are those of answers.
func kinds(all []given) string {
	words := make([]string, len(all))
	for at, one := range all {
		words[at] = one.kind
	}
	return strings.Join(words, " ")
}

// drain says that nothing more comes, and gives the exit code.
func (f *fakeWorker) drain() int {
	f.send(object{"type": "drain"})
	for f.receive() != nil {
	}
	return f.code()
}

// code waits for the end; -1: a signal.
func (f *fakeWorker) code() int {
	f.t.Helper()
	select {
	case <-f.exited:
	case <-time.After(soon):
		f.t.Fatal("it does not end")
	}
	return f.process.ProcessState.ExitCode()
}

// isThere waits until a handler has made a file.
func (f *fakeWorker) isThere(name string) {
	f.t.Helper()
	eventually(f.t, name, func() bool { return exists(filepath.Join(f.folder, name)) })
}

func (f *fakeWorker) allow(name string) { touch(filepath.Join(f.folder, name)) }

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func touch(path string) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		panic(err)
	}
}

// waitFor is for handlers.
func waitFor(path string) {
	for !exists(path) {
		time.Sleep(5 * time.Millisecond)
	}
}
