package transcripts

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/compat-tests/report"
)

// beyond is the transcript of what Kafka leaves without an answer.
const beyond = "beyond.txt"

// Check plays the transcripts in dir on the broker at addr, whose group.max.size is size if that is not 0: then those of sizes only.
// Kafka is true for Apache Kafka, which is not asked for what it does not do.
func Check(ctx context.Context, w io.Writer, addr, dir string, size int, kafka, verbose bool) (*report.Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	if err := prepare(ctx, addr); err != nil {
		return nil, err
	}
	r := report.New(w, "transcripts")
	r.Verbose = verbose
	results := make([]result, len(files))
	var wg sync.WaitGroup
	for i, file := range files {
		base := filepath.Base(file)
		if kafka && base == beyond || (size != 0) != (base == "size.txt") {
			continue
		}
		wg.Go(func() {
			results[i] = playFile(ctx, addr, file, size)
		})
	}
	wg.Wait()
	for _, res := range results {
		if res.compared > 0 || res.err != nil {
			r.Check(fmt.Sprintf("%s, %d answers", res.name, res.compared), func() error { return res.err })
		}
	}
	return r, nil
}

type result struct {
	name     string
	compared int
	err      error
}

func playFile(ctx context.Context, addr, file string, size int) result {
	transcript, err := os.ReadFile(file)
	if err != nil {
		return result{name: file, err: err}
	}
	name := strings.TrimSuffix(filepath.Base(file), ".txt")
	n, err := newPlayer(addr, fmt.Sprintf("%s-%d-", name, time.Now().UnixNano()), size).play(ctx, transcript)
	return result{name: name, compared: n, err: err}
}

// prepare has the broker create the topic of committed offsets, and one to commit offsets of.
func prepare(ctx context.Context, addr string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return err
	}
	for {
		found := admin.FindGroupCoordinators(ctx, "g")
		if err := found.Error(); err == nil || ctx.Err() != nil {
			return err
		}
	}
}
