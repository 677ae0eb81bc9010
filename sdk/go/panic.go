package gridloom

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Whether a handler returned at all.
var errGoexit = errors.New("the handler ended its goroutine without returning: runtime.Goexit, or panic(nil)")

// panicked is a panic of a handler, with the places that it came through.
type panicked struct {
	value any
	where string
}

// Error is the value with the places, the innermost first.
func (p *panicked) Error() string { return fmt.Sprintf("panic: %v%s", p.value, p.where) }

// Unwrap gives the value where it is an error.
func (p *panicked) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// guarded calls a handler in a goroutine of its own, so that one that ends its goroutine ends no other.
func guarded(ctx context.Context, cell *Cell, call func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() {
			if value := recover(); value != nil {
				err = &panicked{value: value, where: where("gridloom.guarded")}
				// The worker reads it, and keeps the end of it for the text of a failure.
				complain("%v: panic: %v\n%s", cell, value, debug.Stack())
			}
			ended <- err
		}()
		err = call(ctx)
	}()
	return <-ended
}

// where is the stack of a panic as far as it is the handler's: from where it was raised to the function that called it.
func where(caller string) string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(0, callers)])
	var places []string
	raised := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			places, raised = nil, true // where one is raised while another one unwinds, that one's places count
		case !raised || strings.HasPrefix(frame.Function, "runtime.") || strings.HasPrefix(frame.Function, "internal/"):
		case strings.Contains(frame.Function, caller):
			return format(places)
		default:
			file := frame.File[strings.LastIndexByte(frame.File, '/')+1:]
			places = append(places, fmt.Sprintf("%s (%s:%d)", frame.Function, file, frame.Line))
		}
		if !more {
			return format(places)
		}
	}
}

func format(places []string) string {
	if len(places) == 0 {
		return ""
	}
	return ": at " + strings.Join(places, ", ")
}

// complain tells people: standard error is theirs.
func complain(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "gridloom: "+format+"\n", args...)
}
