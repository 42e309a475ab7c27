// A process Cog in C++: a program that a cogwork engine starts, and that serves many attempts at once. This header is all that it takes
// (C++17, Linux):
//
//   #include <cogwork/serve.h>
//
//   int main() {
//     cogwork::Program program("2.1");
//     program
//         .cog("greet", [](cogwork::Call& call) { return cogwork::success("hello, " + call.args["name"].text()); })
//         .description("Says hello").arg("name", cogwork::Kind::TEXT).idempotent();
//     return program.serve();
//   }
//
//   $ c++ -std=c++17 -pthread -I<folder of cogwork/serve.h> -o greet greet.cpp
//
// What goes over the wire: docs/internals/cog-protocol.md.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cogwork {
inline namespace serving {  // a name of its own for the linker: the engine's library has other classes of these names

class Field;
namespace detail {
class Writer;
}

/// Raised where an arg is of another type than the one that was asked for; its text names the arg.
struct WrongType : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Any value that goes over the wire: args, outputs.
class Value {
 public:
  using List = std::vector<Value>;
  using Map = std::vector<std::pair<Value, Value>>;  ///< In the order that it came in. Keys are texts, mostly.
  struct Bytes {
    std::string data;
  };
  struct Extension {  ///< Of msgpack; type -1 is a time.
    std::int8_t type;
    std::string data;
  };

  Value() = default;  ///< nil
  Value(std::nullptr_t) {}
  template <class T, std::enable_if_t<std::is_integral_v<T>, int> = 0>
  Value(T value) {
    if constexpr (std::is_same_v<T, bool>) {
      held_ = value;
    } else {
      held_ = static_cast<std::int64_t>(value);
      if constexpr (std::is_unsigned_v<T>)
        if (value > static_cast<std::uint64_t>(INT64_MAX)) held_ = static_cast<std::uint64_t>(value);
    }
  }
  Value(double value) : held_(value) {}
  Value(const char* text) : held_(std::string(text)) {}
  Value(std::string_view text) : held_(std::string(text)) {}
  Value(std::string text) : held_(std::move(text)) {}
  Value(Bytes bytes) : held_(std::move(bytes)) {}
  Value(Extension extension) : held_(std::move(extension)) {}
  Value(List list) : held_(std::move(list)) {}
  Value(Map map) : held_(std::move(map)) {}

  bool is_nil() const { return holds<std::monostate>(); }
  bool is_bool() const { return holds<bool>(); }
  bool is_integer() const { return holds<std::int64_t>() || holds<std::uint64_t>(); }
  bool is_number() const { return is_integer() || holds<double>(); }
  bool is_text() const { return holds<std::string>(); }
  bool is_bytes() const { return holds<Bytes>(); }
  bool is_list() const { return holds<List>(); }
  bool is_map() const { return holds<Map>(); }

  /// Each throws WrongType where it is something else. `name` is what the error calls it.
  const std::string& text(std::string_view name = "the value") const { return as<std::string>(name, "a text"); }
  bool boolean(std::string_view name = "the value") const { return as<bool>(name, "true or false"); }
  const std::string& bytes(std::string_view name = "the value") const { return as<Bytes>(name, "bytes").data; }
  const List& list(std::string_view name = "the value") const { return as<List>(name, "a list"); }
  const Map& map(std::string_view name = "the value") const { return as<Map>(name, "a map"); }
  std::int64_t integer(std::string_view name = "the value") const { return as<std::int64_t>(name, "a whole number of 64 bits"); }
  double number(std::string_view name = "the value") const {
    if (const auto* whole = std::get_if<std::int64_t>(&held_)) return static_cast<double>(*whole);
    if (const auto* large = std::get_if<std::uint64_t>(&held_)) return static_cast<double>(*large);
    return as<double>(name, "a number");
  }
  /// One of a map. What is not there, or is in no map, is nil.
  Field operator[](std::string_view key) const;
  const Value* find(std::string_view key) const {
    if (const auto* pairs = std::get_if<Map>(&held_))
      for (const auto& [name, value] : *pairs)
        if (const auto* text = std::get_if<std::string>(&name.held_); text && *text == key) return &value;
    return nullptr;
  }
  /// In few words, for messages.
  std::string describe() const {
    if (is_nil()) return "missing";
    if (is_bool()) return std::get<bool>(held_) ? "true" : "false";
    if (const auto* whole = std::get_if<std::int64_t>(&held_)) return std::to_string(*whole);
    if (is_number()) return "the number " + std::to_string(number());
    if (is_text()) return "the text '" + std::get<std::string>(held_).substr(0, 80) + "'";
    return is_list() ? "a list" : is_map() ? "a map" : is_bytes() ? "bytes" : "an extension of msgpack";
  }

  /// As msgpack. Of texts, bytes that are no UTF-8 become U+FFFD. Throws std::length_error on what is nested too deep.
  std::string write() const;
  /// One msgpack value and nothing behind it. Throws std::runtime_error.
  static Value read(std::string_view bytes);

 private:
  template <class T>
  bool holds() const {
    return std::holds_alternative<T>(held_);
  }
  template <class T>
  const T& as(std::string_view name, const char* wanted) const {
    if (const T* found = std::get_if<T>(&held_)) return *found;
    throw WrongType(std::string(name) + " is " + describe() + ", and should be " + wanted);
  }
  void write(detail::Writer& to, int depth) const;

  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Bytes, Extension, List, Map> held_;
};

/// A value in a map, and the way to it, so that errors name the arg.
class Field {
 public:
  Field(const Value& value, std::string name) : value_(&value), name_(std::move(name)) {}

  const std::string& text() const { return value_->text(name_); }
  bool boolean() const { return value_->boolean(name_); }
  std::int64_t integer() const { return value_->integer(name_); }
  double number() const { return value_->number(name_); }
  const std::string& bytes() const { return value_->bytes(name_); }
  const Value::List& list() const { return value_->list(name_); }
  const Value::Map& map() const { return value_->map(name_); }
  /// The same, with what counts where it is nil or left out.
  std::string text_or(std::string_view other) const { return given() ? text() : std::string(other); }
  bool boolean_or(bool other) const { return given() ? boolean() : other; }
  std::int64_t integer_or(std::int64_t other) const { return given() ? integer() : other; }
  double number_or(double other) const { return given() ? number() : other; }

  bool given() const { return !value_->is_nil(); }
  const Value& value() const { return *value_; }
  Field operator[](std::string_view key) const {
    const Field inner = (*value_)[key];
    return {*inner.value_, name_ + "." + inner.name_};
  }

 private:
  const Value* value_;
  std::string name_;
};

inline Field Value::operator[](std::string_view key) const {
  static const Value nil;
  const Value* found = find(key);
  return {found ? *found : nil, std::string(key)};
}

// ---- what a Cog answers ----

enum class Status : std::uint8_t { SUCCESS, FAILURE, FAILURE_NO_RETRIES };

struct Result {
  Status status = Status::SUCCESS;
  Value output;
  std::string error;
};

inline Result success(Value output = {}) { return {Status::SUCCESS, std::move(output), {}}; }
inline Result failure(std::string error, Value output = {}) { return {Status::FAILURE, std::move(output), std::move(error)}; }
/// It is no use to try again.
inline Result failure_no_retries(std::string error, Value output = {}) {
  return {Status::FAILURE_NO_RETRIES, std::move(output), std::move(error)};
}
/// Thrown by a Cog, it is failure_no_retries(what()). Any other exception is failure(what()).
struct NoRetry : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// ---- msgpack ----

namespace detail {

constexpr std::size_t kLargestFrame = std::size_t{64} << 20;
constexpr std::size_t kLargestLog = std::size_t{1} << 20;
constexpr int kDeepest = 500;  // lists and maps in each other, that are written; an engine takes 512
constexpr int kDeepestRead = 600;

/// How many bytes the character at the beginning has; 0 where there is none.
inline std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = at(0), second = at(1);
  if (first < 0x80) return 1;
  const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
                   (first == 0xf4 && second >= 0x90);
  return bad ? 0 : length;
}

inline std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::size_t begin = 0, at = 0;  // from begin to at it is valid
  while (at < text.size()) {
    std::uint64_t eight = 0x80;
    if (text.size() - at >= 8) std::memcpy(&eight, text.data() + at, 8);
    const std::size_t length = (eight & 0x8080808080808080) == 0 ? 8 : utf8_length(text.substr(at));
    if (length == 0) {
      out += text.substr(begin, at - begin);
      out += "\xef\xbf\xbd";
      begin = at + 1;
    }
    at += std::max<std::size_t>(length, 1);
  }
  out += text.substr(begin);
  return out;
}

