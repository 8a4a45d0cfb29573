package nodelink

import "testing"

func TestRoom(t *testing.T) {
	s := &session{link: &Link{o: Options{ReuseResponses: true}}}
	same := func(a, b []byte) bool { return &a[:1][0] == &b[:1][0] }
	small := s.room(10)
	if !same(small, s.room(minRoom)) {
		t.Error("memory that is large enough is not used again")
	}
	large := s.room(8 << 20)
	if len(large) != 8<<20 || same(small, large) || !same(large, s.room(1<<20)) {
		t.Error("a large response has no memory of its own, or it is not used again for one almost as large")
	}
	if same(large, s.room(10)) || cap(s.reused) > idleRoom {
		t.Error("a small response keeps the memory of a large one")
	}
	if s.link.o.ReuseResponses = false; same(s.room(10), s.room(10)) {
		t.Error("memory is used again that may be in use")
	}
}
