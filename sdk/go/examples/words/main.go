// Counts the words of a text file, each slice its own lines.
//
//	gridloom dev                                      # leave it running
//	go build -o examples/words/words ./examples/words # in sdk/go
//	cd examples/words
//	gridloom worker --processes 2 -- ./words          # leave it running
//	gridloom job apply words.toml
//	gridloom run words --wait --param file=main.go
package main

import (
	"bufio"
	"context"
	"errors"
	"log"
	"os"
	"strings"

	"gridloom"
)

func words(ctx context.Context, shard *gridloom.Shard) error {
	var params struct{ File string }
	if err := shard.Params.Into(&params); err != nil {
		return err
	}
	if params.File == "" {
		return gridloom.Permanent(errors.New("params.file is missing: say --param file=PATH"))
	}
	file, err := os.Open(params.File)
	if err != nil {
		return err // tried again: it may come
	}
	defer file.Close()
	longest := ""
	lines := bufio.NewScanner(file)
	for number := int64(0); lines.Scan(); number++ {
		if !shard.OwnsInt(number) {
			continue
		}
		if err := shard.Check(); err != nil {
			return err
		}
		shard.Rows(1)
		for _, word := range strings.Fields(lines.Text()) {
			shard.Count("words", 1)
			if len(word) > len(longest) && len(word) <= 200 {
				longest = word
			}
		}
	}
	shard.Result(longest)
	return lines.Err()
}

func main() {
	var worker gridloom.Worker
	worker.Handle("words", words)
	if err := worker.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
