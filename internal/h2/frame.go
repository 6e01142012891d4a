package h2

import (
	"encoding/binary"
	"iter"
	"strconv"
)

// FrameType is the type of a frame (RFC 9113 §6).
type FrameType uint8

// The types of frames. Others are ignored (RFC 9113 §4.1).
const (
	FrameData           FrameType = 0x0
	FrameHeaders        FrameType = 0x1
	FramePriority       FrameType = 0x2
	FrameRSTStream      FrameType = 0x3
	FrameSettings       FrameType = 0x4
	FramePushPromise    FrameType = 0x5
	FramePing           FrameType = 0x6
	FrameGoAway         FrameType = 0x7
	FrameWindowUpdate   FrameType = 0x8
	FrameContinuation   FrameType = 0x9
	FramePriorityUpdate FrameType = 0x10 // RFC 9218 §7.1
)

var frameNames = map[FrameType]string{
	FrameData: "DATA", FrameHeaders: "HEADERS", FramePriority: "PRIORITY", FrameRSTStream: "RST_STREAM",
	FrameSettings: "SETTINGS", FramePushPromise: "PUSH_PROMISE", FramePing: "PING", FrameGoAway: "GOAWAY",
	FrameWindowUpdate: "WINDOW_UPDATE", FrameContinuation: "CONTINUATION", FramePriorityUpdate: "PRIORITY_UPDATE",
}

func (t FrameType) String() string {
	if s, ok := frameNames[t]; ok {
		return s
	}
	return "frame of type " + strconv.Itoa(int(t))
}

// Flags are the flags of a frame; what a bit means depends on the type.
type Flags uint8

// The flags.
const (
	FlagEndStream  Flags = 0x1  // DATA, HEADERS
	FlagAck        Flags = 0x1  // SETTINGS, PING
	FlagEndHeaders Flags = 0x4  // HEADERS, PUSH_PROMISE, CONTINUATION
	FlagPadded     Flags = 0x8  // DATA, HEADERS, PUSH_PROMISE
	FlagPriority   Flags = 0x20 // HEADERS
)

// Has reports whether f is set.
func (f Flags) Has(flag Flags) bool { return f&flag != 0 }

// FrameHeaderLen is the length of the header that every frame begins with.
const FrameHeaderLen = 9

// FrameHeader is the header of a frame (RFC 9113 §4.1).
type FrameHeader struct {
	Length   uint32 // of the payload; 24 bits
	Type     FrameType
	Flags    Flags
	StreamID uint32 // 31 bits
}

// ParseFrameHeader reads the header from the first FrameHeaderLen bytes of b,
// which must be there. The reserved bit is ignored.
func ParseFrameHeader(b []byte) FrameHeader {
	_ = b[FrameHeaderLen-1]
	return FrameHeader{
		Length:   uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		Type:     FrameType(b[3]),
		Flags:    Flags(b[4]),
		StreamID: binary.BigEndian.Uint32(b[5:]) & maxStreamID,
	}
}

// AppendFrameHeader appends h to b.
func AppendFrameHeader(b []byte, h FrameHeader) []byte {
	return append(b, byte(h.Length>>16), byte(h.Length>>8), byte(h.Length), byte(h.Type), byte(h.Flags),
		byte(h.StreamID>>24), byte(h.StreamID>>16), byte(h.StreamID>>8), byte(h.StreamID))
}

const (
	maxStreamID = 1<<31 - 1
	maxWindow   = 1<<31 - 1

	minFrameSize     = 1 << 14   // RFC 9113 §6.5.2: what everyone takes
	maxFrameSize     = 1<<24 - 1 // and what nobody may exceed
	defaultWindow    = 1<<16 - 1 // RFC 9113 §6.9.2
	defaultTableSize = 4096
)

// Frame is a frame whose payload has been taken apart. Its slices point into
// the payload.
type Frame struct {
	FrameHeader
	// Data is the content of DATA, the field block fragment of HEADERS,
	// PUSH_PROMISE and CONTINUATION, the debug data of GOAWAY, the opaque data of
	// PING, the settings as sent.
	Data    []byte
	Padding []byte
	// Exclusive, Dependency and Weight are those of PRIORITY, and of HEADERS with
	// FlagPriority; Weight as sent: one less than it means.
	Exclusive  bool
	Dependency uint32
	Weight     uint8
	// Code is that of RST_STREAM and GOAWAY.
	Code ErrCode
	// Last is the last stream of GOAWAY, the promised one of PUSH_PROMISE.
	Last uint32
	// Increment is that of WINDOW_UPDATE.
	Increment uint32
}

