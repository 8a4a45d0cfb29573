package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// errorResponse is the answer to a request that failed as a whole: each of its items, or its top level where the API has
// one, carries the code of err. text becomes the error message where there is a place for it; empty means the code's own.
func errorResponse(req kmsg.Request, err error, text string) kmsg.Response {
	code := errcode.Of(err)
	msg := &text
	if text == "" {
		msg = errcode.Message(err)
	}
	switch q := req.(type) {
	case *kmsg.CreateTopicsRequest:
		resp := q.ResponseKind().(*kmsg.CreateTopicsResponse)
		for i := range q.Topics {
			t := kmsg.NewCreateTopicsResponseTopic()
			t.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // empty, not null
			t.Topic, t.ErrorCode, t.ErrorMessage = q.Topics[i].Topic, code, msg
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	case *kmsg.DeleteTopicsRequest:
		return deleteTopicsError(q, code, msg)
	case *kmsg.CreatePartitionsRequest:
		resp := q.ResponseKind().(*kmsg.CreatePartitionsResponse)
		for i := range q.Topics {
			t := kmsg.NewCreatePartitionsResponseTopic()
			t.Topic, t.ErrorCode, t.ErrorMessage = q.Topics[i].Topic, code, msg
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	case *kmsg.IncrementalAlterConfigsRequest:
		resp := q.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
		for i := range q.Resources {
			r := kmsg.NewIncrementalAlterConfigsResponseResource()
			r.ResourceType, r.ResourceName, r.ErrorCode, r.ErrorMessage = q.Resources[i].ResourceType, q.Resources[i].ResourceName, code, msg
			resp.Resources = append(resp.Resources, r)
		}
		return resp
	case *kmsg.AlterConfigsRequest:
		resp := q.ResponseKind().(*kmsg.AlterConfigsResponse)
		for i := range q.Resources {
			r := kmsg.NewAlterConfigsResponseResource()
			r.ResourceType, r.ResourceName, r.ErrorCode, r.ErrorMessage = q.Resources[i].ResourceType, q.Resources[i].ResourceName, code, msg
			resp.Resources = append(resp.Resources, r)
		}
		return resp
	case *kmsg.DescribeTopicPartitionsRequest:
		resp := q.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
		for i := range q.Topics {
			t := kmsg.NewDescribeTopicPartitionsResponseTopic()
			t.Topic, t.ErrorCode = new(q.Topics[i].Topic), code
			resp.Topics = append(resp.Topics, t)
		}
		return resp
	case *kmsg.ElectLeadersRequest:
		return electLeadersError(q, code, msg)
	case *kmsg.AlterPartitionAssignmentsRequest:
		return reassignError(q, code, msg)
	default:
		return topLevelError(req, code, msg)
	}
}

func deleteTopicsError(q *kmsg.DeleteTopicsRequest, code int16, msg *string) kmsg.Response {
	resp := q.ResponseKind().(*kmsg.DeleteTopicsResponse)
	for i := range q.TopicNames {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = &q.TopicNames[i], code, msg
		resp.Topics = append(resp.Topics, t)
	}
	for i := range q.Topics {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID, t.ErrorCode, t.ErrorMessage = q.Topics[i].Topic, q.Topics[i].TopicID, code, msg
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func electLeadersError(q *kmsg.ElectLeadersRequest, code int16, msg *string) kmsg.Response {
	resp := q.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.ErrorCode = code
	for i := range q.Topics {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = q.Topics[i].Topic
		for _, partition := range q.Topics[i].Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = partition, code, msg
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func reassignError(q *kmsg.AlterPartitionAssignmentsRequest, code int16, msg *string) kmsg.Response {
	resp := q.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.ErrorCode, resp.ErrorMessage = code, msg
	for i := range q.Topics {
		t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		t.Topic = q.Topics[i].Topic
		for j := range q.Topics[i].Partitions {
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = q.Topics[i].Partitions[j].Partition, code, msg
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// topLevelError serves the requests whose answer has one code for the whole.
func topLevelError(req kmsg.Request, code int16, msg *string) kmsg.Response {
	resp := req.ResponseKind()
	switch r := resp.(type) {
	case *kmsg.UpdateFeaturesResponse:
		r.ErrorCode, r.ErrorMessage = code, msg
	case *kmsg.DescribeQuorumResponse:
		r.ErrorCode, r.ErrorMessage = code, msg
	case *kmsg.UnregisterBrokerResponse:
		r.ErrorCode, r.ErrorMessage = code, msg
	case *kmsg.AddRaftVoterResponse:
		r.ErrorCode, r.ErrorMessage = code, msg
	case *kmsg.RemoveRaftVoterResponse:
		r.ErrorCode, r.ErrorMessage = code, msg
	case *kmsg.UpdateRaftVoterResponse:
		r.ErrorCode = code
	case *kmsg.BrokerRegistrationResponse:
		r.ErrorCode = code
	case *kmsg.BrokerHeartbeatResponse:
		r.ErrorCode = code
	case *kmsg.ControllerRegistrationResponse:
		r.ErrorCode, r.ErrorMessage = code, msg
	case *kmsg.AllocateProducerIDsResponse:
		r.ErrorCode = code
	case *kmsg.AlterPartitionResponse:
		r.ErrorCode = code
	case *kmsg.ListPartitionReassignmentsResponse:
		r.ErrorCode, r.ErrorMessage = code, msg
	case *kmsg.AssignReplicasToDirsResponse:
		r.ErrorCode = code
	}
	return resp
}
