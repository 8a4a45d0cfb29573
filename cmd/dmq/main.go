package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// version is set when a release is linked: -ldflags "-X main.version=1.2.3".
var version = ""

func main() { os.Exit(realMain()) }

// realMain runs the program against the process's own streams. Tests run it too.
func realMain() int {
	return run(os.Args[1:], &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Environ(), files: os.ReadFile,
		terminal: func(stream any) bool {
			f, ok := stream.(*os.File)
			return ok && term.IsTerminal(int(f.Fd()))
		},
		size: func(stream any) (width, height int) {
			if f, ok := stream.(*os.File); ok {
				width, height, _ = term.GetSize(int(f.Fd())) // zero when it cannot be told
			}
			return width, height
		},
	})
}

// app is what commands know of the world, so that tests can replace it.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      []string
	files    func(name string) ([]byte, error)
	terminal func(stream any) bool
	size     func(stream any) (width, height int) // of a terminal; 0: not known

	brokers string // the global flags
	output  string
	timeout timeoutFlag
	color   string
}

// run executes one command line and returns the exit code.
func run(args []string, a *app) int {
	ctx, stop := interruptible()
	defer stop()
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return codeOK
	}
	if sig := new(interrupted); asInterrupt(ctx, sig) && (errors.Is(err, context.Canceled) || errors.As(err, new(*interrupted))) {
		return sig.code() // the user knows
	}
	if path, ok := errors.AsType[*os.PathError](err); ok && path.Path == "/dev/stdout" && errors.Is(err, syscall.EPIPE) {
		return codeBrokenPipe // nobody reads any more: no reason to complain
	}
	f := explain(err)
	f.print(a)
	return f.code
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal os.Signal }

func (i *interrupted) Error() string { return i.signal.String() }

// code is 128 plus the signal's number, as shells report it.
func (i *interrupted) code() int {
	if i.signal == syscall.SIGTERM {
		return codeTerminated
	}
	return codeInterrupted
}

// interruptible returns a context that the first SIGINT or SIGTERM ends. A second one ends the process the hard way. A
// server listens for signals itself and calls stop first.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			cancel(&interrupted{s})
			signal.Stop(signals) // the next one has its default effect
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
