// A process Cog in C++: it brings a package into the folder of a service, in pieces and at a stroke, and looks at it for a while.
#include <cogwork/serve.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace fs = std::filesystem;

namespace {

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file || !bytes) throw std::runtime_error("cannot read " + path.string());
  return bytes.str();
}

/// False: it was cancelled, and what stood there before stands there still.
bool install(cogwork::Call& call, const std::string& package, const fs::path& place) {
  constexpr std::size_t kPiece = std::size_t{256} * 1024;
  const fs::path beside = place.string() + "." + call.job + ".new";
  std::ofstream file(beside, std::ios::binary | std::ios::trunc);
  for (std::size_t at = 0; at < package.size() && !call.cancelled(); at += kPiece) {
    file.write(package.data() + at, static_cast<std::streamsize>(std::min(kPiece, package.size() - at)));
    call.progress(static_cast<double>(at) / static_cast<double>(package.size()), "copying");
  }
  file.close();
  if (call.cancelled() || !file) {
    fs::remove(beside);
    if (!file) throw std::runtime_error("cannot write " + beside.string());
    return false;
  }
  fs::rename(beside, place);
  return true;
}

cogwork::Result upgrade(cogwork::Call& call) {
  const fs::path package = call.args["package"].text();
  const fs::path place = fs::path(call.args["folder"].text()) / package.filename();
  const std::string wanted = contents(package);
  if (fs::exists(place) && contents(place) == wanted) {
    call.log(place.string() + " is as it should be");
  } else {
    if (!install(call, wanted, place)) return cogwork::failure("cancelled; nothing was changed");
    call.log("wrote " + std::to_string(wanted.size()) + " bytes to " + place.string());
  }
  call.progress(1, "watching");
  if (!call.sleep(call.args["settle"].number_or(0))) return cogwork::failure("cancelled while it was being watched");
  if (contents(place) != wanted) return cogwork::failure(place.string() + " was changed by somebody else");
  return cogwork::success(cogwork::Value::Map{{"path", place.string()}, {"bytes", wanted.size()}});
}

cogwork::Result show(cogwork::Call& call) { return cogwork::success(contents(call.args["path"].text())); }

}  // namespace

int main() {
  cogwork::Program program("2.1");
  program.cog("upgrade", upgrade)
      .description("Brings a package into a folder")
      .tags({"files"})
      .arg("package", cogwork::Kind::TEXT, "the file that is copied")
      .arg("folder", cogwork::Kind::TEXT, "where to; it is there already")
      .optional_arg("settle", cogwork::Kind::NUMBER, "seconds that it is watched before it counts")
      .validate([](const cogwork::Value& args) -> std::string {
        if (args["settle"].number_or(0) < 0) return "settle is " + args["settle"].value().describe() + ", and should be 0 or more";
        return fs::path(args["package"].text()).has_filename() ? "" : "package names no file";
      })
      .idempotent()
      .timeout(60)
      .retries(1);
  program.cog("show", show).description("The contents of a file").arg("path", cogwork::Kind::TEXT).idempotent().timeout(5);
  return program.serve();
}
