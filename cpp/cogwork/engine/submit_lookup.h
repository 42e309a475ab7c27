#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "cogwork/cogs/process_executor.h"
#include "cogwork/model/validate.h"

namespace cogwork {

/// Who knows the Cogs of a Labor that is submitted: the registry, and behind it programs, one of which may not have been loaded yet. It waits for
/// them, and calls `look` meanwhile, which may throw.
class SubmitLookup final : public CogLookup {
 public:
  SubmitLookup(const CogRegistry& cogs, ProcessExecutor& programs, std::string real_user, std::function<void()> look)
      : cogs_(cogs), programs_(programs), real_user_(std::move(real_user)), look_(std::move(look)) {}

  const CogDefaults* defaults(std::string_view path) const override;
  std::string suggestion(std::string_view path) const override { return cogs_.suggestion(path); }
  std::string why_unknown(std::string_view path) const override;
  bool checks_args(std::string_view path) const override { return cogs_.program_of(path) || cogs_.checks_args(path); }
  std::string args_problem(std::string_view path, std::string_view args, std::string_view real_user) const override;

 private:
  const CogRegistry& cogs_;
  ProcessExecutor& programs_;
  const std::string real_user_;
  const std::function<void()> look_;
  mutable std::map<std::string, std::string, std::less<>> loaded_;  // and why not
};

}  // namespace cogwork
