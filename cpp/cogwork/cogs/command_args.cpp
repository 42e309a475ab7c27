#include <algorithm>
#include <array>

#include "cogwork/cogs/command.h"
#include "cogwork/cogs/executable.h"
#include "cogwork/model/wire.h"

namespace cogwork {
namespace {

bool is_job_option(std::string_view key) {
  constexpr std::array<std::string_view, 7> kOptions = {"timeout",         "retries",      "retry_delay", "retry_backoff",
                                                        "retry_max_delay", "on_interrupt", "name"};
  return std::ranges::find(kOptions, key) != kOptions.end();
}

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
  bool text(std::string& into, const char* what = "a text");
  bool texts(std::vector<std::string>& into);
  bool codes(std::vector<std::int64_t>& into);
  bool environment(VariableChanges& into);

  WireReader reader_;
  std::string& problem_;
};

/// A text that goes to the operating system, which ends it at a zero byte.
bool ArgsReader::text(std::string& into, const char* what) {
  if (const auto value = reader_.text()) {
    into = *value;
    if (into.find('\0') == into.npos) return true;
    problem_ += "it holds a zero byte";
    return false;
  }
  expect(what);
  if (const auto number = reader_.number()) problem_ += "; did you mean '" + short_number(*number) + "'?";
  return false;
}

bool ArgsReader::texts(std::vector<std::string>& into) {
  const auto count = reader_.array();
  if (!count) {
    expect("a list of texts: the program and its arguments");
    if (const auto line = reader_.text()) problem_ += "; did you mean " + as_words(*line) + " or shell=" + quote(*line) + "?";
    return false;
  }
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

bool ArgsReader::environment(VariableChanges& into) {
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
  if (key == "shell") {
    const bool is_list = reader_.peek() == WireReader::Type::ARRAY;
    if (text(command.shell)) return true;
    if (is_list) problem_ += "; a list of words is given as argv";
    return false;
  }
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
             (is_job_option(key) ? "; that is an option of the Job: .replace(" + std::string(key) + "=...)"
                                 : "; it has argv or shell, cwd, env, stdin, ok_codes, no_retry_codes, output_limit, parse");
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
    if (std::ranges::find(command.ok_codes, code) != command.ok_codes.end()) {
      problem = "args: the exit code " + std::to_string(code) + " is in ok_codes and in no_retry_codes";
      return std::nullopt;
    }
  }
  return command;
}

}  // namespace cogwork
