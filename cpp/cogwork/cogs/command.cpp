#include "cogwork/cogs/command.h"

#include <algorithm>
#include <boost/json/src.hpp>
#include <cstring>
#include <set>

#include "cogwork/base/utf8.h"
#include "cogwork/model/wire.h"
#include "cogwork/model/wire_writer.h"

namespace cogwork {
namespace {

// ---- args ----

/// Reads one field; says what it should have been where it is something else.
class ArgsReader {
 public:
  ArgsReader(std::string_view args, std::string& problem) : reader_(args), problem_(problem) {}

  bool fields(Command& command);

 private:
  bool field(std::string_view key, Command& command);
  bool expect(const char* what) {
    problem_ += "expected " + std::string(what) + ", got " + reader_.describe();
    return false;
  }
  static bool has_zero(std::string_view text) { return text.find('\0') != text.npos; }
  /// A text that goes to the operating system, which ends it at a zero byte.
  bool text(std::string& into, const char* what = "a text") {
    const auto value = reader_.text();
    if (!value) return expect(what);
    if (has_zero(*value)) {
      problem_ += "it holds a zero byte";
      return false;
    }
    into = *value;
    return true;
  }
  bool texts(std::vector<std::string>& into);
  bool codes(std::vector<std::int64_t>& into);
  bool environment(std::map<std::string, std::optional<std::string>, std::less<>>& into);

  WireReader reader_;
  std::string& problem_;
};

bool ArgsReader::texts(std::vector<std::string>& into) {
  const auto count = reader_.array();
  if (!count) return expect("a list of texts: the program and its arguments");
  for (std::uint32_t i = 0; i < *count; ++i) {
    if (!text(into.emplace_back())) return false;
  }
  return true;
}

bool ArgsReader::codes(std::vector<std::int64_t>& into) {
  const auto count = reader_.array();
  if (!count) return expect("a list of exit codes");
  into.clear();
  for (std::uint32_t i = 0; i < *count; ++i) {
    const auto code = reader_.integer();
    if (!code || *code < 0 || *code > 255) return expect("an exit code from 0 to 255");
    into.push_back(*code);
  }
  return true;
}

bool ArgsReader::environment(std::map<std::string, std::optional<std::string>, std::less<>>& into) {
  const auto pairs = reader_.map();
  if (!pairs) return expect("names and texts");
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    std::string name;
    if (!text(name, "a name")) return false;
    if (name.empty() || name.find('=') != name.npos) {
      problem_ += quote(name) + " cannot be a variable's name";
      return false;
    }
    auto& value = into[name];
    if (reader_.nil()) continue;
    if (!text(value.emplace(), "a text, or None to take the variable away")) return false;
  }
  return true;
}

bool ArgsReader::field(std::string_view key, Command& command) {
  if (key == "argv") return texts(command.argv);
  if (key == "shell") return text(command.shell);
  if (key == "cwd") return text(command.cwd);
  if (key == "env") return environment(command.env);
  if (key == "ok_codes") return codes(command.ok_codes);
  if (key == "no_retry_codes") return codes(command.no_retry_codes);
  if (key == "stdin") {
    auto value = reader_.text();
    if (!value) value = reader_.bin();
    if (!value) return expect("a text or bytes");
    command.input = *value;
    return true;
  }
  if (key == "output_limit") {
    const auto value = reader_.integer();
    if (!value || *value < 1 || *value > Command::kLargestLimit) return expect("a number of bytes from 1 to 1 GiB");
    command.output_limit = *value;
    return true;
  }
  if (key == "parse") {
    const auto value = reader_.text();
    if (value == "text")
      command.parse = Command::Parse::TEXT;
    else if (value == "json")
      command.parse = Command::Parse::JSON;
    else if (value == "lines")
      command.parse = Command::Parse::LINES;
    else {
      problem_ += "expected 'text', 'json' or 'lines'" + (value ? ", got " + quote(*value) : "");
      return false;
    }
    return true;
  }
  problem_ = "args: a command has no " + quote(key) +
             "; it has argv or shell, cwd, env, stdin, ok_codes, no_retry_codes, output_limit, parse";
  return false;
}

bool ArgsReader::fields(Command& command) {
  const auto pairs = reader_.map();
  if (!pairs) {
    problem_ = "args: expected names and values, got " + reader_.describe();
    return false;
  }
  for (std::uint32_t i = 0; i < *pairs; ++i) {
    const auto key = reader_.text();
    if (!key) {
      problem_ = "args: expected a name, got " + reader_.describe();
      return false;
    }
    if (reader_.nil()) continue;
    problem_ = "args: " + quote(*key) + ": ";
    if (!field(*key, command)) return false;
  }
  problem_.clear();
  return true;
}

bool contains(const std::vector<std::int64_t>& codes, int code) { return std::ranges::find(codes, code) != codes.end(); }

// ---- what was printed ----

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

void write_json(WireWriter& w, const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null: w.nil(); break;
    case boost::json::kind::bool_: w.boolean(value.get_bool()); break;
    case boost::json::kind::int64: w.integer(value.get_int64()); break;
    case boost::json::kind::uint64: w.unsigned_integer(value.get_uint64()); break;
    case boost::json::kind::double_: w.number(value.get_double()); break;
    case boost::json::kind::string: w.text(std::string_view(value.get_string())); break;
    case boost::json::kind::array:
      w.array(value.get_array().size());
      for (const auto& item : value.get_array()) write_json(w, item);
      break;
    case boost::json::kind::object:
      w.map(value.get_object().size());
      for (const auto& pair : value.get_object()) {
        w.text(std::string_view(pair.key()));
        write_json(w, pair.value());
      }
      break;
  }
}

