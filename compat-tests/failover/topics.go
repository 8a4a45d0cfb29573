package failover

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// Topics has several clients create topics of one partition with three replicas, each one after the other, for a while: how
// many were created in a second.
func Topics(ctx context.Context, c *peer.Cluster, clients int, d time.Duration) (perSecond float64, err error) {
	var (
		created atomic.Int64
		wg      sync.WaitGroup
		errs    = make([]error, clients)
	)
	began := time.Now()
	for i := range clients {
		wg.Go(func() {
			errs[i] = func() error {
				client, err := newClient(c)
				if err != nil {
					return err
				}
				defer client.Close()
				admin := kadm.NewClient(client)
				for n := 0; time.Since(began) < d; n++ {
					resp, err := admin.CreateTopic(ctx, 1, 3, nil, fmt.Sprintf("topics-%d-%d-%d", began.UnixNano(), i, n))
					if err = errors.Join(err, resp.Err); err != nil {
						return err
					}
					created.Add(1)
				}
				return nil
			}()
		})
	}
	wg.Wait()
	return float64(created.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}
