#include "cogwork/base/error.h"

namespace cogwork {
namespace {

std::string summary(const std::vector<Issue>& issues) {
  std::string text = "the Labor cannot be submitted, and nothing was stored:";
  for (const auto& issue : issues) {
    text += "\n  ";
    if (!issue.place.empty()) text += issue.place + ": ";
    text += issue.message;
    if (issue.count > 1) text += " (and " + std::to_string(issue.count - 1) + " more like it)";
  }
  return text;
}

}  // namespace

ValidationError::ValidationError(std::vector<Issue> issues) : Error(summary(issues)), issues_(std::move(issues)) {}

}  // namespace cogwork