std::string ended_how(ExitStatus status) {
  if (!status.known) {
    return "how it ended is not known: this process ignores SIGCHLD, or something in it waits for all children; leave SIGCHLD as "
           "it was";
  }
  if (!status.signalled) return "exit status " + std::to_string(status.number);
  const char* name = strsignal(status.number);
  return "ended by signal " + std::to_string(status.number) + (name ? " (" + std::string(name) + ")" : "");
}

}  // namespace

std::optional<Command> read_command(std::string_view args, std::string& problem) {
  Command command;
  if (!is_msgpack(args)) {
    problem = "args: they are no msgpack";
    return std::nullopt;
  }
  if (!ArgsReader(args, problem).fields(command)) return std::nullopt;
  if (command.argv.empty() == command.shell.empty()) {
    problem = command.argv.empty() ? "args: a command needs argv=[program, ...] or shell='...'"
                                   : "args: a command has argv or shell, not both";
    return std::nullopt;
  }
  if (!command.argv.empty() && command.argv[0].empty()) {
    problem = "args: the name of the program is empty";
    return std::nullopt;
  }
  for (const auto code : command.no_retry_codes) {
    if (contains(command.ok_codes, static_cast<int>(code))) {
      problem = "args: the exit code " + std::to_string(code) + " is in ok_codes and in no_retry_codes";
      return std::nullopt;
    }
  }
  return command;
}

Launch launch_of(const Command& command, const AttemptRequest& request) {
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
  std::map<std::string, std::optional<std::string>, std::less<>> variables = {{"COGWORK_LABOR", request.job.labor().text()},
                                                                              {"COGWORK_JOB", request.job.text()},
                                                                              {"COGWORK_TARGET", request.target.str()},
                                                                              {"COGWORK_ATTEMPT", std::to_string(request.number)}};
  if (!request.real_user.empty()) {
    launch.user = find_user(request.real_user.str());
    if (launch.user) {
      variables["USER"] = variables["LOGNAME"] = launch.user->name;
      variables["HOME"] = launch.user->home;
      variables["SHELL"] = launch.user->shell;
    }
  }
  for (const auto& [name, value] : command.env) variables[name] = value;
  launch.environment = environment_with(variables);
  return launch;
}

