package gridloom

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

const (
	// frameMax is most bytes of JSON in one frame, both ways.
	frameMax = 8 << 20
	// keptMax is how much of a buffer is kept for the next frame.
	keptMax = 1 << 20
)

// ProtocolError says how the worker broke the child protocol (docs/CHILD-PROTOCOL.md).
type ProtocolError struct{ Reason string }

// Error says so.
func (e *ProtocolError) Error() string { return "the worker broke the protocol: " + e.Reason }

func broken(format string, args ...any) error {
	return &ProtocolError{Reason: fmt.Sprintf(format, args...)}
}

// encode is the frame of a message: 4 bytes of length, big endian, then its JSON.
func encode(message any) ([]byte, error) {
	frame, err := appendJSON(make([]byte, 4), message)
	if err != nil {
		return nil, err
	}
	length := len(frame) - 4
	if length > frameMax {
		return nil, fmt.Errorf("a message of %d bytes, %d are the most", length, frameMax)
	}
	binary.BigEndian.PutUint32(frame, uint32(length))
	return frame, nil
}

// appendJSON writes a value behind what is there, with < and & as they are.
func appendJSON(to []byte, value any) ([]byte, error) {
	written := bytes.NewBuffer(to)
	encoder := json.NewEncoder(written)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(written.Bytes(), []byte("\n")), nil
}

// connection is one end of the socket. Many may send; one receives.
type connection struct {
	conn    net.Conn
	reader  *bufio.Reader
	body    bytes.Buffer
	sending sync.Mutex
}

func newConnection(conn net.Conn) *connection {
	return &connection{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10)}
}

// send sends a message. Where nobody hears it any more nothing happens: whoever receives notices the end.
func (c *connection) send(message any) {
	frame, err := encode(message)
	if err != nil {
		// A fault of this code: the answers in it would be lost, so nobody may wait for them.
		complain("a message cannot be sent, so the connection ends: %v", err)
		c.end()
		return
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	if _, err := c.conn.Write(frame); errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.ENOTSOCK) {
		// Other code has closed its descriptor, and whoever receives would wait for ever. Any other error it is told itself.
		complain("the connection was closed by other code, so it ends: %v", err)
		c.end()
	}
}

// receive gives the next message's type and its JSON, which is good until the next call; io.EOF when the connection
// has ended.
func (c *connection) receive() (string, []byte, error) {
	var length uint32
	if err := binary.Read(c.reader, binary.BigEndian, &length); err != nil {
		return "", nil, io.EOF
	}
	if length == 0 || length > frameMax {
		return "", nil, broken("a frame of %d bytes, 1 to %d are allowed", length, frameMax)
	}
	if c.body.Cap() > keptMax {
		c.body = bytes.Buffer{}
	}
	c.body.Reset()
	// Room is taken for what has arrived, not for what a length says.
	if n, err := io.CopyN(&c.body, c.reader, int64(length)); err != nil || n < int64(length) {
		return "", nil, io.EOF
	}
	body := c.body.Bytes()
	if !utf8.Valid(body) {
		return "", nil, broken("a frame that is no UTF-8")
	}
	var head struct {
		Type *string `json:"type"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return "", nil, broken("a frame that is no JSON object with a type: %v", err)
	}
	if head.Type == nil {
		return "", nil, broken("a frame that is no JSON object with a type")
	}
	return *head.Type, body, nil
}

// hearNoMore has whoever receives hear that the connection has ended, now; what is sent still goes out.
func (c *connection) hearNoMore() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) }

// end ends the connection; the other side and whoever receives here notice.
func (c *connection) end() { _ = c.conn.Close() }

// connect connects to where GRIDLOOM_SOCKET says: a path, or tcp:HOST:PORT.
func connect(address string) (*connection, error) {
	network, place := "unix", address
	if rest := strings.TrimPrefix(address, "tcp:"); rest != address {
		network, place = "tcp", rest
		host, port, err := net.SplitHostPort(rest)
		if err != nil || host == "" || strings.Trim(port, "0123456789") != "" || port == "" {
			return nil, fmt.Errorf("GRIDLOOM_SOCKET=%s: write it as a path or as tcp:127.0.0.1:PORT", address)
		}
	}
	conn, err := net.Dial(network, place)
	if err != nil {
		return nil, fmt.Errorf("connect to the worker: %w", err)
	}
	return newConnection(conn), nil
}
