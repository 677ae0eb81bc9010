package gridloom

import (
	"context"
	"time"

	"gridloom/internal/hooks"
)

func init() {
	hooks.Shard = func(message []byte) (any, error) {
		var said shardsMessage
		if err := read("shards", message, &said); err != nil {
			return nil, err
		}
		return said.shard(said.tile(), &said.Shards[0]), nil
	}
	hooks.Probe = func(message []byte) (any, error) {
		var said probeMessage
		if err := read("probe", message, &said); err != nil {
			return nil, err
		}
		return said.probe(said.tile()), nil
	}
	hooks.StopAfter = func(shard any, checks int, why string) {
		cell := shard.(attempt).cell()
		cell.watch = func() {
			if checks--; checks < 0 {
				cell.stop(why)
			}
		}
	}
	hooks.Run = func(ctx context.Context, made any, call func(context.Context) error) (hooks.Answer, error) {
		attempt := made.(attempt)
		cell := attempt.cell()
		err := here(cell.begin(ctx, time.Now()), call)
		defer cell.end()
		if ctx.Err() != nil {
			cell.stop("cancelled")
		}
		return outcomeOf(attempt, err).hooked(), err
	}
}

// here calls a handler in this goroutine, so that it may end a test; a panic is an error all the same.
func here(ctx context.Context, call func(context.Context) error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicked{value: value, where: where("gridloom.here")}
		}
	}()
	return call(ctx)
}

func (a answer) hooked() hooks.Answer {
	switch {
	case a.done != nil:
		return hooks.Answer{Kind: "done", Rows: a.done.Rows, Counters: a.done.Counters, Result: a.done.Result}
	case a.fail != nil:
		return hooks.Answer{Kind: string(a.fail.Kind), Error: a.fail.Error, AfterMS: a.fail.AfterMS}
	case a.pages != nil:
		said := hooks.Answer{Kind: "pages"}
		for _, page := range a.pages.Pages {
			said.Pages = append(said.Pages, [2]any{page[0], page[1]})
		}
		if a.pages.Cursor != nil {
			said.Cursor = *a.pages.Cursor
		}
		return said
	default:
		return hooks.Answer{Kind: "stopped"}
	}
}
