package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// topicDeletion collects what a DeleteTopics request names and what becomes of each.
type topicDeletion struct {
	resp    *kmsg.DeleteTopicsResponse
	names   []string           // named once, in order
	ids     []protocol.TopicID // given once, in order
	given   map[protocol.TopicID]int
	records []metadata.Record
}

func (x *topicDeletion) add(name *string, id protocol.TopicID, err error) {
	t := kmsg.NewDeleteTopicsResponseTopic()
	t.Topic, t.TopicID = name, id
	t.ErrorCode, t.ErrorMessage = errcode.Of(err), errcode.Message(err)
	x.resp.Topics = append(x.resp.Topics, t)
}

// deleteTopics decides DeleteTopics: topics by name, or by id since v6.
func (d *decider) deleteTopics(v *view, req *kmsg.DeleteTopicsRequest) (decision, error) {
	if d.settings.DisableTopicDeletion {
		if req.Version < 3 {
			return decision{}, errcode.New(errcode.KindInvalidRequest, "This version does not support topic deletion.")
		}
		return decision{}, &errcode.Error{Kind: errcode.KindTopicDeletionDisabled}
	}
	x := &topicDeletion{resp: kmsg.NewPtrDeleteTopicsResponse()}
	x.resp.Version = req.Version
	x.collect(req)

	byName := make(map[protocol.TopicID]bool, len(x.names))
	for _, name := range x.names {
		switch t := v.img.Topics.Get(name); {
		case t == nil:
			x.add(&name, protocol.TopicID{}, &errcode.Error{Kind: errcode.KindUnknownTopicOrPartition})
		case x.given[t.ID] > 0:
			x.add(&name, t.ID, errcode.New(errcode.KindInvalidRequest, "The provided topic name maps to an ID that was already supplied."))
			byName[t.ID] = true // and then the id is not deleted either
		default:
			x.remove(t)
		}
	}
	for _, id := range x.ids {
		switch t := v.img.TopicByID(id); {
		case t == nil:
			x.add(nil, id, &errcode.Error{Kind: errcode.KindUnknownTopicID})
		case !byName[id]:
			x.remove(t)
		}
	}
	if err := checkSize(x.records); err != nil {
		return decision{}, err
	}
	return decision{records: x.records, respond: func(*image.Image) kmsg.Response { return x.resp }}, nil
}

func (x *topicDeletion) remove(t *image.Topic) {
	x.records = append(x.records, &metadata.RemoveTopicRecord{ID: t.ID})
	x.add(&t.Name, t.ID, nil)
}

// collect finds the names and ids that are given once, and answers the rest.
func (x *topicDeletion) collect(req *kmsg.DeleteTopicsRequest) {
	names, ids := make(map[string]int), make(map[protocol.TopicID]int)
	x.given = ids
	var nameOrder []string
	var idOrder []protocol.TopicID
	named := func(name string) {
		if names[name]++; names[name] == 1 {
			nameOrder = append(nameOrder, name)
		}
	}
	for _, name := range req.TopicNames {
		named(name)
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		id := protocol.TopicID(t.TopicID)
		switch {
		case t.Topic == nil && id.IsZero():
			x.add(nil, id, errcode.New(errcode.KindInvalidRequest, "Neither topic name nor id were specified."))
		case t.Topic == nil:
			if ids[id]++; ids[id] == 1 {
				idOrder = append(idOrder, id)
			}
		case id.IsZero():
			named(*t.Topic)
		default:
			x.add(t.Topic, id, errcode.New(errcode.KindInvalidRequest, "You may not specify both topic name and topic id."))
		}
	}
	for _, name := range nameOrder {
		if names[name] > 1 {
			x.add(&name, protocol.TopicID{}, errcode.New(errcode.KindInvalidRequest, "Duplicate topic name."))
		} else {
			x.names = append(x.names, name)
		}
	}
	for _, id := range idOrder {
		if ids[id] > 1 {
			x.add(nil, id, errcode.New(errcode.KindInvalidRequest, "Duplicate topic id."))
		} else {
			x.ids = append(x.ids, id)
		}
	}
}
