package checkpoint_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
)

// onlyFormatErrors fails the test for any error that does not say what is wrong with the file.
func onlyFormatErrors(t *testing.T, err error) (malformed bool) {
	t.Helper()
	var format *checkpoint.FormatError
	if err != nil && !errors.As(err, &format) {
		t.Fatalf("got %v", err)
	}
	return err != nil
}

// FuzzCheckpoints reads arbitrary bytes as each of the files. What is accepted is written and read back.
func FuzzCheckpoints(f *testing.F) {
	for _, seed := range []string{
		"", "0\n2\na 0 5\nx-y 12 77\n", "0\r\n1\r\n0 0\r\n", "0\n1\n3 17\n", "1\n0\n", "0\n9\n",
		"version: 0\ntopic_id: 0RbDfu3GR2mVVVNHN6cZrw", `{"version":0,"brokerEpoch":42}`,
		"#\nnode.id=1\ndirectory.id=0RbDfu3GR2mVVVNHN6cZrw\nversion=1\ncluster.id=c\n", "broker.id=\\u0031\ncluster.id=${x}\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := vfs.NewMem()
		for _, name := range []string{"f", checkpoint.PartitionMetadataFile, checkpoint.MetaPropertiesFile, checkpoint.CleanShutdownFile} {
			must(t, vfs.WriteFileAtomic(fsys, "/"+name, b))
		}
		if offsets, err := checkpoint.ReadOffsets(fsys, "/f"); !onlyFormatErrors(t, err) {
			must(t, checkpoint.WriteOffsets(fsys, "/g", offsets))
			if again, err := checkpoint.ReadOffsets(fsys, "/g"); err != nil || !maps.Equal(offsets, again) {
				t.Fatalf("offsets: wrote %v, read %v %v", offsets, again, err)
			}
		}
		if epochs, err := checkpoint.ReadEpochs(fsys, "/f"); !onlyFormatErrors(t, err) {
			must(t, checkpoint.WriteEpochs(fsys, "/g", epochs))
			if again, err := checkpoint.ReadEpochs(fsys, "/g"); err != nil || !slices.Equal(epochs, again) {
				t.Fatalf("epochs: wrote %v, read %v %v", epochs, again, err)
			}
		}
		if m, err := checkpoint.ReadPartitionMetadata(fsys, "/"); !onlyFormatErrors(t, err) {
			must(t, checkpoint.WritePartitionMetadata(fsys, "/", m))
			if again, err := checkpoint.ReadPartitionMetadata(fsys, "/"); err != nil || again != m {
				t.Fatalf("partition metadata: wrote %v, read %v %v", m, again, err)
			}
		}
		if m, err := checkpoint.ReadMetaProperties(fsys, "/"); !onlyFormatErrors(t, err) {
			if checkpoint.WriteMetaProperties(fsys, "/", m) == nil { // it refuses what needs escapes
				if again, err := checkpoint.ReadMetaProperties(fsys, "/"); err != nil || again != m {
					t.Fatalf("meta properties: wrote %v, read %v %v", m, again, err)
				}
			}
		}
		if _, found, err := checkpoint.ReadCleanShutdown(fsys, "/"); !found || err != nil {
			t.Fatalf("the mark is there: got %v %v", found, err)
		}
	})
}