/// The beginning of a text that is too long, and how long it was.
inline std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "\n... cut: it had " + std::to_string(text.size()) + " bytes";
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void put(std::monostate) { byte(0xc0); }
  void put(bool value) { byte(value ? 0xc3 : 0xc2); }
  void put(std::int64_t value) {
    if (value >= 0) return put(static_cast<std::uint64_t>(value));
    if (value >= -32) return byte(static_cast<unsigned>(value) & 0xff);
    byte(0xd3), number(static_cast<std::uint64_t>(value), 8);
  }
  void put(std::uint64_t value) {
    if (value < 0x80) return byte(static_cast<unsigned>(value));
    byte(0xcf), number(value, 8);
  }
  void put(double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    byte(0xcb), number(bits, 8);
  }
  void put(const std::string& value) {
    const std::string valid = valid_utf8(value);
    head(0xa0, 32, 0xdb, valid.size()), out_ += valid;
  }
  void put(const Value::Bytes& value) { head(0, 0, 0xc6, value.data.size()), out_ += value.data; }
  void put(const Value::Extension& value) {
    head(0, 0, 0xc9, value.data.size()), byte(static_cast<unsigned char>(value.type)), out_ += value.data;
  }
  void list(std::size_t items) { head(0x90, 16, 0xdd, items); }
  void map(std::size_t pairs) { head(0x80, 16, 0xdf, pairs); }

 private:
  void byte(unsigned value) { out_ += static_cast<char>(value); }
  void number(std::uint64_t value, int width) {
    for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) byte(static_cast<unsigned>(value >> shift & 0xff));
  }
  /// A short length stands in the first byte, any other in four bytes behind it.
  void head(unsigned short_form, std::size_t below, unsigned long_form, std::size_t length) {
    if (length < below) return byte(short_form | static_cast<unsigned>(length));
    if (length > UINT32_MAX) throw std::length_error("msgpack holds at most 4 GiB");
    byte(long_form), number(length, 4);
  }

  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  Value value(int depth = 0) {
    const unsigned byte = static_cast<unsigned char>(take(1)[0]);
    if (byte < 0x80) return byte;
    if (byte < 0x90) return map(byte & 0x0f, depth);
    if (byte < 0xa0) return list(byte & 0x0f, depth);
    if (byte < 0xc0) return Value(take(byte & 0x1f));
    if (byte >= 0xe0) return static_cast<std::int8_t>(byte);
    switch (byte) {
      case 0xc0: return {};
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4:
      case 0xc5:
      case 0xc6: return Value::Bytes{std::string(take(number(1u << (byte - 0xc4))))};
      case 0xc7:
      case 0xc8:
      case 0xc9: return extension(number(1u << (byte - 0xc7)));
      case 0xca: return static_cast<double>(real<float, std::uint32_t>());
      case 0xcb: return real<double, std::uint64_t>();
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf: return number(1u << (byte - 0xcc));
      case 0xd0: return static_cast<std::int8_t>(number(1));
      case 0xd1: return static_cast<std::int16_t>(number(2));
      case 0xd2: return static_cast<std::int32_t>(number(4));
      case 0xd3: return static_cast<std::int64_t>(number(8));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8: return extension(1u << (byte - 0xd4));
      case 0xd9:
      case 0xda:
      case 0xdb: return Value(take(number(1u << (byte - 0xd9))));
      case 0xdc:
      case 0xdd: return list(number(2u << (byte - 0xdc)), depth);
      case 0xde:
      case 0xdf: return map(number(2u << (byte - 0xde)), depth);
      default: throw std::runtime_error("malformed msgpack");
    }
  }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size()) throw std::runtime_error("msgpack that is cut off");
    const auto piece = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return piece;
  }
  std::uint64_t number(std::size_t width) {
    std::uint64_t value = 0;
    for (const char c : take(width)) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  template <class Real, class Bits>
  Real real() {
    const auto bits = static_cast<Bits>(number(sizeof(Bits)));
    Real value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  Value extension(std::uint64_t length) {
    const auto type = static_cast<std::int8_t>(number(1));
    return Value::Extension{type, std::string(take(length))};
  }
  // Nothing is reserved for a length that was only promised: each item is there before it takes memory.
  Value list(std::uint64_t count, int depth) {
    check(depth);
    Value::List items;
    for (; count > 0; --count) items.push_back(value(depth + 1));
    return items;
  }
  Value map(std::uint64_t count, int depth) {
    check(depth);
    Value::Map pairs;
    for (; count > 0; --count) {
      Value key = value(depth + 1);
      pairs.emplace_back(std::move(key), value(depth + 1));
    }
    return pairs;
  }
  static void check(int depth) {
    if (depth > kDeepestRead) throw std::runtime_error("msgpack that is nested too deep");
  }

  std::string_view bytes_;
};

}  // namespace detail

