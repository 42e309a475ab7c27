#pragma once

#include "cogwork/base/random.h"
#include "cogwork/base/time.h"

namespace cogwork {

/// Growing, random delays (D6): each is drawn evenly between half and the whole of a ceiling that doubles from
/// `first` to `most`. One thread.
class Backoff {
 public:
  Backoff(Duration first, Duration most, Random random) : first_(first), most_(most), ceiling_(first), random_(random) {}
  Duration next();
  void reset() { ceiling_ = first_; }

 private:
  Duration first_, most_, ceiling_;
  Random random_;
};

}  // namespace cogwork