void Kept::add(std::string_view bytes) {
  // The first three quarters of the room are for the beginning, the rest for the end.
  const auto head_room = limit_ - limit_ / 4;
  const auto first = std::min(bytes.size(), head_room > head_.size() ? head_room - head_.size() : 0);
  head_ += bytes.substr(0, first);
  bytes.remove_prefix(first);
  const auto room = limit_ - head_room;
  if (bytes.size() > room) {
    dropped_ += bytes.size() - room;
    bytes.remove_prefix(bytes.size() - room);
  }
  const auto grow = std::min(bytes.size(), room - tail_.size());
  tail_ += bytes.substr(0, grow);
  bytes.remove_prefix(grow);
  for (const char c : bytes) {
    tail_[tail_at_] = c;
    tail_at_ = (tail_at_ + 1) % room;
    ++dropped_;
  }
}

std::string Kept::text() const {
  std::string end = tail_.substr(tail_at_) + tail_.substr(0, tail_at_);
  if (dropped_ == 0) return repair_utf8(head_ + end);
  // Characters that were cut in two go.
  auto head = head_;
  for (int i = 0; i < 3 && !head.empty() && !is_utf8(head); ++i) head.pop_back();
  for (int i = 0; i < 3 && !end.empty() && !is_utf8(end); ++i) end.erase(0, 1);
  return repair_utf8(is_utf8(head) ? head : head_) + "\n[... " + std::to_string(dropped_) + " bytes are left out ...]\n" +
         repair_utf8(end);
}

Outcome outcome_of(const Command& command, ExitStatus status, bool left, const Kept& output, const Kept& errors) {
  Outcome outcome;
  const auto printed = output.text();
  const auto complained = errors.text();
  outcome.log = Text(trimmed(complained));
  const bool ok = status.known && !status.signalled && contains(command.ok_codes, status.number);
  if (ok) {
    WireWriter w;
    std::string problem;
    switch (command.parse) {
      case Command::Parse::TEXT: w.text(trimmed(printed)); break;
      case Command::Parse::LINES: {
        const auto lines = lines_of(printed);
        w.array(lines.size());
        for (const auto line : lines) w.text(line);
        break;
      }
      case Command::Parse::JSON:
        if (output.cut()) {
          problem = "its output is larger than output_limit (" + std::to_string(command.output_limit) +
                    " bytes), and so is no whole JSON";
        } else if (const auto value = json_to_msgpack(printed, problem)) {
          w.raw(*value);
        }
        break;
    }
    if (problem.empty()) {
      outcome.status = AttemptStatus::SUCCESS;
      outcome.output = Text(w.take());
      if (output.cut()) outcome.marks |= Attempt::CUT;
      if (left) outcome.log = Text(std::string(trimmed(complained)) + "\nprocesses that it left could not be ended");
      return outcome;
    }
    outcome.status = AttemptStatus::FAILURE;
    outcome.error = Text("the output is not what parse=\"json\" asks for: " + problem);
    return outcome;
  }
  outcome.status = status.known && !status.signalled && contains(command.no_retry_codes, status.number)
                       ? AttemptStatus::FAILURE_NO_RETRIES
                       : AttemptStatus::FAILURE;
  std::string error = ended_how(status);
  if (left) error += "; processes of its group could not be ended, and may still run";
  const auto said = trimmed(complained.empty() ? std::string_view(printed) : std::string_view(complained));
  if (!said.empty()) error = std::string(said) + "\n" + error;
  outcome.error = Text(error);
  if (!printed.empty()) {
    WireWriter w;
    w.text(trimmed(printed));
    outcome.output = Text(w.take());
  }
  return outcome;
}

Outcome not_started(const std::string& why) {
  Outcome outcome;
  outcome.status = AttemptStatus::FAILURE;
  outcome.error = Text(why);
  return outcome;
}

std::optional<std::string> json_to_msgpack(std::string_view json, std::string& problem) {
  boost::system::error_code error;
  boost::json::parse_options options;
  options.max_depth = 200;
  boost::json::stream_parser parser({}, options);
  const auto at = parser.write_some(json, error);
  if (!error && at < json.size()) {
    const auto rest = json.substr(at);
    if (rest.find_first_not_of(" \t\r\n") != rest.npos) error = boost::json::make_error_code(boost::json::error::extra_data);
  }
  if (!error) parser.finish(error);
  if (error) {
    problem = error.message() + " at byte " + std::to_string(at);
    return std::nullopt;
  }
  WireWriter w;
  write_json(w, parser.release());
  return w.take();
}

}  // namespace cogwork