// ParseFrame takes a payload apart, whose length h must give. It checks what
// can be checked without knowing the connection: sizes, padding, which frames
// belong to a stream and which to the connection. The error is an *[Error].
func ParseFrame(h FrameHeader, payload []byte) (Frame, error) {
	if err := h.check(); err != nil {
		return Frame{}, err
	}
	f := Frame{FrameHeader: h, Data: payload}
	var err error
	switch h.Type {
	case FrameData:
		err = f.onStream(f.unpad)
	case FrameHeaders:
		err = f.onStream(func() error {
			if err := f.unpad(); err != nil || !h.Flags.Has(FlagPriority) {
				return err
			}
			return f.takePriority(false)
		})
	case FramePriority:
		err = f.onStream(func() error { return f.takePriority(true) })
	case FrameRSTStream:
		err = f.onStream(func() error {
			if err := f.sized(4); err != nil {
				return err
			}
			f.Code, f.Data = ErrCode(binary.BigEndian.Uint32(f.Data)), nil
			return nil
		})
	case FramePushPromise:
		err = f.onStream(f.takePromise)
	case FrameContinuation:
		err = f.onStream(func() error { return nil })
	case FrameSettings:
		err = f.onConnection(f.takeSettings)
	case FramePing:
		err = f.onConnection(func() error { return f.sized(8) })
	case FrameGoAway:
		err = f.onConnection(f.takeGoAway)
	case FrameWindowUpdate:
		err = f.takeIncrement()
	}
	if err != nil {
		return Frame{}, err
	}
	return f, nil
}

// check refuses what is longer than we have announced to take: a frame of the
// default size.
func (h FrameHeader) check() error {
	if h.Length > minFrameSize {
		return connError(CodeFrameSize, "RFC 9113 §4.2", "%v of %d bytes", h.Type, h.Length)
	}
	return nil
}

func (f *Frame) onStream(parse func() error) error {
	if f.StreamID == 0 {
		return connError(CodeProtocol, "RFC 9113 §6", "%v on stream 0", f.Type)
	}
	return parse()
}

func (f *Frame) onConnection(parse func() error) error {
	if f.StreamID != 0 {
		return connError(CodeProtocol, "RFC 9113 §6", "%v on stream %d", f.Type, f.StreamID)
	}
	return parse()
}

func (f *Frame) sized(n int) error {
	if len(f.Data) != n {
		return connError(CodeFrameSize, "RFC 9113 §4.2", "%v of %d bytes, not %d", f.Type, len(f.Data), n)
	}
	return nil
}

func (f *Frame) atLeast(n int) error {
	if len(f.Data) < n {
		return connError(CodeFrameSize, "RFC 9113 §4.2", "%v of %d bytes, too short", f.Type, f.Length)
	}
	return nil
}

func (f *Frame) unpad() error {
	if !f.Flags.Has(FlagPadded) {
		return nil
	}
	if err := f.atLeast(1); err != nil {
		return err
	}
	n := int(f.Data[0])
	f.Data = f.Data[1:]
	if n > len(f.Data) {
		return connError(CodeProtocol, "RFC 9113 §6.1", "%v with %d bytes of padding in %d", f.Type, n, len(f.Data))
	}
	f.Data, f.Padding = f.Data[:len(f.Data)-n], f.Data[len(f.Data)-n:]
	return nil
}

func (f *Frame) takePriority(alone bool) error {
	if alone && len(f.Data) != 5 {
		return streamError(f.StreamID, CodeFrameSize, "RFC 9113 §6.3", "PRIORITY of %d bytes, not 5", len(f.Data))
	}
	if err := f.atLeast(5); err != nil {
		return err
	}
	v := binary.BigEndian.Uint32(f.Data)
	f.Exclusive, f.Dependency, f.Weight, f.Data = v>>31 == 1, v&maxStreamID, f.Data[4], f.Data[5:]
	return nil
}

