// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the program offers is what the man page and the completions know: nothing is left out when an option is added.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

const std::vector<std::string> kVerbs{"",
                                      "run",
                                      "create",
                                      "exec",
                                      "ps",
                                      "start",
                                      "stop",
                                      "kill",
                                      "restart",
                                      "rm",
                                      "logs",
                                      "port",
                                      "wait",
                                      "version",
                                      "plan",
                                      "publish",
                                      "unpublish",
                                      "inspect",
                                      "repair",
                                      "doctor",
                                      "rules",
                                      "down",
                                      "echo",
                                      "network",
                                      "network create",
                                      "network connect",
                                      "network disconnect",
                                      "network ls",
                                      "network rm",
                                      "network inspect",
                                      "network prune",
                                      "lab",
                                      "lab up",
                                      "lab ls",
                                      "lab exec",
                                      "lab shell",
                                      "lab graph",
                                      "lab down",
                                      "scenario",
                                      "scenario ls",
                                      "scenario show",
                                      "scenario run",
                                      "scenario doc"};

std::string read_file(const std::string& path) {
  std::ifstream file(std::string(MB_SOURCE_DIR) + "/" + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string help_of(const std::string& verb) {
  std::string text;
  FILE* pipe = ::popen((std::string(MB_BINARY) + " " + verb + " --help 2>&1").c_str(), "r");
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  EXPECT_EQ(::pclose(pipe), 0) << verb << " --help: " << text;
  return text;
}

std::set<std::string> matches(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), pattern); match != std::sregex_iterator(); ++match) {
    found.insert((*match)[1].str());
  }
  return found;
}

// "-p,--publish TEXT ..." at the beginning of a line: both.
std::set<std::string> options_of(const std::string& help) {
  std::set<std::string> found;
  for (const auto& words : matches(help, std::regex("(?:^|\\n) +(-[^ ]+)"))) {
    for (const auto& option : matches(words, std::regex("(--?[a-z][a-z-]*)"))) found.insert(option);
  }
  return found;
}

bool names(const std::string& text, const std::string& word) {
  return std::regex_search(text, std::regex("(^|[^a-z-])" + word + "([^a-z-]|$)"));
}

// fish writes -s f -l force.
std::string fish_words() {
  std::string text = std::regex_replace(read_file("completions/minibridge.fish"), std::regex("-s ([a-z]) "), "-$1 ");
  text = std::regex_replace(text, std::regex("-l ([a-z-]+)"), "--$1");
  const std::string source = text;
  const std::regex loop("for option in ([a-z0-9 -]+)");
  for (std::sregex_iterator options(source.begin(), source.end(), loop), end; options != end; ++options) {
    text += std::regex_replace(" " + (*options)[1].str(), std::regex(" "), " --");
  }
  return text;
}

struct Page {
  std::string name;
  std::string text;
};

std::vector<Page> pages() {
  const std::string man = std::regex_replace(read_file("docs/man/minibridge.1"), std::regex("\\\\-"), "-");
  return {{"docs/man/minibridge.1", std::regex_replace(man, std::regex("\\\\f[BIRP]"), "")},
          {"completions/minibridge.bash", read_file("completions/minibridge.bash")},
          {"completions/_minibridge", read_file("completions/_minibridge")},
          {"completions/minibridge.fish", fish_words()}};
}

TEST(Documented, EveryVerbIsOnThisListAndInThePages) {
  const std::string help = help_of("");
  const auto begin = help.find("Subcommands:");
  ASSERT_NE(begin, std::string::npos);
  const std::set<std::string> listed(kVerbs.begin(), kVerbs.end());
  for (const auto& verb : matches(help.substr(begin), std::regex("\\n  ([a-z]+)"))) {
    EXPECT_TRUE(listed.contains(verb)) << verb << " is not tested here";
    for (const auto& page : pages()) EXPECT_TRUE(names(page.text, verb)) << page.name << " lacks " << verb;
  }
}

TEST(Documented, EveryOptionIsInThePages) {
  const auto all_pages = pages();
  for (const auto& verb : kVerbs) {
    const auto options = options_of(help_of(verb));
    EXPECT_FALSE(options.empty()) << verb;
    for (const auto& option : options) {
      for (const auto& page : all_pages) {
        EXPECT_TRUE(names(page.text, option)) << page.name << " lacks '" << verb << "' " << option;
      }
    }
  }
}

}  // namespace
