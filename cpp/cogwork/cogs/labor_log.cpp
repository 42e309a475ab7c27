#include "cogwork/cogs/labor_log.h"

#include <algorithm>
#include <utility>

#include "cogwork/base/clock.h"
#include "cogwork/base/utf8.h"

namespace cogwork {
namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

/// What a line takes: its text, and what is around it.
std::size_t weight(const LogLine& line) { return line.text.size() + sizeof(LogLine) + 64; }

}  // namespace

LogRoom::LogRoom() : now([clock = std::shared_ptr<Clock>(make_system_clock())] { return clock->wall(); }) {}

void LogRoom::on_unstored(std::function<void(const Id&)> hear) {
  const std::lock_guard lock(mutex_);
  hear_ = std::move(hear);
}

void LogRoom::tell(const Id& labor) {
  const std::lock_guard lock(mutex_);
  if (hear_) hear_(labor);
}

LaborLog::LaborLog(std::shared_ptr<LogRoom> room, const Id& labor)
    : room_(std::move(room)),
      labor_(labor),
      base_(static_cast<std::uint64_t>(std::max<std::int64_t>(to_micros(room_->now()), 0))) {}

LaborLog::~LaborLog() { room_->bytes.fetch_sub(static_cast<std::int64_t>(bytes_), std::memory_order_relaxed); }

// ---- who speaks ----

LaborLog::Voice& LaborLog::voice_of(const AttemptRequest& from, Time now) {
  auto [it, fresh] = voices_.try_emplace(from.key);
  auto& voice = it->second;
  if (fresh) {
    voice.self.attempt_key = from.key;
    voice.self.job = from.job;
    voice.self.attempt = from.number;
    voice.self.target = from.target;
    voice.self.name = from.job_name;
  }
  if (now >= voice.since + kSecond || now < voice.since) {
    own_up(voice, now);
    voice.since = now;
    voice.said = 0;
  }
  return voice;
}

void LaborLog::add(const AttemptRequest& from, std::string_view text) {
  change([&](Time now) {
    auto& voice = voice_of(from, now);
    do {
      const auto end = std::min(text.find('\n'), text.size());
      say(voice, now, text.substr(0, end), 0);
      text.remove_prefix(std::min(end + 1, text.size()));
    } while (!text.empty());
  });
}

void LaborLog::add_line(const AttemptRequest& from, std::string_view line, std::size_t left_out) {
  change([&](Time now) { say(voice_of(from, now), now, line, left_out); });
}

void LaborLog::end(const AttemptRequest& from) {
  change([&](Time now) {
    auto voice = voices_.extract(from.key);
    if (!voice.empty()) own_up(voice.mapped(), now);
  });
}

void LaborLog::close() {
  change([&](Time now) {
    for (auto& [key, voice] : voices_) own_up(voice, now);
    voices_.clear();
    closed_ = true;
  });
}

/// Whoever waits is woken where there is something for him: not by lines that are dropped.
template <typename F>
void LaborLog::change(F apply) {
  const auto now = room_->now();
  std::shared_ptr<Completion> news;
  bool tell = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    const auto before = last_;
    apply(now);
    make_room();
    if (last_ != before || closed_) news = std::exchange(news_, nullptr);
    if (last_ != before) tell = !std::exchange(told_, true);
  }
  if (news) news->set();
  if (tell) room_->tell(labor_);
}

void LaborLog::say(Voice& voice, Time now, std::string_view line, std::size_t left_out) {
  if (voice.said == kMostASecond) {
    ++voice.dropped;
    return;
  }
  ++voice.said;
  if (line.ends_with('\r')) line.remove_suffix(1);
  const auto kept = cut_utf8(line, kLongestLine);
  left_out += line.size() - kept.size();
  if (left_out == 0) return put(voice, now, is_utf8(kept) ? kept : repair_utf8(kept), 0);
  put(voice, now, repair_utf8(kept) + " [... " + std::to_string(left_out) + " bytes are left out]", 0);
}

