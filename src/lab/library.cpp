// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where topologies come from: a path, the installed files, or the program itself.
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "src/base/error.h"
#include "src/base/text.h"
#include "src/lab/document.h"
#include "src/lab/embedded.h"
#include "src/lab/topology.h"

namespace mb::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolder = "topologies/";
constexpr std::string_view kTopologyEnding = ".yaml";

constexpr const char* kPage = "docs/lab.md describes topology files";

Topology read_file(const std::string& path, const std::string& name) {
  return with_page(kPage, [&] { return read_topology(read_text_file(path), path, name); });
}

// PREFIX/share/minibridge/scenarios beside PREFIX/bin; what is there may have been changed on purpose.
std::string installed_file(const std::string& name) {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  const fs::path file =
      program.parent_path().parent_path() / "share/minibridge/scenarios/topologies" / (name + ".yaml");
  return !failed && fs::is_regular_file(file, failed) ? file.string() : std::string();
}

}  // namespace

bool is_path(std::string_view text) {
  return text.find('/') != std::string_view::npos || text.ends_with(kTopologyEnding) || text.ends_with(".yml");
}

std::vector<std::string> topology_names() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : embedded_files()) {
    if (!file.path.starts_with(kFolder)) continue;
    names.emplace_back(file.path.substr(kFolder.size(), file.path.size() - kFolder.size() - kTopologyEnding.size()));
  }
  return names;
}

Topology load_topology(const std::string& name_or_path) {
  if (is_path(name_or_path)) return read_file(name_or_path, fs::path(name_or_path).stem().string());
  if (const std::string path = installed_file(name_or_path); !path.empty()) return read_file(path, name_or_path);
  const std::string path = fmt::format("{}{}{}", kFolder, name_or_path, kTopologyEnding);
  for (const EmbeddedFile& file : embedded_files()) {
    if (file.path == path) return read_topology(file.text, path, name_or_path);
  }
  throw Error(ErrorKind::not_found, fmt::format("there is no topology '{}'", printable(name_or_path)),
              fmt::format("there are: {}; or give a path such as ./my.yaml", join(topology_names(), ", ")));
}

}  // namespace mb::lab
