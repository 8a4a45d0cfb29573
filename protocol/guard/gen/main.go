// Command gen writes guard's table of request layouts to standard output, from the message definitions that Apache Kafka
// ships inside its clients jar.
//
//	go run ./protocol/guard/gen kafka-clients-4.4.0.jar > protocol/guard/table.go
//
// The argument is the jar or a folder that holds the *Request.json files. What is written are facts of the protocol: for
// each API key and version, the kinds of the fields in their order.
package main

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one argument, the clients jar or a folder of message definitions, got %d", len(args))
	}
	messages, err := load(args[0])
	if err != nil {
		return err
	}
	t, err := compile(messages)
	if err != nil {
		return err
	}
	src, err := t.source(path.Base(args[0]))
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(src)
	return err
}

// load reads the request definitions, by API key.
func load(from string) ([]message, error) {
	root := os.DirFS(from)
	if strings.HasSuffix(from, ".jar") {
		jar, err := zip.OpenReader(from)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", from, err)
		}
		defer func() { _ = jar.Close() }() // only read from
		if root, err = fs.Sub(jar, "common/message"); err != nil {
			return nil, err
		}
	}
	names, err := fs.Glob(root, "*Request.json")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no *Request.json in %s", from)
	}
	var messages []message
	for _, name := range names {
		raw, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		m, err := parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if m.ValidVersions.some { // else it was removed
			messages = append(messages, m)
		}
	}
	sort.Slice(messages, func(i, j int) bool { return messages[i].APIKey < messages[j].APIKey })
	return messages, nil
}
