// The packed form of a row of history (D7). All numbers are varints (seven bits a byte, lowest first, the high bit says that
// more follow); signed ones are zigzag.
//
//   row     := version:byte change*               as many as the row's `count`
//   version := 1, or 2 where a change needs it: there flags are a varint
//   change  := flags:byte ordinal at states rest
//   flags   := bit 0 it is a signal | bit 1 has a reason | bit 2 has rounds | bit 3 has by and note
//              | bit 4 by and note are those that were written last | bit 5 refused | bit 6 interrupt
//              | bit 7 it is of another kind, and not a signal | bit 8 (version 2) has the time when it was sent
//   ordinal := signed, the difference from the change before (from 0)
//   at      := signed, microseconds since the change before (the first: since 1970)
//   states  := byte, from << 4 | to
//   rest    := [signal:byte] [kind:byte decision:byte | kind:byte event:byte] [reason:byte] [rounds] [by note] [sent]
//   kind    := 2, a decision | 3 (version 2), what became of an engine
//   by,note := length bytes
//   sent    := signed, microseconds since `at`
//
// Most changes are plain and follow one another closely: five to eight bytes.
#include "cogwork/model/change.h"

#include <algorithm>
#include <boost/uuid/name_generator_sha1.hpp>
#include <boost/uuid/uuid.hpp>
#include <cstring>

#include "cogwork/base/error.h"

