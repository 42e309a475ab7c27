#include "cogwork/model/wire_writer.h"

#include <msgpack/pack.hpp>

#include "cogwork/base/utf8.h"

namespace cogwork {
namespace {

/// A string that msgpack's packer writes to.
struct Sink {
  std::string& out;
  void write(const char* data, std::size_t size) { out.append(data, size); }
};

/// A packer keeps nothing from one value to the next.
template <typename Write>
void pack(std::string& out, Write write) {
  Sink sink{out};
  msgpack::packer<Sink> packer(sink);
  write(packer);
}

}  // namespace

WireWriter& WireWriter::array(std::size_t items) {
  pack(out_, [&](auto& p) { p.pack_array(static_cast<std::uint32_t>(items)); });
  return *this;
}
WireWriter& WireWriter::map(std::size_t pairs) {
  pack(out_, [&](auto& p) { p.pack_map(static_cast<std::uint32_t>(pairs)); });
  return *this;
}
WireWriter& WireWriter::nil() {
  pack(out_, [](auto& p) { p.pack_nil(); });
  return *this;
}
WireWriter& WireWriter::boolean(bool value) {
  pack(out_, [&](auto& p) { value ? p.pack_true() : p.pack_false(); });
  return *this;
}
WireWriter& WireWriter::integer(std::int64_t value) {
  pack(out_, [&](auto& p) { p.pack_int64(value); });
  return *this;
}
WireWriter& WireWriter::unsigned_integer(std::uint64_t value) {
  pack(out_, [&](auto& p) { p.pack_uint64(value); });
  return *this;
}
WireWriter& WireWriter::number(double value) {
  pack(out_, [&](auto& p) { p.pack_double(value); });
  return *this;
}
WireWriter& WireWriter::text(std::string_view value) {
  const std::string mended = is_utf8(value) ? std::string() : repair_utf8(value);
  if (!mended.empty()) value = mended;
  pack(out_, [&](auto& p) {
    p.pack_str(static_cast<std::uint32_t>(value.size()));
    p.pack_str_body(value.data(), static_cast<std::uint32_t>(value.size()));
  });
  return *this;
}
WireWriter& WireWriter::bin(std::string_view value) {
  pack(out_, [&](auto& p) {
    p.pack_bin(static_cast<std::uint32_t>(value.size()));
    p.pack_bin_body(value.data(), static_cast<std::uint32_t>(value.size()));
  });
  return *this;
}
WireWriter& WireWriter::raw(std::string_view value) {
  out_ += value;
  return *this;
}
WireWriter& WireWriter::micros(Time value) { return is_set(value) ? integer(to_micros(value)) : nil(); }

}  // namespace cogwork
