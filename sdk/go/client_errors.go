package gridloom

import (
	"fmt"
	"strings"
)

// APIError is a request that was understood and refused. Decide by Type, read Detail (docs/API.md has all types).
type APIError struct {
	// Type is a word of a closed set, as not-found.
	Type   string   `json:"type"`
	Status int      `json:"status"`
	Title  string   `json:"title"`
	Detail string   `json:"detail"`
	Faults []string `json:"faults"`
}

// Error is what is the matter, with all faults of a definition.
func (e *APIError) Error() string {
	return strings.Join(append([]string{or(e.Detail, or(e.Title, fmt.Sprintf("status %d", e.Status)))}, e.Faults...), "; ")
}

// passes is whether the same request may be sent again: it was not done, or doing it twice does no harm.
func (e *APIError) passes() bool {
	return e.Type == "unavailable" || e.Type == "timed-out" || e.Type == "unknown"
}

// Unreachable is when nobody answered in time, or not as a planner does.
type Unreachable struct {
	Reason string
	Err    error
}

// Error says so.
func (e *Unreachable) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// RunFailed is when a run that was waited for ended otherwise than succeeded.
type RunFailed struct{ Run *Run }

// Error says how.
func (e *RunFailed) Error() string {
	return fmt.Sprintf("run %s %s: %s", e.Run.ID, e.Run.State, or(e.Run.Error, "no error is on record"))
}
