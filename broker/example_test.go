package broker_test

import (
	"context"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker"
)

// A broker in a Go program: start it, talk to it with any Kafka client, stop it.
func Example() {
	dir, err := os.MkdirTemp("", "dmq-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	b, err := broker.New(broker.Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	if err := b.Start(ctx); err != nil {
		panic(err)
	}
	defer b.Close()

	client, err := kgo.NewClient(
		kgo.SeedBrokers(b.Addr().String()),
		kgo.AllowAutoTopicCreation(),
		kgo.ConsumeTopics("greetings"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		panic(err)
	}
	defer client.Close()
	record := &kgo.Record{Topic: "greetings", Value: []byte("hello")}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		panic(err)
	}
	fetches := client.PollFetches(ctx)
	fetches.EachRecord(func(r *kgo.Record) { fmt.Println(string(r.Value)) })
	if err := b.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: hello
}
