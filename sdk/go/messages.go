package gridloom

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

const (
	protocol = 1
	// Version is that of this library.
	Version = "0.1.0"
	sdk     = "go " + Version
)

// What a child says.

type helloMessage struct {
	Type     string   `json:"type"`
	Protocol [2]int   `json:"protocol"`
	Token    string   `json:"token,omitempty"`
	SDK      string   `json:"sdk,omitempty"`
	Handlers []string `json:"handlers"`
	Probes   []string `json:"probes,omitempty"`
	Slots    int      `json:"slots,omitempty"`
}

type doneShard struct {
	ID       int64            `json:"id"`
	Rows     int64            `json:"rows,omitempty"`
	Counters map[string]int64 `json:"counters,omitempty"`
	Result   *string          `json:"result,omitempty"`
}

type failShard struct {
	ID      int64  `json:"id"`
	Kind    Kind   `json:"kind"`
	AfterMS *int64 `json:"after_ms,omitempty"`
	Error   string `json:"error"`
}

type doneMessage struct {
	Type   string      `json:"type"`
	Shards []doneShard `json:"shards"`
}

type failMessage struct {
	Type   string      `json:"type"`
	Shards []failShard `json:"shards"`
}

type stoppedMessage struct {
	Type string  `json:"type"`
	IDs  []int64 `json:"ids"`
}

type rowsSoFar struct {
	ID   int64 `json:"id"`
	Rows int64 `json:"rows"`
}

type progressMessage struct {
	Type   string      `json:"type"`
	Shards []rowsSoFar `json:"shards"`
}

type pagesMessage struct {
	Type   string   `json:"type"`
	ID     int64    `json:"id"`
	Pages  [][2]Key `json:"pages"`
	Cursor *Key     `json:"cursor,omitempty"`
}

type byeMessage struct {
	Type string `json:"type"`
}

// What a worker says.

type attachMessage struct {
	Token string `json:"token"`
}

type stopMessage struct {
	IDs []int64 `json:"ids"`
	Why *string `json:"why"`
}

// tileMessage is a message shards or probe, as far as both have it. A pointer is nil where nothing was said.
type tileMessage struct {
	Run       *string `json:"run"`
	Job       *string `json:"job"`
	Handler   *string `json:"handler"`
	Nonce     *string `json:"nonce"`
	Slice     *int    `json:"slice"`
	Slices    *int    `json:"slices"`
	Attempt   *int    `json:"attempt"`
	Fence     *int64  `json:"fence"`
	Params    JSON    `json:"params"`
	Settings  JSON    `json:"settings"`
	TimeoutMS *int64  `json:"timeout_ms"`

	Shards []shardMessage `json:"shards"`

	// Of a probe alone.
	ID       *int64 `json:"id"`
	Page     *int   `json:"page"`
	After    *Key   `json:"after"`
	Room     *int   `json:"room"`
	PagesMax *int   `json:"pages_max"`
}

type shardMessage struct {
	ID          *int64 `json:"id"`
	Page        *int   `json:"page"`
	From        *Key   `json:"from"`
	To          *Key   `json:"to"`
	Offset      *int64 `json:"offset"`
	Limit       *int64 `json:"limit"`
	Traceparent string `json:"traceparent"`
}

// read makes a message of its JSON, which has to be whole.
func read(kind string, body []byte, into interface{ whole() bool }) error {
	if err := json.Unmarshal(body, into); err != nil {
		return broken("a message %q that is none: %v", kind, err)
	}
	if !into.whole() {
		return broken("a message %q of which a field is missing", kind)
	}
	return nil
}

func (m *stopMessage) whole() bool { return m.IDs != nil && m.Why != nil }

func (m *tileMessage) common() bool {
	named := m.Run != nil && m.Job != nil && m.Handler != nil && m.Nonce != nil
	return named && m.Slice != nil && m.Slices != nil && *m.Slices > 0 && m.Attempt != nil && m.Fence != nil
}

type shardsMessage struct{ tileMessage }

func (m *shardsMessage) whole() bool {
	for _, shard := range m.Shards {
		if shard.ID == nil || shard.Page == nil || (shard.From == nil) != (shard.To == nil) {
			return false
		}
	}
	return m.common() && len(m.Shards) > 0
}

type probeMessage struct{ tileMessage }

func (m *probeMessage) whole() bool {
	return m.common() && m.ID != nil && m.Page != nil && m.Room != nil && m.PagesMax != nil
}

// JSON is a text in JSON. It cannot be changed, so what a handler does to its params is its own affair.
type JSON string

// Into decodes it as encoding/json does. What does not fit is a Permanent failure: it would not fit the next time.
func (j JSON) Into(value any) error {
	if err := json.Unmarshal([]byte(j.orEmpty()), value); err != nil {
		return Permanent(fmt.Errorf("params or settings that do not fit: %w", err))
	}
	return nil
}

func (j JSON) orEmpty() JSON {
	if j == "" || j == "null" {
		return "{}"
	}
	return j
}

// UnmarshalJSON keeps the text.
func (j *JSON) UnmarshalJSON(text []byte) error {
	*j = JSON(text)
	return nil
}

// MarshalJSON gives the text.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == "" {
		return []byte("null"), nil
	}
	return []byte(j), nil
}

// Key is a value of the key that bounds pages: a whole number or a text. Int and Text make one; two can be compared by ==.
type Key struct {
	number int64
	text   string
	isText bool
}

// Int is a key that is a whole number.
func Int(number int64) Key { return Key{number: number} }

// Text is a key that is a text.
func Text(text string) Key { return Key{text: text, isText: true} }

// IsText is whether it is a text, and not a whole number.
func (k Key) IsText() bool { return k.isText }

// Int is the whole number; 0 of a text.
func (k Key) Int() int64 { return k.number }

// String is the text, or the digits of the whole number.
func (k Key) String() string {
	if k.isText {
		return k.text
	}
	return strconv.FormatInt(k.number, 10)
}

// MarshalJSON writes a number or a text.
func (k Key) MarshalJSON() ([]byte, error) {
	if k.isText {
		return json.Marshal(k.text)
	}
	return strconv.AppendInt(nil, k.number, 10), nil
}

// UnmarshalJSON reads a number or a text.
func (k *Key) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		*k = Key{isText: true}
		return json.Unmarshal(text, &k.text)
	}
	*k = Key{}
	return json.Unmarshal(text, &k.number)
}

// cost is how much room it takes in an answer to a probe.
func (k Key) cost() int {
	if k.isText {
		return len(k.text) + 5
	}
	return 9
}

func (k Key) isSound() bool { return !k.isText || utf8.ValidString(k.text) }
