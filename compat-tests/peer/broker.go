package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Broker is one broker process.
type Broker struct {
	Process
	Kind           string // "kafka" or "dmq"
	ID             int32  // node.id
	Addr           string // of the client listener
	ControllerAddr string // of the controller listener
	AdminAddr      string // dmq's admin port, empty for Kafka
	Dir            string // configuration and log of the process
	DataDir        string // log.dirs
	StartTook      time.Duration

	configure func(properties map[string]string) error // what Options.Properties was
}

// start runs the process and waits until it answers ApiVersions.
func (b *Broker) start(ctx context.Context) error {
	began := time.Now()
	if err := b.Launch(); err != nil {
		return err
	}
	err := b.Await(ctx)
	b.StartTook = time.Since(began)
	return err
}

// Await waits until the process answers ApiVersions. One that does not in a minute is killed.
func (b *Broker) Await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := b.waitReady(ctx); err != nil {
		return errors.Join(err, b.Kill())
	}
	return nil
}

// apiVersionsV0 is a whole ApiVersions v0 request: the cheapest question every broker answers.
var apiVersionsV0 = []byte{0, 0, 0, 14, 0, 18, 0, 0, 0, 0, 0, 7, 0, 4, 'w', 'a', 'i', 't'}

func (b *Broker) waitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		last := ask(ctx, b.Addr)
		if last == nil {
			return nil
		}
		select {
		case err := <-b.exited:
			return fmt.Errorf("%s ended before it answered: %v\n%s", b.Kind, err, b.LogTail(30))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s at %s: %w (%v)\n%s", b.Kind, b.Addr, ctx.Err(), last, b.LogTail(30))
		case <-tick.C:
		}
	}
}

// ask sends ApiVersions and reads the answer.
func ask(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(apiVersionsV0); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 10))
	return err
}

// Restart starts a process that has ended again, on the same folders and ports.
func (b *Broker) Restart(ctx context.Context) error { return b.start(ctx) }

// Reconfigure has the next start use other properties than those of Options.
func (b *Broker) Reconfigure(properties map[string]string) error { return b.configure(properties) }