inline void Value::write(detail::Writer& to, int depth) const {
  if (depth > detail::kDeepest) throw std::length_error("it is nested too deep");
  std::visit(
      [&](const auto& value) {
        using Held = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Held, List>) {
          to.list(value.size());
          for (const Value& item : value) item.write(to, depth + 1);
        } else if constexpr (std::is_same_v<Held, Map>) {
          to.map(value.size());
          for (const auto& [key, item] : value) key.write(to, depth + 1), item.write(to, depth + 1);
        } else {
          to.put(value);
        }
      },
      held_);
}

inline std::string Value::write() const {
  std::string out;
  detail::Writer to(out);
  write(to, 0);
  return out;
}

inline Value Value::read(std::string_view bytes) {
  detail::Reader reader(bytes);
  Value value = reader.value();
  if (!reader.at_end()) throw std::runtime_error("something behind the msgpack value");
  return value;
}

// ---- one attempt ----

namespace detail {

/// The socket to the engine. Any thread sends.
class Channel {
 public:
  explicit Channel(int fd) : fd_(fd) {}

  /// Throws std::length_error where it fits in no frame. Where the engine is gone the process ends.
  void send(const Value& message) {
    const std::string body = message.write();
    if (body.size() > kLargestFrame) throw std::length_error("it has " + std::to_string(body.size()) + " bytes");
    std::string frame;
    frame.reserve(4 + body.size());
    for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(body.size() >> shift & 0xff);
    frame += body;
    const std::lock_guard lock(mutex_);
    for (std::size_t at = 0; at < frame.size();) {
      const auto sent = ::send(fd_, frame.data() + at, frame.size() - at, MSG_NOSIGNAL);
      if (sent < 0 && errno != EINTR) _exit(0);
      if (sent > 0) at += static_cast<std::size_t>(sent);
    }
  }

 private:
  int fd_;
  std::mutex mutex_;
};

class Server;

}  // namespace detail

/// One attempt, until the Cog's function returns. Threads that the function starts may use it until then.
class Call {
 public:
  Value args;
  std::string job, labor;  ///< Ids.
  std::string job_name, labor_name;
  std::string target;  ///< Empty for a check.
  std::string real_user;
  std::int64_t attempt = 1;
  bool check = false;
  double timeout = 0;                                  ///< Seconds. When they are over, the engine cancels.
  std::vector<std::pair<std::string, Value>> outputs;  ///< Of the Jobs before it in its Sequence, by name.

