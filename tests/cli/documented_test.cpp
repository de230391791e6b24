// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the program offers is what the man page and the completions know: nothing is left out when an option is added, and
// no page speaks of an option that the verb does not have.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <sstream>
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
    for (const auto& option : matches(words, std::regex("(--?[a-zA-Z][a-zA-Z0-9-]*)"))) found.insert(option);
  }
  return found;
}

bool names(const std::string& text, const std::string& word) {
  return std::regex_search(text, std::regex("(^|[^a-z-])" + word + "([^a-z-]|$)"));
}

// fish writes -s f -l force.
std::string fish_words() {
  std::string text = std::regex_replace(read_file("completions/minibridge.fish"), std::regex("-s ([a-zA-Z]) "), "-$1 ");
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

// ------------------------------------------------------------------ from the pages to the program

// Verbs, and what a page says are their options.
struct Claim {
  std::vector<std::string> verbs;  // options that stand with several verbs belong to one of them
  std::set<std::string> options;
};

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

std::set<std::string> options_in(const std::string& text) {
  return matches(text, std::regex("(?:^|[^a-zA-Z0-9-])(--?[a-z][a-z0-9-]*|-[A-Z]\\b)"));
}

bool is_family(const std::string& verb) { return verb == "network" || verb == "lab" || verb == "scenario"; }

// What bash is offered after the verb.
std::vector<Claim> claims_of_bash() {
  std::vector<Claim> claims;
  for (const auto& verb : kVerbs) {
    if (is_family(verb)) continue;
    const auto count = std::to_string(words_of(verb).size() + 1);
    const std::string script = "compopt() { :; }; minibridge() { :; }; source " + std::string(MB_SOURCE_DIR) +
                               "/completions/minibridge.bash; COMP_WORDS=(minibridge " + verb +
                               " \"\"); COMP_CWORD=" + count + "; _minibridge; echo \"${COMPREPLY[*]}\"";
    FILE* pipe = ::popen(("bash -c '" + script + "'").c_str(), "r");
    std::string text;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
    EXPECT_EQ(::pclose(pipe), 0) << script;
    claims.push_back({{verb}, options_in(text)});
  }
  return claims;
}

// The functions' cases: "    run|create) _arguments … ;;", in _minibridge_network for the verbs of network.
std::vector<Claim> claims_of_zsh() {
  std::string text = read_file("completions/_minibridge");
  for (const std::string array : {"net", "process"}) {
    const auto begin = text.find("\n  " + array + "=(");
    const auto end = text.find("\n  )", begin);
    text = std::regex_replace(text, std::regex("\\$" + array + "\\b"), text.substr(begin, end - begin));
  }
  std::vector<Claim> claims;
  const std::regex function("\n_minibridge(_[a-z]+)?\\(\\) \\{\n([^]*?)\n\\}\n");
  const std::regex option("[{,'*(](--?[a-z][a-z0-9-]*)");
  for (std::sregex_iterator f(text.begin(), text.end(), function), end; f != end; ++f) {
    const std::string family = (*f)[1].length() > 0 ? (*f)[1].str().substr(1) : "";
    const std::string body = (*f)[2];
    const std::regex branch("\n    ([a-z|]+)\\) _arguments ([^]*?);;");
    for (std::sregex_iterator b(body.begin(), body.end(), branch); b != end; ++b) {
      const auto names = std::regex_replace((*b)[1].str(), std::regex("\\|"), " ");
      for (const auto& name : words_of(names)) {
        claims.push_back({{family.empty() ? name : family + " " + name}, matches((*b)[2], option)});
      }
    }
  }
  return claims;
}

// "complete -c minibridge -n CONDITION … -l option", with variables in the condition and loops over options.
std::vector<Claim> claims_of_fish() {
  std::string text = read_file("completions/minibridge.fish");
  const std::regex variable("set -l ([a-z_]+) ['\"]([^'\"]*)['\"]\n");
  for (std::smatch match; std::regex_search(text, match, variable);) {
    const std::string name = match[1];
    const std::string value = match[2];
    text = std::regex_replace(match.prefix().str() + match.suffix().str(), std::regex("\\$" + name + "\\b"), value);
  }
  const std::regex loop("for option in ([a-z0-9 -]+)\n([^\n]*)\\$option([^\n]*)\nend");
  for (std::smatch match; std::regex_search(text, match, loop);) {
    std::string lines;
    for (const auto& option : words_of(match[1])) lines += match[2].str() + option + match[3].str() + "\n";
    text = match.prefix().str() + lines + match.suffix().str();
  }
  std::vector<Claim> claims;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    std::smatch long_name;
    if (!std::regex_search(line, long_name, std::regex(" -l ([a-z0-9-]+)"))) continue;
    const std::string option = "--" + long_name[1].str();  // before the line that it lies in is another one
    line = std::regex_replace(line, std::regex("not __fish_seen_subcommand_from [a-z ]+"), "");
    const auto groups = matches(line, std::regex("__fish_seen_subcommand_from ([a-z ]+)"));
    std::string family;
    for (const auto& group : groups) {
      if (is_family(words_of(group).front())) family = words_of(group).front() + " ";
    }
    for (const auto& group : groups) {
      if (is_family(words_of(group).front())) continue;
      for (const auto& verb : words_of(group)) claims.push_back({{family + verb}, {option}});
    }
  }
  return claims;
}

