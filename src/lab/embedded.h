// SPDX-License-Identifier: GPL-2.0-or-later
//
// The files below scenarios/, carried in the program so that it needs none beside it. The build makes the source.
#pragma once

#include <string_view>
#include <vector>

namespace mb::lab {

struct EmbeddedFile {
  std::string_view path;  // below scenarios/: "topologies/article.yaml"
  std::string_view text;
};

const std::vector<EmbeddedFile>& embedded_files();

}  // namespace mb::lab
