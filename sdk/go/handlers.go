package gridloom

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// handlers are those of a worker by name, in the order in which they came.
type handlers struct {
	order  []string
	probed []string
	runs   map[string]Handler
	pages  map[string]Pages
	fault  error
}

func (h *handlers) addRun(name string, run Handler) {
	switch {
	case len(name) < 1 || len(name) > 48 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		h.wrong("handler %q: a name has 1 to 48 of a-z, 0-9 and -, as a job file says it", name)
	case run == nil:
		h.wrong("handler %q is nil", name)
	case h.runs[name] != nil:
		h.wrong("handler %q is there already", name)
	default:
		if h.runs == nil {
			h.runs = map[string]Handler{}
		}
		h.runs[name] = run
		h.order = append(h.order, name)
	}
}

func (h *handlers) addPages(name string, pages Pages) {
	switch {
	case pages == nil:
		h.wrong("the pages of handler %q are nil", name)
	case h.pages[name] != nil:
		h.wrong("handler %q has its pages already", name)
	default:
		if h.pages == nil {
			h.pages = map[string]Pages{}
		}
		h.pages[name] = pages
		h.probed = append(h.probed, name)
	}
}

// wrong keeps the first fault.
func (h *handlers) wrong(format string, args ...any) {
	if h.fault == nil {
		h.fault = fmt.Errorf(format, args...)
	}
}

// check refuses what could not work.
func (h *handlers) check() error {
	if h.fault != nil {
		return h.fault
	}
	if len(h.order) == 0 {
		return errors.New(`a worker without handlers: call worker.Handle("NAME", ...)`)
	}
	if len(h.order) > 64 {
		return fmt.Errorf("%d handlers, 64 are the most", len(h.order))
	}
	for _, name := range h.probed {
		if h.runs[name] == nil {
			return fmt.Errorf("pages of %q, which is no handler of this worker", name)
		}
	}
	return nil
}

func (h *handlers) names() []string  { return h.order }
func (h *handlers) probes() []string { return h.probed }

// nobody is called for a handler that this worker does not have.
func nobody(handler string) func(context.Context) error {
	return func(context.Context) error { return fmt.Errorf("handler %q is not known here", handler) }
}
