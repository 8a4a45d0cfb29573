//go:build windows || plan9

package segment

func isQuota(error) bool { return false }
