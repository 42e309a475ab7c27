#include "cogwork/engine/latch.h"

#include <algorithm>
#include <ctime>
#include <tuple>

#include "cogwork/base/error.h"
#include "cogwork/base/random.h"
#include "cogwork/engine/latches.h"
#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

constexpr std::size_t kMostNamed = 5;

bool contains(const std::vector<std::string>& wanted, std::string_view value) {
  return std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

void put(WireWriter& w, std::string_view key, const std::vector<std::string>& texts) {
  w.text(key).array(texts.size());
  for (const auto& text : texts) w.text(text);
}

std::vector<std::string> take_texts(WireReader& reader) {
  std::vector<std::string> texts;
  const auto count = reader.array();
  if (!count) reader.fail();
  for (std::uint32_t i = 0; i < count.value_or(0) && reader.ok(); ++i) {
    const auto text = reader.text();
    if (!text) reader.fail();
    texts.emplace_back(text.value_or(""));
  }
  return texts;
}

/// Reads the fields that are there. False where the bytes are no latch.
bool read(std::string_view bytes, Latch& latch) {
  WireReader reader(bytes);
  const auto pairs = reader.map();
  if (!pairs) return false;
  const auto time = [&reader] { return reader.nil() ? never : from_micros(reader.integer().value_or(0)); };
  for (std::uint32_t i = 0; i < *pairs && reader.ok(); ++i) {
    const auto key = reader.text();
    if (!key) return false;
    if (*key == "id") {
      const auto id = Id::parse(reader.text().value_or(""));
      if (!id) return false;
      latch.id = *id;
    } else if (*key == "tags") {
      latch.tags = take_texts(reader);
    } else if (*key == "name_prefix") {
      latch.name_prefix = reader.text().value_or("");
    } else if (*key == "cogs") {
      latch.cogs = take_texts(reader);
    } else if (*key == "by") {
      latch.by = reader.text().value_or("");
    } else if (*key == "note") {
      latch.note = reader.text().value_or("");
    } else if (*key == "since") {
      latch.since = time();
    } else if (*key == "lifted") {
      latch.lifted = time();
    } else if (*key == "lifted_by") {
      latch.lifted_by = reader.text().value_or("");
    } else if (*key == "lifted_note") {
      latch.lifted_note = reader.text().value_or("");
    } else {
      return false;  // of a newer version: it may narrow, or widen, what the latch matches
    }
  }
  return reader.ok() && !latch.id.is_nil();
}

std::string any_of(std::string_view kind, const std::vector<std::string>& values) {
  std::string text;
  for (const auto& value : values) text += (text.empty() ? std::string(kind) + " " : " or ") + value;
  return text;
}

}  // namespace

bool matches(const Latch& latch, const Labor& labor) {
  if (!labor.name.view().starts_with(latch.name_prefix)) return false;
  if (!latch.tags.empty() &&
      std::none_of(labor.tags.begin(), labor.tags.end(), [&](const Text& tag) { return contains(latch.tags, tag.view()); })) {
    return false;
  }
  return latch.cogs.empty() ||
         std::any_of(labor.cogs.begin(), labor.cogs.end(), [&](const auto& cog) { return contains(latch.cogs, cog.first.view()); });
}

Weight weight_of(const Latch& latch) {
  const Text id(latch.id.text());
  if (is_set(latch.lifted)) return {{Rank::NONE, latch.lifted, Text(latch.lifted_by), Text(latch.lifted_note)}, id};
  return {{Rank::CRISIS, latch.since, Text(latch.by), Text(latch.note)}, id};
}

std::string describe(const Latch& latch) {
  std::string text;
  const auto add = [&text](const std::string& part) {
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  };
  add(any_of("tag", latch.tags));
  if (!latch.name_prefix.empty()) add("name \"" + latch.name_prefix + "*\"");
  add(any_of("cog", latch.cogs));
  return text.empty() ? "all Labors" : text;
}

std::string who_lifted(const Latch& latch) {
  const auto seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::seconds>(latch.lifted));
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char clock[32];
  std::strftime(clock, sizeof clock, "%Y-%m-%d %H:%M", &utc);
  std::string text = "by " + (latch.lifted_by.empty() ? "somebody" : latch.lifted_by) + " " + clock;
  if (!latch.lifted_note.empty()) text += " \"" + latch.lifted_note + "\"";
  return text;
}

