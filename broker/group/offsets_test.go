package group

import (
	"log/slog"
)

// newTestState returns a state that follows these settings.
func newTestState(settings *Settings) *State {
	return NewState(Env{Settings: func() Settings { return *settings }, Logger: slog.New(slog.DiscardHandler)})
}
