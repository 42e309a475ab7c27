// Where an engine listens: addresses as text, folders that may be used, and sockets that somebody removes.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "cogwork/base/error.h"
#include "cogwork/engine/control_address.h"
#include "cogwork/engine/control_listener.h"
#include "cogwork/engine/control_path.h"
#include "storage/builders.h"
#include "support/engine_world.h"

namespace cogwork::test {
namespace {

namespace fs = std::filesystem;
using Kind = ControlAddress::Kind;

/// COGWORK_RUNTIME_DIR and XDG_RUNTIME_DIR as a test wants them.
class Place : public testing::Test {
 protected:
  Place() {
    setenv("COGWORK_RUNTIME_DIR", (folder / "run").c_str(), 1);
    unsetenv("XDG_RUNTIME_DIR");
  }
  ~Place() override { unsetenv("COGWORK_RUNTIME_DIR"); }

  static fs::perms mode(const std::string& path) { return fs::status(path).permissions(); }
  static std::string refusal(const std::string& path) {
    try {
      prepare_control_folder(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  static bool answers(const ControlAddress& address) {
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    const SocketName name(address);
    const bool connected = connect(fd, name.endpoint().data(), static_cast<socklen_t>(name.endpoint().size())) == 0;
    close(fd);
    return connected;
  }

  ScratchFolder folder;
};

TEST_F(Place, AnAddressIsTextAsDbusWritesIt) {
  EXPECT_EQ(address_text({Kind::PATH, "/run/user/0/cogwork/ab.sock"}), "unix:path=/run/user/0/cogwork/ab.sock");
  EXPECT_EQ(address_text({Kind::PATH, "/a b/\xff%\n=;"}), "unix:path=/a%20b/%ff%25%0a%3d%3b");
  EXPECT_EQ(address_text({Kind::ABSTRACT, "cogwork-ab"}), "unix:abstract=cogwork-ab");
  EXPECT_EQ(address_text({Kind::PATH, "/data/.cogwork-0/x"}, "/data"), "unix:path=.cogwork-0/x");
  EXPECT_EQ(address_text({Kind::PATH, "/database/x"}, "/data"), "unix:path=/database/x");
  EXPECT_EQ(address_text({Kind::PATH, "/x/y"}, "/"), "unix:path=x/y");
}

TEST_F(Place, APlaceFollowsFromTheStoresIdentityAndTheEnvironment) {
  setenv("XDG_RUNTIME_DIR", "/xdg/", 1);
  const auto uid = std::to_string(geteuid());
  const auto places = control_paths("sqlite 1 2", "/data");
  std::vector<std::string> folders;
  for (const auto& place : places) folders.push_back(fs::path(place.name).parent_path().string());
  ASSERT_GE(folders.size(), 5u);
  EXPECT_EQ(folders[0], folder / "run");
  EXPECT_EQ(folders[1], folder / "run/cogwork");
  EXPECT_EQ(folders[2], folder / ("run/cogwork-" + uid));
  EXPECT_EQ(folders[3], "/xdg/cogwork");
  EXPECT_EQ(folders[folders.size() - 2], "/tmp/cogwork-" + uid);
  EXPECT_EQ(folders.back(), "/data/.cogwork-" + uid);
  EXPECT_EQ(control_paths("sqlite 1 2")[0], places[0]);
  EXPECT_NE(control_paths("sqlite 1 3")[0], places[0]);
  setenv("COGWORK_RUNTIME_DIR", "relative", 1);
  EXPECT_EQ(control_paths("sqlite 1 2")[0].name.rfind("/xdg/", 0), 0u) << "what is no absolute path is no place";
  unsetenv("XDG_RUNTIME_DIR");
}

TEST_F(Place, AFolderThatOthersUseIsLeftAsItIs) {
  const std::string shared = folder / "shared", file = folder / "file", link = folder / "link", closed = folder / "closed";
  fs::create_directory(shared);
  for (const auto bits : {01777, 0755, 0710, 0701}) {
    ASSERT_EQ(chmod(shared.c_str(), static_cast<mode_t>(bits)), 0);
    EXPECT_NE(refusal(shared + "/x.sock").find("open to other users"), std::string::npos);
    EXPECT_EQ(mode(shared), fs::perms(bits));
  }
  EXPECT_EQ(refusal(closed + "/x.sock"), "");
  EXPECT_EQ(mode(closed), fs::perms(0700));
  EXPECT_EQ(refusal(closed + "/x.sock"), "") << "it is there already";
  fs::create_directory_symlink(closed, link);
  EXPECT_NE(refusal(link + "/x.sock"), "");
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_NE(refusal(file + "/x.sock"), "");
  EXPECT_NE(refusal(folder / "no/such/x.sock"), "");
}

TEST_F(Place, AnEngineMakesAFolderOfItsOwnInOneThatOthersUse) {
  const std::string shared = folder / "run";
  fs::create_directory(shared);
  ASSERT_EQ(chmod(shared.c_str(), 01777), 0);
  EngineWorld w(open_sqlite_store(folder / "labors.db", OpenMode::OWNER), {}, {});
  const auto path = w.engine->control().addresses.front().name;
  EXPECT_EQ(fs::path(path).parent_path(), folder / "run/cogwork");
  EXPECT_EQ(mode(shared), fs::perms(01777));
  EXPECT_EQ(mode(folder / "run/cogwork"), fs::perms(0700));
  EXPECT_NE(w.engine->control().passed_over.front().find("open to other users"), std::string::npos);
}

TEST_F(Place, TheOwnersRecordSaysWhereTheEngineListensAndThatItCloses) {
  const auto store = open_sqlite_store(folder / "labors.db", OpenMode::OWNER);
  EngineWorld w(store, {}, {});
  const auto& control = w.engine->control();
  auto seen = store->seen_owner();
  ASSERT_TRUE(seen);
  std::vector<std::string> told;
  for (const auto& address : control.addresses) told.push_back(address_text(address, store->folder()));
  EXPECT_EQ(seen->owner.listens, told);
  EXPECT_EQ(seen->owner.listens.front().rfind("unix:path=run/", 0), 0u) << "below the store's folder it is relative to that";
  EXPECT_EQ(seen->owner.silent, "");
  for (const auto& address : control.addresses) EXPECT_TRUE(answers(address)) << address_text(address);
  w.engine->close(Duration(0), true);
  EXPECT_EQ(store->seen_owner()->holds, OwnerSeen::Holds::NO);
}

TEST_F(Place, WithoutAnotherPlaceItIsBesideTheStoreWhateverThatPathsLengthIs) {
  const std::string deep = folder / (std::string(100, 'd') + "/" + std::string(100, 'e'));
  fs::create_directories(deep);
  boost::asio::io_context io;
  const auto address = control_paths("sqlite 1 2", deep).back();
  ASSERT_GT(address.name.size(), 200u);
  const auto listener = std::make_shared<ControlListener>(io, address, [](ControlListener::Protocol::socket) { return true; });
  listener->listen();
  EXPECT_TRUE(answers(address));
  EXPECT_EQ(mode(fs::path(address.name).parent_path()), fs::perms(0700));
  EXPECT_EQ(mode(address.name), fs::perms(0600));
  listener->close();
  EXPECT_TRUE(fs::is_empty(deep)) << "nothing is left beside the store";
}

TEST_F(Place, ASocketThatIsRemovedIsMadeAnewWhenSomebodyComesByTheAbstractOne) {
  EngineWorld w(open_sqlite_store(folder / "labors.db", OpenMode::OWNER), {}, {});
  const auto addresses = w.engine->control().addresses;
  ASSERT_EQ(addresses.size(), 2u);
  ASSERT_EQ(addresses[1].kind, Kind::ABSTRACT);
  fs::remove_all(folder / "run");
  EXPECT_FALSE(answers(addresses[0]));
  EXPECT_TRUE(answers(addresses[1]));
  for (int n = 0; n < 3000 && !answers(addresses[0]); ++n) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(answers(addresses[0]));
}

TEST_F(Place, ATakenNameOfAnAbstractSocketIsNoHindrance) {
  const auto store = open_sqlite_store(folder / "labors.db", OpenMode::OWNER);
  const int squatter = socket(AF_UNIX, SOCK_STREAM, 0);
  const SocketName name(abstract_control(store->identity()));
  ASSERT_EQ(bind(squatter, name.endpoint().data(), static_cast<socklen_t>(name.endpoint().size())), 0);
  EngineWorld w(store, {}, {});
  ASSERT_EQ(w.engine->control().addresses.size(), 2u);
  EXPECT_TRUE(answers(w.engine->control().addresses[1]));
  close(squatter);
}

TEST_F(Place, AStrangerMakesTheNextOneWaitAndNoMore) {
  boost::asio::io_context io;
  int came = 0;
  const auto listener =
      std::make_shared<ControlListener>(io, ControlAddress{Kind::ABSTRACT, "cogwork-test-" + std::to_string(getpid())},
                                        [&](ControlListener::Protocol::socket) { return ++came > 1; });
  listener->listen();
  listener->begin();
  std::thread clients([&] {
    for (int n = 0; n < 3; ++n) EXPECT_TRUE(answers(listener->address()));
  });
  while (came < 3) io.run_one();
  clients.join();
  listener->close();
  io.run();
}

}  // namespace
}  // namespace cogwork::test
