package transcript

import "testing"

// TestPlay: comments, empty lines and commands stay, what the commands led to is replaced.
func TestPlay(t *testing.T) {
	const given = "# Why.\n\none a=1\n----\nold\n# of it\n\ntwo\n\nthree\n----\n"
	const want = "# Why.\n\none a=1\n----\n<one a=1>\n# of it\n\ntwo\n----\n<two>\n\nthree\n----\n<three>\n"
	run := func(line string) string { return "<" + line + ">\n" }
	if got := string(play([]byte(given), run)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(play([]byte(want), run)); got != want {
		t.Errorf("played again: %q", got)
	}
}