  /// The output of the Job of that name before it; nil where there is none.
  Value output(std::string_view name) const {
    for (auto it = outputs.rbegin(); it != outputs.rend(); ++it)
      if (it->first == name) return it->second;
    return {};
  }
  /// How far it is, 0 to 1, if that is known, for those who watch.
  void progress(std::optional<double> done, std::string_view message = {}) {
    Value number;
    if (done && !std::isnan(*done)) number = std::clamp(*done, 0.0, 1.0);
    channel_.send(Value::Map{{"id", id_}, {"progress", number}, {"message", detail::shortened(message, detail::kLargestLog)}});
  }
  /// One or more lines for the attempt's log.
  void log(std::string_view lines) {
    channel_.send(Value::Map{{"id", id_}, {"log", detail::shortened(lines, detail::kLargestLog)}});
  }
  /// It is to end soon: its time is over, or it is stopped. What the function then returns counts as ever.
  bool cancelled() const { return cancelled_; }
  /// Waits, and wakes when the call is cancelled; then it is false.
  bool sleep(double seconds) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::clamp(seconds, 0.0, 1e8));
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, until, [this] { return cancelled_.load(); });
    return !cancelled_;
  }

  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

 private:
  friend class detail::Server;
  Call(detail::Channel& channel, std::int64_t id) : channel_(channel), id_(id) {}
  void cancel() {
    {
      const std::lock_guard lock(mutex_);
      cancelled_ = true;
    }
    changed_.notify_all();
  }

  detail::Channel& channel_;
  const std::int64_t id_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::atomic<bool> cancelled_{false};
};

// ---- Cogs ----

enum class Kind : std::uint8_t { TEXT, INTEGER, NUMBER, BOOLEAN, LIST, MAP, ANY };
/// What becomes of a Job whose attempt was executing when the engine died: it is called again, fails, or waits for a person.
enum class OnInterrupt : std::uint8_t { RETRY, FAIL, HOLD };

/// A Cog of a Program. What is not said is left to the engine.
class Cog {
 public:
  using Run = std::function<Result(Call&)>;

  Cog(std::string name, Run run) : name_(std::move(name)), run_(std::move(run)) {}

  Cog& description(std::string text) { return set("desc", std::move(text)); }
  Cog& owner(std::string text) { return set("owner", std::move(text)); }
  Cog& tags(Value::List texts) { return set("tags", std::move(texts)); }
  /// It is safe to run again: the same as RETRY. Where on_interrupt is said too, that counts.
  Cog& idempotent(bool is = true) { return set("idempotent", is); }
  Cog& on_interrupt(OnInterrupt what) {
    static constexpr const char* kWords[] = {"RETRY", "FAIL", "HOLD"};  // by OnInterrupt
    return set("on_interrupt", kWords[static_cast<std::size_t>(what)]);
  }
  /// Defaults of its Jobs; seconds.
  Cog& timeout(double seconds) { return set("timeout", seconds); }
  Cog& retries(int count) { return set("retries", count); }
  Cog& retry_delay(double seconds) { return set("retry_delay", seconds); }
  Cog& retry_backoff(double factor) { return set("retry_backoff", factor); }
  Cog& retry_max_delay(double seconds) { return set("retry_max_delay", seconds); }
  /// How many attempts the program runs at once, each in a thread; 16 if no Cog says. The smallest of its Cogs' counts.
  Cog& concurrency(int count) {
    if (count < 1 || count > 10'000) throw std::invalid_argument("concurrency is 1 to 10,000, not " + std::to_string(count));
    return set("concurrency", count);
  }
  /// Declares an arg. Once there is one, args are checked: none may be missing, unknown, or of another kind.
  Cog& arg(std::string name, Kind kind, std::string description = {}) {
    return declare(std::move(name), kind, true, std::move(description));
  }
  /// One that may be nil or left out.
  Cog& optional_arg(std::string name, Kind kind, std::string description = {}) {
    return declare(std::move(name), kind, false, std::move(description));
  }
  /// What is wrong with args, at submit, beyond their kinds; empty: nothing. An exception counts as its text. Runs beside attempts.
  Cog& validate(std::function<std::string(const Value& args)> check) {
    check_ = std::move(check);
    return *this;
  }

  const std::string& name() const { return name_; }

 private:
  friend class Program;
  friend class detail::Server;
  struct Arg {
    std::string name;
    Kind kind;
    bool required;
    std::string description;
  };
  static constexpr const char* kKinds[] = {"string", "integer", "number", "boolean", "array", "object", nullptr};  // by Kind

  Cog& set(const char* field, Value value) {
    fields_[field] = std::move(value);
    return *this;
  }
  Cog& declare(std::string name, Kind kind, bool required, std::string description) {
    args_.push_back({std::move(name), kind, required, std::move(description)});
    return *this;
  }
  static bool fits(const Value& value, Kind kind) {
    switch (kind) {
      case Kind::TEXT: return value.is_text();
      case Kind::INTEGER: return value.is_integer();
      case Kind::NUMBER: return value.is_number();
      case Kind::BOOLEAN: return value.is_bool();
      case Kind::LIST: return value.is_list();
      case Kind::MAP: return value.is_map();
      case Kind::ANY: break;
    }
    return true;
  }
  /// Its map in the hello.
  Value described() const {
    Value::Map all{{"name", name_}};
    for (const auto& [field, value] : fields_) all.emplace_back(field, value);
    if (args_.empty()) return all;
    Value::Map properties;
    Value::List required;
    for (const Arg& arg : args_) {
      Value::Map property;
      if (const char* kind = kKinds[static_cast<std::size_t>(arg.kind)]) property.emplace_back("type", kind);
      if (!arg.description.empty()) property.emplace_back("description", arg.description);
      properties.emplace_back(arg.name, property);
      if (arg.required) required.emplace_back(arg.name);
    }
    all.emplace_back(
        "args",
        Value::Map{{"type", "object"}, {"properties", properties}, {"required", required}, {"additionalProperties", false}});
    return all;
  }
  /// What is wrong with the kinds of args; empty: nothing.
  std::string misfit(const Value& args) const {
    if (args_.empty()) return {};
    if (!args.is_map()) return "the args are " + args.describe() + ", and should be a map";
    for (const Arg& arg : args_) {
      const Value* given = args.find(arg.name);
      if (!given && arg.kind == Kind::ANY && arg.required) return arg.name + " is missing";
      if (!given || given->is_nil() ? arg.required && arg.kind != Kind::ANY : !fits(*given, arg.kind)) {
        return arg.name + " is " + (given ? given->describe() : "missing") + ", and should be of the type " +
               kKinds[static_cast<std::size_t>(arg.kind)];
      }
    }
    for (const auto& [key, value] : args.map()) {
      const bool known = key.is_text() &&
                         std::any_of(args_.begin(), args_.end(), [&name = key](const Arg& arg) { return arg.name == name.text(); });
      if (!known) return "there is no arg " + (key.is_text() ? "'" + key.text() + "'" : "that is " + key.describe());
    }
    return {};
  }

  std::string name_;
  Run run_;
  std::function<std::string(const Value&)> check_;
  std::map<std::string, Value> fields_;
  std::vector<Arg> args_;
};

// ---- serving ----

namespace detail {

/// Whose turn it is to read a socket, and who waits.
///
/// A thread that has read something that may take long gives its turn up while it does that, and takes it again afterwards. Only if something
/// comes meanwhile, one of those that wait is woken, and takes it. So a short call costs no change of threads. Any thread.
/// (epoll tells one thread, once, and only while it is asked to.)
class Turns {
 public:
  /// most: how many threads there may be, beside one that reads. work: what each of them does; it begins with `wait`.
  Turns(int socket, std::size_t most, std::function<void()> work)
      : socket_(socket),
        most_(most + 1),
        work_(std::move(work)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        bell_(::eventfd(1, EFD_CLOEXEC)) {
    if (epoll_ < 0 || bell_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
    for (const int fd : {socket_, bell_}) ask(EPOLL_CTL_ADD, fd, 0);
  }
  ~Turns() {
    ::close(epoll_);
    ::close(bell_);
  }
  Turns(const Turns&) = delete;

  /// Throws std::system_error where there are no threads to be had.
  void start() {
    bool started = false;
    {
      const std::lock_guard lock(mutex_);
      started = start_thread() && start_thread();  // with one alone nobody could take over
    }
    if (!started) {
      end();
      throw std::system_error(EAGAIN, std::generic_category(), "no thread can be started");
    }
    wake();
  }
  /// Ends what the threads do, as soon as they wait or read; and waits for them.
  void end() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      ask(EPOLL_CTL_MOD, bell_, EPOLLIN);
    }
    ::shutdown(socket_, SHUT_RD);
    for (auto& thread : threads_) thread.join();
  }
  bool ending() const { return ending_; }

