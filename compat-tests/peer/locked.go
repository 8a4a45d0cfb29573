package peer

import (
	"os/exec"
	"runtime"
)

// StartProcess starts cmd from an OS thread that lives as long as this process: the kernel sends Pdeathsig when the
// thread that started the child ends, not when the process does, and Go ends threads of its own accord.
func StartProcess(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		_ = cmd.Process // the thread stays parked here until the process ends
		select {}
	}()
	return <-started
}