// The entries (.TP) of verbs with all that stands below them.
std::vector<Claim> claims_of_man() {
  std::vector<Claim> claims;
  std::istringstream stream(pages().front().text);
  std::string before;
  int depth = 0;
  bool open = false;
  for (std::string line; std::getline(stream, line); before = line) {
    depth += line == ".RS" ? 1 : line == ".RE" ? -1 : 0;
    if (line.starts_with(".SH")) open = false;
    if (before == ".TP" && depth == 0) {
      auto tag = std::regex_replace(line, std::regex("^\\.[BIR]+ |\"|\\\\f[BIRP]"), "");
      tag = std::regex_replace(tag, std::regex(" *, *"), ", ");
      Claim claim;
      for (const auto& part : matches(tag, std::regex("(?:^|, )([a-z]+(?: [a-z]+)?)"))) {
        for (const auto& verb : kVerbs) {
          if (verb == part || verb == words_of(part).front()) claim.verbs.push_back(verb);
        }
      }
      open = !claim.verbs.empty();
      if (open) claims.push_back(claim);
    }
    const bool is_ours = line.find("-restore") == std::string::npos;  // and not an option of another program
    if (open && is_ours) claims.back().options.merge(options_in(line));
  }
  return claims;
}

using Options = std::map<std::string, std::set<std::string>>;

void expect_true(const std::string& page, const std::vector<Claim>& claims, const Options& options) {
  std::set<std::string> met;
  for (const auto& claim : claims) {
    auto known = options.at("");
    for (const auto& verb : claim.verbs) known.insert(options.at(verb).begin(), options.at(verb).end());
    for (const auto& option : claim.options) {
      EXPECT_TRUE(known.contains(option)) << page << " says that '" << claim.verbs.front() << "' has " << option;
    }
    met.insert(claim.verbs.begin(), claim.verbs.end());
  }
  EXPECT_GE(met.size(), 20U) << page << " was not understood";
}

TEST(Documented, NoPageHasAnOptionThatTheVerbHasNot) {
  Options options;
  for (const auto& verb : kVerbs) options[verb] = options_of(help_of(verb));
  expect_true("docs/man/minibridge.1", claims_of_man(), options);
  expect_true("completions/minibridge.bash", claims_of_bash(), options);
  expect_true("completions/_minibridge", claims_of_zsh(), options);
  expect_true("completions/minibridge.fish", claims_of_fish(), options);
}

TEST(Documented, BashOffersEachVerbAllItsOptions) {
  for (const auto& claim : claims_of_bash()) {
    for (const auto& option : options_of(help_of(claim.verbs.front()))) {
      if (option == "-h") continue;
      EXPECT_TRUE(claim.options.contains(option)) << "'" << claim.verbs.front() << "' " << option;
    }
  }
}

}  // namespace