namespace cogwork {
namespace {

constexpr std::uint8_t kPlain = 1, kWide = 2;  // versions
enum Flag : std::uint16_t {
  SIGNAL = 1,
  REASON = 2,
  ROUNDS = 4,
  WHO = 8,
  SAME = 16,
  REFUSED = 32,
  INTERRUPT = 64,
  OTHER = 128,
  SENT = 256,
};
constexpr std::uint64_t kAllFlags = 2 * SENT - 1;

bool is_wide(const Change& change) { return is_set(change.sent) || change.kind == Change::Kind::ENGINE; }

void put(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}
void put_signed(std::string& out, std::int64_t value) {
  put(out, (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
}
/// Times may be anything: differences and sums wrap, and so come out right.
std::int64_t wrapping_add(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
std::int64_t wrapping_subtract(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
void put_text(std::string& out, std::string_view text) {
  put(out, text.size());
  out.append(text);
}

class Unpacker {
 public:
  Unpacker(std::string_view bytes, std::uint64_t number) : bytes_(bytes), number_(number) {}

  std::uint8_t byte() {
    if (at_ == bytes_.size()) damaged();
    return static_cast<std::uint8_t>(bytes_[at_++]);
  }
  std::uint64_t number(std::uint64_t most = UINT64_MAX) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto b = byte();
      if (shift == 63 && b > 1) damaged();
      value |= std::uint64_t{b & 0x7fu} << shift;
      if (b & 0x80) continue;
      if (value > most) damaged();
      return value;
    }
    damaged();
  }
  std::int64_t signed_number() {
    const auto value = number();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }
  Text text() {
    const auto size = number();
    if (size > bytes_.size() - at_) damaged();
    const auto piece = bytes_.substr(at_, size);
    at_ += size;
    return Text(piece);
  }
  bool at_end() const { return at_ == bytes_.size(); }
  [[noreturn]] void damaged() const {
    throw StorageError("the history is damaged in the row of change " + std::to_string(number_), false);
  }

 private:
  std::string_view bytes_;
  std::uint64_t number_;
  std::size_t at_ = 0;
};

}  // namespace

Text pack_changes(const std::vector<Change>& changes) {
  std::string out;
  out.reserve(changes.size() * 12 + 1);
  const bool wide = std::any_of(changes.begin(), changes.end(), is_wide);
  out.push_back(static_cast<char>(wide ? kWide : kPlain));
  std::int64_t ordinal = 0;
  std::int64_t at = 0;
  const Change* who = nullptr;  // whose by and note were written last
  for (const auto& c : changes) {
    const bool signal = c.kind == Change::Kind::SIGNAL;
    std::uint16_t flags = 0;
    if (signal) flags |= SIGNAL;
    if (c.kind == Change::Kind::DECISION || c.kind == Change::Kind::ENGINE) flags |= OTHER;
    if (c.reason != Reason::NO_FAILURE) flags |= REASON;
    if (c.rounds != 0) flags |= ROUNDS;
    if (!c.by.empty() || !c.note.empty()) flags |= who && who->by == c.by && who->note == c.note ? SAME : WHO;
    if (c.refused) flags |= REFUSED;
    if (c.interrupt) flags |= INTERRUPT;
    if (is_set(c.sent)) flags |= SENT;
    if (wide) {
      put(out, flags);
    } else {
      out.push_back(static_cast<char>(flags));
    }
    put_signed(out, std::int64_t{c.ordinal} - ordinal);
    ordinal = c.ordinal;
    put_signed(out, wrapping_subtract(to_micros(c.at), at));
    at = to_micros(c.at);
    out.push_back(static_cast<char>(static_cast<int>(c.from) << 4 | static_cast<int>(c.to)));
    if (signal) out.push_back(static_cast<char>(c.signal));
    if (flags & OTHER) {
      out.push_back(static_cast<char>(c.kind));
      out.push_back(c.kind == Change::Kind::ENGINE ? static_cast<char>(c.event) : static_cast<char>(c.decision));
    }
    if (flags & REASON) out.push_back(static_cast<char>(c.reason));
    if (flags & ROUNDS) put(out, c.rounds);
    if (flags & WHO) {
      put_text(out, c.by);
      put_text(out, c.note);
      who = &c;
    }
    if (flags & SENT) put_signed(out, wrapping_subtract(to_micros(c.sent), at));
  }
  return Text(out);
}

std::vector<Change> unpack_changes(const HistoryRow& row) {
  Unpacker in(row.changes, row.first);
  const auto version = in.byte();
  if (version != kPlain && version != kWide) in.damaged();
  std::vector<Change> changes;
  changes.reserve(std::min<std::size_t>(row.count, row.changes.size() / 4));  // a change takes four bytes at least
  std::int64_t ordinal = 0;
  std::int64_t at = 0;
  Text by, note;  // those that were read last
  while (!in.at_end()) {
    Change c;
    const std::uint64_t flags = version == kWide ? in.number(kAllFlags) : in.byte();
    if (((flags & OTHER) && (flags & SIGNAL)) || ((flags & WHO) && (flags & SAME))) in.damaged();
    ordinal = wrapping_add(ordinal, in.signed_number());
    if (ordinal < 0 || ordinal > UINT32_MAX) in.damaged();
    c.ordinal = static_cast<std::uint32_t>(ordinal);
    at = wrapping_add(at, in.signed_number());
    c.at = from_micros(at);
    const auto states = in.byte();
    if ((states >> 4) >= kStates || (states & 0x0f) >= kStates) in.damaged();
    c.from = static_cast<State>(states >> 4);
    c.to = static_cast<State>(states & 0x0f);
    if (flags & SIGNAL) {
      c.kind = Change::Kind::SIGNAL;
      const auto signal = in.byte();
      if (signal >= kSignals) in.damaged();
      c.signal = static_cast<Signal>(signal);
    }
    if (flags & OTHER) {
      c.kind = static_cast<Change::Kind>(in.byte());
      const auto what = in.byte();
      if (c.kind == Change::Kind::DECISION && what < kDecisions) {
        c.decision = static_cast<Decision>(what);
      } else if (version == kWide && c.kind == Change::Kind::ENGINE && what > 0 && what < kEngineEvents) {
        c.event = static_cast<EngineEvent>(what);
      } else {
        in.damaged();
      }
    }
    if (flags & REASON) {
      const auto reason = in.byte();
      if (reason > static_cast<std::uint8_t>(Reason::MAX_FAILURES)) in.damaged();
      c.reason = static_cast<Reason>(reason);
    }
    if (flags & ROUNDS) c.rounds = static_cast<std::uint32_t>(in.number(UINT32_MAX));
    if (flags & WHO) {
      by = in.text();
      note = in.text();
    }
    if ((flags & SAME) && by.empty() && note.empty()) in.damaged();
    if (flags & (WHO | SAME)) {
      c.by = by;
      c.note = note;
    }
    if (flags & SENT) {
      c.sent = from_micros(wrapping_add(at, in.signed_number()));
      if (!is_set(c.sent)) in.damaged();
    }
    c.refused = (flags & REFUSED) != 0;
    c.interrupt = (flags & INTERRUPT) != 0;
    c.labor = row.labor;
    c.number = row.first + changes.size();
    changes.push_back(std::move(c));
  }
  if (changes.size() != row.count) in.damaged();
  return changes;
}

std::array<std::uint8_t, 16> chain_link(const std::array<std::uint8_t, 16>& before, const HistoryRow& row) {
  std::string name;
  name.reserve(row.changes.size() + 48);
  name.append(reinterpret_cast<const char*>(row.labor.bytes.data()), row.labor.bytes.size());
  put(name, row.first);
  put(name, row.count);
  put_signed(name, to_micros(row.at));
  name.append(row.changes.view());

  boost::uuids::uuid space;
  std::memcpy(space.data, before.data(), before.size());
  const auto link = boost::uuids::name_generator_sha1(space)(name.data(), name.size());
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), link.data, bytes.size());
  return bytes;
}

}  // namespace cogwork