WireWriter& write_fields(WireWriter& w, const Latch& latch) {
  w.id("id", latch.id);
  put(w, "tags", latch.tags);
  w.text("name_prefix", latch.name_prefix);
  put(w, "cogs", latch.cogs);
  return w.text("by", latch.by)
      .text("note", latch.note)
      .micros("since", latch.since)
      .micros("lifted", latch.lifted)
      .text("lifted_by", latch.lifted_by)
      .text("lifted_note", latch.lifted_note);
}

Record to_record(const Latch& latch) {
  WireWriter w;
  write_fields(w.map(kLatchFields), latch);
  return {RecordKind::LATCH, Text(latch.id.text()), Text(w.take())};
}

std::vector<Latch> read_latches(Storage& store) {
  std::vector<Latch> latches;
  for (const auto& record : store.records(RecordKind::LATCH)) {
    if (!record.value) continue;
    Latch latch;
    if (!read(record.value->view(), latch)) {
      throw StorageError(
          store.name() + " holds a crisis latch, " + record.key.str() +
              ", that this cogwork cannot read, so it is not known which Labors it holds; use the cogwork that set it",
          false);
    }
    latches.push_back(std::move(latch));
  }
  std::sort(latches.begin(), latches.end(),
            [](const Latch& a, const Latch& b) { return std::tie(a.since, a.id) < std::tie(b.since, b.id); });
  return latches;
}

std::vector<Record> records_of_lift(const Latch& latch, const std::vector<Latch>& outdated) {
  std::vector<Record> records = {to_record(latch)};
  for (const auto& old : outdated) records.push_back({RecordKind::LATCH, Text(old.id.text()), std::nullopt});
  return records;
}

void require_room(std::size_t in_force) {
  if (in_force < kMostInForce) return;
  throw Error("there are " + std::to_string(in_force) +
              " crisis latches in force, and no more are taken; lift some first, or set one that matches more");
}

void not_in_force(const Id& id, const std::vector<Latch>& latches) {
  std::string there;
  std::size_t count = 0;
  for (const auto& latch : latches) {
    if (latch.id == id) throw NotFound("the crisis latch " + id.text() + " is not in force: it was lifted " + who_lifted(latch));
    if (is_set(latch.lifted)) continue;
    if (count++ < kMostNamed) there += (there.empty() ? "" : ", ") + latch.id.text() + " (" + describe(latch) + ")";
  }
  if (count > kMostNamed) there += ", ...";
  throw NotFound("no crisis latch has the id " + id.text() + "; " +
                 (count == 0 ? "none is in force" : "in force " + std::string(count == 1 ? "is " : "are ") + there));
}

Latch store_latch(Storage& store, Latch latch, Owner owner, Clock& clock) {
  owner.brief = true;
  const auto lock = store.lock(owner);
  const auto latches = read_latches(store);
  require_room(
      static_cast<std::size_t>(std::count_if(latches.begin(), latches.end(), [](const Latch& l) { return !is_set(l.lifted); })));
  auto random = Random::from_system();
  latch.id = Id::make(random);
  latch.since = clock.wall();
  Batch batch;
  batch.records.push_back(to_record(latch));
  store.apply(batch);
  return latch;
}

void lift_stored(Storage& store, const Id& id, const std::string& by, const std::string& note, Owner owner, Clock& clock) {
  owner.brief = true;
  const auto lock = store.lock(owner);
  auto latches = read_latches(store);
  const auto found = std::find_if(latches.begin(), latches.end(), [&](const Latch& l) { return l.id == id && !is_set(l.lifted); });
  if (found == latches.end()) not_in_force(id, latches);
  auto latch = std::move(*found);
  Latches known;
  for (const auto& other : latches) {
    if (is_set(other.lifted)) known.lifted(other);
  }
  latch.lifted = clock.wall();
  latch.lifted_by = by;
  latch.lifted_note = note;
  Batch batch;
  batch.records = records_of_lift(latch, known.take_outdated());
  store.apply(batch);
}

}  // namespace cogwork
