// SPDX-License-Identifier: GPL-2.0-or-later
//
// Drawings of a topology: pure, values in and text out.
//
// Nodes stand side by side and every link is a line between them, with interfaces and addresses at its ends; nodes that
// are connected stand close together. What is too wide for that is written as a list.
#pragma once

#include <string>

#include "src/lab/topology.h"

namespace mb::lab {

// At most `width` columns where that is possible (a list with long names may need more).
std::string draw_text(const Topology& topology, std::size_t width);
std::string draw_mermaid(const Topology& topology);
std::string draw_svg(const Topology& topology);

}  // namespace mb::lab
