// Package hooks is how gridloomtest has attempts made that no worker sent: package gridloom sets what stands here.
package hooks

import "context"

// Answer is how an attempt would be answered.
type Answer struct {
	// Kind is done, retry, permanent, hold, stopped or pages.
	Kind     string
	Rows     int64
	Counters map[string]int64
	Result   *string
	Error    string
	AfterMS  *int64
	// Pages are what a probe found, and Cursor where the next one goes on; keys are of type gridloom.Key.
	Pages  [][2]any
	Cursor any
}

var (
	// Shard makes a *gridloom.Shard of a message shards with one of them.
	Shard func(message []byte) (any, error)
	// Probe makes a *gridloom.Probe of its message.
	Probe func(message []byte) (any, error)
	// StopAfter tells an attempt to stop at the check behind so many.
	StopAfter func(shard any, checks int, why string)
	// Run makes the attempt in this goroutine. It gives what the handler returned, too.
	Run func(ctx context.Context, attempt any, call func(context.Context) error) (Answer, error)
)
