#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cogwork/machine/input.h"
#include "cogwork/model/change.h"
#include "cogwork/model/labor.h"

namespace cogwork {

/// X12: how many objects of each kind began, or ended, in a step.
struct Counts {
  std::int64_t executing[4] = {};  ///< By ObjectKind; a difference.
  std::uint64_t processed[4] = {};
};

/// What must be done after a step, in three groups that are carried out in this order:
///  1. to store: all of it in one commit;
///  2. at once: nothing of it lets anybody see, or anything start from, what is not durable yet;
///  3. once the commit is durable: D1-D4 hold because of this line alone.
struct Effects {
  // ---- 1. to store ----
  std::vector<ObjectRef> writes;  ///< Rows that changed; may name one twice.
  std::vector<Change> changes;    ///< History, in order; without numbers and Labor id, which the driver knows.

  // ---- 2. at once ----
  struct ReadyJob {
    std::uint32_t job = 0;
    bool check = false;
  };
  std::vector<ReadyJob> ready;             ///< Wants a worker: answered by Begin, sooner or later (X13).
  std::vector<std::uint32_t> handed;       ///< Call the Cog now.
  std::vector<std::uint32_t> interrupted;  ///< Ask the call of this Job to end; answered by Ended (G3a, X8a).
  std::vector<std::uint32_t> closed;       ///< The open attempt of this Job was closed: its worker is free.
  struct Refusal {
    Ticket ticket = 0;
    std::optional<Signal> signal;  ///< Nothing: a start, or a decision.
    State state = State::UNKNOWN;
    std::string message;
  };
  std::vector<Refusal> refusals;               ///< G2: not allowed for a Labor; R2: decided about what is not held.
  std::vector<Ticket> taken;                   ///< G1: signals that were taken; each is acknowledged in time.
  std::vector<std::uint32_t> ended_sequences;  ///< Nobody will ask for their args and outputs any more.
  Counts counts;

  // ---- 3. once durable ----
  struct Opened {
    std::uint32_t job = 0;
    std::uint32_t serial = 0;
  };
  std::vector<Opened> opened;  ///< Answered by Recorded.
  struct Acknowledged {
    Ticket ticket = 0;
    State state = State::UNKNOWN;
    bool applied = false;
  };
  std::vector<Acknowledged> acks;
  bool labor_ended = false;

  void clear();
  bool empty() const;
};

}  // namespace cogwork
