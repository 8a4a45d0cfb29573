package schema

// GroupMetadataValue is a classic group.
type GroupMetadataValue struct {
	ProtocolType                string
	Generation                  int32
	Protocol                    *string
	Leader                      *string
	CurrentStateTimestampMillis int64 // when the group took its state; -1: not known
	Members                     []GroupMetadataMember
}

// GroupMetadataMember is a member of a classic group.
type GroupMetadataMember struct {
	MemberID               string
	InstanceID             *string
	ClientID               string
	ClientHost             string
	RebalanceTimeoutMillis int32 // -1: not known
	SessionTimeoutMillis   int32
	Subscription           []byte
	Assignment             []byte
}

// Append appends version 3.
func (v *GroupMetadataValue) Append(dst []byte) []byte { return v.append(dst, 3) }

func (v *GroupMetadataValue) append(dst []byte, version int16) []byte {
	e := encoder{buf: dst, flexible: version >= 4}
	e.int16(version)
	e.string(v.ProtocolType)
	e.int32(v.Generation)
	e.nullableString(v.Protocol)
	e.nullableString(v.Leader)
	if version >= 2 {
		e.int64(v.CurrentStateTimestampMillis)
	}
	e.length(len(v.Members))
	for i := range v.Members {
		v.Members[i].append(&e, version)
	}
	e.noTags()
	return e.buf
}

func (m *GroupMetadataMember) append(e *encoder, version int16) {
	e.string(m.MemberID)
	if version >= 3 {
		e.nullableString(m.InstanceID)
	}
	e.string(m.ClientID)
	e.string(m.ClientHost)
	if version >= 1 {
		e.int32(m.RebalanceTimeoutMillis)
	}
	e.int32(m.SessionTimeoutMillis)
	e.bytes(m.Subscription)
	e.bytes(m.Assignment)
	e.noTags()
}

// DecodeGroupMetadataValue reads versions 0 to 4.
func DecodeGroupMetadataValue(b []byte) (*GroupMetadataValue, error) {
	d, version, err := value("GroupMetadata", b, 4, 4)
	if err != nil {
		return nil, err
	}
	v := &GroupMetadataValue{
		ProtocolType:                d.string(),
		Generation:                  d.int32(),
		Protocol:                    d.nullableString(),
		Leader:                      d.nullableString(),
		CurrentStateTimestampMillis: -1,
	}
	if version >= 2 {
		v.CurrentStateTimestampMillis = d.int64()
	}
	v.Members = list(&d, 10, func() GroupMetadataMember { return groupMetadataMember(&d, version) })
	d.tagged()
	return v, d.err("GroupMetadata value")
}

func groupMetadataMember(d *decoder, version int16) GroupMetadataMember {
	m := GroupMetadataMember{MemberID: d.string(), RebalanceTimeoutMillis: -1}
	if version >= 3 {
		m.InstanceID = d.nullableString()
	}
	m.ClientID = d.string()
	m.ClientHost = d.string()
	if version >= 1 {
		m.RebalanceTimeoutMillis = d.int32()
	}
	m.SessionTimeoutMillis = d.int32()
	m.Subscription = d.bytes()
	m.Assignment = d.bytes()
	d.tagged()
	return m
}