/// Says how many lines of the attempt were left out since the last time.
void LaborLog::own_up(Voice& voice, Time now) {
  const auto dropped = std::exchange(voice.dropped, 0);
  if (dropped == 0) return;
  put(voice, now, "... " + std::to_string(dropped) + (dropped == 1 ? " line" : " lines") + " dropped", dropped);
}

void LaborLog::put(const Voice& voice, Time now, std::string_view text, std::uint64_t dropped) {
  LogLine line = voice.self;
  line.number = ++last_;
  line.at = now;
  line.text = Text(text);
  line.dropped = dropped;
  const auto more = weight(line);
  lines_.emplace_hint(lines_.end(), line.number, std::move(line));
  bytes_ += more;
  room_->bytes.fetch_add(static_cast<std::int64_t>(more), std::memory_order_relaxed);
}

void LaborLog::make_room() {
  const bool crowded = room_->bytes.load(std::memory_order_relaxed) > kMostTogether;
  const auto most = crowded ? kLeastBytes : kMostBytes;
  while (lines_.size() > kMostLines || (bytes_ > most && lines_.size() > 1)) {
    const auto less = weight(lines_.begin()->second);
    lines_.erase(lines_.begin());
    bytes_ -= less;
    room_->bytes.fetch_sub(static_cast<std::int64_t>(less), std::memory_order_relaxed);
  }
}

// ---- who reads ----

LaborLog::Piece LaborLog::read(std::uint64_t since) {
  const auto now = room_->now();
  const std::lock_guard lock(mutex_);
  return read_locked(since, now);
}

LaborLog::Piece LaborLog::unstored() {
  const auto now = room_->now();
  const std::lock_guard lock(mutex_);
  auto piece = read_locked(stored_, now);
  stored_ = last_;
  told_ = false;
  return piece;
}

LaborLog::Piece LaborLog::read_locked(std::uint64_t since, Time now) {
  Piece piece;
  for (auto& [key, voice] : voices_) {
    // Of one that has fallen silent since: nothing else would say it.
    if (voice.dropped > 0 && now >= voice.since + kSecond) own_up(voice, now);
  }
  make_room();
  const auto first = lines_.upper_bound(since);
  if (first == lines_.end()) return piece;
  piece.missed = first->first - since - 1;
  piece.lines.reserve(static_cast<std::size_t>(last_ - first->first + 1));
  for (auto it = first; it != lines_.end(); ++it) piece.lines.push_back(it->second);
  return piece;
}

std::shared_ptr<Completion> LaborLog::ready(std::uint64_t since) {
  const std::lock_guard lock(mutex_);
  if (closed_ || last_ > since) {
    auto now = std::make_shared<Completion>();
    now->set();
    return now;
  }
  if (!news_) news_ = std::make_shared<Completion>();
  return news_;
}

bool LaborLog::over(std::uint64_t since) const {
  const std::lock_guard lock(mutex_);
  return closed_ && last_ <= since;
}

std::uint64_t LaborLog::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

LogFeed::LogFeed(std::shared_ptr<LaborLog> log, std::optional<std::uint64_t> since) : log_(std::move(log)), since_(log_->last()) {
  if (since) since_ = std::max(*since <= since_ ? *since : 0, log_->base());
}

LaborLog::Piece LogFeed::poll() {
  auto piece = log_->read(since_);
  if (!piece.lines.empty()) since_ = piece.lines.back().number;
  return piece;
}

// ---- lines ----

void LineSplitter::keep(std::string_view bytes) {
  const auto room = std::min(bytes.size(), LaborLog::kLongestLine - part_.size());
  part_ += bytes.substr(0, room);
  left_out_ += bytes.size() - room;
}

void LineSplitter::feed(std::string_view bytes, const Line& line) {
  for (auto end = bytes.find('\n'); end != bytes.npos; end = bytes.find('\n')) {
    keep(bytes.substr(0, end));
    bytes.remove_prefix(end + 1);
    line(std::exchange(part_, {}), std::exchange(left_out_, 0));
  }
  keep(bytes);
}

void LineSplitter::finish(const Line& line) {
  if (!part_.empty()) line(std::exchange(part_, {}), std::exchange(left_out_, 0));
}

}  // namespace cogwork
