package gridloom

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// errorMax is how many bytes of an error the ledger keeps.
	errorMax = 1024
	// waitMax is the longest wait that an engine keeps. A longer one is taken for that.
	waitMax = 30 * 24 * time.Hour
)

// Kind is what follows after a failure.
type Kind string

const (
	// KindRetry: another attempt, by the job's [retry].
	KindRetry Kind = "retry"
	// KindPermanent: none. The shard is dead.
	KindPermanent Kind = "permanent"
	// KindHold: nothing of the whole job for a while.
	KindHold Kind = "hold"
)

// Failure is an error by which a handler says what follows; errors.As finds it. Retry, RetryAfter, Permanent and Hold
// make one, also of a nil error: whoever calls them says that the shard has failed. Any other error is tried again as the job's
// [retry] says. It may be wrapped: the outermost one counts.
type Failure struct {
	Kind Kind
	// After is how long nothing follows; nil: as the job says.
	After *time.Duration
	// Err is why.
	Err error
}

// Error is the text of the cause.
func (f *Failure) Error() string {
	if f.Err == nil {
		return string(f.Kind)
	}
	return f.Err.Error()
}

// Unwrap gives the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Retry asks for another attempt after the job's backoff, up to its max_attempts, as any error does.
func Retry(err error) error {
	return &Failure{Kind: KindRetry, Err: err}
}

// RetryAfter asks for another attempt after so long.
func RetryAfter(after time.Duration, err error) error {
	return &Failure{Kind: KindRetry, After: &after, Err: err}
}

// Permanent says that no other attempt would help: the shard is dead.
func Permanent(err error) error {
	return &Failure{Kind: KindPermanent, Err: err}
}

// Hold says that what the shard needs cannot serve for now: a rate limit (a 429), a replica that lags. Nothing of the
// whole job, or of any job that names the same limits.resource, is issued before so long is over; then this shard is
// tried again, and the attempt counts as none of its max_attempts.
func Hold(after time.Duration, err error) error {
	return &Failure{Kind: KindHold, After: &after, Err: err}
}

// Stopped is what Check gives when an attempt is to stop. errors.Is takes it for context.Canceled.
type Stopped struct {
	// Why is lease, cancelled, time, stopping, gone, or a word of a later version.
	Why string
}

var whyInWords = map[string]string{
	"lease":     "lease lost",
	"cancelled": "cancelled",
	"time":      "out of time",
	"stopping":  "worker is stopping",
	"gone":      "the worker is gone",
}

// Error says why in words.
func (s *Stopped) Error() string {
	if words, known := whyInWords[s.Why]; known {
		return words
	}
	return s.Why
}

// Is makes it one with the error of a context that has ended.
func (s *Stopped) Is(target error) bool { return target == context.Canceled }

// isEnd is whether an error says that the attempt was told to stop, or its time is over.
func isEnd(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// saysMore is whether an error that is an end tells where it came.
func saysMore(err error) bool {
	_, plain := err.(*Stopped) // one that is wrapped says more
	return !plain && err != context.Canceled && err != context.DeadlineExceeded
}

// told is what the engine is told of an error.
func told(err error) failShard {
	said := failShard{Kind: KindRetry, Error: textOf(err)}
	var failure *Failure
	if errors.As(err, &failure) {
		said.Kind = failure.Kind
		if failure.After != nil {
			after := milliseconds(*failure.After)
			said.AfterMS = &after
		}
	}
	if said.Kind == KindHold && said.AfterMS == nil {
		// A hold says how long.
		said.AfterMS = new(int64)
	}
	return said
}

func milliseconds(wait time.Duration) int64 {
	if wait < 0 {
		wait = 0
	}
	if wait > waitMax {
		wait = waitMax
	}
	return wait.Milliseconds()
}

// textOf is the text of an error within errorMax bytes of UTF-8, whatever its Error does.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T (its text cannot be made)", err)
		}
	}()
	text = cut(err.Error())
	if text == "" {
		text = fmt.Sprintf("%T", err)
	}
	return text
}

func cut(text string) string {
	if len(text) > 4*errorMax {
		text = text[:4*errorMax]
	}
	text = clean(text)
	if len(text) <= errorMax {
		return text
	}
	end := errorMax
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// clean is a text that is UTF-8: what is none becomes a question mark, as a frame that is no UTF-8 would end everything.
func clean(text string) string { return strings.ToValidUTF8(text, "?") }
