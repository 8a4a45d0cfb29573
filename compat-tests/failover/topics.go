package failover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// Rate is how fast topics were created or deleted, and what it cost.
type Rate struct {
	Topics  int
	Unknown int // requests that timed out, so that nobody knows: the controller had changed
	Took    time.Duration
	CPU     time.Duration // of all nodes together
}

// String is the rate and the CPU time of each topic.
func (r Rate) String() string {
	s := fmt.Sprintf("%.0f topics/s (%.2f ms of the nodes' CPU each)", float64(r.Topics)/r.Took.Seconds(), r.CPU.Seconds()*1e3/float64(max(1, r.Topics)))
	if r.Unknown > 0 {
		s += fmt.Sprintf(" and %d timeouts", r.Unknown)
	}
	return s
}

// Topics has several clients create topics of one partition with three replicas, each one after the other, for a while, and
// then delete them in the same way.
func Topics(ctx context.Context, c *peer.Cluster, clients int, d time.Duration) (created, deleted Rate, err error) {
	names := make([][]string, clients)
	prefix := fmt.Sprintf("topics-%d", time.Now().UnixNano())
	created, err = measure(c, clients, func(admin *kadm.Client, i int, done func(error) error) error {
		for began, n := time.Now(), 0; time.Since(began) < d; n++ {
			name := fmt.Sprintf("%s-%d-%d", prefix, i, n)
			resp, err := admin.CreateTopic(ctx, 1, 3, nil, name)
			if err = done(errors.Join(err, resp.Err)); err != nil {
				return fmt.Errorf("create %s: %w %s", name, err, resp.ErrMessage)
			}
			names[i] = append(names[i], name)
		}
		return nil
	})
	if err != nil {
		return created, deleted, err
	}
	deleted, err = measure(c, clients, func(admin *kadm.Client, i int, done func(error) error) error {
		for _, name := range names[i] {
			resp, err := admin.DeleteTopic(ctx, name)
			if err = errors.Join(err, resp.Err); errors.Is(err, kerr.UnknownTopicOrPartition) {
				continue // its creation had timed out
			}
			if err = done(err); err != nil {
				return fmt.Errorf("delete %s: %w %s", name, err, resp.ErrMessage)
			}
		}
		return nil
	})
	return created, deleted, err
}

// measure runs something for each of several clients at once, which tells how each topic went; done returns what is no timeout.
func measure(c *peer.Cluster, clients int, run func(admin *kadm.Client, i int, done func(error) error) error) (r Rate, err error) {
	var (
		topics, unknown atomic.Int64
		wg              sync.WaitGroup
		errs            = make([]error, clients)
	)
	done := func(err error) error {
		switch {
		case err == nil:
			topics.Add(1)
		case errors.Is(err, kerr.RequestTimedOut):
			unknown.Add(1)
		default:
			return err
		}
		return nil
	}
	before, err := c.CPU()
	if err != nil {
		return r, err
	}
	began := time.Now()
	for i := range clients {
		wg.Go(func() {
			client, err := newClient(c)
			if err != nil {
				errs[i] = err
				return
			}
			defer client.Close()
			errs[i] = run(kadm.NewClient(client), i, done)
		})
	}
	wg.Wait()
	r.Topics, r.Unknown, r.Took = int(topics.Load()), int(unknown.Load()), time.Since(began)
	after, err := c.CPU()
	r.CPU = after - before
	return r, errors.Join(append(errs, err)...)
}