  /// Until there may be something to do. Whether that is to read, for which it is this thread's turn from now on.
  bool wait() {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(missed_, false)) {
        --idle_;
        return false;
      }
    }
    epoll_event told{};
    while (::epoll_wait(epoll_, &told, 1, -1) < 0 && errno == EINTR) {
    }
    const std::lock_guard lock(mutex_);
    --idle_;
    if (told.data.fd != socket_) {
      coming_ = false;
      return false;
    }
    asked_ = false;
    if (coming_ && idle_ == 0) coming_ = start_thread();  // it was this thread that was to come
    return !std::exchange(taken_, true);
  }
  /// Whether it is this thread's turn from now on. If not, it is to wait.
  bool take() {
    const std::lock_guard lock(mutex_);
    if (taken_) {
      ++idle_;
      return false;
    }
    taken_ = true;
    if (std::exchange(asked_, false)) ask(EPOLL_CTL_MOD, socket_, 0);
    return true;
  }
  /// Before this thread does what may take long: sees to it that somebody reads, or will. False: there is nobody else, and no more threads are to
  /// be had; it is this thread's turn now.
  bool leave(bool my_turn) {
    const std::lock_guard lock(mutex_);
    if (taken_ && !my_turn) return true;
    if (!coming_) {  // whoever comes will see to it
      if (idle_ == 0 && !start_thread()) {
        taken_ = true;
        return false;
      }
      if (!std::exchange(asked_, true)) ask(EPOLL_CTL_MOD, socket_, EPOLLIN | EPOLLONESHOT);
    }
    taken_ = false;
    return true;
  }
  /// Somebody who waits is to look what there is to do, if anybody does and nobody is coming anyway.
  void wake() {
    const std::lock_guard lock(mutex_);
    if (ending_ || coming_) return;
    if (idle_ == 0 && !start_thread()) {
      missed_ = true;
      return;
    }
    coming_ = true;
    ask(EPOLL_CTL_MOD, bell_, EPOLLIN | EPOLLONESHOT);
  }

 private:
  void ask(int what, int fd, std::uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    ::epoll_ctl(epoll_, what, fd, &event);
  }
  bool start_thread() {
    if (ending_ || threads_.size() == most_) return false;
    try {
      threads_.emplace_back(work_);
    } catch (const std::system_error&) {
      return false;
    }
    ++idle_;
    return true;
  }

  const int socket_;
  const std::size_t most_;
  const std::function<void()> work_;
  const int epoll_, bell_;  // the bell is never read: whoever asks for it is told at once
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;  // that wait, or are about to
  bool taken_ = false;
  bool asked_ = false;   // to tell of bytes
  bool coming_ = false;  // somebody was woken, and has not looked yet
  bool missed_ = false;  // nobody could be woken: who wants to wait next is to look once more
  std::atomic<bool> ending_{false};
};

