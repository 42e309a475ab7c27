#include "cogwork/base/backoff.h"

#include <algorithm>

namespace cogwork {

Duration Backoff::next() {
  const auto half = ceiling_ / 2;
  const auto delay = half + Duration(static_cast<std::int64_t>(random_.unit() * static_cast<double>(half.count())));
  ceiling_ = std::min(ceiling_ * 2, most_);
  return delay;
}

}  // namespace cogwork
