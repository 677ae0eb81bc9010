// A handler that does nothing, for `gridloom-bench sdk`.
package main

import (
	"context"
	"log"

	"gridloom"
)

func nothing(context.Context, *gridloom.Shard) error {
	return nil
}

func main() {
	var worker gridloom.Worker
	worker.Handle("nothing", nothing)
	if err := worker.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
