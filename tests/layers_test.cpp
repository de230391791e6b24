// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who may use whom: every `#include` below src/ and netns/ is read and compared with the table of the house.
//
// A folder may include itself and what the table lists for it. The big third-party libraries have one folder
// each that may see them, and even there only the .cpp files: a header that shows one of their types would
// carry it into every folder above.
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

using Folders = std::set<std::string, std::less<>>;

// Third-party headers by the start of their name, and the only folder that may include them ("" means any).
struct Wrapped {
  std::string_view prefix;
  std::string_view folder;
};

constexpr std::array kWrapped{
    Wrapped{"CLI/", "cli"},        Wrapped{"netlink/", "kernel"},
    Wrapped{"libiptc/", "kernel"}, Wrapped{"libnetfilter_conntrack/", "kernel"},
    Wrapped{"sqlite3", "store"},   Wrapped{"SQLiteCpp/", "store"},
    Wrapped{"yaml-cpp/", "lab"},   Wrapped{"cap-ng.h", "container"},
    Wrapped{"nlohmann/", ""},
};

const std::map<std::string, Folders, std::less<>>& allowed_folders() {
  static const std::map<std::string, Folders, std::less<>> kAllowed = [] {
    const Folders pure{"base", "model", "plan"};
    Folders below_engine = pure;
    below_engine.insert({"netns", "kernel", "store"});
    Folders below_lab = below_engine;
    below_lab.insert({"engine"});
    Folders below_cli = below_lab;
    below_cli.insert({"container", "trace"});
    Folders everything = below_cli;
    everything.insert({"lab", "cli"});
    Folders cli = below_cli;
    cli.insert("lab");
    return std::map<std::string, Folders, std::less<>>{
        {"base", {}},
        {"model", {"base"}},
        {"plan", {"base", "model"}},
        {"netns", {}},
        {"kernel", {"base", "model", "netns"}},
        {"store", {"base", "model", "netns"}},
        {"engine", below_engine},
        {"container", below_lab},
        {"trace", below_lab},
        {"lab", below_cli},
        {"cli", cli},
        {"main.cpp", everything},
    };
  }();
  return kAllowed;
}

// "src/plan/diff.h" is in "plan", "netns/netns.h" in "netns", "src/main.cpp" in "main.cpp"; "" for what is not ours.
std::string folder_of(std::string_view path) {
  if (path.starts_with("netns/")) return "netns";
  if (!path.starts_with("src/")) return {};
  path.remove_prefix(4);
  return std::string(path.substr(0, path.find('/')));
}

// The name between the brackets or quotes of an include line; `quoted` tells which. Empty for any other line.
struct Include {
  std::string name;
  bool quoted = false;
};

Include parse_include(std::string_view line) {
  const auto skip_blanks = [&line] { line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size())); };
  skip_blanks();
  if (!line.starts_with('#')) return {};
  line.remove_prefix(1);
  skip_blanks();
  if (!line.starts_with("include")) return {};
  line.remove_prefix(std::string_view("include").size());
  skip_blanks();
  if (line.empty() || (line.front() != '"' && line.front() != '<')) return {};
  const bool quoted = line.front() == '"';
  line.remove_prefix(1);
  return {std::string(line.substr(0, line.find(quoted ? '"' : '>'))), quoted};
}

// Why this folder may not include this header of ours; "" when it may.
std::string folder_complaint(const std::string& folder, const std::string& header) {
  const auto rule = allowed_folders().find(folder);
  if (rule == allowed_folders().end()) return "the folder '" + folder + "' is not in the table of layers";
  const std::string other = folder_of(header);
  if (other == folder || rule->second.contains(other)) return {};
  return "'" + folder + "' may not use '" + other + "'";
}

// Why a file may not include this header of somebody else's; "" when it may.
std::string library_complaint(std::string_view path, const std::string& folder, std::string_view header) {
  if (folder == "netns" && header.starts_with("fmt/")) return "'netns' stands on the standard library alone";
  for (const auto& library : kWrapped) {
    if (!header.starts_with(library.prefix)) continue;
    if (path.ends_with(".h")) return "a header may not show it";
    if (folder == "netns") return "'netns' stands on the standard library alone";
    if (!library.folder.empty() && folder != library.folder) {
      return "only '" + std::string(library.folder) + "' may use it";
    }
  }
  return {};
}

std::string complaint(std::string_view path, const Include& include) {
  const std::string folder = folder_of(path);
  if (!folder_of(include.name).empty()) return folder_complaint(folder, include.name);
  if (include.quoted) return "own headers are included from the top: \"src/…\" or \"netns/…\"";
  return library_complaint(path, folder, include.name);
}

