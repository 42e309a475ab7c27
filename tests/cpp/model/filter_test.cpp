#include "cogwork/model/filter.h"

#include <gtest/gtest.h>

namespace cogwork {
namespace {

Labor edge() {
  Labor labor;
  labor.name = "edge upgrade 2.1";
  labor.state = State::RUNNING;
  labor.tags = {"edge", "core"};
  labor.submitted = from_micros(1000);
  labor.sequences.resize(2);
  labor.sequences[0].target = "edge-1";
  labor.sequences[1].target = "edge-2";
  labor.jobs.resize(2);
  labor.jobs[0].cog_path = "healthy";
  labor.jobs[0].kind = JobKind::PRE_CHECK;
  labor.jobs[1].cog_path = "upgrade";
  return labor;
}

bool passes(auto set) {
  LaborFilter filter;
  set(filter);
  return matches(filter, edge());
}

TEST(Filter, T3_AnEmptyOneLetsAllPass) {
  EXPECT_TRUE(matches({}, edge()));
  EXPECT_TRUE(matches({}, Labor{}));
}

TEST(Filter, T3_EachKind) {
  EXPECT_TRUE(passes([](auto& f) { f.states = {State::FAILED, State::RUNNING}; }));
  EXPECT_FALSE(passes([](auto& f) { f.states = {State::FAILED}; }));
  EXPECT_TRUE(passes([](auto& f) { f.name_prefix = "edge up"; }));
  EXPECT_FALSE(passes([](auto& f) { f.name_prefix = "Edge"; })) << "case-sensitive";
  EXPECT_FALSE(passes([](auto& f) { f.name_prefix = "e%"; })) << "literal";
  EXPECT_TRUE(passes([](auto& f) { f.name_suffix = "2.1"; }));
  EXPECT_FALSE(passes([](auto& f) { f.name_suffix = "2_1"; }));
  EXPECT_TRUE(passes([](auto& f) { f.tags = {"other", "core"}; })) << "any of them";
  EXPECT_FALSE(passes([](auto& f) { f.tags = {"cor"}; }));
  EXPECT_TRUE(passes([](auto& f) { f.targets = {"edge-9", "edge-2"}; }));
  EXPECT_FALSE(passes([](auto& f) { f.targets = {"edge"}; }));
  EXPECT_TRUE(passes([](auto& f) { f.cogs = {"healthy"}; })) << "checks are called too";
  EXPECT_FALSE(passes([](auto& f) { f.cogs = {"reboot"}; }));
}

TEST(Filter, T3_SubmittedFromToBefore) {
  EXPECT_TRUE(passes([](auto& f) { f.submit_begin = from_micros(1000); }));
  EXPECT_FALSE(passes([](auto& f) { f.submit_begin = from_micros(1001); }));
  EXPECT_TRUE(passes([](auto& f) { f.submit_end = from_micros(1001); }));
  EXPECT_FALSE(passes([](auto& f) { f.submit_end = from_micros(1000); }));
}

TEST(Filter, T3_KindsAreAnded) {
  EXPECT_TRUE(passes([](auto& f) { f.tags = {"edge"}, f.cogs = {"upgrade"}, f.states = {State::RUNNING}; }));
  EXPECT_FALSE(passes([](auto& f) { f.tags = {"edge"}, f.cogs = {"upgrade"}, f.states = {State::FAILED}; }));
  EXPECT_FALSE(passes([](auto& f) { f.tags = {"other"}, f.cogs = {"upgrade"}; }));
}

TEST(Filter, T3_OrderAndLimitAreNotItsAffair) {
  EXPECT_TRUE(passes([](auto& f) { f.limit = 0, f.newest_first = true; }));
}

}  // namespace
}  // namespace cogwork