func (f *Frame) takePromise() error {
	if err := f.unpad(); err != nil {
		return err
	}
	if err := f.atLeast(4); err != nil {
		return err
	}
	f.Last, f.Data = binary.BigEndian.Uint32(f.Data)&maxStreamID, f.Data[4:]
	if f.Last == 0 || f.Last%2 == 1 {
		return connError(CodeProtocol, "RFC 9113 §6.6", "PUSH_PROMISE of stream %d", f.Last)
	}
	return nil
}

func (f *Frame) takeSettings() error {
	switch {
	case f.Flags.Has(FlagAck) && len(f.Data) > 0:
		return connError(CodeFrameSize, "RFC 9113 §6.5", "an acknowledgement of SETTINGS with %d bytes", len(f.Data))
	case len(f.Data)%6 != 0:
		return connError(CodeFrameSize, "RFC 9113 §6.5", "SETTINGS of %d bytes, no multiple of 6", len(f.Data))
	}
	return nil
}

func (f *Frame) takeGoAway() error {
	if err := f.atLeast(8); err != nil {
		return err
	}
	f.Last = binary.BigEndian.Uint32(f.Data) & maxStreamID
	f.Code, f.Data = ErrCode(binary.BigEndian.Uint32(f.Data[4:])), f.Data[8:]
	return nil
}

func (f *Frame) takeIncrement() error {
	if err := f.sized(4); err != nil {
		return err
	}
	f.Increment, f.Data = binary.BigEndian.Uint32(f.Data)&maxWindow, nil
	if f.Increment == 0 {
		if f.StreamID == 0 {
			return connError(CodeProtocol, "RFC 9113 §6.9", "WINDOW_UPDATE by 0")
		}
		return streamError(f.StreamID, CodeProtocol, "RFC 9113 §6.9", "WINDOW_UPDATE by 0")
	}
	return nil
}

// SettingID names a setting (RFC 9113 §6.5.2).
type SettingID uint16

// The settings.
const (
	SettingHeaderTableSize      SettingID = 0x1
	SettingEnablePush           SettingID = 0x2
	SettingMaxConcurrentStreams SettingID = 0x3
	SettingInitialWindowSize    SettingID = 0x4
	SettingMaxFrameSize         SettingID = 0x5
	SettingMaxHeaderListSize    SettingID = 0x6
	SettingEnableConnect        SettingID = 0x8 // RFC 8441 §3
	SettingNoRFC7540Priorities  SettingID = 0x9 // RFC 9218 §2.1
)

// Settings iterates over the settings of a SETTINGS frame, in order.
func (f *Frame) Settings() iter.Seq2[SettingID, uint32] {
	return func(yield func(SettingID, uint32) bool) {
		for b := f.Data; len(b) >= 6; b = b[6:] {
			if !yield(SettingID(binary.BigEndian.Uint16(b)), binary.BigEndian.Uint32(b[2:])) {
				return
			}
		}
	}
}

func appendSetting(b []byte, id SettingID, v uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(id)), v)
}

func appendRST(b []byte, id uint32, code ErrCode) []byte {
	b = AppendFrameHeader(b, FrameHeader{Length: 4, Type: FrameRSTStream, StreamID: id})
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

func appendWindowUpdate(b []byte, id, n uint32) []byte {
	b = AppendFrameHeader(b, FrameHeader{Length: 4, Type: FrameWindowUpdate, StreamID: id})
	return binary.BigEndian.AppendUint32(b, n)
}

func appendPing(b []byte, flags Flags, data []byte) []byte {
	return append(AppendFrameHeader(b, FrameHeader{Length: 8, Type: FramePing, Flags: flags}), data...)
}

func appendGoAway(b []byte, code ErrCode, reason string) []byte {
	b = AppendFrameHeader(b, FrameHeader{Length: uint32(8 + len(reason)), Type: FrameGoAway})
	b = binary.BigEndian.AppendUint32(b, 0) // we accept no streams
	return append(binary.BigEndian.AppendUint32(b, uint32(code)), reason...)
}

func appendPriorityUpdate(b []byte, id uint32, value string) []byte {
	b = AppendFrameHeader(b, FrameHeader{Length: uint32(4 + len(value)), Type: FramePriorityUpdate})
	return append(binary.BigEndian.AppendUint32(b, id), value...)
}
