#include "cogwork/storage/owner.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <fstream>
#include <utility>

namespace cogwork {
namespace {

constexpr std::size_t kLongest = 512;

/// "2025-06-01 10:02:33 UTC".
std::string in_words(Time t) {
  const auto seconds = static_cast<std::time_t>(std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count());
  std::tm parts{};
  if (gmtime_r(&seconds, &parts) == nullptr) return "an unknown time";
  char text[64];
  const auto size = std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return {text, size};
}

/// Text that somebody else may have written goes to terminals: what a terminal would obey is replaced, and so is what would end a line.
std::string harmless(std::string_view text) {
  std::string kept(text.substr(0, kLongest));
  bool after_c2 = false;
  for (auto& c : kept) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (after_c2 && byte < 0xa0)) c = ' ';  // the last: U+0080 to U+009F
    after_c2 = byte == 0xc2;
  }
  return kept;
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "mnt:[4026531841] net:[...]"; empty where the system has none.
std::string own_namespaces() {
  std::string all;
  for (const char* kind : {"mnt", "net", "pid", "user"}) {
    std::array<char, 64> name;
    const auto size = readlink((std::string("/proc/self/ns/") + kind).c_str(), name.data(), name.size());
    if (size > 0) all += (all.empty() ? "" : " ") + std::string(name.data(), static_cast<std::size_t>(size));
  }
  return all;
}

/// "pid:[4026531836]" of "mnt:[...] pid:[4026531836]".
std::string_view namespace_of(const Owner& owner, std::string_view kind) {
  const std::string_view all = owner.namespaces;
  const auto at = all.find(kind);
  return at == all.npos ? std::string_view() : all.substr(at, std::min(all.find(' ', at), all.size()) - at);
}

std::int64_t number(std::string_view value) {
  std::int64_t n = 0;
  std::from_chars(value.data(), value.data() + value.size(), n);
  return n;
}

}  // namespace

Owner this_process(std::string user, std::string program, Time now) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  Owner owner{getpid(), host, std::move(user), std::move(program), now};
  owner.uid = geteuid();
  owner.boot = first_line("/proc/sys/kernel/random/boot_id");
  owner.namespaces = own_namespaces();
  return owner;
}

std::string owner_text(const Owner& owner) {
  std::string text;
  const auto line = [&text](const char* name, std::string_view value) {
    text += std::string(name) + ": " + harmless(value) + "\n";
  };
  line("pid", std::to_string(owner.pid));
  line("host", owner.host);
  line("user", owner.user);
  line("program", owner.program);
  if (!owner.version.empty()) line("version", owner.version);
  line("since", std::to_string(to_micros(owner.since)));
  if (owner.brief) line("brief", "yes");
  if (owner.marked) line("marked", "yes");
  if (owner.uid >= 0) line("uid", std::to_string(owner.uid));
  if (!owner.boot.empty()) line("boot", owner.boot);
  if (!owner.namespaces.empty()) line("namespaces", owner.namespaces);
  for (const auto& address : owner.listens) line("listens", address);
  if (!owner.silent.empty()) line("silent", owner.silent);
  return text;
}

Owner read_owner(std::string_view text) {
  Owner owner;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto colon = line.find(": ");
    if (colon == line.npos) continue;
    const auto name = line.substr(0, colon);
    const auto value = harmless(line.substr(colon + 2));
    if (name == "pid") owner.pid = number(value);
    if (name == "host") owner.host = value;
    if (name == "user") owner.user = value;
    if (name == "program") owner.program = value;
    if (name == "version") owner.version = value;
    if (name == "since") owner.since = from_micros(number(value));
    if (name == "brief") owner.brief = true;
    if (name == "marked") owner.marked = true;
    if (name == "uid") owner.uid = number(value);
    if (name == "boot") owner.boot = value;
    if (name == "namespaces") owner.namespaces = value;
    if (name == "listens") owner.listens.push_back(value);
    if (name == "silent") owner.silent = value;
  }
  return owner;
}

bool shares_pids(const Owner& one, const Owner& other) {
  if (one.boot.empty() || other.boot.empty()) return one.host == other.host;
  return one.boot == other.boot && namespace_of(one, "pid:") == namespace_of(other, "pid:");
}

std::string in_use_message(std::string_view store, const Owner& owner) {
  std::string text(store);
  text += " is in use by ";
  text += owner.program.empty() ? "an engine" : owner.program;
  if (owner.pid > 0) text += ", process " + std::to_string(owner.pid);
  if (!owner.user.empty()) text += ", of " + owner.user;
  if (!owner.host.empty()) text += ", on " + owner.host;
  if (is_set(owner.since)) text += ", since " + in_words(owner.since);
  text +=
      "; one engine at a time owns a store. Close that one first, or work through it with cogwork.connect (reading needs neither).";
  return text;
}

}  // namespace cogwork
