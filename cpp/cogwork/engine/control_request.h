#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cogwork/base/id.h"
#include "cogwork/model/state.h"

namespace cogwork {

/// One request of a client: the fields of all of them, as each needs a few.
struct ControlRequest {
  std::int64_t id = -1;
  std::string op;
  std::string problem;  ///< What is wrong with one of its fields, which is as good as left out. Empty: nothing.

  Id object;
  std::optional<Signal> signal;
  Decision decision = Decision::NONE;
  bool interrupt = false;
  bool start = true;
  std::string by, note, name, document;
  std::vector<std::string> tags, cogs;  ///< Of a crisis; `name` is its prefix.
  bool lifted = false;
  std::string
      faults;  ///< Of a submit: what the client found wrong already, as msgpack: a list of [where, task, sequence, job, message].
  std::string
      expected;  ///< Of a submit: what the client takes the Labor's Cogs for, as msgpack: a map from names to [origin, digest].
  std::optional<std::uint64_t> since;
  std::int64_t of = -1;        ///< The request that this one is about.
  std::int64_t protocol = -1;  ///< hello
};

/// Nothing where the bytes are no request, since they name no id or op; `problem` says why.
std::optional<ControlRequest> read_request(std::string_view body, std::string& problem);

}  // namespace cogwork
