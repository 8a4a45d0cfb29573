// Package kraft runs the node's part of the metadata quorum.
package kraft
