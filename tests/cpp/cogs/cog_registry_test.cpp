#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cogwork/base/error.h"
#include "cogwork/cogs/cog.h"

namespace cogwork {
namespace {

CogInfo cog(const std::string& name, const std::string& origin = "rollout:upgrade") {
  CogInfo info;
  info.name = name;
  info.origin = origin;
  return info;
}

TEST(CogRegistry, FindsWhatWasAdded) {
  CogRegistry registry;
  EXPECT_EQ(registry.find("upgrade"), nullptr);
  EXPECT_EQ(registry.defaults("upgrade"), nullptr);
  auto info = cog("upgrade");
  info.kind = CogKind::ASYNC;
  info.defaults.idempotent = true;
  info.defaults.options.retries = 3;
  registry.add(std::move(info));
  registry.add(cog("drain", "rollout:drain"));

  ASSERT_NE(registry.find("upgrade"), nullptr);
  EXPECT_EQ(registry.find("upgrade")->kind, CogKind::ASYNC);
  EXPECT_EQ(registry.defaults("upgrade")->options.retries, 3);
  EXPECT_TRUE(registry.defaults("upgrade")->idempotent);
  EXPECT_EQ(registry.names(), (std::vector<std::string>{"command", "drain", "upgrade"}));
}

TEST(CogRegistry, C1_TheSameFunctionAgainReplaces) {
  CogRegistry registry;
  registry.add(cog("upgrade"));
  const auto before = registry.find("upgrade");
  auto again = cog("upgrade");
  again.defaults.options.retries = 5;
  registry.add(std::move(again));
  EXPECT_EQ(registry.defaults("upgrade")->options.retries, 5);
  EXPECT_EQ(before->defaults.options.retries, -1) << "who holds the old one keeps it as it was";
  EXPECT_EQ(registry.names().size(), 2u);
}

TEST(CogRegistry, C1_AnotherFunctionUnderATakenNameIsRefusedNamingBoth) {
  CogRegistry registry;
  registry.add(cog("upgrade", "edge:upgrade"));
  try {
    registry.add(cog("upgrade", "core:Fleet.upgrade"));
    FAIL() << "was accepted";
  } catch (const CogError& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find("'upgrade'"), std::string::npos) << what;
    EXPECT_NE(what.find("edge:upgrade"), std::string::npos) << what;
    EXPECT_NE(what.find("core:Fleet.upgrade"), std::string::npos) << what;
  }
  EXPECT_EQ(registry.find("upgrade")->origin, "edge:upgrade");
}

TEST(CogRegistry, C1_ANameThatAProcessCogHoldsIsTaken) {
  CogRegistry registry;
  ProgramOptions options;
  options.path = {"./edge", "drain"};
  registry.set_program_options("drain", options);
  try {
    registry.add(cog("drain", "cogs:drain"));
    FAIL() << "the name is taken";
  } catch (const CogError& error) {
    EXPECT_NE(std::string(error.what()).find("./edge:drain"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("cogs:drain"), std::string::npos) << error.what();
  }
  EXPECT_EQ(registry.find("drain"), nullptr);
}

TEST(CogRegistry, X10_CountsCrashesUntilResetOrReplaced) {
  CogRegistry registry;
  registry.count_crash("upgrade");  // unknown: nothing to count
  EXPECT_EQ(registry.crashes("upgrade"), 0);
  registry.add(cog("upgrade"));
  registry.count_crash("upgrade");
  registry.count_crash("upgrade");
  EXPECT_EQ(registry.crashes("upgrade"), 2);
  registry.reset("upgrade");
  EXPECT_EQ(registry.crashes("upgrade"), 0);
  registry.count_crash("upgrade");
  registry.add(cog("upgrade"));
  EXPECT_EQ(registry.crashes("upgrade"), 0) << "a new version starts clean";
  registry.reset("nobody");
}

TEST(CogRegistry, ARefusedCogLeavesTheCrashesOfTheOther) {
  CogRegistry registry;
  registry.add(cog("upgrade", "a:f"));
  registry.count_crash("upgrade");
  EXPECT_THROW(registry.add(cog("upgrade", "b:f")), CogError);
  EXPECT_EQ(registry.crashes("upgrade"), 1);
}

TEST(CogRegistry, SuggestsWhatWasProbablyMeant) {
  CogRegistry registry;
  EXPECT_EQ(registry.suggestion("upgrade"), "");
  for (const auto* name : {"upgrade", "healthy", "drain", "restart_service"}) registry.add(cog(name, std::string("m:") + name));

  const auto meant = [](const std::string& name) { return " - did you mean '" + name + "'?"; };
  EXPECT_EQ(registry.suggestion("upgarde"), meant("upgrade"));  // two neighbours swapped
  EXPECT_EQ(registry.suggestion("upgrad"), meant("upgrade"));
  EXPECT_EQ(registry.suggestion("Upgrade"), meant("upgrade"));
  EXPECT_EQ(registry.suggestion("drian"), meant("drain"));
  EXPECT_EQ(registry.suggestion("restart-service"), meant("restart_service"));
  EXPECT_EQ(registry.suggestion("helthy"), meant("healthy"));
  EXPECT_EQ(registry.suggestion("reboot"), "");
  EXPECT_EQ(registry.suggestion("up"), "");
  EXPECT_EQ(registry.suggestion(""), "");
  EXPECT_EQ(registry.suggestion(std::string(100'000, 'x')), "");
}

TEST(CogRegistry, DefaultsStayValidWhileTheCogIsReplaced) {
  CogRegistry registry;
  registry.add(cog("upgrade"));
  const auto* held = registry.defaults("upgrade");
  std::atomic<bool> stop{false};
  std::atomic<int> sum{0};
  std::thread reader([&] {
    while (!stop) {
      sum = registry.defaults("upgrade")->options.retries + held->options.retries;
      registry.suggestion("upgrad");
      registry.crashes("upgrade");
    }
  });
  for (int i = 0; i < 500; ++i) {
    auto info = cog("upgrade");
    info.defaults.options.retries = i;
    registry.add(std::move(info));
    registry.count_crash("upgrade");
  }
  stop = true;
  reader.join();
  EXPECT_EQ(held->options.retries, -1);
  EXPECT_EQ(registry.defaults("upgrade")->options.retries, 499);
}

}  // namespace
}  // namespace cogwork
