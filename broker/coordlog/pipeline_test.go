package coordlog

import "testing"

// A line of answers that is never empty takes no more room than its longest.
func TestPipeline_ALineThatIsNeverEmpty(t *testing.T) {
	var p pipeline
	for range 100_000 {
		for range 3 {
			p.end++
			p.wait(answer{})
		}
		p.committed = p.end - 2
		for {
			if _, ok := p.committedAnswer(); !ok {
				break
			}
		}
	}
	if waiting := len(p.answers) - p.first; waiting != 2 || cap(p.answers) > 100 {
		t.Errorf("%d wait in room for %d", waiting, cap(p.answers))
	}
}