inline std::atomic<int> wake_on_term{-1};

/// What the engine says, and the calls that it asks for, in threads that take turns. One more validates, so that no submit waits for attempts;
/// and the one that serves waits for the end.
class Server {
 public:
  Server(int fd, const std::deque<Cog>& cogs, std::size_t concurrency)
      : fd_(fd), cogs_(cogs), channel_(fd), places_(concurrency), turns_(fd, concurrency, [this] { take_turns(); }) {}

  int serve(const std::string& version) {
    open_pipe();
    Value::List described;
    for (const Cog& cog : cogs_) described.emplace_back(cog.described());
    Value::Map hello{{"op", "hello"}, {"protocol", 1}, {"cogs", described}};
    if (!version.empty()) hello.emplace_back("version", version);
    channel_.send(hello);
    turns_.start();
    std::thread checks([this] { check(); });
    for (bool over = false; !over;) {
      pollfd watched{wake_, POLLIN, 0};
      if (::poll(&watched, 1, -1) < 0) continue;  // interrupted, by the handler perhaps, which has written
      char news[64];
      const auto count = ::read(wake_, news, sizeof news);
      if (count > 0 && std::find(news, news + count, 't') != news + count) end();
      const std::lock_guard lock(mutex_);
      over = ending_ && calls_.empty() && checks_.empty() && !checking_;
    }
    turns_.end();
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    to_check_.notify_one();
    checks.join();
    return 0;
  }

 private:
  /// Through the pipe the serving thread hears of SIGTERM, of the engine's shutdown, and that the last answer was given.
  void open_pipe() {
    int ends[2];
    if (::pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    wake_ = ends[0];
    waker_ = ends[1];
    wake_on_term = waker_;
    struct sigaction action = {};
    action.sa_handler = [](int) {
      const int saved = errno;
      [[maybe_unused]] const auto written = ::write(wake_on_term, "t", 1);
      errno = saved;
    };
    action.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);  // a second one ends the process as it does any other
    ::sigaction(SIGTERM, &action, nullptr);
  }

  struct Ready {
    std::shared_ptr<Call> call;
    const Cog* cog = nullptr;
    bool more = false;  // there is another one, and a place for it
  };

  void take_turns() {
    try {
      bool my_turn = turns_.wait();
      while (!turns_.ending()) {
        if (const Ready ready = next(); ready.call) {
          if (ready.more) turns_.wake();
          my_turn = !turns_.leave(my_turn);
          if (my_turn) {
            put_back(ready);  // it waits for one of the threads that there are
            turns_.wake();
            read();
          } else {
            run(*ready.call, *ready.cog);
          }
        } else if (my_turn || turns_.take()) {
          my_turn = true;
          read();
        } else {
          my_turn = turns_.wait();
        }
      }
    } catch (const std::exception& error) {
      std::fprintf(stderr, "cogwork: what the engine sent cannot be read: %s\n", error.what());
      std::fflush(stderr);
      _exit(1);
    }
  }

  void read() {
    char bytes[16 * 1024];
    const auto count = ::recv(fd_, bytes, sizeof bytes, 0);
    if (turns_.ending() || (count < 0 && errno == EINTR)) return;
    if (count <= 0) _exit(0);  // the engine is gone
    buffer_.append(bytes, static_cast<std::size_t>(count));
    std::size_t at = 0;
    while (buffer_.size() - at >= 4) {
      std::size_t length = 0;
      for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(buffer_[at + i]);
      if (length == 0 || length > kLargestFrame) throw std::runtime_error("a frame of " + std::to_string(length) + " bytes");
      if (buffer_.size() - at - 4 < length) break;
      handle(Value::read(std::string_view(buffer_).substr(at + 4, length)));
      at += 4 + length;
    }
    buffer_.erase(0, at);
  }

  /// What is wrong with one request is that request's affair. Throws std::runtime_error where it is none at all.
  void handle(const Value& message) {
    if (!message.is_map()) throw std::runtime_error("a frame holds " + message.describe() + ", not a map");
    try {
      take(message);
    } catch (const WrongType& error) {
      refuse(message, error.what());
    }
  }

  void take(const Value& message) {
    const std::string& op = message["op"].text();
    if (op == "shutdown") {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      tell_if_over();
    } else if (op == "cancel") {
      cancel(message["of"].integer());
    } else if (op == "execute") {
      execute(message);
    } else if (op == "describe" || op == "validate") {
      const auto id = id_of(message);
      const std::string name = message["cog"].text_or("");
      const Cog* cog = find(name);
      if (!cog) {
        channel_.send(Value::Map{{"id", id}, {"error", unknown(name)}});
      } else if (op == "describe") {
        channel_.send(Value::Map{{"id", id}, {"ok", cog->described()}});
      } else {
        {
          const std::lock_guard lock(mutex_);
          checks_.push_back({id, cog, args_of(message)});
        }
        to_check_.notify_one();
      }
    } else {
      throw WrongType("there is no op '" + op + "'");  // of an engine that is newer
    }
  }

