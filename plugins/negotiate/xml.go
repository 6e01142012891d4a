package negotiate

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"

	"github.com/godwit-go/godwit"
)

// XML is the codec for XML by encoding/xml, which reads no external entities. A
// charset named in the Content-Type goes before that of the XML declaration (RFC
// 7303 §3).
type XML struct {
	// Lenient reads common mistakes: elements that are not closed, attributes
	// without quotes, unknown entities, HTML's entities and void elements.
	Lenient bool
	// MaxBytes limits what is decoded; 0 = by the client alone.
	MaxBytes int64
	// Declaration writes <?xml version="1.0" encoding="UTF-8"?> first.
	Declaration bool
	// Indent is what each level is indented by; "" writes all on one line.
	Indent string
}

var _ godwit.Codec = XML{}

// MediaTypes implements [godwit.Codec].
func (XML) MediaTypes() []string { return []string{"application/xml", "text/xml"} }

// Marshal implements [godwit.Codec].
func (x XML) Marshal(v any) ([]byte, error) {
	data, err := xml.MarshalIndent(v, "", x.Indent)
	if x.Indent == "" {
		data, err = xml.Marshal(v)
	}
	if err == nil && x.Declaration {
		data = append([]byte(xml.Header), data...)
	}
	return data, err
}

// Unmarshal implements [godwit.Codec].
func (x XML) Unmarshal(data []byte, v any) error {
	return x.unmarshal(data, v, func(label string, r io.Reader) (io.Reader, error) {
		enc, err := encodingOf(label)
		if err != nil {
			return nil, err
		}
		return enc.NewDecoder().Reader(r), nil
	})
}

// unmarshalUTF8 does so for text that is UTF-8 whatever its declaration says.
func (x XML) unmarshalUTF8(data []byte, v any) error {
	return x.unmarshal(data, v, func(_ string, r io.Reader) (io.Reader, error) { return r, nil })
}

func (x XML) unmarshal(data []byte, v any, reader func(string, io.Reader) (io.Reader, error)) error {
	if err := checkSize(data, x.MaxBytes); err != nil {
		return err
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = reader
	if x.Lenient {
		d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	}
	err := d.Decode(v)
	if err == io.EOF {
		return errors.New("there is no XML element")
	}
	if err != nil || x.Lenient {
		return err
	}
	return onlyMisc(d)
}

// onlyMisc reads on to the end: after the root element there are comments,
// processing instructions and white space alone (XML 1.0 §2.1).
func onlyMisc(d *xml.Decoder) error {
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			return errors.New("more than one root element")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return errors.New("text after the root element")
			}
		}
	}
}
