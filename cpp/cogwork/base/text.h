#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace cogwork {

/// An immutable string of bytes in eight bytes of handle: null when empty, else a shared, counted buffer.
/// A Labor of a million Jobs holds millions of short strings, most of them equal to their neighbours; a Text is
/// copied by counting, and an Interner lets equal ones share. Holds text (names) and msgpack (args, outputs) alike.
/// Distinct handles may be used from several threads.
class Text {
 public:
  Text() = default;
  Text(std::string_view s) : rep_(s.empty() ? nullptr : Rep::make(s)) {}  // NOLINT: strings are texts
  Text(const char* s) : Text(std::string_view(s)) {}                      // NOLINT
  Text(const std::string& s) : Text(std::string_view(s)) {}               // NOLINT
  Text(const Text& o) noexcept : rep_(o.rep_) {
    if (rep_) rep_->count.fetch_add(1, std::memory_order_relaxed);
  }
  Text(Text&& o) noexcept : rep_(std::exchange(o.rep_, nullptr)) {}
  Text& operator=(Text o) noexcept {
    std::swap(rep_, o.rep_);
    return *this;
  }
  ~Text() {
    if (rep_ && rep_->count.fetch_sub(1, std::memory_order_acq_rel) == 1) ::operator delete(rep_);
  }

  std::string_view view() const { return rep_ ? std::string_view(rep_->chars(), rep_->size) : std::string_view(); }
  operator std::string_view() const { return view(); }  // NOLINT: a Text is read as a view
  std::string str() const { return std::string(view()); }
  bool empty() const { return rep_ == nullptr; }
  std::size_t size() const { return rep_ ? rep_->size : 0; }
  const char* data() const { return view().data(); }

  friend bool operator==(const Text& a, const Text& b) { return a.rep_ == b.rep_ || a.view() == b.view(); }
  friend bool operator==(const Text& a, std::string_view b) { return a.view() == b; }
  friend bool operator==(const Text& a, const std::string& b) { return a.view() == b; }
  friend bool operator==(const Text& a, const char* b) { return a.view() == std::string_view(b); }
  friend auto operator<=>(const Text& a, const Text& b) { return a.view() <=> b.view(); }

 private:
  struct Rep {
    std::atomic<std::uint32_t> count{1};
    std::uint32_t size = 0;
    char* chars() { return reinterpret_cast<char*>(this + 1); }
    static Rep* make(std::string_view s) {
      if (s.size() > UINT32_MAX) throw std::length_error("a Text holds less than 4 GiB");
      auto* rep = new (::operator new(sizeof(Rep) + s.size())) Rep;
      rep->size = static_cast<std::uint32_t>(s.size());
      std::memcpy(rep->chars(), s.data(), s.size());
      return rep;
    }
  };
  Rep* rep_ = nullptr;
};

/// Makes equal Texts share one buffer. One thread; keeps what it has seen alive for as long as it lives.
class Interner {
 public:
  Text operator()(std::string_view s) {
    if (s.empty()) return {};
    if (auto it = seen_.find(s); it != seen_.end()) return *it;
    return *seen_.emplace(s).first;
  }
  /// How many different texts it has seen.
  std::size_t size() const { return seen_.size(); }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
    std::size_t operator()(const Text& t) const { return (*this)(t.view()); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };
  std::unordered_set<Text, Hash, Equal> seen_;
};

}  // namespace cogwork

template <>
struct std::hash<cogwork::Text> {
  std::size_t operator()(const cogwork::Text& t) const { return std::hash<std::string_view>{}(t.view()); }
};