  void refuse(const Value& message, const std::string& why) {
    const std::string problem = "the request cannot be read: " + why;
    const Value id = message["id"].value();
    if (!id.is_integer() || id.number() < 1) {
      std::fprintf(stderr, "cogwork: %s\n", problem.c_str());
    } else if (const Value op = message["op"].value(); op.is_text() && op.text() == "execute") {
      channel_.send(Value::Map{{"id", id}, {"result", Value::Map{{"status", "FAILURE_NO_RETRIES"}, {"error", problem}}}});
    } else {
      channel_.send(Value::Map{{"id", id}, {"error", problem}});
    }
  }
  static std::int64_t id_of(const Value& message) {
    const auto id = message["id"].integer();
    if (id < 1) throw WrongType("id is " + std::to_string(id) + ", and should be above 0");
    return id;
  }
  static Value args_of(const Value& message) {
    const auto args = message["args"];
    return args.given() ? args.value() : Value(Value::Map());
  }

  void execute(const Value& message) {
    const std::shared_ptr<Call> call(new Call(channel_, id_of(message)));
    call->args = args_of(message);
    call->job = message["job"].text_or("");
    call->labor = message["labor"].text_or("");
    call->job_name = message["job_name"].text_or("");
    call->labor_name = message["labor_name"].text_or("");
    call->target = message["target"].text_or("");
    call->real_user = message["real_user"].text_or("");
    call->attempt = message["attempt"].integer_or(1);
    call->check = message["check"].boolean_or(false);
    call->timeout = message["timeout"].number_or(0);
    if (message["outputs"].given()) {
      for (const Value& pair : message["outputs"].list()) {
        const auto& items = pair.list("an output");
        if (items.size() != 2) throw WrongType("an output should be a name and a value");
        call->outputs.emplace_back(items[0].text("the name of an output"), items[1]);
      }
    }
    const std::string name = message["cog"].text_or("");
    const Cog* cog = find(name);
    bool ending = false;
    {
      const std::lock_guard lock(mutex_);
      if (calls_.count(call->id_)) throw std::runtime_error("the id " + std::to_string(call->id_) + " is in flight already");
      ending = ending_;
      if (cog && !ending) {
        calls_[call->id_] = call;
        waiting_.push_back({call, cog, false});
        more_ = true;
      }
    }
    if (!cog) return answer(*call, failure_no_retries(unknown(name)));
    if (ending) answer(*call, failure("the process is ending"));
  }

  /// The call that is next, if there is a place for it.
  Ready next() {
    if (!more_) return {};
    const std::lock_guard lock(mutex_);
    if (waiting_.empty() || busy_ == places_) return {};
    ++busy_;
    Ready ready = std::move(waiting_.front());
    waiting_.pop_front();
    more_ = !waiting_.empty();
    ready.more = more_ && busy_ < places_;
    return ready;
  }
  void put_back(const Ready& ready) {
    const std::lock_guard lock(mutex_);
    --busy_;
    waiting_.push_front(ready);
    more_ = true;
  }
  /// With the lock held.
  void tell_if_over() {
    if (ending_ && calls_.empty() && checks_.empty() && !checking_) [[maybe_unused]]
      const auto written = ::write(waker_, "d", 1);
  }

  void run(Call& call, const Cog& cog) {
    Result result;
    try {
      const std::string misfit = cog.misfit(call.args);
      result = misfit.empty() ? cog.run_(call) : failure_no_retries(misfit);
      if (call.check && result.status == Status::SUCCESS && result.output.is_bool() && !result.output.boolean()) {
        result = failure("the check answered false", false);
      }
    } catch (const NoRetry& error) {
      result = failure_no_retries(error.what());
    } catch (const std::exception& error) {
      result = failure(error.what());
    } catch (...) {
      result = failure("an exception that is no std::exception");
    }
    answer(call, result);
    const std::lock_guard lock(mutex_);
    --busy_;
    calls_.erase(call.id_);
    tell_if_over();
  }

  void answer(const Call& call, const Result& result) {
    static constexpr const char* kWords[] = {"SUCCESS", "FAILURE", "FAILURE_NO_RETRIES"};  // by Status
    const auto send = [&](const Value& output) {
      Value::Map fields{{"status", kWords[static_cast<std::size_t>(result.status)]}};
      if (!output.is_nil()) fields.emplace_back("output", output);
      if (!result.error.empty()) {
        fields.emplace_back("error", shortened(result.error, kLargestLog));
      } else if (result.status != Status::SUCCESS) {
        fields.emplace_back("error", "a failure without a text");
      }
      Value::Map message{{"id", call.id_}};
      message.emplace_back("result", std::move(fields));
      channel_.send(std::move(message));
    };
    try {
      send(result.output);
    } catch (const std::length_error& error) {  // what was done is done, whether its output can be told or not
      send(std::string("(the output cannot be sent: ") + error.what() + ")");
    }
  }

  void check() {
    std::unique_lock lock(mutex_);
    while (true) {
      to_check_.wait(lock, [this] { return over_ || !checks_.empty(); });
      if (checks_.empty()) return;
      const Check one = std::move(checks_.front());
      checks_.pop_front();
      checking_ = true;
      lock.unlock();
      validate(one.id, *one.cog, one.args);
      lock.lock();
      checking_ = false;
      tell_if_over();
    }
  }

  void validate(std::int64_t id, const Cog& cog, const Value& args) {
    std::string problem;
    try {
      problem = cog.misfit(args);
      if (problem.empty() && cog.check_) problem = cog.check_(args);
    } catch (const std::exception& error) {
      problem = error.what();
      if (problem.empty()) problem = "validate failed";
    } catch (...) {
      problem = "validate threw an exception that is no std::exception";
    }
    if (problem.empty()) {
      channel_.send(Value::Map{{"id", id}, {"ok", nullptr}});
    } else {
      channel_.send(Value::Map{{"id", id}, {"error", shortened(problem, kLargestLog)}});
    }
  }

