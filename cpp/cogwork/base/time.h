#pragma once

#include <chrono>
#include <cstdint>

namespace cogwork {

/// A moment in UTC, to the microsecond (rule M2). The epoch itself stands for "never": see `never`.
using Time = std::chrono::sys_time<std::chrono::microseconds>;

/// A span of time, to the microsecond.
using Duration = std::chrono::microseconds;

inline constexpr Time never{};

constexpr bool is_set(Time t) { return t != never; }

constexpr std::int64_t to_micros(Time t) { return t.time_since_epoch().count(); }
constexpr Time from_micros(std::int64_t us) { return Time{Duration{us}}; }

}  // namespace cogwork
