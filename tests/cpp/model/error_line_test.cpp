// What an error says in one line. tests/python/test_error_line.py makes real exceptions of each kind.
#include "cogwork/model/error_line.h"

#include <gtest/gtest.h>

namespace cogwork {
namespace {

TEST(ErrorLine, OfPlainTextTheFirstLine) {
  EXPECT_EQ(error_line(""), "");
  EXPECT_EQ(error_line("\n \n"), "");
  EXPECT_EQ(error_line("\n  disk full \r\nmore\n}"), "disk full");
  EXPECT_EQ(error_line("a.b: c"), "a.b: c") << "no type, so no module";
  EXPECT_EQ(error_line("+-+----+\n| a |"), "+-+----+");
}

TEST(ErrorLine, OfATracebackTypeAndFirstLine) {
  const std::string head = "Traceback (most recent call last):\n  File \"x.py\", line 1, in f\n    raise E\n    ^^^^^^^\n";
  EXPECT_EQ(error_line(head + "ValueError: disk full"), "ValueError: disk full");
  EXPECT_EQ(error_line(head + "pkg.mod.Error: commit failed: lock\n  interface ge-0/0/0\n}"), "Error: commit failed: lock");
  EXPECT_EQ(error_line(head + "x.f.<locals>.Error: y"), "Error: y");
  EXPECT_EQ(error_line(head + "Error: \n\n  disk full\n}"), "Error: disk full") << "the first line that says something";
  EXPECT_EQ(error_line(head + "KeyboardInterrupt"), "KeyboardInterrupt");
  EXPECT_EQ(error_line(head), "Traceback (most recent call last):") << "cut off";
  EXPECT_EQ(error_line(head + "RuntimeError: table\n+-+----------+\n| a | b |\n+-+----------+"), "RuntimeError: table");
}

TEST(ErrorLine, TheLastOfAChain) {
  const std::string head = "Traceback (most recent call last):\n  File \"x.py\", line 1, in f\n    raise E\n";
  for (const std::string link : {"The above exception was the direct cause of the following exception:",
                                 "During handling of the above exception, another exception occurred:"}) {
    EXPECT_EQ(error_line(head + "KeyError: 'a'\n\n" + link + "\n\n" + head + "OSError: gone"), "OSError: gone");
  }
  EXPECT_EQ(error_line(head + "RuntimeError: the remote said:\n" + head + "KeyError: 'a'"), "RuntimeError: the remote said:")
      << "a traceback in a message is no link";
}

TEST(ErrorLine, OfAGroupTheFirstLeafAndHowMany) {
  const std::string group =
      "  + Exception Group Traceback (most recent call last):\n"
      "  |   File \"x.py\", line 1, in f\n"
      "  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)\n"
      "  +-+---------------- 1 ----------------\n"
      "    | Traceback (most recent call last):\n"
      "    |   File \"x.py\", line 2, in g\n"
      "    | KeyError: 'inner'\n"
      "    | \n"
      "    | During handling of the above exception, another exception occurred:\n"
      "    | \n"
      "    | Traceback (most recent call last):\n"
      "    |   File \"x.py\", line 2, in g\n"
      "    | pkg.Refused: port 22\n"
      "    | second line\n"
      "    +---------------- 2 ----------------\n"
      "    | ExceptionGroup: nested (1 sub-exception)\n"
      "    +-+---------------- 1 ----------------\n"
      "      | OSError: port 830\n"
      "      +------------------------------------\n";
  EXPECT_EQ(error_line(group), "Refused: port 22 (first of 2)");
  EXPECT_EQ(error_line("+" + group.substr(3)), "Refused: port 22 (first of 2)") << "stripped";
  EXPECT_EQ(error_line(group + "\nThe above exception was the direct cause of the following exception:\n\n"
                               "Traceback (most recent call last):\n  File \"x.py\"\nValueError: later"),
            "ValueError: later");
  const std::string wide =
      "  + Exception Group Traceback (most recent call last):\n"
      "  | ExceptionGroup: many (20 sub-exceptions)\n"
      "  +-+---------------- 1 ----------------\n"
      "    | OSError: a\n"
      "    +---------------- ... ----------------\n"
      "    | and 19 more exceptions\n"
      "    +------------------------------------";
  EXPECT_EQ(error_line(wide), "OSError: a (first of 20)");
}

TEST(ErrorLine, NeverLongAndNeverHalfACharacter) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "\xc3\xa9";
  const auto line = error_line(text);
  EXPECT_LE(line.size(), 500u);
  EXPECT_EQ(line.substr(line.size() - 5), "\xc3\xa9...");
}

}  // namespace
}  // namespace cogwork
