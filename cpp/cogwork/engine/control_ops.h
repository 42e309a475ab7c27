#pragma once

#include <functional>
#include <string_view>

#include "cogwork/engine/control_reply.h"
#include "cogwork/engine/control_request.h"

namespace cogwork {

class ControlServer;
class ControlSession;
class Core;

/// A request of a client that is served: on the scheduler thread, between two steps of the core, so nothing here may wait.
struct Asked {
  ControlSession& session;
  ControlServer& server;
  Core& core;
  ControlRequest request;
  ControlReply reply;

  /// For what does not run here: goes on where one may wait for the store's reading. A client's requests of that kind are served one after another,
  /// on few threads: they hold up no others, and no other client's for as long as there is a thread. What `work` throws is the reply.
  void elsewhere(std::function<void(EngineHandle&, const ControlReply&)> work) const;
};

/// What serves requests of that name. Null: there is none. It replies, now or later; what it throws is the reply.
using ControlOp = void (*)(Asked&);
ControlOp control_op(std::string_view name);

}  // namespace cogwork