// One line per include that breaks a rule: "src/plan/x.cpp:3: includes 'src/kernel/y.h': …".
std::vector<std::string> violations(const std::string& path, const std::string& text) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const Include include = parse_include(line);
    if (include.name.empty()) continue;
    const std::string why = complaint(path, include);
    if (why.empty()) continue;
    found.push_back(path + ":" + std::to_string(number) + ": includes '" + include.name + "': " + why);
  }
  return found;
}

std::string read_text(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<fs::path> our_sources(const fs::path& top) {
  std::vector<fs::path> files;
  for (const auto* folder : {"src", "netns"}) {
    if (!fs::exists(top / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(top / folder)) {
      const auto extension = entry.path().extension();
      if (entry.is_regular_file() && (extension == ".h" || extension == ".cpp")) files.push_back(entry.path());
    }
  }
  return files;
}

TEST(Layers, EveryIncludeOfOursIsAllowed) {
  const fs::path top = MB_SOURCE_DIR;
  const auto files = our_sources(top);
  ASSERT_FALSE(files.empty()) << "no sources below " << top;
  for (const auto& file : files) {
    EXPECT_THAT(violations(fs::relative(file, top).string(), read_text(file)), IsEmpty());
  }
}

TEST(Layers, ALowerFolderThatIncludesAHigherOneIsFlagged) {
  EXPECT_THAT(violations("src/plan/diff.cpp", "#include <vector>\n#include \"src/kernel/links.h\"\n"),
              ElementsAre("src/plan/diff.cpp:2: includes 'src/kernel/links.h': 'plan' may not use 'kernel'"));
  EXPECT_THAT(violations("src/kernel/links.cpp", "#include \"src/plan/diff.h\"\n"),
              ElementsAre(HasSubstr("'kernel' may not use 'plan'")));
  EXPECT_THAT(violations("netns/netns.cpp", "#include \"src/base/error.h\"\n"),
              ElementsAre(HasSubstr("'netns' may not use 'base'")));
  EXPECT_THAT(violations("src/trace/join.cpp", "#include \"src/container/init.h\"\n"),
              ElementsAre(HasSubstr("'trace' may not use 'container'")));
}

TEST(Layers, AHigherFolderMayIncludeALowerOne) {
  EXPECT_THAT(violations("src/plan/diff.cpp", "#include \"src/plan/diff.h\"\n#include \"src/model/rule.h\"\n"),
              IsEmpty());
  EXPECT_THAT(violations("src/engine/pipe.cpp", "#include \"src/kernel/kernel.h\"\n#include \"netns/netns.h\"\n"),
              IsEmpty());
  EXPECT_THAT(violations("src/main.cpp", "#include \"src/cli/main.h\"\n"), IsEmpty());
}

TEST(Layers, AThirdPartyLibraryInAHeaderIsFlagged) {
  for (const std::string header : {"CLI/CLI.hpp", "netlink/netlink.h", "libiptc/libiptc.h", "sqlite3.h",
                                   "SQLiteCpp/SQLiteCpp.h", "nlohmann/json.hpp"}) {
    EXPECT_THAT(violations("src/cli/words.h", "#include <" + header + ">\n"),
                ElementsAre(HasSubstr("a header may not show it")));
  }
}

TEST(Layers, AThirdPartyLibraryOutsideItsFolderIsFlagged) {
  EXPECT_THAT(violations("src/engine/pipe.cpp", "#include <netlink/netlink.h>\n"),
              ElementsAre(HasSubstr("only 'kernel' may use it")));
  EXPECT_THAT(violations("src/kernel/links.cpp", "#include <netlink/netlink.h>\n"), IsEmpty());
  EXPECT_THAT(violations("netns/netns.cpp", "#include <fmt/format.h>\n"),
              ElementsAre(HasSubstr("stands on the standard library alone")));
}

TEST(Layers, AnIncludeThatIsNotWrittenFromTheTopIsFlagged) {
  EXPECT_THAT(violations("src/model/address.cpp", "  # include \"address.h\"\n"),
              ElementsAre(HasSubstr("included from the top")));
}

TEST(Layers, AFolderThatTheTableDoesNotKnowIsFlagged) {
  EXPECT_THAT(violations("src/misc/all.cpp", "#include \"src/base/error.h\"\n"),
              ElementsAre(HasSubstr("not in the table of layers")));
}

}  // namespace