  /// One that still waits for a thread is answered at once.
  void cancel(std::int64_t id) {
    std::shared_ptr<Call> call;
    bool waited = false;
    {
      const std::lock_guard lock(mutex_);
      const auto found = calls_.find(id);
      if (found == calls_.end()) return;  // its result crossed the cancel
      call = found->second;
      const auto waiting = std::find_if(waiting_.begin(), waiting_.end(), [&](const Ready& ready) { return ready.call == call; });
      if ((waited = waiting != waiting_.end())) {
        waiting_.erase(waiting);
        more_ = !waiting_.empty();
      }
    }
    call->cancel();
    if (!waited) return;
    answer(*call, failure("cancelled before it began"));
    const std::lock_guard lock(mutex_);
    calls_.erase(id);
    tell_if_over();
  }

  void end() {
    std::vector<std::int64_t> ids;
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      for (const auto& [id, call] : calls_) ids.push_back(id);
    }
    for (const auto id : ids) cancel(id);
  }

  /// An empty name is that of the only one.
  const Cog* find(const std::string& name) const {
    if (name.empty()) return cogs_.size() == 1 ? &cogs_.front() : nullptr;
    const auto found = std::find_if(cogs_.begin(), cogs_.end(), [&](const Cog& cog) { return cog.name() == name; });
    return found == cogs_.end() ? nullptr : &*found;
  }
  std::string unknown(const std::string& name) const {
    std::string names;
    for (const Cog& cog : cogs_) names += (names.empty() ? "'" : ", '") + cog.name() + "'";
    if (name.empty()) return "the request names no Cog; there is " + names;
    return "there is no Cog '" + name + "' in this program, which holds " + names;
  }

  struct Check {
    std::int64_t id;
    const Cog* cog;
    Value args;
  };

  const int fd_;
  const std::deque<Cog>& cogs_;
  Channel channel_;
  const std::size_t places_;
  int wake_ = -1, waker_ = -1;                           // open until the process ends
  std::string buffer_;                                   // of the thread whose turn it is
  std::atomic<bool> more_{false};                        // something is in waiting_
  std::mutex mutex_;                                     // guards all that follows
  std::map<std::int64_t, std::shared_ptr<Call>> calls_;  // until they are answered
  std::deque<Ready> waiting_;                            // for a place, or a thread
  std::size_t busy_ = 0;
  bool ending_ = false;
  std::deque<Check> checks_;
  std::condition_variable to_check_;
  bool checking_ = false, over_ = false;
  Turns turns_;
};

}  // namespace detail

/// The Cogs of this program.
class Program {
 public:
  /// version: recorded with every attempt. Empty: the engine takes one from the file.
  explicit Program(std::string version = {}) : version_(std::move(version)) {}

  /// Adds a Cog: a name of one word, and what it does. It is called in several threads at once.
  Cog& cog(std::string name, Cog::Run run) {
    if (name.empty() || name.find_first_of(" \t\r\n") != name.npos)
      throw std::invalid_argument("a Cog's name is one word, not '" + name + "'");
    for (const Cog& other : cogs_)
      if (other.name() == name) throw std::invalid_argument("there are two Cogs '" + name + "'");
    return cogs_.emplace_back(std::move(name), std::move(run));
  }

  /// Serves the engine that started this program; returns main's exit status. Where the engine ends, so does the process, at once.
  /// SIGTERM cancels what runs. With no engine it explains itself on standard error; the status is then 2.
  int serve() {
    const int fd = engine_socket();
    if (fd < 0 || cogs_.empty()) return explain();
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);  // the engine is not for programs that a Cog starts
    ::unsetenv("COGWORK_COG_FD");
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // lines are for the log, as they come
    std::size_t concurrency = 0;
    for (const Cog& cog : cogs_) {
      const auto found = cog.fields_.find("concurrency");
      const auto own = found == cog.fields_.end() ? std::size_t{16} : static_cast<std::size_t>(found->second.integer());
      concurrency = concurrency ? std::min(concurrency, own) : own;
    }
    try {
      return detail::Server(fd, cogs_, concurrency).serve(version_);
    } catch (const std::exception& error) {  // no thread or descriptor is to be had
      std::fprintf(stderr, "cogwork: the Cogs cannot be served: %s\n", error.what());
      std::fflush(stderr);
      _exit(1);
    }
  }

 private:
  static int engine_socket() {
    const char* text = std::getenv("COGWORK_COG_FD");
    if (!text || !*text) return -1;
    char* end = nullptr;
    const long number = std::strtol(text, &end, 10);
    int kind = 0;
    socklen_t size = sizeof kind;
    if (*end || number < 0 || number > INT32_MAX) return -1;
    const int fd = static_cast<int>(number);
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &size) == 0 && kind == SOCK_STREAM ? fd : -1;
  }
  int explain() const {
    std::string text =
        "This program holds Cogs for cogwork, and does nothing by itself: an engine starts it, with a socket as the descriptor\n"
        "that the environment variable COGWORK_COG_FD names.\n\n";
    for (const Cog& cog : cogs_) {
      const auto found = cog.fields_.find("desc");
      text += "  " + cog.name() + (found == cog.fields_.end() ? "" : "  " + found->second.text()) + "\n";
    }
    if (cogs_.empty()) text += "It has no Cog yet.\n";
    std::fputs(text.c_str(), stderr);
    return 2;
  }

  std::string version_;
  std::deque<Cog> cogs_;
};

}  // namespace serving
}  // namespace cogwork
