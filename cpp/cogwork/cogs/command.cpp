#include "cogwork/cogs/command.h"

#include <algorithm>
#include <cstring>

#include "cogwork/base/utf8.h"
#include "cogwork/cogs/json.h"
#include "cogwork/cogs/user_identity.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

constexpr std::size_t kLastLines = 10;  // of what it said, in an error
constexpr std::size_t kLastBytes = 2048;
constexpr std::size_t kLongestHeadline = 200;

bool contains(const std::vector<std::int64_t>& codes, int code) { return std::ranges::find(codes, code) != codes.end(); }

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

std::string ended_how(const ExitStatus& status) {
  if (!status.known && status.left) return "it could not be ended, not even by KILL";
  if (!status.known) {
    return "how it ended is not known: this process ignores SIGCHLD, or something in it waits for all children; leave SIGCHLD as "
           "it was";
  }
  if (!status.signalled) return "exit status " + std::to_string(status.number);
  const char* name = strsignal(status.number);
  return "ended by signal " + std::to_string(status.number) + (name ? " (" + std::string(name) + ")" : "");
}

/// The last line of a text that is trimmed.
std::string_view last_line(std::string_view text) {
  const auto before = text.rfind('\n');
  return before == text.npos ? text : text.substr(before + 1);
}

/// The last lines of a text that is trimmed.
std::string_view last_lines(std::string_view text) {
  std::size_t begin = text.size();
  for (std::size_t lines = 0; begin > 0 && lines < kLastLines && text.size() - begin < kLastBytes; ++lines) {
    const auto before = begin >= 2 ? text.rfind('\n', begin - 2) : text.npos;
    begin = before == text.npos ? 0 : before + 1;
  }
  auto end = text.substr(begin);
  if (end.size() > kLastBytes) end.remove_prefix(end.size() - kLastBytes);
  return end;
}

/// How it ended in one line, with the last line that it said, and below that what else it said last, on both streams. The whole is
/// in the log and in the output.
std::string failure_text(const std::string& how, std::string_view output, std::string_view errors) {
  const auto headline = last_line(errors.empty() ? output : errors);
  std::string text = how;
  if (!headline.empty()) text += ": " + std::string(cut_utf8(headline, kLongestHeadline));
  if (errors.find('\n') != errors.npos) text += "\nits error output ended:\n" + std::string(last_lines(errors));
  if (errors.empty() ? output.find('\n') != output.npos : !output.empty())
    text += "\nits output ended:\n" + std::string(last_lines(output));
  return repair_utf8(text);
}

/// What it printed as the Job's output, by `parse`. Nothing where it is not what that asks for; `problem` says why.
std::optional<FromJson> parsed(const Command& command, const Kept& output, std::string_view printed, std::string& problem) {
  WireWriter w;
  switch (command.parse) {
    case Command::Parse::TEXT: return FromJson{w.text(trimmed(printed)).take(), false};
    case Command::Parse::LINES: {
      const auto lines = lines_of(printed);
      w.array(lines.size());
      for (const auto line : lines) w.text(line);
      return FromJson{w.take(), false};
    }
    case Command::Parse::JSON: break;
  }
  if (!output.cut()) return json_to_msgpack(printed, problem);
  problem = "it is larger than output_limit (" + std::to_string(command.output_limit) + " bytes), and so is no whole JSON";
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

/// What a person should know of what it left behind.
void note_leftovers(Outcome& outcome, const ExitStatus& status, bool interrupted) {
  std::string note;
  if (!status.ended_too.empty() && !interrupted) {
    note = "cogwork: it ended and left processes running, which were ended with it (" + joined(status.ended_too) +
           "); what is to stay is started with setsid, or by what starts services";
  }
  if (status.left)
    note += (note.empty() ? "" : "\n") + std::string("cogwork: processes of it could not be ended, and may still run");
  if (note.empty()) return;
  outcome.log = Text(outcome.log.empty() ? note : outcome.log.str() + "\n" + note);
}

}  // namespace

Launch launch_of(const Command& command, const AttemptRequest& request, const Variables& ours) {
  Launch launch;
  if (command.argv.empty()) {
    launch.executable = "/bin/sh";
    launch.args = {"-c", command.shell};
  } else {
    launch.executable = command.argv[0];
    launch.args.assign(command.argv.begin() + 1, command.argv.end());
  }
  launch.cwd = command.cwd;
  launch.input = command.input;
  VariableChanges changes = {{"COGWORK_LABOR", request.job.labor().text()},
                             {"COGWORK_JOB", request.job.text()},
                             {"COGWORK_TARGET", request.target.str()},
                             {"COGWORK_ATTEMPT", std::to_string(request.number)}};
  for (const auto& [name, value] : command.env) changes[name] = value;
  launch.user = user_for(request.real_user.str());
  launch.environment = changed(launch.user ? login_environment(*launch.user, ours) : ours, changes);
  return launch;
}

Outcome outcome_of(const Command& command, const ExitStatus& status, bool interrupted, const Kept& output, const Kept& errors) {
  Outcome outcome;
  const auto printed = output.text();
  const auto complained = errors.text();
  outcome.log = Text(trimmed(complained));
  if (output.cut()) outcome.marks |= Attempt::CUT;
  const bool by_code = status.known && !status.signalled;
  if (by_code && contains(command.ok_codes, status.number)) {
    std::string problem;
    if (const auto value = parsed(command, output, printed, problem)) {
      outcome.status = AttemptStatus::SUCCESS;
      outcome.output = Text(value->value);
      if (value->repr) outcome.marks |= Attempt::REPR;
      note_leftovers(outcome, status, interrupted);
      return outcome;
    }
    outcome.error = Text("the output is not what parse=\"json\" asks for: " + problem);
  } else {
    outcome.error = Text(failure_text(ended_how(status), trimmed(printed), trimmed(complained)));
  }
  outcome.status =
      by_code && contains(command.no_retry_codes, status.number) ? AttemptStatus::FAILURE_NO_RETRIES : AttemptStatus::FAILURE;
  if (!printed.empty()) {
    WireWriter w;
    w.text(trimmed(printed));
    outcome.output = Text(w.take());
  }
  if (status.left) outcome.marks |= Attempt::STILL_RUNNING;  // X8a: another attempt would run beside it
  note_leftovers(outcome, status, interrupted);
  return outcome;
}

Outcome not_started(const std::string& why) {
  Outcome outcome;
  outcome.status = AttemptStatus::FAILURE;
  outcome.error = Text(why);
  return outcome;
}

Outcome not_started(const Error& why) {
  auto outcome = not_started(std::string(why.what()));
  if (dynamic_cast<const Unstartable*>(&why)) outcome.status = AttemptStatus::FAILURE_NO_RETRIES;
  return outcome;
}

}  // namespace cogwork
