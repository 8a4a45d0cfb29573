package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// size of a disk, of which only what is written takes room.
const size = 2 << 30

// Disk is an ext4 on a loop device.
type Disk struct {
	Mount string // where it is mounted while it is up

	image, device string
}

// Usable tells why this machine cannot have such disks, or nil.
func Usable() error {
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

// New makes a disk of 2 GiB, whose image and mount point lie in dir, and mounts it.
func New(ctx context.Context, dir string) (*Disk, error) {
	d := &Disk{image: filepath.Join(dir, "disk.img"), Mount: filepath.Join(dir, "disk")}
	if err := os.Mkdir(d.Mount, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(d.image)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", d.image); err != nil {
		return nil, err
	}
	if d.device, err = command(ctx, "losetup", "-f", "--show", d.image); err != nil {
		return nil, err
	}
	if err := d.Up(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Up mounts it.
func (d *Disk) Up(ctx context.Context) error {
	_, err := command(ctx, "mount", "-t", "ext4", d.device, d.Mount)
	return err
}

// Down unmounts it.
func (d *Disk) Down(ctx context.Context) error {
	_, err := command(ctx, "umount", d.Mount)
	return err
}

// FS_IOC_SHUTDOWN of linux/fs.h, and its flag that leaves the journal unflushed: nothing more reaches the disk.
const (
	fsIocShutdown  = 0x8004587d
	shutNoLogFlush = 2
)

// FIFREEZE and FITHAW of linux/fs.h.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// Cut takes the power away: until it is unmounted and mounted again everything fails, and what was not synced is gone.
func (d *Disk) Cut() error { return d.ioctl("shut down", fsIocShutdown, shutNoLogFlush) }

// Freeze has every write wait. What was written before is synced.
func (d *Disk) Freeze() error { return d.ioctl("freeze", fiFreeze, 0) }

// Thaw ends Freeze.
func (d *Disk) Thaw() error { return d.ioctl("thaw", fiThaw, 0) }

func (d *Disk) ioctl(verb string, request uint, arg int) error {
	f, err := os.Open(d.Mount)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), request, arg); err != nil {
		return fmt.Errorf("%s the filesystem at %s: %w", verb, d.Mount, err)
	}
	return nil
}

// Fill leaves no room on it; the returned function gives the room back.
func (d *Disk) Fill() (undo func() error, err error) {
	name := filepath.Join(d.Mount, "ballast")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	undo = func() error { return os.Remove(name) }
	for size, at := int64(64<<20), int64(0); size >= 4096; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, size); {
		case err == nil:
			at += size
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case !errors.Is(err, unix.EINTR):
			return nil, errors.Join(fmt.Errorf("fill %s: %w", d.Mount, err), undo())
		}
	}
	return undo, nil
}

// Close leaves nothing mounted, whatever state the test ended in.
func (d *Disk) Close() error {
	ctx := context.Background()
	if mounts, err := os.ReadFile("/proc/mounts"); err == nil && strings.Contains(string(mounts), " "+d.Mount+" ") {
		if err := d.Down(ctx); err != nil {
			return err
		}
	}
	_, err := command(ctx, "losetup", "-d", d.device)
	return errors.Join(err, os.Remove(d.image))
}
