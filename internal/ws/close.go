package ws

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// The close codes that this package itself uses (RFC 6455 §7.4.1).
const (
	CodeNormal         = 1000
	CodeProtocolError  = 1002
	CodeNoStatus       = 1005 // stands for a close frame without a code, never sent
	CodeInvalidPayload = 1007
	CodeTooBig         = 1009
)

// ValidCode reports whether a close frame may carry the code: those registered
// with IANA, and those left to libraries (3000) and programs (4000).
func ValidCode(code int) bool {
	switch {
	case code == 1004 || code == CodeNoStatus || code == 1006:
		return false
	case 1000 <= code && code <= 1014:
		return true
	}
	return 3000 <= code && code <= 4999
}

// AppendClose appends the payload of a close frame; CodeNoStatus gives an empty
// one. The reason is at most MaxReason bytes.
func AppendClose(dst []byte, code int, reason string) []byte {
	if code == CodeNoStatus {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// ParseClose reads the payload of a close frame; an empty one has CodeNoStatus.
func ParseClose(payload []byte) (code int, reason string, err error) {
	switch len(payload) {
	case 0:
		return CodeNoStatus, "", nil
	case 1:
		return 0, "", broken("5.5.1", "a close frame of one byte")
	}
	code = int(binary.BigEndian.Uint16(payload))
	if !ValidCode(code) {
		return 0, "", broken("7.4", fmt.Sprintf("close code %d may not be sent", code))
	}
	if !utf8.Valid(payload[2:]) {
		return 0, "", &Error{CodeInvalidPayload, "the reason of a close frame is not UTF-8", "RFC 6455 §5.5.1"}
	}
	return code, string(payload[2:]), nil
}
