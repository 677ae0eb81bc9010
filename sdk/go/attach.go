package gridloom

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const (
	// socketMax is the longest path of a Unix socket that every system takes.
	socketMax = 100
	// attachWithin is how long the worker has to say its first word, once connected.
	attachWithin = 10 * time.Second
	// endWithin is how long it has to end after drain.
	endWithin = 30 * time.Second
)

// ErrWorkerGone is in the error of Run where the `gridloom worker` beside a program has ended and nobody had told it to.
var ErrWorkerGone = errors.New("gridloom worker is gone")

// engine is a `gridloom worker --attach`: it holds leases, writes the ledger, and sends shards.
type engine struct {
	folder   string
	listener net.Listener
	token    string
	process  *exec.Cmd
	// exited is closed when it has ended; process says how.
	exited chan struct{}
}

// startEngine starts it; it connects to a socket that nobody else can find or know the token of.
func startEngine(w *Worker) (*engine, error) {
	command, err := commandOf(w)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "gridloom-")
	if err != nil {
		return nil, err
	}
	e := &engine{folder: folder, token: hex.EncodeToString(secret), exited: make(chan struct{})}
	address, err := e.listen()
	if err != nil {
		_ = os.RemoveAll(folder)
		return nil, err
	}
	e.process = exec.Command(command, append([]string{"worker", "--attach"}, w.Options...)...)
	e.process.Stdout, e.process.Stderr = os.Stdout, os.Stderr
	// Not among the arguments, which everybody on the machine sees.
	e.process.Env = append(os.Environ(), "GRIDLOOM_SOCKET="+address, "GRIDLOOM_TOKEN="+e.token)
	for _, one := range [][2]string{{"GRIDLOOM_WORKER_QUEUES", w.Queue}, {"GRIDLOOM_NATS", w.NATS}} {
		if one[1] != "" {
			e.process.Env = append(e.process.Env, one[0]+"="+one[1])
		}
	}
	if err := e.process.Start(); err != nil {
		_ = e.listener.Close()
		_ = os.RemoveAll(folder)
		return nil, fmt.Errorf("start %s: %w", command, err)
	}
	go func() {
		_ = e.process.Wait()
		close(e.exited)
	}()
	return e, nil
}

// commandOf is gridloom: as it was said, beside this program, or in PATH.
func commandOf(w *Worker) (string, error) {
	if w.Command != "" {
		return w.Command, nil
	}
	if own, err := os.Executable(); err == nil {
		if found, err := exec.LookPath(filepath.Join(filepath.Dir(own), "gridloom")); err == nil {
			return found, nil
		}
	}
	found, err := exec.LookPath("gridloom")
	if err != nil {
		return "", fmt.Errorf("the command gridloom is not in PATH: install it, or say Worker{Command: ...}: %w", err)
	}
	return found, nil
}

func (e *engine) listen() (address string, err error) {
	path := filepath.Join(e.folder, "worker")
	if runtime.GOOS != "windows" && len(path) <= socketMax {
		e.listener, err = net.Listen("unix", path)
		return path, err
	}
	e.listener, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "tcp:" + e.listener.Addr().String(), nil
}

// accept gives the connection on which it has said who it is; nil where ctx ended before.
func (e *engine) accept(ctx context.Context) (*connection, error) {
	is := make(chan *connection)
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			conn, err := e.listener.Accept()
			if err != nil {
				return
			}
			// A stranger holds nobody up.
			go e.greet(newConnection(conn), is, over)
		}
	}()
	defer e.listener.Close()
	select {
	case conn := <-is:
		return conn, nil
	case <-ctx.Done():
		return nil, nil
	case <-e.exited:
		return nil, fmt.Errorf("%w: it ended (%v) before it had begun, and says why above", ErrWorkerGone, e.process.ProcessState)
	}
}

// greet sends whoever does not know the token away.
func (e *engine) greet(conn *connection, is chan<- *connection, over <-chan struct{}) {
	_ = conn.conn.SetReadDeadline(time.Now().Add(attachWithin))
	kind, body, err := conn.receive()
	var said attachMessage
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	if err != nil || kind != "attach" || subtle.ConstantTimeCompare([]byte(said.Token), []byte(e.token)) != 1 {
		conn.end()
		return
	}
	_ = conn.conn.SetReadDeadline(time.Time{})
	select {
	case is <- conn:
	case <-over:
		conn.end()
	}
}

// ended is ErrWorkerGone unless it had said that it would end.
func (e *engine) ended(drained bool) error {
	how := "it does not end"
	select {
	case <-e.exited:
		how = e.process.ProcessState.String()
	case <-time.After(endWithin):
	}
	if drained {
		return nil
	}
	return fmt.Errorf("%w (%s): what ran here was told to stop", ErrWorkerGone, how)
}

// close ends it, if it has not ended.
func (e *engine) close() {
	_ = e.listener.Close()
	defer os.RemoveAll(e.folder)
	if e.process.Process.Signal(syscall.SIGTERM) != nil {
		// Nowhere else than where there are no signals, or no process.
		_ = e.process.Process.Kill()
	}
	select {
	case <-e.exited:
	case <-time.After(endWithin):
		_ = e.process.Process.Kill()
		<-e.exited
	}
}
