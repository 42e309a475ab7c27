package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// msgpack, as much of it as messages of Cogs need. Values are nil, bool, int64, uint64 (where int64 is too small), float64, string, []byte,
// extension, []any, and object; other maps are read as pairs.

type object = map[string]any

// pairs is a map with a key that is no text: keys and values in turn.
type pairs []any

// extension is a value of a type that msgpack leaves to others; -1 is a time.
type extension struct {
	kind byte
	data []byte
}

var errCut = errors.New("msgpack that is cut off")

const deepest = 500

func encode(out []byte, value any) ([]byte, error) { return encodeAt(out, value, 0) }

func encodeAt(out []byte, value any, depth int) ([]byte, error) {
	if depth > deepest {
		return nil, errors.New("the value is nested too deep")
	}
	var err error
	switch v := value.(type) {
	case nil:
		return append(out, 0xc0), nil
	case bool:
		if v {
			return append(out, 0xc3), nil
		}
		return append(out, 0xc2), nil
	case int:
		return encodeAt(out, int64(v), depth)
	case int64:
		if v >= 0 {
			return encodeAt(out, uint64(v), depth)
		}
		return binary.BigEndian.AppendUint64(append(out, 0xd3), uint64(v)), nil
	case uint64:
		if v < 0x80 {
			return append(out, byte(v)), nil
		}
		return binary.BigEndian.AppendUint64(append(out, 0xcf), v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(out, 0xcb), math.Float64bits(v)), nil
	case string:
		text := strings.ToValidUTF8(v, "\ufffd")
		return append(appendLength(out, 0xdb, len(text)), text...), nil
	case []byte:
		return append(appendLength(out, 0xc6, len(v)), v...), nil
	case extension:
		return append(append(appendLength(out, 0xc9, len(v.data)), v.kind), v.data...), nil
	case []any:
		out = appendLength(out, 0xdd, len(v))
		for _, item := range v {
			if out, err = encodeAt(out, item, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []string:
		items := make([]any, len(v))
		for i, item := range v {
			items[i] = item
		}
		return encodeAt(out, items, depth)
	case object:
		out = appendLength(out, 0xdf, len(v))
		for key, item := range v {
			if out, err = encodeAt(out, key, depth+1); err != nil {
				return nil, err
			}
			if out, err = encodeAt(out, item, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case pairs:
		out = appendLength(out, 0xdf, len(v)/2)
		for _, item := range v {
			if out, err = encodeAt(out, item, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("a %T cannot be sent", value)
}

func appendLength(out []byte, code byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(out, code), uint32(length))
}

// decode reads one value and what is behind it is an error.
func decode(data []byte) (any, error) {
	reader := &decoder{left: data}
	value := reader.value(0)
	if reader.err == nil && len(reader.left) > 0 {
		reader.err = errors.New("something behind the msgpack value")
	}
	return value, reader.err
}

// decoder keeps its first error; from then on everything that it reads is zero.
type decoder struct {
	left []byte
	err  error
}

func (d *decoder) take(count uint64) []byte {
	if d.err == nil && count > uint64(len(d.left)) {
		d.err = errCut
	}
	if d.err != nil {
		return nil
	}
	taken := d.left[:count]
	d.left = d.left[count:]
	return taken
}

func (d *decoder) number(width int) uint64 {
	var value uint64
	for _, b := range d.take(uint64(width)) {
		value = value<<8 | uint64(b)
	}
	return value
}

func (d *decoder) value(depth int) any {
	first := d.take(1)
	if first == nil {
		return nil
	}
	switch b := first[0]; {
	case b < 0x80:
		return int64(b)
	case b < 0x90:
		return d.mapping(uint64(b&0x0f), depth)
	case b < 0xa0:
		return d.list(uint64(b&0x0f), depth)
	case b < 0xc0:
		return string(d.take(uint64(b & 0x1f)))
	case b >= 0xe0:
		return int64(int8(b))
	case b == 0xc0:
		return nil
	case b == 0xc2, b == 0xc3:
		return b == 0xc3
	case b >= 0xc4 && b <= 0xc6:
		return append([]byte{}, d.take(d.number(1<<(b-0xc4)))...)
	case b >= 0xc7 && b <= 0xc9:
		return d.extension(d.number(1 << (b - 0xc7)))
	case b == 0xca:
		return float64(math.Float32frombits(uint32(d.number(4))))
	case b == 0xcb:
		return math.Float64frombits(d.number(8))
	case b >= 0xcc && b <= 0xcf:
		value := d.number(1 << (b - 0xcc))
		if value > math.MaxInt64 {
			return value
		}
		return int64(value)
	case b >= 0xd0 && b <= 0xd3:
		width := 1 << (b - 0xd0)
		shift := 64 - 8*width
		return int64(d.number(width)<<shift) >> shift
	case b >= 0xd4 && b <= 0xd8:
		return d.extension(1 << (b - 0xd4))
	case b >= 0xd9 && b <= 0xdb:
		return string(d.take(d.number(1 << (b - 0xd9))))
	case b == 0xdc, b == 0xdd:
		return d.list(d.number(2<<(b-0xdc)), depth)
	case b == 0xde, b == 0xdf:
		return d.mapping(d.number(2<<(b-0xde)), depth)
	}
	d.err = fmt.Errorf("no msgpack begins with %#x", first[0])
	return nil
}

func (d *decoder) extension(length uint64) any {
	kind := byte(d.number(1))
	return extension{kind, append([]byte{}, d.take(length)...)}
}

func (d *decoder) enter(depth int) {
	if d.err == nil && depth > deepest+100 {
		d.err = errors.New("msgpack that is nested too deep")
	}
}

func (d *decoder) list(count uint64, depth int) []any {
	d.enter(depth)
	items := []any{} // it grows with what comes, not with what was promised
	for ; count > 0 && d.err == nil; count-- {
		items = append(items, d.value(depth+1))
	}
	return items
}

func (d *decoder) mapping(count uint64, depth int) any {
	d.enter(depth)
	both := pairs{}
	named := object{}
	for ; count > 0 && d.err == nil; count-- {
		key := d.value(depth + 1)
		item := d.value(depth + 1)
		both = append(both, key, item)
		if name, ok := key.(string); ok {
			named[name] = item
		}
	}
	if len(named)*2 == len(both) {
		return named
	}
	return both
}
