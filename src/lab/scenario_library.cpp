// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/lab/scenario_library.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/lab/document.h"
#include "src/lab/embedded.h"
#include "src/lab/scenario_reader.h"

namespace mb::lab {
namespace {

constexpr std::string_view kScenarioEnding = ".yaml";
constexpr const char* kPage = "docs/scenario-format.md describes scenario files";

// The number and what follows it: "05", "redirect".
std::pair<std::string_view, std::string_view> halves(std::string_view name) {
  const auto dash = name.find('-');
  if (dash == std::string_view::npos) return {name, name};
  return {name.substr(0, dash), name.substr(dash + 1)};
}

int number_of(std::string_view digits) {
  int number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc() && end == digits.data() + digits.size() ? number : -1;
}

bool is_meant(std::string_view name, std::string_view wanted) {
  const auto [number, words] = halves(name);
  return name == wanted || words == wanted || (number_of(wanted) >= 0 && number_of(number) == number_of(wanted));
}

std::string full_name(const std::string& wanted) {
  const auto names = scenario_names();
  const auto found =
      std::find_if(names.begin(), names.end(), [&](const std::string& name) { return is_meant(name, wanted); });
  if (found != names.end()) return *found;
  const std::string near = nearest(wanted, names);
  throw Error(ErrorKind::not_found, fmt::format("there is no scenario '{}'", printable(wanted)),
              near.empty() ? "'minibridge scenario ls' lists them; or give a path such as ./my.yaml"
                           : fmt::format("did you mean '{}'?", near));
}

// A path to a topology is meant from where the scenario's file is, so that both can be moved together.
TopologyLoader loader_beside(const std::filesystem::path& scenario) {
  return [folder = scenario.parent_path()](const std::string& name) {
    return load_topology(is_path(name) ? (folder / name).string() : name);
  };
}

}  // namespace

std::vector<std::string> scenario_names() {
  std::vector<std::string> names;
  for (const auto& file : embedded_files()) {
    if (file.path.find('/') != std::string_view::npos || !file.path.ends_with(kScenarioEnding)) continue;
    names.emplace_back(file.path.substr(0, file.path.size() - kScenarioEnding.size()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Scenario load_scenario(const std::string& name_or_path) {
  if (is_path(name_or_path)) {
    const std::filesystem::path path(name_or_path);
    return with_page(
        kPage, [&] { return parse_scenario(read_document(name_or_path), path.stem().string(), loader_beside(path)); });
  }
  const std::string name = full_name(name_or_path);
  const std::string path = name + std::string(kScenarioEnding);
  const auto& files = embedded_files();
  const auto file = std::find_if(files.begin(), files.end(), [&](const auto& each) { return each.path == path; });
  return parse_scenario(parse_document(file->text, "scenarios/" + path), name, load_topology);
}

}  // namespace mb::lab
