#include "cogwork/storage/stores.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "cogwork/base/error.h"
#include "cogwork/base/suggest.h"

namespace cogwork {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// What a store may be called: a word of two letters and more. One letter would be a drive ("C:\labors.db").
bool is_store_name(std::string_view name) {
  return name.size() >= 2 && is_letter(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
           return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}

class Registry {
 public:
  static Registry& instance() {
    static Registry registry;
    return registry;
  }

  void add(const std::string& name, StoreFactory factory) {
    const std::lock_guard lock(mutex_);
    if (!factories_.emplace(name, std::move(factory)).second) {
      throw Error("a store called '" + name + "' is registered already; give yours another name");
    }
  }

  StoreFactory find(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto it = factories_.find(name);
    return it == factories_.end() ? nullptr : it->second;
  }

  std::vector<std::string> names() {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, factory] : factories_) names.push_back(name);
    return names;
  }

 private:
  Registry() {
    factories_["memory"] = [](const std::string& where, OpenMode) {
      if (!where.empty()) {
        throw StorageError("a memory store keeps nothing and has no place: write 'memory:', not 'memory:" + where + "'", false);
      }
      return make_memory_store();
    };
    factories_["sqlite"] = [](const std::string& where, OpenMode mode) { return open_sqlite_store(where, mode); };
  }

  std::mutex mutex_;
  std::map<std::string, StoreFactory> factories_;
};

std::string unknown_store(std::string_view name, std::string_view spec) {
  const auto names = registered_stores();
  std::string text = "there is no store called '" + std::string(name) + "'";
  std::vector<std::string> specs;
  specs.reserve(names.size());
  for (const auto& known : names) specs.push_back(known + ":");
  text += did_you_mean(std::string(name) + ":", std::vector<std::string_view>(specs.begin(), specs.end()));
  text += " Registered:";
  for (const auto& known : names) text += " " + known;
  text += ". A file of that name is './" + std::string(spec) + "'.";
  return text;
}

}  // namespace

void register_store(const std::string& name, StoreFactory factory) {
  if (!is_store_name(name)) {
    throw Error("'" + name + "' cannot name a store: letters, digits, '_' and '-', a letter first, two characters at least");
  }
  if (!factory) throw Error("the store '" + name + "' was registered without a factory");
  Registry::instance().add(name, std::move(factory));
}

std::vector<std::string> registered_stores() { return Registry::instance().names(); }

std::shared_ptr<Storage> open_store(const std::string& spec, OpenMode mode) {
  if (spec == ":memory:") return open_store("memory:", mode);  // as SQLite itself spells it
  const auto colon = spec.find(':');
  // What stands before a colon names a store only where it could be a name: "./a:b", "12:30.db", "C:\x" are paths.
  if (colon == std::string::npos || !is_store_name(std::string_view(spec).substr(0, colon))) return open_sqlite_store(spec, mode);
  const auto name = spec.substr(0, colon);
  const auto factory = Registry::instance().find(name);
  if (!factory) throw StorageError(unknown_store(name, spec), false);
  auto store = factory(spec.substr(colon + 1), mode);
  if (!store) throw StorageError("the store '" + name + "' opened nothing for '" + spec + "'", false);
  return store;
}

}  // namespace cogwork
