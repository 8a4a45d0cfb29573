package vfs

import (
	"io"
	"io/fs"
	"math/rand/v2"
)

// Mem is a filesystem in memory.
type Mem struct{}

// CrashOptions says what a power cut leaves.
type CrashOptions struct {
	// Rand draws what survives.
	Rand *rand.Rand
	// SurvivePercent is the chance, 0 to 100, of each unsynced block and each unsynced name to survive.
	SurvivePercent int
}

// NewMem returns an empty filesystem.
func NewMem() *Mem { return &Mem{} }

// CrashClone returns the filesystem as a power cut at this moment would leave it; m itself goes on.
func (m *Mem) CrashClone(CrashOptions) *Mem { panic("not written yet") }

func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	panic("not written yet")
}
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error { panic("not written yet") }
func (m *Mem) Remove(name string) error                     { panic("not written yet") }
func (m *Mem) RemoveAll(name string) error                  { panic("not written yet") }
func (m *Mem) Rename(oldName, newName string) error         { panic("not written yet") }
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error)   { panic("not written yet") }
func (m *Mem) Stat(name string) (fs.FileInfo, error)        { panic("not written yet") }
func (m *Mem) SyncDir(name string) error                    { panic("not written yet") }
func (m *Mem) Lock(name string) (io.Closer, error)          { panic("not written yet") }
func (m *Mem) Usage(name string) (Usage, error)             { panic("not written yet") }
