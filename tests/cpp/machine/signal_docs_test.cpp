// docs/signals.md shows the table that the machine obeys. Where the two differ this test fails; with COGWORK_REWRITE_DOCS=1 in the
// environment it writes the page anew instead.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "cogwork/machine/signal_rules.h"

namespace cogwork {
namespace {

constexpr const char* kPage = COGWORK_DOCS_DIR "/signals.md";
constexpr const char* kBegin = "<!-- signal table: begin -->\n";
constexpr const char* kEnd = "<!-- signal table: end -->\n";

TEST(SignalDocs, PageShowsTheTable) {
  std::stringstream read;
  read << std::ifstream(kPage).rdbuf();
  const std::string page = read.str();
  const auto begin = page.find(kBegin);
  const auto end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos) << kPage << " has no line " << kBegin;
  ASSERT_NE(end, std::string::npos) << kPage << " has no line " << kEnd;
  const auto from = begin + std::string(kBegin).size();
  ASSERT_LE(from, end);

  const std::string table = "\n" + signal_table_markdown();
  if (std::getenv("COGWORK_REWRITE_DOCS") != nullptr) {
    std::ofstream(kPage) << page.substr(0, from) << table << page.substr(end);
    return;
  }
  EXPECT_EQ(page.substr(from, end - from), table) << "run this test with COGWORK_REWRITE_DOCS=1 to write the page anew";
}

}  // namespace
}  // namespace cogwork
