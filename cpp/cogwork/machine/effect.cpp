#include "cogwork/machine/effect.h"

namespace cogwork {

void Effects::clear() {
  // Capacity is kept: one Effects serves a driver for all its steps.
  writes.clear();
  changes.clear();
  ready.clear();
  handed.clear();
  interrupted.clear();
  closed.clear();
  refusals.clear();
  taken.clear();
  ended_sequences.clear();
  counts = {};
  opened.clear();
  acks.clear();
  labor_ended = false;
}

bool Effects::empty() const {
  return writes.empty() && changes.empty() && ready.empty() && handed.empty() && interrupted.empty() && closed.empty() &&
         refusals.empty() && taken.empty() && ended_sequences.empty() && opened.empty() && acks.empty() && !labor_ended;
}

}  // namespace cogwork
