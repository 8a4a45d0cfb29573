package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"
)

// disk is an ext4 on a loop device.
type disk struct {
	image, device, mount string
}

// CanCutPower tells why this machine cannot cut the power of a disk, or nil.
func CanCutPower() error {
	if os.Geteuid() != 0 {
		return errors.New("neither root nor sudo without a password")
	}
	for _, tool := range []string{"losetup", "mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("no %s", tool)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return errors.New("no loop devices")
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func newDisk(ctx context.Context, dir string) (*disk, error) {
	d := &disk{image: filepath.Join(dir, "disk.img"), mount: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.mount, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(2<<30), f.Close()); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", d.image); err != nil {
		return nil, err
	}
	if d.device, err = command(ctx, "losetup", "-f", "--show", d.image); err != nil {
		return nil, err
	}
	if err := d.up(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *disk) up(ctx context.Context) error {
	_, err := command(ctx, "mount", "-t", "ext4", d.device, d.mount)
	return err
}

func (d *disk) down(ctx context.Context) error {
	_, err := command(ctx, "umount", d.mount)
	return err
}

// FS_IOC_SHUTDOWN of linux/fs.h, and its flag that leaves the journal unflushed: nothing more reaches the disk.
const (
	fsIocShutdown  = 0x8004587d
	shutNoLogFlush = 2
)

// cut takes the power away.
func (d *disk) cut() error {
	f, err := os.Open(d.mount)
	if err != nil {
		return err
	}
	defer f.Close()
	flag := uint32(shutNoLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), fsIocShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return fmt.Errorf("shut the filesystem down: %w", errno)
	}
	return nil
}

// close leaves nothing mounted, whatever state the test ended in.
func (d *disk) close() error {
	ctx := context.Background()
	if mounts, err := os.ReadFile("/proc/mounts"); err == nil && strings.Contains(string(mounts), " "+d.mount+" ") {
		if err := d.down(ctx); err != nil {
			return err
		}
	}
	_, err := command(ctx, "losetup", "-d", d.device)
	return errors.Join(err, os.Remove(d.image))
}
