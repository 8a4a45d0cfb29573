package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/distributedmq/dmq/compat-tests/go/franz"
	"github.com/distributedmq/dmq/compat-tests/go/librdkafka"
	"github.com/distributedmq/dmq/compat-tests/go/matrix"
	"github.com/distributedmq/dmq/compat-tests/go/sarama"
	"github.com/distributedmq/dmq/compat-tests/go/segmentio"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// goClients are the client libraries in Go, with what each cannot do.
func goClients() map[string]struct {
	open   func(addr string) (matrix.Client, error)
	limits matrix.Limits
} {
	return map[string]struct {
		open   func(addr string) (matrix.Client, error)
		limits matrix.Limits
	}{
		"franz-go": {franz.New, matrix.Limits{}},
		"sarama":   {sarama.New, matrix.Limits{}},
		"segmentio": {segmentio.New, matrix.Limits{
			NoIdempotence: "the library has no idempotent producer", NoNulls: "it hands empty keys and values out as null", NoNullHeaders: "and header values too", NoAppendTime: "it shows the record's own time",
		}},
		"librdkafka": {librdkafka.New, matrix.Limits{
			NoNulls: "the Go binding hands empty keys and values out as null", UnknownMayBeAny: true,
		}},
	}
}

// runGo runs one Go client library against a broker that runs already: compat go NAME [-bootstrap ADDR].
func runGo(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("go needs a client: franz-go, sarama, segmentio or librdkafka")
	}
	c, ok := goClients()[args[0]]
	if !ok {
		return 0, fmt.Errorf("unknown client %q", args[0])
	}
	fs := flag.NewFlagSet("go", flag.ContinueOnError)
	addr := fs.String("bootstrap", os.Getenv("DMQ_BOOTSTRAP"), "address of the broker")
	verbose := fs.Bool("v", false, "print passed checks too")
	if err := fs.Parse(args[1:]); err != nil {
		return 2, nil
	}
	r := report.New(os.Stdout, args[0])
	r.Verbose = *verbose
	client, err := c.open(*addr)
	if err != nil {
		r.Fail("connect", err)
		return r.Close(), nil
	}
	prefix := fmt.Sprintf("%s-%d-", args[0], time.Now().UnixNano())
	matrix.Run(ctx, r, client, prefix, c.limits)
	r.Check("close", client.Close)
	return r.Close(), nil
}
