// Package metadata defines the records of the metadata log and their bytes.
package metadata
